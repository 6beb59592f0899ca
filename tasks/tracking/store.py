"""The MLflow store of a project: laid out once, by one process, and tidied when it is opened.

Unless ``MLFLOW_TRACKING_URI`` says otherwise the store is ``mlflow.db`` in the project's folder,
with the files of its runs in ``mlartifacts``. Several processes that lay out one database at the
same time destroy it, so this happens under a lock.
"""

import fcntl
import json
import logging
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from tasks.errors import PipelineError
from tasks.tracking.environment import (
    DATABASE,
    URI_VARIABLE,
    VIEW,
    artifacts_location,
    is_own_store,
    tracking_uri,
)
from tasks.tracking.flatten import cut, text_without_secrets

STORE_FAULTS = (MlflowException, SQLAlchemyError, OSError)
"""What a store raises when it is locked, full, gone or damaged."""

HOST = "host.name"
PID = "host.pid"
PID_STARTED = "host.pid_started"

_LOG = logging.getLogger("tasks.tracking")

_QUIETER = {
    "alembic": logging.WARNING,
    "mlflow.pyfunc": logging.WARNING,
    "mlflow.store.db.utils": logging.WARNING,
    "mlflow.system_metrics.system_metrics_monitor": logging.WARNING,
    "urllib3.connectionpool": logging.ERROR,  # a server that is gone is told once, by us
}
for _name, _level in _QUIETER.items():
    logging.getLogger(_name).setLevel(_level)

_EXPERIMENT_TAGS = {
    "mlflow.note.content": (
        "One run for each fine-tuned model of this project, with its curves, settings, data and "
        "report. The registered model of the same name holds the versions."
    ),
}

_ARTIFACT_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""Where MLflow's tables hold absolute addresses of files."""


@dataclass(frozen=True)
class Store:
    """An open store, and the project's experiment in it.

    Attributes:
        root: The project's folder.
        uri: Address of the store.
        experiment_id: The experiment of the project's name.
        client: Reads and writes the store.
    """

    root: Path
    uri: str
    experiment_id: str
    client: MlflowClient


def open_store(root: Path, project_name: str) -> Store:
    """Open the project's store: laid out, moved along with its folder, without dead runs.

    Raises:
        PipelineError: The store cannot be opened; the message says what to do.
    """
    root = root.resolve()
    uri = tracking_uri(root)
    with project_lock(root, "store"):
        try:
            return _open(root, uri, project_name)
        except STORE_FAULTS as fault:
            shown = first_line(fault)
            raise PipelineError(
                f"{text_without_secrets(uri)}: expected an MLflow store, found one that cannot be "
                f"opened ({shown}). {_remedy(root)}"
            ) from fault


def first_line(fault: BaseException) -> str:
    """Return a fault as one line, without a password that an address in it may carry."""
    lines = text_without_secrets(str(fault)).strip().splitlines() or [type(fault).__name__]
    return cut(lines[0], 160)


def _open(root: Path, uri: str, project_name: str) -> Store:
    if uri.startswith("sqlite:"):
        _lay_out(uri)
    if is_own_store(root):
        _follow_moved_folder(root, project_name)
    client = MlflowClient(uri)
    experiment = _experiment(client, root, project_name)
    reconcile(client, experiment.experiment_id)
    return Store(root, uri, experiment.experiment_id, client)


def _remedy(root: Path) -> str:
    if is_own_store(root):
        return (
            "Free the disk if it is full; if the file is damaged, move it away and run "
            "`fuseline track`, which makes a new one from what DVC keeps"
        )
    return f"Start the server, or unset {URI_VARIABLE} to use a file in the project"


def experiment_id(root: Path, project_name: str) -> str:
    """Return the number of the project's experiment, which is made where it is missing."""
    return open_store(root, project_name).experiment_id


def reconcile(client: MlflowClient, experiment: str) -> list[str]:
    """Mark runs as killed whose process on this host is gone, and return their ids.

    A process that is killed cannot say so: its run would show as running for ever.
    """
    here = socket.gethostname()
    running = client.search_runs(
        [experiment], f"attributes.status = 'RUNNING' and tags.`{HOST}` = '{here}'"
    )
    dead = [run.info.run_id for run in running if not _is_alive(run.data.tags)]
    for run_id in dead:
        client.set_terminated(run_id, "KILLED")
    if dead:
        _LOG.info("%d run(s) whose process is gone are now marked as killed", len(dead))
    return dead


