"""One real Prefect server for all tests of flows, and the pipeline run against it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.dvc_project import until


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server started as a user does, with a home of its own."""
    home = tmp_path_factory.mktemp("prefect-home")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    quiet = {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "prefect", "server", "start", "--no-ui"),
                *("--host", "127.0.0.1", "--port", str(port)),
            ],
            env={**os.environ, **quiet},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    from flows.prefect_server import answers

    try:
        until(lambda: answers(url) or server.poll() is not None, 120, "a Prefect server")
        assert server.poll() is None, (home / "server.log").read_text()
        yield url
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


@dataclass
class FlowRun:
    """What the server knows of a flow run that has ended."""

    state: Any
    tasks: dict[str, Any]
    log: list[str] = field(default_factory=list)

    @property
    def endings(self) -> dict[str, str]:
        """The name of the state that each task run ended in."""
        return {name: run.state.name for name, run in self.tasks.items()}


@pytest.fixture
def run_pipeline(prefect_api: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., FlowRun]:
    """Run the pipeline in a project, without tracking, and read back what the server knows."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterId,
        LogFilter,
        LogFilterFlowRunId,
    )
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.pipeline import pipeline

    def run(root: Path, n_tasks: int, **options: Any) -> FlowRun:
        monkeypatch.chdir(root)
        with temporary_settings({PREFECT_API_URL: prefect_api}):
            state = pipeline(track=False, return_state=True, **options)
            of_run = state.state_details.flow_run_id
            only = FlowRunFilter(id=FlowRunFilterId(any_=[of_run]))
            with get_client(sync_client=True) as client:

                def ended() -> list[Any]:
                    runs = client.read_task_runs(flow_run_filter=only)
                    return [run for run in runs if run.state and run.state.is_final()]

                until(lambda: len(ended()) == n_tasks, 20, "the records of the task runs")
                tasks = {run.name: run for run in ended()}
                logs = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[of_run]))

                def whole_log() -> bool:
                    """Lines arrive a while after they are written, the run's own last one last."""
                    return any(
                        line.task_run_id is None and line.message.startswith("Finished in state")
                        for line in client.read_logs(logs)
                    )

                if n_tasks:
                    until(whole_log, 20, "the log of the run")
                log = [line.message for line in client.read_logs(logs)] if n_tasks else []
                return FlowRun(client.read_flow_run(of_run).state, tasks, log)

    return run
