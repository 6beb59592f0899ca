"""A real flow over a real DVC project, read back from a real server."""

from pathlib import Path

import pytest

from flows import stage_task
from tests.support.dvc_project import make_project

COLLECT = (
    "{cmd: 'mkdir -p data; cp source.txt data/collect; echo has collected',"
    " deps: [source.txt], outs: [data/collect]}"
)
COUNT = "{cmd: wc -l < data/collect > data/count, deps: [data/collect], outs: [data/count]}"


def test_stages_run_once_are_cached_when_unchanged_and_restored_when_changed_back(
    tmp_path: Path, run_pipeline
) -> None:
    root = make_project(tmp_path, {"collect": COLLECT, "count": COUNT}, source_txt="one\ntwo\n")

    first = run_pipeline(root, 2)
    assert first.endings == {"collect": "Completed", "count": "Completed"}
    assert first.state.is_completed()
    assert "has collected" in first.log
    assert (root / "data/count").read_text().strip() == "2"

    again = run_pipeline(root, 2)
    assert again.endings == {"collect": "Cached", "count": "Cached"}
    assert again.state.message == "2 cached"

    (root / "source.txt").write_text("one\n")
    assert run_pipeline(root, 2).endings == {"collect": "Completed", "count": "Completed"}

    (root / "source.txt").write_text("one\ntwo\n")
    back = run_pipeline(root, 1, until="collect")
    assert back.endings == {"collect": "Restored"}
    assert (root / "data/collect").read_text() == "one\ntwo\n"


def test_a_failed_stage_shows_its_own_error_and_stops_only_what_reads_it(
    tmp_path: Path, run_pipeline
) -> None:
    fault = "import sys; print('working'); sys.exit('DataError: 3 of 9 rows lack a label')"
    root = make_project(
        tmp_path,
        {
            "collect": COLLECT,
            "broken": "{cmd: python broken.py, deps: [data/collect], outs: [data/broken]}",
            "after": "{cmd: cp data/broken data/after, deps: [data/broken], outs: [data/after]}",
            "last": "{cmd: cp data/after data/last, deps: [data/after], outs: [data/last]}",
            "aside": COUNT.replace("count", "aside"),
        },
        source_txt="one\n",
        broken_py=fault,
    )

    run = run_pipeline(root, 5)

    assert run.endings == {
        "collect": "Completed",
        "broken": "Failed",
        "after": "NotRun",
        "last": "NotRun",
        "aside": "Completed",
    }
    words = "DataError: 3 of 9 rows lack a label"
    assert run.tasks["broken"].state.message == words
    assert run.tasks["broken"].run_count == 1
    assert run.tasks["after"].state.message == "not run, since broken did not complete"
    assert run.tasks["last"].state.message == "not run, since after did not complete"
    assert run.state.is_failed()
    assert run.state.message == f"broken: {words}"
    assert not (root / "data/after").exists()


def test_only_collect_is_retried_and_only_where_the_fault_may_pass(
    tmp_path: Path, run_pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage_task, "RETRY_DELAYS_SECONDS", (0.1, 0.1))
    flaky = (
        "import pathlib, sys\n"
        "tries = pathlib.Path('tries'); n = int(tries.read_text()) + 1; tries.write_text(str(n))\n"
        "if n < 3: sys.exit('OSError: the share does not answer')\n"
        "pathlib.Path('collected').write_text('x')\n"
    )
    collect = "{cmd: python flaky.py, deps: [source.txt], outs: [collected]}"
    root = make_project(
        tmp_path / "flaky",
        {"collect": collect, "count": "{cmd: 'echo no; exit 1', deps: [collected]}"},
        source_txt="x",
        flaky_py=flaky,
        tries="0",
    )
    run = run_pipeline(root, 2)
    assert run.endings == {"collect": "Completed", "count": "Failed"}
    assert {name: task.run_count for name, task in run.tasks.items()} == {"collect": 3, "count": 1}

    root = make_project(
        tmp_path / "wrong",
        {"collect": "{cmd: 'echo SourceError: no column age; exit 3', deps: [source.txt]}"},
        source_txt="x",
    )
    run = run_pipeline(root, 1)
    assert run.tasks["collect"].run_count == 1
    assert run.tasks["collect"].state.message == "SourceError: no column age"


def test_independent_stages_run_side_by_side(tmp_path: Path, run_pipeline) -> None:
    # Each waits for the other to begin: one after the other, both would fail.
    meet = (
        "import pathlib, sys, time\n"
        "me, other = sys.argv[1:]; pathlib.Path(f'{me}.begun').write_text('')\n"
        "end = time.monotonic() + 30\n"
        "while not pathlib.Path(f'{other}.begun').exists():\n"
        "    if time.monotonic() > end: sys.exit('never met')\n"
        "    time.sleep(0.05)\n"
        "pathlib.Path(me).write_text('met')\n"
    )
    root = make_project(
        tmp_path,
        {
            "left": "{cmd: python meet.py left right, deps: [meet.py], outs: [left]}",
            "right": "{cmd: python meet.py right left, deps: [meet.py], outs: [right]}",
        },
        meet_py=meet,
    )
    assert run_pipeline(root, 2).endings == {"left": "Completed", "right": "Completed"}


def test_faulty_settings_fail_the_run_before_any_stage(tmp_path: Path, run_pipeline) -> None:
    root = make_project(tmp_path, {"collect": COLLECT}, source_txt="x")
    params = root / "params.yaml"
    params.write_text(params.read_text().replace("fusion: gated", "fusoin: gated"))

    run = run_pipeline(root, 0)

    assert run.state.is_failed()
    assert "unknown key 'finetune.fusoin'" in run.state.message
    assert "Did you mean 'fusion'?" in run.state.message
    assert not (root / "data").exists()
