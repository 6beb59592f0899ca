"""MLflow's pages for one project: served on this machine only, lightly, in the classic view."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from flows.child import end_tree
from tasks.tracking.environment import runs_address, tracking_environment
from tasks.tracking.store import experiment_id

HOST = "127.0.0.1"
SHUTDOWN_SECONDS = 10.0


def serve_ui(root: Path, project_name: str, port: int, say: Callable[[str], object]) -> int:
    """Serve the pages until this process is interrupted; return the server's exit code."""
    port = free_port(port)
    address = f"http://{HOST}:{port}"
    environment = {**os.environ, **tracking_environment(root)}
    experiment = experiment_id(root, project_name)
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "server"),
            *("--backend-store-uri", environment["MLFLOW_TRACKING_URI"]),
            *("--host", HOST, "--port", str(port), "--workers", "1"),
        ],
        cwd=root,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )
    try:
        say(f"Models and runs: {runs_address(address, experiment)}")
        say("Stop with Ctrl-C.")
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        end_tree(server, SHUTDOWN_SECONDS)


def free_port(wanted: int) -> int:
    """Return the wanted port, or one near it where it is taken.

    >>> free_port(0) > 0
    True
    """
    for port in (*range(wanted, wanted + 10), 0):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError(f"no port is free on {HOST}")
