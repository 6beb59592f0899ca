"""One turn at a time: who waits, for whom, and when the turn is free again."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from tasks.lock import LOCK, Holder, ProjectLock, is_alive, stage_turn
from tests.support.dvc_project import (
    REPOSITORY,
    STAGE,
    end,
    environment,
    make_project,
    start,
    until,
)

HOLD = (
    "import sys, time, psutil; from pathlib import Path\n"
    "from tasks.lock import Holder, ProjectLock\n"
    "me = Holder.of(psutil.Process(), 'a long run')\n"
    "with ProjectLock(Path.cwd(), me).held(print):\n"
    "    print('has it', flush=True); time.sleep(float(sys.argv[1]))\n"
)


def _hold(root: Path, seconds: float) -> "subprocess.Popen[str]":
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(seconds)],
        cwd=root,
        env=environment(PYTHONPATH=str(REPOSITORY)),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "has it\n"
    return holder


def _mine(root: Path) -> ProjectLock:
    return ProjectLock(root, Holder.of(psutil.Process(), "mine"))


def test_the_second_waits_and_says_for_whom(tmp_path: Path) -> None:
    holder = _hold(tmp_path, 1.0)
    said: list[str] = []
    with _mine(tmp_path).held(said.append):
        assert holder.wait(5) == 0
    assert len(said) == 1
    assert said[0].startswith(f"waiting for: a long run (process {holder.pid} on ")


def test_the_turn_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    holder = _hold(tmp_path, 60)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    said: list[str] = []
    with _mine(tmp_path).held(said.append):
        assert str(os.getpid()) in (tmp_path / LOCK).read_text()
    assert said == []
    assert (tmp_path / LOCK).read_text() == ""


def test_a_file_cut_short_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / LOCK).parent.mkdir()
    (tmp_path / LOCK).write_text('{"pid": 1, "sta')
    with _mine(tmp_path).held(pytest.fail):
        pass


def test_the_turn_may_be_taken_again_inside_itself(tmp_path: Path) -> None:
    lock = _mine(tmp_path)
    with lock.held(pytest.fail), lock.held(pytest.fail):
        pass
    with _mine(tmp_path).held(pytest.fail):
        pass


def test_what_a_pause_raises_ends_the_wait(tmp_path: Path) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    holder = _hold(tmp_path, 60)
    lock = _mine(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        lock.acquire(lambda _words: None, interrupt)
    end(holder)
    with lock.held(pytest.fail):
        pass


def test_a_lent_turn_comes_back(tmp_path: Path) -> None:
    lock, other = _mine(tmp_path), ProjectLock(tmp_path, Holder(1, 0.0, "elsewhere", "other"))
    had = threading.Event()

    def take_it() -> None:
        with other.held(lambda _words: None):
            had.set()

    with lock.held(pytest.fail):
        thread = threading.Thread(target=take_it)
        thread.start()
        assert not had.wait(0.5)
        with lock.lent(lambda _words: None):
            assert had.wait(5)
        assert str(os.getpid()) in (tmp_path / LOCK).read_text()
    thread.join()


def test_a_stage_of_a_run_needs_no_turn_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _mine(tmp_path).held(pytest.fail):
        monkeypatch.setenv("FUSELINE_RUN", Holder.of(psutil.Process()).token)
        with stage_turn(tmp_path, pytest.fail):
            pass


def test_a_token_of_an_ended_process_is_worth_nothing(tmp_path: Path) -> None:
    holder = _hold(tmp_path, 60)
    token = Holder.of(psutil.Process(holder.pid)).token
    assert is_alive(token)
    assert not is_alive(f"{holder.pid}:1.00")
    end(holder)
    assert not is_alive(token)


def test_the_turn_of_a_plain_dvc_repro_lasts_until_it_has_ended(tmp_path: Path) -> None:
    root = make_project(
        tmp_path,
        {
            "one": "{cmd: python stage.py one 1, outs: [one]}",
            "two": "{cmd: python stage.py two 1, deps: [one], outs: [two]}",
        },
        stage_py=STAGE,
    )
    dvc = start(root, "dvc", "repro")
    until((root / "one.begun").exists, 30, "the first stage")
    said: list[str] = []
    with _mine(root).held(said.append):
        # Not between its stages: the second one is done too.
        assert (root / "two").exists()
        assert dvc.poll() is not None or not psutil.pid_exists(dvc.pid)
    assert dvc.wait(5) == 0
    assert len(said) == 1
    assert "dvc repro" in said[0]
    assert f"process {dvc.pid}" in said[0]


def test_fuseline_repro_waits_for_a_run_and_then_repros(tmp_path: Path) -> None:
    root = make_project(
        tmp_path, {"one": "{cmd: python stage.py one 0, outs: [one]}"}, stage_py=STAGE
    )
    holder = _hold(root, 60)
    repro = start(root, "flows", "repro", "one")
    until(lambda: "waiting for: a long run" in (root / "output.0").read_text(), 30, "a wait")
    assert not (root / "one").exists()
    end(holder)
    assert repro.wait(60) == 0
    assert (root / "one").read_text() == "done"
