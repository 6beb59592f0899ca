"""Clean: set aside records that are unreadable, incomplete or there twice.

Reads   data/collect/records/<source>.parquet, data/collect/media/
Writes  data/clean/records/<source>.parquet   the kept records, labels and keys in one form
        data/clean/quarantine.parquet         every other record, with its reason
"""

from tasks.clean.media import MediaVerdicts
from tasks.clean.records import Cleaned, clean_records
from tasks.clean.report import CleanedSource, CleanReport
from tasks.errors import DataError
from tasks.params import Params
from tasks.samples.folders import StageFolders
from tasks.samples.media import MediaStore
from tasks.samples.progress import progress
from tasks.samples.quarantine import SetAside, reasons, require_few, write_quarantine
from tasks.samples.tables import open_table

READS: tuple[str, ...] = ("collect",)


def run(params: Params, folders: StageFolders) -> CleanReport:
    """Keep the usable records of every source; each other one stands in quarantine."""
    collected = folders.of("collect")
    described: list[CleanedSource] = []
    set_aside: list[SetAside] = []
    with MediaVerdicts(MediaStore(collected / "media"), params.clean) as verdicts:
        for source in params.collect.sources:
            table = collected / "records" / f"{source.name}.parquet"
            n_records = open_table(table).metadata.num_rows
            with progress(f"cleaning {source.name}", n_records) as advance:
                cleaned = clean_records(
                    source,
                    table,
                    folders.output / "records" / table.name,
                    params.clean,
                    required_columns(params, source.name),
                    verdicts,
                    advance,
                )
            require_whole(source.name, cleaned, n_records, params.project.max_bad_fraction)
            described.append(CleanedSource.describe(source.name, cleaned))
            set_aside.extend(cleaned.set_aside)
        write_quarantine(set_aside, folders.output)
        return CleanReport(sources=tuple(described), media_decoded=len(verdicts))


def required_columns(params: Params, source: str) -> list[str]:
    """Return the columns of a source that may not be empty."""
    names = [params.full_name(column).split(".", 1) for column in params.clean.required]
    return [column for owner, column in names if owner == source]


def require_whole(name: str, cleaned: Cleaned, n_records: int, max_bad_fraction: float) -> None:
    """Check that no record was lost and not too many were set aside.

    Raises:
        DataError: A record is neither kept nor set aside, or too many are unusable.
    """
    n_aside = len(cleaned.set_aside)
    if cleaned.n_kept + n_aside != n_records:
        raise DataError(
            f"source '{name}': {n_records:,} records were collected, but {cleaned.n_kept:,} are "
            f"kept and {n_aside:,} set aside; run `dvc repro --force collect`"
        )
    bad = [record for record in cleaned.set_aside if record.reason != "duplicate"]
    require_few(len(bad), n_records, max_bad_fraction, f"source '{name}'", reasons(bad))
