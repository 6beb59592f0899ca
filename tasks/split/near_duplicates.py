"""Which values are near duplicates of others, as the clean stage found them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from tasks.samples.membership import text_keys
from tasks.samples.tables import open_table, read_table
from tasks.split.keys import Keys, hexadecimal_keys, mixed

FILE = "near_duplicates.parquet"
NOT_COMPARED = b"not_compared"


@dataclass(frozen=True)
class NearValues:
    """The values of one column that have near duplicates.

    Attributes:
        keys: ``(n,)`` their keys, in ascending order.
        groups: ``(n,)`` a key for the near group of each.
    """

    keys: Keys
    groups: Keys

    def merged(self, keys: Keys) -> Keys:
        """Return the keys of cells, one key for all values of a near group."""
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[at] == keys, self.groups[at], keys)


NearDuplicates = Mapping[str, NearValues]
"""By full name of a column; a column without near duplicates is not there."""


def read_not_compared(clean: Path) -> dict[str, int]:
    """Return by column how many pairs clean did not compare, though they may be alike."""
    told = (open_table(clean / FILE).schema_arrow.metadata or {}).get(NOT_COMPARED)
    return dict(json.loads(told)) if told else {}


def read_near_duplicates(clean: Path, text_columns: frozenset[str]) -> NearDuplicates:
    """Read the near groups that the clean stage wrote.

    Args:
        clean: The folder of the clean stage.
        text_columns: Columns whose values are named by the SHA-256 of their text; all others hold
            digests of media, which stand in the samples as they are.

    Raises:
        DataError: The file is not there.
    """
    table = read_table(clean / FILE, ["column", "value", "near_group"])
    near = {}
    for column in table["column"].unique().to_pylist():
        own = table.filter(pc.equal(table["column"], column))
        values = own["value"].to_pylist()
        keys = hexadecimal_keys(values) if column in text_columns else text_keys(values)
        order = np.argsort(keys)
        groups = mixed(text_keys(own["near_group"].to_pylist()))
        near[column] = NearValues(keys[order], groups[order])
    return near
