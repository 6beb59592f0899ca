"""A stage's folder appears whole or not at all, and says when it is no longer whole."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tasks.errors import DataError
from tasks.samples.folders import (
    StageFolders,
    folder_digest,
    manifest_faults,
    stage_output,
    write_text,
)


def test_output_appears_when_the_stage_is_done(tmp_path):
    with stage_output(tmp_path, "split") as folders:
        (folders.output / "sub").mkdir()
        (folders.output / "sub" / "a.txt").write_text("a")
        assert not (tmp_path / "data" / "split").exists()
    folder = folders.of("split")
    assert folder == tmp_path / "data" / "split"
    assert manifest_faults(folder) == []
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["split"]


def test_a_new_run_replaces_the_old_output_whole(tmp_path):
    digests = []
    for name in ("a", "b", "b"):
        with stage_output(tmp_path, "split") as folders:
            (folders.output / name).write_text(name)
        digests.append(folder_digest(tmp_path / "data" / "split"))
    assert sorted(p.name for p in (tmp_path / "data" / "split").iterdir()) == ["MANIFEST.json", "b"]
    assert digests[0] != digests[1] == digests[2]


def test_a_fault_leaves_the_old_output(tmp_path):
    with stage_output(tmp_path, "split") as folders:
        (folders.output / "a").write_text("old")

    def run() -> None:
        with stage_output(tmp_path, "split") as folders:
            (folders.output / "a").write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        run()
    assert (tmp_path / "data" / "split" / "a").read_text() == "old"
    assert len(list((tmp_path / "data").iterdir())) == 1


KILLED = """
import sys, time
from pathlib import Path
from tasks.samples.folders import stage_output
with stage_output(Path(sys.argv[1]), "split") as folders:
    for i in range(10_000):
        (folders.output / f"{i}.txt").write_text("x" * 1000)
        print(i, flush=True)
        time.sleep(0.005)
"""


def test_a_killed_stage_leaves_nothing_that_counts(tmp_path):
    with stage_output(tmp_path, "split") as folders:
        (folders.output / "a").write_text("old")
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as stage:
        assert stage.stdout is not None
        while stage.stdout.readline().strip() != "5":
            assert stage.poll() is None
        stage.send_signal(signal.SIGKILL)
    unfinished = [p for p in (tmp_path / "data").iterdir() if p.name != "split"]
    assert len(unfinished) == 1
    assert unfinished[0].name.startswith(".")
    assert (tmp_path / "data" / "split" / "a").read_text() == "old"
    assert manifest_faults(tmp_path / "data" / "split") == []
    with stage_output(tmp_path, "split") as folders:
        (folders.output / "a").write_text("new")
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["split"]


def test_changes_since_are_found(tmp_path):
    with stage_output(tmp_path, "split") as folders:
        for name in ("same", "changed", "missing"):
            (folders.output / name).write_text("some text")
    folder = tmp_path / "data" / "split"
    (folder / "changed").write_text("same size")
    (folder / "missing").unlink()
    assert manifest_faults(folder) == [
        f"{folder / 'changed'}: not the bytes that were written",
        f"{folder / 'missing'}: missing",
    ]
    (folder / "MANIFEST.json").unlink()
    assert "never finished" in manifest_faults(folder)[0]
    with pytest.raises(DataError, match="dvc repro split"):
        StageFolders(tmp_path, tmp_path / "out").of("split")


def test_a_text_file_appears_whole(tmp_path):
    path = tmp_path / "reports" / "split.json"
    write_text(path, "caf\u00e9\n")
    before = path.stat().st_mtime_ns
    time.sleep(0.01)
    write_text(path, "caf\u00e9\n")
    assert path.read_bytes() == "caf\u00e9\n".encode()
    assert path.stat().st_mtime_ns > before
    assert os.listdir(path.parent) == ["split.json"]  # noqa: PTH208


def test_a_stage_killed_between_its_two_renames_keeps_what_was_there(tmp_path):
    with stage_output(tmp_path, "split") as folders:
        (folders.output / "samples.txt").write_text("old")
    (tmp_path / "data" / "split").rename(tmp_path / "data" / ".split.former.tmp")
    with pytest.raises(RuntimeError, match="stopped"), stage_output(tmp_path, "split"):
        raise RuntimeError("stopped")
    assert (tmp_path / "data" / "split" / "samples.txt").read_text() == "old"
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["split"]
