"""How often each training sample counts: copies, rows left out, and weights.

What is balanced falls into cells: a class, a set of inputs, or both together.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.augment.survey import Survey
from tasks.errors import DataError
from tasks.params.augment import AugmentParams

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """What becomes of each training row.

    Attributes:
        kept: ``(n_train,)`` whether it is trained on.
        copies: ``(n_train,)`` how many copies are made of it.
        weights: ``(n_train,)`` how much it, and each of its copies, counts in the loss; None where
            all count alike.
        cells: ``(n_train,)`` the cell it lies in.
        cell_names: Names of the cells.
    """

    kept: NDArray[np.bool_]
    copies: Counts
    weights: NDArray[np.float64] | None
    cells: NDArray[np.int64]
    cell_names: tuple[str, ...]


def plan_rows(survey: Survey, params: AugmentParams, can_change: bool) -> Plan:
    """Decide what becomes of each training row.

    Args:
        survey: The training rows.
        params: The stage's settings.
        can_change: Whether any input can be changed; where none can, a copy would be a repetition,
            and only balancing makes those.

    Raises:
        DataError: Classes are to be balanced, but the target is a number.
    """
    ordinary = params.copies if can_change else 0
    cells, names = cells_of(survey, params)
    kept = np.ones(survey.n_train, dtype=bool)
    copies = np.full(survey.n_train, ordinary, dtype=np.int64)
    weights = None
    if params.balance != "none" and survey.n_train:
        rank, sizes = ranks(cells, survey.hashes)
        if params.balance_by == "oversample":
            copies = _more_of_the_rare(
                cells, rank, sizes, ordinary, max(ordinary, params.max_balance_copies)
            )
        elif params.balance_by == "undersample":
            kept = rank < max(1, int(sizes[sizes > 0].min() * params.max_imbalance))
            copies[~kept] = 0
        else:
            weights = effective_weights(sizes, params.effective_number_beta)[cells]
            weights *= (1 + copies).sum() / ((1 + copies) * weights).sum()
    return Plan(kept, copies, weights, cells, names)


def cells_of(survey: Survey, params: AugmentParams) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the cell of each training row, and the names of the cells."""
    if "classes" in params.balance and survey.target_kind != "category":
        raise DataError(
            f"augment.balance: '{params.balance}' expects a target that is a category, found "
            f"{survey.target_kind}; set augment.balance to none or modalities"
        )
    if params.balance == "modalities":
        return survey.patterns, survey.pattern_names
    if params.balance != "classes_and_modalities":
        return survey.classes, survey.class_names
    both = survey.classes * len(survey.pattern_names) + survey.patterns
    distinct, cells = np.unique(both, return_inverse=True)
    names = [divmod(cell, len(survey.pattern_names)) for cell in distinct.tolist()]
    return cells.ravel(), tuple(
        f"{survey.class_names[c]} with {survey.pattern_names[p]}" for c, p in names
    )


def ranks(cells: NDArray[np.int64], hashes: NDArray[np.uint64]) -> tuple[Counts, Counts]:
    """Return each row's place within its cell by its hash, and the size of each cell.

    Hashes decide who gets one copy more or is left out, so that row order has no say.
    """
    order = np.lexsort((hashes, cells))
    sizes = np.bincount(cells).astype(np.int64)
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(cells), dtype=np.int64)
    rank[order] = np.arange(len(cells)) - starts[cells[order]]
    return rank, sizes


def _more_of_the_rare(
    cells: NDArray[np.int64], rank: Counts, sizes: Counts, ordinary: int, most: int
) -> Counts:
    """Bring each cell to what the largest has with its ordinary copies, as far as allowed."""
    goal = int(sizes.max()) * (1 + ordinary)
    each, left_over = np.divmod(goal - sizes, np.maximum(sizes, 1))
    capped = each >= most
    each, left_over = np.where(capped, most, each), np.where(capped, 0, left_over)
    return np.asarray(each[cells] + (rank < left_over[cells]), dtype=np.int64)


def effective_weights(sizes: Counts, beta: float) -> NDArray[np.float64]:
    """Return one over the effective number of samples of each cell; 0 for an empty one.

    Args:
        sizes: ``(n_cells,)`` samples of each.
        beta: From 0, where all weigh alike, towards 1, where they weigh one over their number.

    Source:
        Cui et al. 2019, arXiv:1901.05555, section 3.
    """
    n = np.maximum(sizes, 1).astype(np.float64)
    # 1 - beta ** n, precise also where beta is close to 1.
    effective = -np.expm1(n * np.log(beta)) / (1 - beta) if beta > 0 else np.ones_like(n)
    return np.where(sizes > 0, 1 / effective, 0.0)
