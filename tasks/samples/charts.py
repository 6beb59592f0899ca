"""Charts as SVG text: the same figures give the same bytes, and a page can recolour them.

Charts are drawn in the few colours below. :func:`for_page` turns those into variables of the page,
so that one chart serves as a file of its own, in a light page and in a dark one. Labels come from
users: they are shortened, and never read as mathematics.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from numpy.typing import NDArray

PAPER, INK, MUTED, LINE = "#ffffff", "#1b2330", "#667085", "#d9dee7"
MODEL, FLOOR, OTHER = "#2f5fd0", "#9aa5b8", "#d9822b"
_VARIABLES = {
    PAPER: "--paper",
    INK: "--ink",
    MUTED: "--muted",
    LINE: "--line",
    MODEL: "--model",
    FLOOR: "--floor",
    OTHER: "--other",
}
_STYLE: Any = {
    "svg.hashsalt": "fuseline",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.titlecolor": INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": False,
    "text.color": INK,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.labelcolor": INK,
}
WIDTH = 5.2


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        name: Of its file, without the ending.
        title: What it shows.
        svg: The chart.
        note: What a reader must know to read it; "" for nothing.
        dense: Whether it is too full for a narrow screen to show it whole.
    """

    name: str
    title: str
    svg: str
    note: str = ""
    dense: bool = False


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in the project's style."""
    with matplotlib.rc_context(_STYLE):
        yield


def for_page(svg: str) -> str:
    """Return a chart to be put into a page: without its XML head, in the page's own colours."""
    inner = svg[svg.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        inner = inner.replace(colour, f"var({variable}, {colour})")
    inner = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", inner, count=1)
    inner = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", inner, count=1)
    return re.sub(r"(font: [\d.]+px) [^;\"]*", r"\1 var(--sans, sans-serif)", inner)


def new_figure(height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, NDArray[Any]]:
    """Return a figure as wide as a page's column, and its axes ``(rows, columns)``."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def as_svg(figure: Figure) -> str:
    """Return a figure as SVG text; the same figure gives the same text."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
