"""Long work is heard of now and then, in a log as on a terminal."""

import os
import pty
import subprocess
import sys

from tasks.samples import progress as module
from tasks.samples.progress import progress


def test_a_log_gets_a_line_now_and_then(caplog, monkeypatch):
    monkeypatch.setattr(module, "LINE_EVERY_SECONDS", 0.0)
    with caplog.at_level("INFO", "tasks"), progress("reading rows", 3000) as advance:
        advance(1000)
        advance()
    assert caplog.messages == ["reading rows: 1,000 of 3,000", "reading rows: 1,001 of 3,000"]


def test_quick_work_is_not_worth_a_line(caplog):
    with caplog.at_level("INFO", "tasks"), progress("reading rows") as advance:
        for _ in range(100):
            advance()
    assert caplog.messages == []


def test_a_terminal_gets_a_bar_and_standard_output_stays_clean():
    work = (
        "from tasks.samples.progress import progress\n"
        "with progress('reading rows', 3) as advance:\n    advance(3)\n"
    )
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", work], stderr=theirs, stdout=subprocess.PIPE, check=True
        )
        shown = os.read(ours, 100_000).decode()
    finally:
        os.close(theirs)
        os.close(ours)
    assert "reading rows" in shown
    assert done.stdout == b""
