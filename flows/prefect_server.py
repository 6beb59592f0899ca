"""The Prefect server that a run reports to: the one that is set up, or a temporary one."""

import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.settings import get_current_settings

from tasks.errors import PipelineError

LOCAL_API = "http://127.0.0.1:4200/api"
"""Where `prefect server start` listens unless told otherwise."""

RECORDS_SECONDS = 15.0


def api_url() -> str | None:
    """Return the address of the server that is set up, by environment or Prefect's profile."""
    return get_current_settings().api.url


def answers(url: str) -> bool:
    """Tell whether a Prefect server answers at an address."""
    if not url.startswith(("http://", "https://")):
        return False
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as response:  # noqa: S310
            return bool(response.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def require_server_to_report_to() -> None:
    """Find the server that is set up, or start a temporary one.

    Raises:
        PipelineError: A server is set up but does not answer.
    """
    if url := api_url():
        if not answers(url):
            raise PipelineError(
                f"no Prefect server answers at {url}; start one with `prefect server start`, or "
                "unset PREFECT_API_URL to use a temporary one"
            )
        return
    start_temporary_server()


def start_temporary_server() -> None:
    """Start Prefect's temporary server, deaf to Ctrl-C: it must outlive the run to record its end.

    A child inherits the signals that are blocked in the thread that starts it. Prefect itself stops
    the server when this process exits, after its last messages are sent.
    """
    from prefect.server.api.server import SubprocessASGIServer  # takes seconds to import

    server = SubprocessASGIServer()
    failed: list[RuntimeError] = []

    def start() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            server.start(get_current_settings().server.ephemeral.startup_timeout_seconds)
        except RuntimeError as fault:
            failed.append(fault)

    thread = threading.Thread(target=start, name="prefect-server", daemon=True)
    # Where it is stopped in the midst of a query, the database library logs the traceback.
    with _environment(PREFECT_LOGGING_ROOT_LEVEL="CRITICAL"):
        thread.start()
        while thread.is_alive():
            thread.join(0.1)
    if failed:
        raise PipelineError(f"Prefect's temporary server did not start: {failed[0]}")


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Add variables to the environment of the processes that the block starts."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def wait_for_records(flow_run_id: str, n_task_runs: int) -> None:
    """Wait until a temporary server has written down how each task run ended.

    It hears of them by events, and would lose those still on their way when it is stopped.
    """
    if api_url() is not None:
        return
    deadline = time.monotonic() + RECORDS_SECONDS
    only = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(flow_run_id)]))
    with get_client(sync_client=True) as client:
        while time.monotonic() < deadline:
            runs = client.read_task_runs(flow_run_filter=only)
            if sum(run.state is not None and run.state.is_final() for run in runs) >= n_task_runs:
                return
            time.sleep(0.1)
