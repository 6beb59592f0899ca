"""Pages that people read: one HTML file that needs nothing but itself, every text escaped.

A stage describes what it wants to show as sections of tables, charts and exhibits;
:func:`stage_page` makes the page. ``tasks.evaluate`` brings a template of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from tasks.samples.charts import Chart, for_page
from tasks.samples.pieces import Piece
from tasks.samples.wording import harmless, short

_HERE = "tasks.samples"


@dataclass(frozen=True)
class Table:
    """A table of a page.

    Attributes:
        header: Names of its columns; () for pairs of a name and a value.
        rows: Its cells.
        title: What it is about; "" for the section as a whole.
        left_out: Rows that are not shown.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    left_out: int = 0


@dataclass(frozen=True)
class PageExhibit:
    """Some inputs, shown together.

    Attributes:
        caption: What is to be seen in them.
        pieces: Pictures, recordings, texts and tables.
        name: Of the record or sample.
    """

    caption: str
    pieces: tuple[Piece, ...]
    name: str = ""


@dataclass(frozen=True)
class PageSection:
    """One part of a page, in this order: text, notices, tables, charts, exhibits."""

    title: str
    text: str = ""
    notices: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    exhibits: tuple[PageExhibit, ...] = ()


def stage_page(title: str, lead: str, sections: Sequence[PageSection]) -> str:
    """Return the page of a stage.

    Args:
        title: Such as "digits-qa: the clean stage".
        lead: What came of it, in a sentence.
        sections: The parts of the page.
    """
    template = page_environment().get_template("page.html.jinja")
    return template.render(title=title, lead=lead, sections=sections)


def page_environment(package: str = _HERE) -> Environment:
    """Return what renders pages: escaping, with the shared style, blocks and a package's templates.

    Args:
        package: Where templates are looked for before the shared ones.
    """

    def text_of(name: str) -> str:
        own = files(package) / "templates" / name
        found = own if own.is_file() else files(_HERE) / "templates" / name
        return found.read_text(encoding="utf-8")

    environment = Environment(
        loader=FunctionLoader(text_of),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_clean,
    )
    environment.filters |= {
        "inline": lambda chart: Markup(for_page(chart.svg)),  # noqa: S704  (drawn here, escaped there)
        "short": short,
    }
    environment.globals["style"] = Markup(text_of("style.css"))  # noqa: S704  (our own)
    return environment


def _clean(value: Any) -> Any:
    """Take invisible commands out of every text the page shows; Jinja escapes it afterwards."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return harmless(value)
    return value
