"""A row as its source holds it, before anything is understood of it."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tasks.params.collect import AnySource, TableSource
from tasks.registry import Registry


class Fault(NamedTuple):
    """Why a row cannot be used."""

    reason: str
    detail: str
    column: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Medium:
    """A cell whose medium the source holds itself, where other cells name a file.

    Attributes:
        written: What stands for it in the table, such as the file it was cut from.
        content: Its bytes.
        suffix: The ending of a file of that kind, with its dot and in lower case.
    """

    written: str
    content: bytes
    suffix: str


Cell = str | Medium | None


class RawRow(NamedTuple):
    """One row of a source.

    Attributes:
        file: The file it stands in, relative to ``collect.root``.
        row: Its number in that file, counted from 1 without the header; 0 where a file is one.
        cells: The declared columns, in the order they are declared; none where there is a fault.
        raw: The row as it stands in the file, without its line end; bytes where it is no text.
        fault: Why it cannot be used, where that is known already.
        name: The record's name, where the kind of source gives it one.
    """

    file: str
    row: int
    cells: Sequence[Cell]
    raw: str | bytes
    fault: Fault | None = None
    name: str | None = None


@dataclass
class Notes:
    """What a reader saw that is no row."""

    blank_lines: int = 0
    ignored_files: int = 0
    unused_columns: tuple[str, ...] = ()
    counts: Counter[str] = field(default_factory=Counter)
    """Anything else worth telling, counted by what it is, in words."""

    first_header: tuple[Path, frozenset[str]] | None = None
    """The first file of the source, and its columns."""

    def saw_unused(self, names: Iterable[str]) -> None:
        """Remember columns that are not declared."""
        self.unused_columns = tuple(dict.fromkeys((*self.unused_columns, *names)))

    def clear(self) -> None:
        """Forget it all, since the source is about to be read from its start."""
        self.blank_lines, self.ignored_files, self.unused_columns = 0, 0, ()
        self.counts.clear()
        self.first_header = None


Reader = Callable[[TableSource, Path, str, Notes], Iterator[RawRow]]
"""Reads the file of a table source: source, path, its name relative to the root, notes to fill."""

SourceReader = Callable[[AnySource, Path, Notes], Iterator[RawRow]]
"""Reads a source of one kind under ``collect.root``."""

table_formats: Registry[Reader] = Registry("table format")
"""By the ending of the file, without its dot."""

source_kinds: Registry[SourceReader] = Registry("source kind")


def digest_of_row(raw: str | bytes) -> str:
    """Return the SHA-256 of a row as it stands in the file."""
    content = raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass")
    return hashlib.sha256(content).hexdigest()


def excerpt(text: str, most: int = 120) -> str:
    r"""Quote a piece of a file for a message, cut and without control characters.

    >>> excerpt("a\tb")
    "'a\\tb'"
    """
    return repr(text if len(text) <= most else text[:most] + "…")
