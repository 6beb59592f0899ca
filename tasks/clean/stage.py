"""Clean: set aside records that are unreadable, incomplete or there twice; tell what is odd.

Reads   data/collect/records/<source>.parquet, data/collect/media/
Writes  data/clean/records/<source>.parquet   the kept records, labels and keys in one form
        data/clean/quarantine.parquet         every other record, with its reason
        data/clean/flags.parquet              kept records that are odd, with what is odd about them
        data/clean/near_duplicates.parquet    values that are nearly the same, by group
        reports/clean.html                    the data-quality page
"""

from tasks.clean.findings import WriteFlags, flags_writer
from tasks.clean.languages import require_languages
from tasks.clean.media import MediaVerdicts
from tasks.clean.near_duplicates.exhibits import near_duplicate_section
from tasks.clean.near_duplicates.report import NearDuplicates
from tasks.clean.near_duplicates.search import find_near_duplicates
from tasks.clean.page import clean_page
from tasks.clean.records import Cleaned, clean_records
from tasks.clean.report import CleanedSource, CleanReport
from tasks.clean.rules import Declared
from tasks.errors import DataError
from tasks.params import Params
from tasks.params.collect import AnySource, SensorSource
from tasks.samples.folders import StageFolders, write_text
from tasks.samples.media import MediaStore
from tasks.samples.progress import progress
from tasks.samples.quarantine import Quarantine, quarantine_in, require_few
from tasks.samples.tables import open_table

READS: tuple[str, ...] = ("collect",)


def run(params: Params, folders: StageFolders) -> CleanReport:
    """Keep the usable records of every source; each other one stands in quarantine."""
    require_languages(params.clean.languages)
    media = MediaStore(folders.of("collect") / "media")
    cleaned: list[Cleaned] = []
    with (
        MediaVerdicts(media, params.clean, folders.output) as verdicts,
        quarantine_in(folders.output) as quarantine,
        flags_writer(folders.output) as write_flags,
    ):
        for source in params.collect.sources:
            cleaned.append(clean_source(source, params, folders, verdicts, quarantine, write_flags))
        alike = find_near_duplicates(
            params.collect.sources,
            folders.output,
            verdicts.sketches,
            params.clean.near_duplicates,
        )
        report = CleanReport(
            sources=tuple(CleanedSource.describe(each, params.clean) for each in cleaned),
            near_duplicates=tuple(NearDuplicates.describe(compared) for compared in alike),
            media=verdicts.counts.summaries(),
            media_decoded=len(verdicts),
        )
    page = clean_page(
        report, params.collect.sources, cleaned, media, [near_duplicate_section(alike, media)]
    )
    write_text(folders.reports / "clean.html", page)
    return report


def clean_source(
    source: AnySource,
    params: Params,
    folders: StageFolders,
    verdicts: MediaVerdicts,
    quarantine: Quarantine,
    write_flags: WriteFlags,
) -> Cleaned:
    """Clean the records of one source; none is lost and not too many are set aside."""
    table = folders.of("collect") / "records" / f"{source.name}.parquet"
    n_records = open_table(table).metadata.num_rows
    with progress(f"cleaning {source.name}", n_records) as advance:
        cleaned = clean_records(
            source,
            table,
            folders.output / "records" / table.name,
            params.clean,
            declared_columns(params, source),
            verdicts,
            quarantine,
            write_flags,
            advance,
        )
    require_whole(source.name, cleaned, n_records, params.project.max_bad_fraction)
    return cleaned


def declared_columns(params: Params, source: AnySource) -> Declared:
    """Return what the settings say of a source's columns; a sensor's reading needs its time."""

    def own(column: str) -> str | None:
        owner, name = params.full_name(column).split(".", 1)
        return name if owner == source.name else None

    clean = params.clean
    required = [name for column in clean.required if (name := own(column))]
    if isinstance(source, SensorSource):
        required.append("time")
    return Declared(
        required=tuple(dict.fromkeys(required)),
        limits={n: limits for c, limits in clean.limits.items() if (n := own(c)) is not None},
        categories={
            n: frozenset(known)
            for c, known in clean.categories.items()
            if (n := own(c)) is not None
        },
        compared=compared_columns(source, params.align.base),
    )


def compared_columns(source: AnySource, base: str) -> tuple[str, ...]:
    """Return the columns in which duplicates agree.

    A sample is a sample under any name; but a record that other sources look up by its id says
    something of its own, though all else in it be said before.
    """
    named = source.id if source.name == base else None
    return tuple(name for name in source.columns if name != named)


def require_whole(name: str, cleaned: Cleaned, n_records: int, max_bad_fraction: float) -> None:
    """Check that no record was lost and not too many were set aside.

    Raises:
        DataError: A record is neither kept nor set aside, or too many are unusable.
    """
    n_aside = cleaned.reasons.total()
    if cleaned.n_kept + n_aside != n_records:
        raise DataError(
            f"source '{name}': {n_records:,} records were collected, but {cleaned.n_kept:,} are "
            f"kept and {n_aside:,} set aside; run `dvc repro --force collect`"
        )
    bad = {why: n for why, n in cleaned.reasons.most_common() if why != "duplicate"}
    require_few(sum(bad.values()), n_records, max_bad_fraction, f"source '{name}'", bad)
