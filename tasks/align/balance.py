"""How a target is spread over records."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.align.report import TargetBalance

MOST_CLASSES = 200


def target_balance(values: pa.ChunkedArray) -> TargetBalance:
    """Count the classes of a target, or give the quartiles of a number.

    >>> target_balance(pa.chunked_array([["yes", "no", "yes", None]])).classes
    {'yes': 2, 'no': 1}
    """
    present = values.drop_null()
    if pa.types.is_floating(values.type):
        present = present.filter(pc.is_finite(present))
    n, n_missing = len(present), len(values) - len(present)
    if pa.types.is_floating(values.type):
        numbers = present.to_numpy()
        quartiles = np.quantile(numbers, [0, 0.25, 0.5, 0.75, 1]) if n else []
        return TargetBalance(
            n=n,
            n_missing=n_missing,
            quartiles=tuple(float(q) for q in quartiles),
            mean=float(numbers.mean()) if n else None,
        )
    counted = {entry["values"]: entry["counts"] for entry in pc.value_counts(present).to_pylist()}
    commonest = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return TargetBalance(
        n=n,
        n_missing=n_missing,
        n_classes=len(counted),
        classes=dict(commonest[:MOST_CLASSES]),
    )
