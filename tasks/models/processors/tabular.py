"""Rows of numbers and categories to vectors, with statistics of the training rows alone."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from tasks.models.processors.base import as_tensor, read_json
from tasks.samples.schema import TabularColumn

_FILE = "tabular.json"
MAX_VALUES = 10_000


@dataclass(frozen=True)
class NumberStatistics:
    """Mean and standard deviation of a number, over the training rows that have it."""

    name: str
    mean: float
    scale: float


@dataclass(frozen=True)
class CategoryValues:
    """The values of a category in the training rows; index 0 stands for any other, and for none."""

    name: str
    values: tuple[str, ...]


class TabularProcessor:
    """Standardises numbers and numbers categories."""

    def __init__(
        self, numbers: Sequence[NumberStatistics], categories: Sequence[CategoryValues]
    ) -> None:
        self.numbers = tuple(numbers)
        self.categories = tuple(categories)

    @classmethod
    def fit(cls, train: pa.Table, columns: Sequence[TabularColumn]) -> "TabularProcessor":
        """Take the statistics of the training rows."""
        numbers, categories = [], []
        for column in columns:
            values = train[column.name]
            if column.kind == "number":
                there = values.drop_null().to_numpy()
                mean = float(there.mean()) if len(there) else 0.0
                scale = float(there.std()) if len(there) else 0.0
                numbers.append(NumberStatistics(column.name, mean, scale or 1.0))
            else:
                found = sorted(values.drop_null().unique().to_pylist())[:MAX_VALUES]
                categories.append(CategoryValues(column.name, tuple(found)))
        return cls(numbers, categories)

    @classmethod
    def load(cls, folder: Path) -> "TabularProcessor":
        """Read tabular.json."""
        raw = read_json(folder / _FILE)
        return cls(
            [NumberStatistics(**n) for n in raw["numbers"]],
            [CategoryValues(c["name"], tuple(c["values"])) for c in raw["categories"]],
        )

    @property
    def n_values(self) -> list[int]:
        """Indices of each category, that for unknown values included."""
        return [len(c.values) + 1 for c in self.categories]

    def fingerprint(self) -> str:
        """Return text that changes whenever the vectors would."""
        return f"tabular {self.numbers} {self.categories}"

    def arrays(self, values: Any) -> NDArray[np.float32]:
        """Return ``(n, 2 n_numbers + n_categories)`` for a table of samples.

        The numbers, standardised and 0 where missing; which are missing; the categories' indices.
        """
        table: pa.Table = values
        raw = [table[n.name].to_numpy(zero_copy_only=False) for n in self.numbers]
        missing = [np.isnan(column.astype(np.float64)) for column in raw]
        scaled = [
            np.where(absent, 0.0, (np.nan_to_num(column) - n.mean) / n.scale)
            for column, absent, n in zip(raw, missing, self.numbers, strict=True)
        ]
        indices = [self._indices(table[c.name], c) for c in self.categories]
        columns = [*scaled, *missing, *indices]
        return np.stack(columns, axis=1).astype(np.float32)

    def tensor(self, arrays: NDArray[np.float32], device: torch.device) -> torch.Tensor:
        """Return the vectors."""
        return as_tensor(arrays, device)

    def save(self, folder: Path) -> None:
        """Write tabular.json."""
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "numbers": [asdict(n) for n in self.numbers],
            "categories": [asdict(c) for c in self.categories],
        }
        (folder / _FILE).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    @staticmethod
    def _indices(column: pa.ChunkedArray, category: CategoryValues) -> NDArray[np.int64]:
        of = {value: i for i, value in enumerate(category.values, start=1)}
        return np.asarray([of.get(value, 0) for value in column.to_pylist()], dtype=np.int64)
