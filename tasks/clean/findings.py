"""What is found in records, and what becomes of it: a flag, a fault, or nothing."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from tasks.params.clean import Action
from tasks.samples.tables import table_writer

FLAGS_FILE = "flags.parquet"
FLAGS_SCHEMA = pa.schema(
    [
        ("record_id", pa.string()),
        ("source", pa.string()),
        ("column", pa.string()),
        ("flag", pa.string()),
        ("detail", pa.string()),
    ]
)
WriteFlags = Callable[[pa.RecordBatch], None]

MAX_EXAMPLES = 6
_UNSHOWN = frozenset({"secret", "personal_data"})


class Fault(NamedTuple):
    """Why a record cannot be used; the digest is that of the medium at fault."""

    column: str
    reason: str
    detail: str
    digest: str = ""


class Finding(NamedTuple):
    """Something odd about a record of a batch, under the name of the check that found it."""

    row: int
    column: str
    check: str
    detail: str
    digest: str = ""


class Example(NamedTuple):
    """A record with a fault or a flag, to be shown on the page.

    Attributes:
        record_id: Its name.
        column: The column that it is about; "" for the record as a whole.
        why: The reason or the flag.
        detail: The same in words.
        value: What stands there: text, or the digest of a medium; "" where it is not to be shown.
        path: Of a medium, as the user wrote it.
    """

    record_id: str
    column: str
    why: str
    detail: str
    value: str
    path: str


@dataclass
class Examples:
    """The first few records with each fault or flag."""

    of: defaultdict[str, list[Example]] = field(default_factory=lambda: defaultdict(list))

    def wants(self, why: str) -> bool:
        """Tell whether there are too few of a kind yet."""
        return len(self.of[why]) < MAX_EXAMPLES

    def add(self, record: dict[str, object], column: str, why: str, detail: str) -> None:
        """Remember a record; what may be secret in it is not shown."""
        value = record.get(column)
        shown = "" if value is None or why in _UNSHOWN else str(value)
        path = str(record.get(f"{column}.path") or "")
        self.of[why].append(Example(str(record["record_id"]), column, why, detail, shown, path))


def settled(
    findings: Iterable[Finding], action: Callable[[str], Action], faults: dict[int, Fault]
) -> list[Finding]:
    """Add findings that are to be dropped to the faults, and return those that are flags.

    A record keeps its first fault. One that has a fault is not flagged too, and none is flagged
    twice for the same in one column.
    """
    found = list(findings)
    for row, column, check, detail, digest in found:
        if action(check) == "drop":
            faults.setdefault(row, Fault(column, check, detail, digest))
    flags: dict[tuple[int, str, str], Finding] = {}
    for each in found:
        if action(each.check) == "flag" and each.row not in faults:
            flags.setdefault((each.row, each.column, each.check), each)
    return list(flags.values())


@contextmanager
def flags_writer(folder: Path) -> Iterator[WriteFlags]:
    """Give a function that adds flags to the table of flags."""
    with table_writer(FLAGS_SCHEMA, folder / FLAGS_FILE) as write:
        yield write


def flags_batch(source: str, names: pa.Array, flags: list[Finding]) -> pa.RecordBatch:
    """Return flags as rows of their table.

    Args:
        source: Name of the source.
        names: Of the records of the batch.
        flags: The records by their place in the batch.
    """
    columns = [
        names.take(pa.array([flag.row for flag in flags], pa.int64())),
        pa.array([source] * len(flags), pa.string()),
        pa.array([flag.column for flag in flags], pa.string()),
        pa.array([flag.check for flag in flags], pa.string()),
        pa.array([flag.detail for flag in flags], pa.string()),
    ]
    return pa.record_batch(columns, schema=FLAGS_SCHEMA)


def records_flagged(flags: Iterable[Finding]) -> Counter[str]:
    """Count records by flag, one with the same flag in two columns once."""
    return Counter(check for _, check in {(flag.row, flag.check) for flag in flags})
