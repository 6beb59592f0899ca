"""Changes to numbers and categories, written into the row itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.samples.schema import InputSpec

NOISE_PART = 0.1
"""Standard deviation of the noise, as a part of the column's own in the training rows."""

SWAP_PROBABILITY = 0.15


@dataclass(frozen=True)
class TabularChange:
    """What can be done to the tabular input.

    Attributes:
        policies: ``noise``, ``swap`` or both, in the order they are applied.
        numbers: By number: its standard deviation, lowest and highest value in the training rows.
        donors: By column: values of training rows.
    """

    policies: tuple[str, ...]
    numbers: Mapping[str, tuple[float, float, float]]
    donors: Mapping[str, Sequence[Any]]

    @classmethod
    def of(cls, spec: InputSpec, policies: tuple[str, ...], donors: pa.Table) -> "TabularChange":
        """Estimate spreads from the donors, which are training rows whatever their order."""
        numbers = {}
        for column in spec.columns:
            if column.kind == "number":
                values = donors[column.name].drop_null().to_numpy()
                values = values[np.isfinite(values)]
                told = (values.std(), values.min(), values.max()) if len(values) else (0, 0, 0)
                numbers[column.name] = (float(told[0]), float(told[1]), float(told[2]))
        names = [column.name for column in spec.columns]
        return cls(policies, numbers, {name: donors[name].to_pylist() for name in names})

    def changed(self, rows: pa.Table, generators: Sequence[np.random.Generator]) -> pa.Table:
        """Return rows with changed values; what is missing stays so.

        Source:
            Yoon et al. 2020, "VIME", section 4: values swapped for those of other rows.
        """
        for policy in self.policies:
            change = self._noised if policy == "noise" else self._swapped
            rows = change(rows, generators)
        return rows

    def _noised(self, rows: pa.Table, generators: Sequence[np.random.Generator]) -> pa.Table:
        names = list(self.numbers)
        if not names:
            return rows
        drawn = np.stack([rng.standard_normal(len(names)) for rng in generators])
        for i, name in enumerate(names):
            spread, lowest, highest = self.numbers[name]
            noise = drawn[:, i] * NOISE_PART * spread
            values = rows[name].combine_chunks()
            there = values.is_valid().to_numpy(zero_copy_only=False)
            before = values.fill_null(0).to_numpy(zero_copy_only=False)
            # A weight stays above nothing: no number leaves the range that train has.
            numbers = np.clip(
                before + noise, np.minimum(lowest, before), np.maximum(highest, before)
            )
            rows = _replaced(rows, name, pa.array(numbers, values.type, mask=~there))
        return rows

    def _swapped(self, rows: pa.Table, generators: Sequence[np.random.Generator]) -> pa.Table:
        n_donors = len(next(iter(self.donors.values()), ()))
        if not n_donors:
            return rows
        drawn: NDArray[np.float64] = np.stack(
            [rng.random((2, len(self.donors))) for rng in generators]
        )
        for i, (name, donated) in enumerate(self.donors.items()):
            values = rows[name].to_pylist()
            donors = (drawn[:, 1, i] * n_donors).astype(np.int64)
            for row in np.flatnonzero(drawn[:, 0, i] < SWAP_PROBABILITY).tolist():
                if values[row] is not None:
                    donor = donated[donors[row]]
                    values[row] = values[row] if donor is None else donor
            rows = _replaced(rows, name, pa.array(values, rows[name].type))
        return rows


def _replaced(rows: pa.Table, name: str, values: pa.Array) -> pa.Table:
    at = rows.schema.get_field_index(name)
    return rows.set_column(at, rows.schema.field(at), values)
