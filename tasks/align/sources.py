"""Records of a source without holding them all: a column at a time, in order, or rows by number."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.align.matching import NOBODY, Rows
from tasks.errors import DataError
from tasks.samples.tables import ROW_GROUP_ROWS, iter_batches, open_table, read_table

IN_MEMORY_BYTES = 64 * 2**20
"""Tables up to this size are held; larger ones are unpacked into a file and mapped."""


@dataclass(frozen=True)
class Source:
    """The records of one source.

    Attributes:
        name: Of the source.
        path: Its table.
        origin: The columns that say which file and which row a record comes from.
        scratch: Where to put what is too large to be held.
    """

    name: str
    path: Path
    origin: tuple[str, str]
    scratch: Path
    _held: dict[str, pa.Table] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def schema(self) -> pa.Schema:
        """The schema of the table."""
        return open_table(self.path).schema_arrow

    @cached_property
    def n_records(self) -> int:
        """Records of the source."""
        return int(open_table(self.path).metadata.num_rows)

    @property
    def own_columns(self) -> tuple[str, ...]:
        """The columns that are in the record, not about it."""
        return tuple(n for n in self.schema.names if n not in ("record_id", *self.origin))

    def column(self, name: str) -> pa.ChunkedArray:
        """Return one column."""
        return read_table(self.path, [name])[name]

    def batches(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Stream the records in their order."""
        return iter_batches(self.path, columns, rows=ROW_GROUP_ROWS)

    def has_value(self, column: str) -> NDArray[np.bool_]:
        """Return ``(n_records,)`` whether there is a value; a number must be finite to be one."""
        parts = [np.zeros(0, dtype=bool)]
        for batch in self.batches([column]):
            values = batch.column(0)
            valid = values.is_valid()
            if pa.types.is_floating(values.type):
                valid = pc.and_(valid, pc.is_finite(values).fill_null(False))
            parts.append(valid.to_numpy(zero_copy_only=False))
        return np.concatenate(parts)

    @cached_property
    def order(self) -> Rows:
        """``(n_records,)`` each record's place in its source, whatever the order of the table.

        It decides between records that are equal in all else.
        """
        file, row = self.origin
        files, rows = [], []
        ranks: dict[str | None, int] = {}
        for batch in self.batches([file, row]):
            encoded = batch.column(file).dictionary_encode()
            codes = [ranks.setdefault(n, len(ranks)) for n in encoded.dictionary.to_pylist()]
            at = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)
            files.append(np.asarray(codes or [0], dtype=np.int32)[at])
            rows.append(batch.column(row).fill_null(0).to_numpy(zero_copy_only=False))
        if not files:
            return np.zeros(0, dtype=np.int64)
        rank = np.empty(len(ranks), dtype=np.int32)
        rank[sorted(range(len(ranks)), key=lambda code: list(ranks)[code] or "")] = np.arange(
            len(ranks)
        )
        file_ranks, row_numbers = rank[np.concatenate(files)], np.concatenate(rows)
        in_order = np.lexsort((row_numbers, file_ranks))
        place = np.empty(len(in_order), dtype=np.int64)
        place[in_order] = np.arange(len(in_order))
        if _has_ties(file_ranks[in_order], row_numbers[in_order]):
            ids = np.asarray(self.column("record_id").to_pylist(), dtype=object)
            place[np.lexsort((ids, row_numbers, file_ranks))] = np.arange(len(in_order))
        return place

    def places(self, rows: Rows) -> list[str]:
        """Return "file row n" of some records, for messages."""
        file, row = self.origin
        found = read_table(self.path, [file, row]).take(rows).to_pylist()
        return [f"{place[file]} row {place[row]}" for place in found]

    def records(self, rows: Rows) -> pa.Table:
        """Look records up by their row: their own columns, a row of nulls for each -1."""
        return self._lookup.take(pa.array(rows, mask=rows == NOBODY))

    @property
    def _lookup(self) -> pa.Table:
        if "" not in self._held:
            self._held[""] = self._opened()
        return self._held[""]

    def _opened(self) -> pa.Table:
        columns = list(self.own_columns)
        metadata = open_table(self.path).metadata
        size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
        if size <= IN_MEMORY_BYTES:
            return read_table(self.path, columns)
        unpacked = self.scratch / f"{self.name}.arrow"
        schema = pa.schema([self.schema.field(name) for name in columns])
        with pa.OSFile(str(unpacked), "wb") as file, pa.ipc.new_file(file, schema) as writer:
            for batch in self.batches(columns):
                writer.write_batch(batch.select(columns))
        return pa.ipc.open_file(pa.memory_map(str(unpacked))).read_all()

    def require_distinct_ids(self) -> None:
        """Fail where two records have one name, since samples are named by them.

        Raises:
            DataError: With how many names there are.
        """
        parts = [
            np.fromiter(map(hash, batch.column(0).to_pylist()), np.int64, batch.num_rows)
            for batch in self.batches(["record_id"])
        ]
        hashes = np.concatenate([np.zeros(0, dtype=np.int64), *parts])
        if len(np.unique(hashes)) == len(hashes):
            return
        n_distinct = len(self.column("record_id").unique())
        if n_distinct < self.n_records:
            raise DataError(
                f"{self.name}: expected a record_id of its own for each of {self.n_records:,} "
                f"records, found {n_distinct:,} distinct ones; run `dvc repro --force collect`"
            )


def _has_ties(*sorted_by: NDArray[np.integer]) -> bool:
    same = np.logical_and.reduce([values[1:] == values[:-1] for values in sorted_by])
    return bool(same.any())
