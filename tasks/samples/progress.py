"""Say how long work is getting on: a bar for a person, a line now and then for a log."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

LINE_EVERY_SECONDS = 5.0


class Advance(Protocol):
    """Call it with the number of items that were done since the last call."""

    def __call__(self, n_done: int = 1) -> None:
        """Count items as done."""


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Advance]:
    """Show how many items are done, on a terminal's standard error or else as lines of the log.

    Args:
        what: What is being done, such as "reading scans".
        total: How many items there are, where that is known.
    """
    if sys.stderr.isatty():
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total)

            def advance(n_done: int = 1) -> None:
                bar.advance(task, n_done)

            yield advance
    else:
        yield _LoggedProgress(what, total)


class _LoggedProgress:
    def __init__(self, what: str, total: int | None) -> None:
        self._what, self._of = what, "" if total is None else f" of {total:,}"
        self._n_done = 0
        self._said = time.monotonic()

    def __call__(self, n_done: int = 1) -> None:
        self._n_done += n_done
        now = time.monotonic()
        if now - self._said >= LINE_EVERY_SECONDS:
            self._said = now
            logging.getLogger("tasks").info("%s: %s%s", self._what, f"{self._n_done:,}", self._of)
