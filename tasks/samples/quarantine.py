"""Records that are set aside: each with where it came from and why, never dropped in silence."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.errors import DataError
from tasks.samples.tables import BATCH_ROWS, read_table, write_table

FILE = "quarantine.parquet"
SCHEMA = pa.schema(
    [
        ("record_id", pa.string()),
        ("source", pa.string()),
        ("file", pa.string()),
        ("row", pa.int64()),
        ("column", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("sha256", pa.string()),
    ]
)


@dataclass(frozen=True)
class SetAside:
    """One record in quarantine.

    Attributes:
        record_id: The record's name, where it had one.
        source: Name of the source.
        file: The file it came from, relative to the root.
        row: Row of the file, counted from 1 without the header; 0 where a file is one record.
        column: The column at fault, or "".
        reason: A short code, such as ``truncated``.
        detail: The same in words.
        sha256: Digest of the raw bytes: of the medium, or of the row as it stood in the file.
    """

    record_id: str
    source: str
    file: str
    row: int
    column: str
    reason: str
    detail: str
    sha256: str


def write_quarantine(records: Iterable[SetAside], folder: Path) -> None:
    """Write what a stage set aside."""
    rows = list(records)
    columns = {name: [getattr(r, name) for r in rows] for name in SCHEMA.names}
    write_table(pa.table(columns, schema=SCHEMA), folder / FILE)


class Quarantine:
    """Writes records as they are set aside, and holds no more than a batch of them."""

    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._writer = writer
        self._waiting: list[SetAside] = []

    def add(self, record: SetAside) -> None:
        """Set a record aside."""
        self._waiting.append(record)
        if len(self._waiting) >= BATCH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        columns = {name: [getattr(r, name) for r in self._waiting] for name in SCHEMA.names}
        if self._waiting:
            self._writer.write_table(pa.table(columns, schema=SCHEMA))
        self._waiting = []


@contextmanager
def quarantine_in(folder: Path) -> Iterator[Quarantine]:
    """Open the quarantine of a stage whose folder appears only when the stage is done."""
    folder.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(
        folder / FILE, SCHEMA, compression="zstd", write_page_checksum=True
    ) as writer:
        quarantine = Quarantine(writer)
        yield quarantine
        quarantine.flush()


def read_quarantine(folder: Path) -> pa.Table:
    """Read what a stage set aside."""
    return read_table(folder / FILE)


def reasons(records: Iterable[SetAside]) -> dict[str, int]:
    """Count records by reason, the commonest first."""
    return dict(Counter(record.reason for record in records).most_common())


def require_few(
    n_bad: int, n_all: int, max_fraction: float, what: str, by_reason: Mapping[str, int]
) -> None:
    """Fail where too large a part was set aside.

    Raises:
        DataError: More than ``max_fraction`` of the records are bad.
    """
    if n_all and n_bad / n_all > max_fraction:
        told = ", ".join(f"{reason}: {count:,}" for reason, count in by_reason.items())
        raise DataError(
            f"{what}: {n_bad:,} of {n_all:,} records are unusable ({told}), more than "
            f"project.max_bad_fraction {max_fraction:g} allows; mend the source, or raise the limit"
        )
