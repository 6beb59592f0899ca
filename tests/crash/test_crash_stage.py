"""Stages killed half-way: nothing that looks finished is left, and the next run completes."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tasks.lock import TURN, Holder
from tasks.samples.folders import manifest_faults
from tests.support.dvc_project import (
    REPOSITORY,
    end,
    environment,
    living,
    make_project,
    start,
    until,
)

COLLECT = (
    "{cmd: python -m tasks collect, deps: [data/raw], params: [collect],"
    " outs: [data/collect, reports/collect.json]}"
)


@pytest.fixture
def project(digits_qa, tmp_path: Path) -> Path:
    """The small digits-qa under DVC, with the real collect stage."""
    root = make_project(tmp_path, {"collect": COLLECT})
    shutil.copytree(digits_qa.root, root, dirs_exist_ok=True)
    return root


def _unfinished(root: Path) -> list[Path]:
    return list((root / "data").glob(".collect.*.tmp"))


def _stage_processes(root: Path) -> list[int]:
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = process.info["cmdline"] or []
        if process.info["cwd"] == str(root) and words[-2:] == ["tasks", "collect"]:
            found.append(process.pid)
    return found


def test_a_stage_killed_half_way_leaves_nothing_and_the_next_run_completes(project: Path) -> None:
    dvc = start(project, "dvc", "repro")
    until(lambda: _unfinished(project), 60, "the stage to begin writing")
    for pid in _stage_processes(project):
        psutil.Process(pid).kill()
    assert dvc.wait(30) != 0
    assert not (project / "data/collect").exists()
    assert not (project / "reports/collect.json").exists()
    assert not (project / "dvc.lock").exists()

    assert start(project, "dvc", "repro").wait(60) == 0
    assert manifest_faults(project / "data/collect") == []
    assert _unfinished(project) == []
    assert (project / "dvc.lock").exists()


def test_a_stage_ends_when_dvc_is_killed_and_the_next_run_completes(project: Path) -> None:
    dvc = start(project, "dvc", "repro")
    until(lambda: _stage_processes(project), 60, "the stage")
    stage = _stage_processes(project)
    dvc.kill()
    dvc.wait()
    until(lambda: not living(stage), 5, "the end of the stage")

    assert start(project, "dvc", "repro").wait(60) == 0
    assert manifest_faults(project / "data/collect") == []


def test_a_stage_ends_when_the_run_it_is_part_of_is_killed(tmp_path: Path) -> None:
    run = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    code = "import time; from tasks.__main__ import stop_with_parent; stop_with_parent(); "
    stage = subprocess.Popen(
        [sys.executable, "-c", f"{code}print('begun', flush=True); time.sleep(60)"],
        env=environment(**{TURN: Holder.of(psutil.Process(run.pid)).token}),
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert stage.stdout is not None
        assert stage.stdout.readline() == "begun\n"
        run.send_signal(signal.SIGKILL)
        run.wait()
        assert stage.wait(5) == 143
    finally:
        end(run)
        end(stage)
