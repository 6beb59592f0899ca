"""`fuseline run` from outside: interrupted half-way, with a temporary server, and by the clock."""

import json
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.lock import LOCK
from tests.support.dvc_project import end, living, make_project, start, until

SLOW = (
    "import os, subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(120)'])\n"
    "open('pids', 'w').write(f'{os.getpid()} {child.pid}'); time.sleep(120)\n"
)


def _flow_runs(api: str, name: str) -> list[Any]:
    with temporary_settings({PREFECT_API_URL: api}), get_client(sync_client=True) as client:
        return [run for run in client.read_flow_runs() if run.name == name]


def _named(root: Path, name: str) -> Path:
    params = root / "params.yaml"
    params.write_text(params.read_text().replace("name: digits-qa", f"name: {name}", 1))
    return root


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_run_leaves_no_process_and_ends_as_crashed(
    tmp_path: Path, prefect_api: str, number: signal.Signals
) -> None:
    name = f"interrupted-{number.name}"
    root = make_project(tmp_path, {"slow": "{cmd: python slow.py, outs: [slow]}"}, slow_py=SLOW)
    run = start(_named(root, name), "flows", "run", "--no-track", PREFECT_API_URL=prefect_api)
    until(lambda: (root / "pids").exists() and (root / "pids").read_text(), 60, "the stage")
    pids = [int(word) for word in (root / "pids").read_text().split()]
    assert living([run.pid, *pids]) == [run.pid, *pids]
    assert json.loads((root / LOCK).read_text())["pid"] == run.pid

    run.send_signal(number)

    until(lambda: not living(pids), 20, "the end of the stage's processes")
    assert run.wait(30) == 128 + number
    (recorded,) = _flow_runs(prefect_api, name)
    assert recorded.state.type.value in ("CRASHED", "CANCELLED")
    assert (root / LOCK).read_text() == ""
    assert not (root / "slow").exists()


def test_a_run_without_a_server_records_itself_in_the_project(tmp_path: Path) -> None:
    root = make_project(
        tmp_path,
        {
            "one": "{cmd: touch one, outs: [one]}",
            "two": "{cmd: cp one two, deps: [one], outs: [two]}",
        },
        pyproject_toml=(
            '[tool.prefect]\nhome = ".fuseline/prefect"\nserver.analytics_enabled = false\n'
            "server.ephemeral.startup_timeout_seconds = 120\n"
        ),
    )
    run = start(_named(root, "alone"), "flows", "run", "--no-track")
    try:
        assert run.wait(170) == 0, (root / "output.0").read_text()
    finally:
        end(run)
    with sqlite3.connect(root / ".fuseline/prefect/prefect.db") as records:
        assert records.execute("select name, state_name from flow_run").fetchall() == [
            ("alone", "Completed")
        ]
        stages = records.execute("select name, state_name from task_run order by name").fetchall()
    assert stages == [("one", "Completed"), ("two", "Completed")]


def test_a_scheduled_run_happens(tmp_path: Path, prefect_api: str) -> None:
    root = make_project(tmp_path, {"one": "{cmd: touch one, outs: [one]}"})
    server = start(
        _named(root, "by-the-clock"),
        *("flows", "schedule", "--cron", "* * * * * */15"),  # the sixth field counts seconds
        PREFECT_API_URL=prefect_api,
    )
    try:
        until(
            lambda: (
                any(
                    run.auto_scheduled and run.state.is_completed()
                    for run in _flow_runs(prefect_api, "by-the-clock")
                )
                or time.sleep(0.5)
            ),
            90,
            "a scheduled run that has completed",
        )
        until((root / "one").exists, 1, "what the stage writes")
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
        end(server)
    assert living([server.pid]) == []
