"""What must hold of any assignment, whatever strategy made it."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.errors import DataError
from tasks.samples.schema import SPLITS
from tasks.split.strategies import TRAIN, SplitNumbers


def require_whole_groups(group: NDArray[np.str_], split: SplitNumbers) -> None:
    """Fail where a group crosses from one split to another.

    Raises:
        DataError: With the number of such groups, and the first.
    """
    pairs = np.unique(np.stack([group, split.astype(str)], axis=1), axis=0)
    names, n_splits = np.unique(pairs[:, 0], return_counts=True)
    torn = names[n_splits > 1]
    if len(torn):
        raise DataError(
            f"split: expected each group in one split, but {len(torn):,} of {len(names):,} span "
            f"several (first: '{torn[0]}'); the strategy must give all samples of a group one split"
        )


def require_filled_splits(group: NDArray[np.str_], split: SplitNumbers) -> None:
    """Fail where a split has no sample.

    Raises:
        DataError: Naming the empty splits, with what there was to share out.
    """
    n = np.bincount(split, minlength=len(SPLITS))
    empty = [name for name, count in zip(SPLITS, n, strict=True) if not count]
    if empty:
        told = ", ".join(f"{name} {count:,}" for name, count in zip(SPLITS, n, strict=True))
        raise DataError(
            f"split: expected samples in every split, but {' and '.join(empty)} got none of "
            f"{len(split):,} samples in {len(np.unique(group)):,} groups ({told}); add data, make "
            "split.group_by finer, or take strategy stratified or a larger fraction"
        )


def require_something_to_learn(target: pa.ChunkedArray, split: SplitNumbers) -> None:
    """Fail where all training samples have one and the same target.

    Raises:
        DataError: There is nothing to tell apart.
    """
    trained = target.filter(pa.array(split == TRAIN)).unique()
    if len(trained) < 2:
        everywhere = len(target.unique())
        raise DataError(
            f"split: expected several targets among the train samples, found only '{trained[0]}' "
            f"({everywhere} in all splits together); check align.target and the sources, or take "
            "strategy stratified"
        )
