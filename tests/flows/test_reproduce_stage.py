"""One stage under DVC: its ending, its own words, and another DVC in its way."""

import threading
from pathlib import Path

import psutil
import pytest

from flows.child import Children, Ended, Stopped
from flows.reproduce import Reproducer, StageFailedError, failure_of
from tasks.lock import Holder, ProjectLock, turn_environment
from tests.support.dvc_project import REPOSITORY, STAGE, living, make_project, start, until

DVC_SAYS = "ERROR: failed to reproduce 'x': failed to run: python -m tasks x, exited with {}"


@pytest.mark.parametrize(
    ("printed", "code", "words", "worth_retrying"),
    [
        (["DataError: 3 rows lack a label"], 3, "DataError: 3 rows lack a label", False),
        (
            ["reading", "ParamsError: 2 faults:", "  one", "  two"],
            2,
            "ParamsError: 2 faults:\n  one\n  two",
            False,
        ),
        (
            ["Traceback (most recent call last):", '  File "a.py"', "OSError: [Errno 5] Input"],
            1,
            "OSError: [Errno 5] Input",
            True,
        ),
        (["working"], -9, "ended by signal 9, often for want of memory; see the log of", True),
        (["working"], 137, "ended by signal 9, often for want of memory; see the log of", True),
        ([], 5, "x exited with 5 and printed nothing", True),
    ],
)
def test_a_failure_is_worded_as_the_stage_did(
    printed: list[str], code: int, words: str, worth_retrying: bool
) -> None:
    lines = ("Running stage 'x':", "> python -m tasks x", *printed, DVC_SAYS.format(code))
    failure = failure_of("x", Ended(255, lines))
    assert str(failure).startswith(words)
    assert failure.worth_retrying is worth_retrying


def test_a_failure_of_dvc_itself_is_worded_as_dvc_did() -> None:
    failure = failure_of("x", Ended(255, ("ERROR: failed to reproduce 'x': output 'x' is gone",)))
    assert str(failure) == "output 'x' is gone"
    assert not failure.worth_retrying


def _reproducer(root: Path, lock: ProjectLock) -> tuple[Children, Reproducer]:
    children = Children(root, {**turn_environment(lock), "PYTHONPATH": str(REPOSITORY)})
    return children, Reproducer(children, lock)


def test_a_dvc_repro_that_waits_for_the_flow_and_blocks_it_goes_first(tmp_path: Path) -> None:
    root = make_project(
        tmp_path, {"last": "{cmd: python stage.py last 0, outs: [last]}"}, stage_py=STAGE
    )
    lock = ProjectLock(root, Holder.of(psutil.Process(), "the flow"))
    said: list[str] = []
    with lock.held(pytest.fail):
        plain = start(root, "dvc", "repro")
        until(lambda: "waiting for: the flow" in (root / "output.0").read_text(), 30, "a wait")
        _children, reproducer = _reproducer(root, lock)
        assert reproducer.reproduce("last", force=False, say=said.append) == "Cached"
        assert plain.wait(10) == 0
    assert (root / "order").read_text() == "last "
    waits = [line for line in said if line.startswith("waiting for: ")]
    assert f"(process {plain.pid})" in waits[0]


def test_an_interruption_ends_all_that_a_stage_started(tmp_path: Path) -> None:
    stubborn = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(120)'])\n"
        "print('pids', os.getpid(), child.pid, flush=True); time.sleep(120)\n"
    )
    root = make_project(tmp_path, {"slow": "{cmd: python slow.py, outs: [slow]}"}, slow_py=stubborn)
    lock = ProjectLock(root, Holder.of(psutil.Process(), "the flow"))
    children, reproducer = _reproducer(root, lock)
    said: list[str] = []
    ends: list[Exception] = []

    def run() -> None:
        try:
            reproducer.reproduce("slow", force=False, say=said.append)
        except (Stopped, StageFailedError) as end:
            ends.append(end)

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: any(line.startswith("pids") for line in said), 30, "the stage")
    pids = [int(word) for word in said[-1].split()[1:]]
    assert living(pids) == pids

    children.stop()

    assert until(lambda: not living(pids), 5, "the end of the stage's processes") < 5
    thread.join(5)
    assert [type(end) for end in ends] == [Stopped]
    with pytest.raises(Stopped):
        reproducer.reproduce("slow", force=False, say=said.append)
