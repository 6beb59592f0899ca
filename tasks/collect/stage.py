"""Collect: read every source into typed records, and each distinct media file once.

Reads   the sources under ``collect.root``
Writes  data/collect/records/<source>.parquet   readable records, in the order of the source
        data/collect/media/                     the media they name, by content digest
        data/collect/quarantine.parquet         every other record, with its place and reason
        data/collect/remote.parquet             files that were fetched from an address
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tasks.collect.locate import require_root, require_sources
from tasks.collect.media_files import CellMedia, MediaFiles
from tasks.collect.records import Collected, write_records
from tasks.collect.remote.cache import RemoteCache
from tasks.collect.remote.media import media_of
from tasks.collect.remote.sources import Placed, fetched_in, place_source
from tasks.collect.report import CollectedSource, CollectReport
from tasks.collect.rows import Notes, RawRow, source_kinds
from tasks.collect.sources import (  # noqa: F401  (imported for what they register)
    coco,
    folder,
    huggingface,
    table,
    voc,
    webdataset,
)
from tasks.collect.sources.sensor import write_readings
from tasks.errors import DataError
from tasks.params import Params
from tasks.params.collect import CollectParams, SensorSource, lies_elsewhere
from tasks.samples.folders import StageFolders
from tasks.samples.media import MediaWriter
from tasks.samples.progress import progress
from tasks.samples.quarantine import Quarantine, quarantine_in, require_few

READS: tuple[str, ...] = ()


def run(params: Params, folders: StageFolders) -> CollectReport:
    """Read all sources; every row becomes a record or stands in quarantine."""
    root = require_root(folders.root / params.collect.root)
    remote = RemoteCache(folders.cache / "remote", params.collect.remote)
    placed = place_sources(params.collect, root, remote)
    described: list[CollectedSource] = []
    output = folders.output
    with (
        MediaWriter(output / "media") as writer,
        quarantine_in(output) as quarantine,
        fetched_in(output) as fetched,
    ):
        media = MediaFiles(root, writer)
        for source, place in zip(params.collect.sources, placed, strict=True):
            fetched.add_all(source.name, place.fetched)
            of_cells = media_of(place, media, remote, fetched)
            collected, notes = collect_source(place, of_cells, output, quarantine)
            require_whole(source.name, collected, params.project.max_bad_fraction)
            described.append(CollectedSource.describe(source, collected, notes))
    unlisted = media.unlisted()
    return CollectReport(
        sources=tuple(described),
        media_files=media.n_files,
        media_bytes=media.n_bytes,
        unlisted_files=len(unlisted),
        unlisted_examples=tuple(unlisted[:5]),
        fetched_files=fetched.n_files,
        fetched_bytes=fetched.n_bytes,
    )


def place_sources(collect: CollectParams, root: Path, remote: RemoteCache) -> list[Placed]:
    """Check that the sources of this disk are there, then fetch the others."""
    here = [source for source in collect.sources if not lies_elsewhere(source)]
    require_sources(root, here)
    placed = [place_source(source, root, remote) for source in collect.sources]
    for place in placed:
        if place.fetched:
            require_sources(place.root, [place.source])
    return placed


def collect_source(
    place: Placed, media: CellMedia, output: Path, quarantine: Quarantine
) -> tuple[Collected, Notes]:
    """Read one source into its table of records."""
    source = place.source
    notes = Notes()

    def read_rows() -> Iterator[RawRow]:
        notes.clear()  # the source is read again where names repeat
        return source_kinds.get(source.kind)(source, place.root, notes)

    path = output / "records" / f"{source.name}.parquet"
    with progress(f"reading {source.name}") as advance:
        if isinstance(source, SensorSource):
            collected = write_readings(source, place.root, media, path, quarantine, notes, advance)
        else:
            collected = write_records(source, read_rows, media, path, quarantine, advance)
    return collected, notes


def require_whole(name: str, collected: Collected, max_bad_fraction: float) -> None:
    """Check that no row was lost and not too many were set aside.

    Raises:
        DataError: A row is neither readable nor set aside, or too many are.
    """
    aside = collected.set_aside
    if collected.n_rows != collected.n_readable + aside.n_records:
        raise DataError(
            f"source '{name}': {collected.n_rows:,} rows were read, but {collected.n_readable:,} "
            f"are readable and {aside.n_records:,} set aside; the file seems to "
            "change, collect it again"
        )
    bad = Counter(aside.reasons)
    del bad["duplicate_id"]
    by_reason = dict(bad.most_common())
    require_few(bad.total(), collected.n_rows, max_bad_fraction, f"source '{name}'", by_reason)
