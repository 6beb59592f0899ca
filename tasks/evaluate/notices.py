"""What a reader must know before trusting a figure."""

from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from tasks.errors import listing
from tasks.evaluate.metrics import Objective
from tasks.evaluate.results import Measured, MeasuredFloor
from tasks.samples.schema import TARGET, SampleSchema

FEW_GROUPS = 30
"""Below this, a bootstrap interval is narrower than it should be."""


def train_notices(n_train: int, n_seen: int) -> list[str]:
    """Say where only a part of train was looked at."""
    if n_seen == n_train:
        return []
    return [
        f"figures on train, and the heads of the floors, rest on {n_seen:,} of {n_train:,} train "
        "rows drawn at random"
    ]


def class_notices(classes: tuple[str, ...], splits: Mapping[str, Measured]) -> list[str]:
    """Say which rows have a class that the model cannot know."""
    if not classes:
        return []
    notices = []
    for split, measured in splits.items():
        n_unseen = int((measured.actual >= len(classes)).sum())
        if n_unseen:
            names = sorted(set(measured.rows[TARGET].to_pylist()) - set(classes))
            notices.append(
                f"{counted(n_unseen, 'sample')} of {split} {_have(n_unseen)} a class that was not "
                f"in train ({listing(names, most=5)}); each is counted as wrong"
            )
    return notices


def category_notices(schema: SampleSchema, rows: Mapping[str, pa.Table]) -> list[str]:
    """Say which categories of validation and test stand for "unknown", since train has none."""
    columns = [c.name for s in schema.inputs for c in s.columns if c.kind == "category"]
    notices = []
    for column in columns:
        known = rows["train"][column].unique()
        for split in ("validation", "test"):
            values = rows[split][column].drop_null()
            n_unseen = len(values) - int(pc.sum(pc.is_in(values, known)).as_py() or 0)
            if n_unseen:
                notices.append(
                    f"{counted(n_unseen, 'sample')} of {split} {_have(n_unseen)} a value of "
                    f"'{column}' that train has not; the model reads it as unknown"
                )
    return notices


def size_notices(test: Measured) -> list[str]:
    """Say where test is too small for its interval to be trusted."""
    if not test.n:
        return ["the test split holds no samples: nothing can be said of the model"]
    if test.n_groups >= FEW_GROUPS:
        return []
    return [
        f"test has only {counted(test.n, 'sample')} in {counted(test.n_groups, 'group')}; "
        "its intervals are narrower than they should be"
    ]


def suspicions(objective: Objective, test: Measured, floors: Iterable[MeasuredFloor]) -> list[str]:
    """Say what is too good to be taken on trust: a floor near perfection, or R² above 0.99."""
    notices = []
    fit = test.estimates["r2"].value if objective == "regression" else None
    if fit is not None and fit > 0.99:
        notices.append(
            f"R² is {fit:.4f} on test, which is rare in real data; check that no input holds the "
            "target"
        )
    floors = list(floors)
    spread = next((f.estimate.value for f in floors if f.floor.name == "mean"), None)
    for each in floors:
        value = each.estimate.value
        if not each.floor.name.endswith("_alone") or value is None:
            continue
        if value > 0.99 if objective == "classification" else spread and value < 0.1 * spread:
            notices.append(
                f"{each.floor.label} reaches {value:.3g} on test; check that this input does not "
                "hold the target"
            )
    return notices


def counted(count: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "sample"), counted(1200, "sample")
    ('1 sample', '1,200 samples')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _have(count: int) -> str:
    return "has" if count == 1 else "have"
