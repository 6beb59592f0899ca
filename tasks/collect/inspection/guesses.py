"""A source as it could be declared: what a guess about data comes to."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from tasks.collect.inspection.columns import ColumnGuess


@dataclass(frozen=True)
class Declared:
    """A source that could be declared.

    Attributes:
        name: Its name.
        kind: Its kind.
        place: Its other settings but the columns: where it is, and how it is written.
        columns: What its columns seem to hold.
        rate_hz: Readings a second, of a sensor.
        metadata: The table of a folder's metadata.
        metadata_columns: The columns of ``columns`` that this table has.
    """

    name: str
    kind: str
    place: dict[str, Any]
    columns: list[ColumnGuess]
    rate_hz: float = 0.0
    metadata: str = ""
    metadata_columns: tuple[ColumnGuess, ...] = field(default=())

    def column(self, name: str) -> ColumnGuess:
        """Return a column by its name."""
        return next(column for column in self.columns if column.name == name)

    @property
    def known(self) -> list[ColumnGuess]:
        """The columns that have a type."""
        return [column for column in self.columns if column.kind is not None]


def name_for(wanted: str, taken: Collection[str]) -> str:
    """Make a name for a source of whatever it is called on disk.

    >>> name_for("Réponses 2024", []), name_for("rows", ["rows"]), name_for("2024", [])
    ('r_ponses_2024', 'rows_2', 'source_2024')
    """
    name = re.sub(r"[^a-z0-9]+", "_", wanted.lower()).strip("_") or "source"
    name = name if name[0].isalpha() else f"source_{name}"
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free
