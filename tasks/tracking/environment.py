"""Where the store is, and the settings that make MLflow quiet and safe; imports nothing heavy.

MLflow reads these settings from the environment when it is imported, so they are put there before,
and handed to every process of ours that runs it. What the user has set stays as it is.
"""

import os
from collections.abc import Mapping
from pathlib import Path

URI_VARIABLE = "MLFLOW_TRACKING_URI"
DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"

VIEW = "figures"
"""The view of the table of runs that the store keeps for the page to open with."""

_CLASSIC = "workflowType=machine_learning"

SAFE_SETTINGS: Mapping[str, str] = {
    # Unlike MLflow's own switch, DO_NOT_TRACK must be the word "true": it takes no 1.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # A model of someone else's must not run code when it is loaded.
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    # Without it a server starts a dozen helper processes that nothing here needs.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    # A server that is gone is noticed in seconds, not in minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def apply_safe_settings() -> None:
    """Put the settings into this process's environment, beneath what is set already."""
    for name, value in SAFE_SETTINGS.items():
        os.environ.setdefault(name, value)


def tracking_uri(root: Path) -> str:
    """Return the address of the store: ``MLFLOW_TRACKING_URI``, or a file in the project."""
    return os.environ.get(URI_VARIABLE) or f"sqlite:///{root.resolve() / DATABASE}"


def is_own_store(root: Path) -> bool:
    """Tell whether the store is the project's own file, which nobody else lays out."""
    return tracking_uri(root) == f"sqlite:///{root.resolve() / DATABASE}"


def tracking_environment(root: Path) -> dict[str, str]:
    """Return what a process that runs MLflow on the project's store needs in its environment."""
    kept = {name: os.environ.get(name, value) for name, value in SAFE_SETTINGS.items()}
    return {URI_VARIABLE: tracking_uri(root), **kept}


def artifacts_location(root: Path) -> str:
    """Return where runs of the project's own store keep their files, as a URI."""
    return (root.resolve() / ARTIFACTS).as_uri()


def runs_address(server: str, experiment_id: str) -> str:
    """Return the page of a server that lists the runs as a table, with their figures.

    The plain page of an experiment is made for chat applications and shows no figures.

    >>> runs_address("http://host/", "1")
    'http://host/#/experiments/1/runs?viewStateShareKey=figures&workflowType=machine_learning'
    """
    view = f"viewStateShareKey={VIEW}&{_CLASSIC}"
    return f"{server.rstrip('/')}/#/experiments/{experiment_id}/runs?{view}"


def run_address(server: str, experiment_id: str, run_id: str) -> str:
    """Return the page of a server that shows one run."""
    return f"{server.rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}?{_CLASSIC}"
