"""Draw the charts of an evaluation."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from tasks.evaluate.results import Evaluation, Measured
from tasks.samples.charts import (
    FLOOR,
    INK,
    LINE,
    MODEL,
    MUTED,
    OTHER,
    PAPER,
    Chart,
    as_svg,
    drawing,
    new_figure,
)
from tasks.samples.schema import SPLITS
from tasks.samples.wording import number, short, squeezed

MOST_CLASSES = 30
MOST_POINTS = 2_000
OTHER_CLASSES = "(all others)"


def charts_of(
    evaluation: Evaluation, history: str | None, alignment: Mapping[str, Any] | None
) -> list[Chart]:
    """Draw every chart there is something to draw for.

    Args:
        evaluation: What was measured.
        history: The text of history.csv; None where there is none.
        alignment: What the align stage said; None where it said nothing.
    """
    with drawing():
        charts = [_floors(evaluation), _balance(evaluation)]
        if evaluation.test.n:
            classified = evaluation.objective == "classification"
            charts.append(_confusion(evaluation) if classified else _scatter(evaluation))
        if curves := read_history(history or ""):
            charts.append(_curves(curves))
        for where, edges, counts in histograms_in((alignment or {}).get("pairs")):
            charts.append(_time_differences(where, edges, counts))
    return charts


def _floors(evaluation: Evaluation) -> Chart:
    """Draw the model above its floors, each with its interval."""
    primary = evaluation.primary
    named = [("the model", evaluation.test.estimates[primary.name], MODEL)]
    named += [(f.floor.label, f.estimate, FLOOR) for f in evaluation.floors]
    bars = [
        (
            squeezed(label, 26),
            e.value,
            e.value if e.low is None else e.low,
            e.value if e.high is None else e.high,
            colour,
        )
        for label, e, colour in named
        if e.value is not None
    ]
    figure, axes = new_figure(0.75 + 0.38 * max(1, len(bars)))
    ax = axes[0, 0]
    at = np.arange(len(bars))[::-1]
    reach = 1.0 if primary.name == "accuracy" else max((b[3] for b in bars), default=1.0) or 1.0
    for y, (_, value, low, high, colour) in zip(at, bars, strict=True):
        ax.barh(y, value, color=colour, height=0.62)
        ax.plot([low, high], [y, y], color=INK, linewidth=1.4, solid_capstyle="butt")
        for end in (low, high):
            ax.plot([end, end], [y - 0.13, y + 0.13], color=INK, linewidth=1.4)
        label = number(value, primary.name)
        ax.text(high + 0.015 * reach, y, label, va="center", fontsize=9)
    ax.set_yticks(at, [label for label, *_ in bars])
    ax.tick_params(axis="both", length=0)
    ax.set_xlim(0, reach * 1.12)
    ax.set_ylim(-0.6, len(bars) - 0.4)
    if primary.name == "accuracy":
        ax.set_xticks(np.linspace(0, 1, 6))
    ax.xaxis.grid(True)
    ax.spines[["left", "bottom"]].set_visible(False)
    better = "" if primary.higher_is_better else " (lower is better)"
    ax.set_xlabel(f"{primary.label} on test{better}")
    return Chart("floors", "The model beside its floors", as_svg(figure))


def top_classes(evaluation: Evaluation) -> tuple[list[int], bool]:
    """Return the classes to show, in their own order, and whether others are left out.

    Where there are many, those with the most test rows are shown.
    """
    n_classes = len(evaluation.class_names)
    if n_classes <= MOST_CLASSES:
        return list(range(n_classes)), False
    counts = np.bincount(evaluation.test.actual, minlength=n_classes)
    kept = np.argsort(-counts, kind="stable")[: MOST_CLASSES - 1]
    return sorted(kept.tolist()), True


def confusion_counts(
    actual: NDArray[np.int64], predicted: NDArray[np.int64], shown: Sequence[int], others: bool
) -> NDArray[np.int64]:
    """Count rows by actual and predicted class, all classes not shown being one.

    >>> confusion_counts(np.array([0, 1, 2]), np.array([0, 2, 2]), [0, 1], True).tolist()
    [[1, 0, 0], [0, 0, 1], [0, 0, 1]]
    """
    size = len(shown) + int(others)
    largest = int(max(actual.max(initial=0), predicted.max(initial=0), max(shown, default=0)))
    place = np.full(largest + 1, size - 1, dtype=np.int64)
    place[list(shown)] = np.arange(len(shown))
    cells = place[actual] * size + place[predicted]
    return np.bincount(cells, minlength=size * size).reshape(size, size)


def _confusion(evaluation: Evaluation) -> Chart:
    """Draw which class is taken for which, as parts of each actual class."""
    shown, others = top_classes(evaluation)
    counts = confusion_counts(evaluation.test.actual, evaluation.test.predicted, shown, others)
    most = 16 if len(counts) <= 15 else 12
    labels = [squeezed(evaluation.class_names[i], most) for i in shown]
    labels += [OTHER_CLASSES] if others else []
    size = len(labels)
    parts = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = new_figure(min(6.2, max(2.4, 1.2 + 0.36 * size)))
    ax = axes[0, 0]
    letters = 9 if size <= 12 else 7 if size <= 20 else 5.5
    for i, j in zip(*np.nonzero(counts), strict=True):
        colour = MODEL if i == j else OTHER
        cell = Rectangle(
            (j - 0.5, i - 0.5), 1, 1, facecolor=colour, alpha=0.12 + 0.88 * parts[i, j], linewidth=0
        )
        ax.add_patch(cell)
        ink = PAPER if parts[i, j] > 0.5 else INK
        ax.text(j, i, f"{counts[i, j]:,}", ha="center", va="center", fontsize=letters, color=ink)
    for edge in np.arange(size + 1) - 0.5:
        ax.plot([edge, edge], [-0.5, size - 0.5], color=LINE, linewidth=0.5)
        ax.plot([-0.5, size - 0.5], [edge, edge], color=LINE, linewidth=0.5)
    ax.set_xlim(-0.5, size - 0.5)
    ax.set_ylim(size - 0.5, -0.5)
    turned = 0 if max(map(len, labels), default=0) * size <= 60 else 90
    ax.set_xticks(range(size), labels, rotation=turned, fontsize=letters, color=INK)
    ax.set_yticks(range(size), labels, fontsize=letters)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("predicted")
    ax.set_ylabel("actual")
    note = "Rows are what the samples are, columns what the model says; shades are parts of a row."
    if others:
        left_out = len(evaluation.class_names) - len(shown)
        note += f" The {left_out:,} classes with the fewest test samples are counted together."
    return Chart("confusion", "What is taken for what", as_svg(figure), note, dense=size > 12)


def _scatter(evaluation: Evaluation) -> Chart:
    """Draw predicted against actual values."""
    test = evaluation.test
    some = np.unique(np.linspace(0, test.n - 1, min(test.n, MOST_POINTS)).astype(int))
    figure, axes = new_figure(4.2)
    ax = axes[0, 0]
    ends = [
        float(min(test.actual.min(), test.predicted.min())),
        float(max(test.actual.max(), test.predicted.max())),
    ]
    ax.plot(ends, ends, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    ax.scatter(test.actual[some], test.predicted[some], s=9, color=MODEL, alpha=0.45, linewidth=0)
    ax.grid(True)
    ax.tick_params(length=0)
    ax.set_xlabel("actual")
    ax.set_ylabel("predicted")
    note = "A perfect model would be on the line."
    if len(some) < test.n:
        note += f" {len(some):,} of {test.n:,} test samples are shown, evenly spaced in the table."
    return Chart("actual_predicted", "What is predicted for what", as_svg(figure), note)


def _balance(evaluation: Evaluation) -> Chart:
    """Draw how the target is spread in each split."""
    colours = dict(zip(SPLITS, (FLOOR, OTHER, MODEL), strict=True))
    splits = {s: m for s, m in evaluation.splits.items() if m.n}
    if evaluation.objective == "regression":
        return _target_histogram(splits, colours)
    shown, others = top_classes(evaluation)
    labels = [squeezed(evaluation.class_names[i], 20) for i in shown]
    labels += [OTHER_CLASSES] if others else []
    figure, axes = new_figure(0.9 + min(0.34, 6.0 / max(1, len(labels))) * len(labels))
    ax = axes[0, 0]
    at = np.arange(len(labels))
    height = 0.78 / max(1, len(splits))
    for i, (split, measured) in enumerate(splits.items()):
        parts = _class_parts(measured, shown, others, len(evaluation.class_names))
        ax.barh(at + (i - (len(splits) - 1) / 2) * height, parts, height, color=colours[split],
                label=f"{split} ({measured.n:,})")  # fmt: skip
    ax.set_yticks(at, labels, fontsize=9 if len(labels) <= 20 else 6.5)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.xaxis.grid(True)
    ax.xaxis.set_major_formatter(lambda part, _: f"{100 * part:g} %")
    ax.tick_params(length=0)
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.set_xlabel("part of the split")
    figure.legend(loc="outside upper left", ncols=3, fontsize=8.5)
    return Chart("balance", "How the classes are spread", as_svg(figure))


def _class_parts(
    measured: Measured, shown: Sequence[int], others: bool, n_classes: int
) -> list[float]:
    counts = np.bincount(measured.actual, minlength=n_classes)
    kept = counts[list(shown)].tolist()
    return [c / measured.n for c in [*kept, *([measured.n - sum(kept)] if others else [])]]


def _target_histogram(splits: Mapping[str, Measured], colours: Mapping[str, str]) -> Chart:
    figure, axes = new_figure(2.8)
    ax = axes[0, 0]
    if splits:
        edges = np.histogram_bin_edges(np.concatenate([m.actual for m in splits.values()]), 30)
        for split, measured in splits.items():
            counts, _ = np.histogram(measured.actual, edges)
            ax.stairs(counts / measured.n, edges, color=colours[split], linewidth=1.6,
                      label=f"{split} ({measured.n:,})")  # fmt: skip
        figure.legend(loc="outside upper left", ncols=3, fontsize=8.5)
    ax.yaxis.grid(True)
    ax.yaxis.set_major_formatter(lambda part, _: f"{100 * part:g} %")
    ax.tick_params(length=0)
    ax.spines["left"].set_visible(False)
    ax.set_xlabel("target")
    ax.set_ylabel("part of the split")
    return Chart("balance", "How the target is spread", as_svg(figure))


Curve = list[tuple[float, float]]


def read_history(text: str) -> dict[str, dict[str, Curve]]:
    """Read history.csv: by quantity and split, (epoch, value) in the order of the file.

    Cells that hold no finite number, and columns that hold none at all, are left out.
    """
    curves: dict[str, dict[str, Curve]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        epoch = _finite(row.get("epoch"))
        if epoch is None:
            continue
        for name, cell in row.items():
            value = _finite(cell)
            if name not in (None, "epoch", "step", "split") and value is not None:
                split = row.get("split") or "train"
                curves.setdefault(name, {}).setdefault(split, []).append((epoch, value))
    return curves


def _finite(cell: str | None) -> float | None:
    try:
        value = float(cell or "")
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _curves(curves: Mapping[str, Mapping[str, Curve]]) -> Chart:
    """Draw the loss, and the metric that was measured along with it, over the epochs."""
    names = [n for n in ("loss", "accuracy", "rmse", "mae", "r2") if n in curves][:2]
    names = names or list(curves)[:1]
    figure, axes = new_figure(2.9, columns=len(names))
    colours = {"train": FLOOR, "validation": MODEL}
    for ax, name in zip(axes[0], names, strict=True):
        for split, points in curves[name].items():
            epochs, values = zip(*points, strict=True)
            marker = "o" if len(points) <= 40 else ""
            ax.plot(epochs, values, color=colours.get(split, OTHER), marker=marker, markersize=3,
                    linewidth=1.6, label=short(split))  # fmt: skip
        ax.set_title(short(name))
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        ax.grid(True)
        ax.tick_params(length=0)
        _legend(ax)
    return Chart("learning_curves", "How the model learnt", as_svg(figure))


def _legend(ax: Axes) -> None:
    if ax.get_legend_handles_labels()[1]:
        ax.legend(fontsize=8.5)


def histograms_in(
    said: Any, where: str = "join"
) -> list[tuple[str, NDArray[np.float64], NDArray[np.float64]]]:
    """Find histograms in what a stage said: mappings of ``edges`` and ``counts`` that fit together.

    Returns:
        For each the name of the source it is about, its edges and its counts.
    """
    if isinstance(said, list):
        return [h for value in said for h in histograms_in(value, where)]
    if not isinstance(said, Mapping):
        return []
    edges, counts = said.get("edges"), said.get("counts")
    if isinstance(edges, list) and isinstance(counts, list):
        fits = len(edges) == len(counts) + 1 > 1
        return [(where, np.asarray(edges, float), np.asarray(counts, float))] if fits else []
    where = str(said.get("right") or where)
    return [h for value in said.values() for h in histograms_in(value, where)]


def _time_differences(where: str, edges: NDArray[np.float64], counts: NDArray[np.float64]) -> Chart:
    """Draw how far apart in time the records are that were joined."""
    figure, axes = new_figure(2.4)
    ax = axes[0, 0]
    ax.stairs(counts, edges, fill=True, color=MODEL, alpha=0.85)
    ax.yaxis.grid(True)
    ax.tick_params(length=0)
    ax.spines["left"].set_visible(False)
    ax.set_xlabel("seconds between the two records")
    ax.set_ylabel("pairs")
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", short(where, 30)) or "join"
    return Chart(f"time_difference_{name}", f"Time between joined records: {short(where)}",
                 as_svg(figure))  # fmt: skip
