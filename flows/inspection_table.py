"""Show what an inspection found as a table for a terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tasks.collect.inspection.inspect import Inspection
from tasks.samples.wording import short

MAX_COLUMNS = 40
"""Columns of one source that are shown; the settings below the table have all of them."""


def show_sources(found: Inspection, console: Console) -> None:
    """Print a row for each column of each source."""
    for source in found.sources:
        where = short(str(source.place.get("path", "")), 60)
        table = Table(title=Text(f"{source.name}: {source.kind} {where}"), title_justify="left")
        for heading in ("column", "type", "null", "distinct", "examples", "why"):
            right = heading in ("null", "distinct")
            table.add_column(heading, justify="right" if right else "left", overflow="fold")
        for column in source.columns[:MAX_COLUMNS]:
            cells = (
                short(column.name),
                column.kind or "left out",
                f"{column.n_null:,}" if column.n_rows else "",
                f"{column.n_distinct:,}" if column.n_rows else "",
                ", ".join(short(example, 24) for example in column.examples),
                "; ".join((column.why, *column.remarks)),
            )
            table.add_row(*map(Text, cells))
        if len(source.columns) > MAX_COLUMNS:
            table.caption = f"and {len(source.columns) - MAX_COLUMNS:,} columns more"
        console.print(table)