def show_figures(client: MlflowClient, experiment: str, metrics: Sequence[str]) -> None:
    """Keep the view of the table of runs that shows some metrics; by itself it shows none."""
    columns = [
        "attributes.`Created`",
        *(f"metrics.`{name}`" for name in metrics),
        "params.`finetune.train_encoders`",
        "attributes.`Models`",
    ]
    view = json.dumps({"selectedColumns": columns})
    client.set_experiment_tag(experiment, f"mlflow.sharedViewState.{VIEW}", view)


def process_tags() -> dict[str, str]:
    """Return the tags by which a later process sees whether this one is still there."""
    return {
        HOST: socket.gethostname(),
        PID: str(os.getpid()),
        PID_STARTED: f"{psutil.Process().create_time():.0f}",
    }


@contextmanager
def project_lock(root: Path, name: str) -> Iterator[None]:
    """Let one process at a time pass, of all that work on this project.

    The system frees the lock when its holder dies, however it dies.
    """
    path = root / ".fuseline" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def as_default(store: Store) -> Iterator[None]:
    """Make a store the one that MLflow asks of itself, as its registry does inside a client."""
    named = os.environ.get(URI_VARIABLE)
    os.environ[URI_VARIABLE] = store.uri
    try:
        yield
    finally:
        if named is None:
            del os.environ[URI_VARIABLE]
        else:
            os.environ[URI_VARIABLE] = named


def _is_alive(tags: Mapping[str, str]) -> bool:
    pid = tags.get(PID, "")
    if not pid.isdigit():
        return True  # not a run of ours to judge
    try:
        started = psutil.Process(int(pid)).create_time()
    except psutil.NoSuchProcess:
        return False
    # Numbers of processes are used again, so a later process may have this one.
    return tags.get(PID_STARTED, f"{started:.0f}") == f"{started:.0f}"


def _lay_out(uri: str) -> None:
    """Create the tables of a new database, and bring those of an older MLflow up to date."""
    try:
        MlflowClient(uri).search_experiments(max_results=1)
    except MlflowException as fault:
        if "out-of-date database schema" not in str(fault):
            raise
        _upgrade(uri)


def _upgrade(uri: str) -> None:
    database = Path(uri.removeprefix("sqlite:///"))
    backup = database.with_name(f"{database.name}.before-upgrade")
    shutil.copy2(database, backup)
    _LOG.warning("%s is of another MLflow; upgrading it, the old one is %s", database, backup)
    done = subprocess.run(
        [sys.executable, "-m", "mlflow", "db", "upgrade", uri], capture_output=True, text=True
    )
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise PipelineError(
            f"{database}: MLflow cannot bring this store up to date ({last[0]}); it may be of a "
            f"newer MLflow. Install that one, or move the file away and run `fuseline track`"
        )


def _follow_moved_folder(root: Path, project_name: str) -> None:
    """Point the store's addresses of files to where the project's folder is now.

    MLflow keeps them absolute. In a folder that was moved its pages would find no files, and in a
    copied one they would show, and new runs would write to, those of the original.
    """
    here = artifacts_location(root)
    with closing(sqlite3.connect(root / DATABASE)) as database, database:
        row = database.execute(
            "SELECT artifact_location FROM experiments WHERE name = ?", (project_name,)
        ).fetchone()
        if row is None or row[0] == here or not str(row[0]).startswith("file:"):
            return
        for table, columns in _ARTIFACT_COLUMNS.items():
            for column in columns:
                database.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608
                    f"WHERE substr({column}, 1, ?) = ?",
                    (here, len(row[0]) + 1, len(row[0]), row[0]),
                )
    _LOG.info("%s was laid out for %s; its addresses now point here", root / DATABASE, row[0])


def _experiment(client: MlflowClient, root: Path, name: str) -> Experiment:
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        location = artifacts_location(root) if is_own_store(root) else None
        made = client.create_experiment(name, artifact_location=location, tags=_EXPERIMENT_TAGS)
        show_figures(client, made, ["validation_loss", "validation_accuracy"])
        return client.get_experiment(made)
    if experiment.lifecycle_stage != "active":
        raise PipelineError(
            f"the MLflow experiment '{name}' was deleted; bring it back with `mlflow experiments "
            f"restore --experiment-id {experiment.experiment_id}`, or change project.name"
        )
    return experiment
