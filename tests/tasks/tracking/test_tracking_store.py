"""The store: laid out once, moved with its folder, and tidied of runs whose process is gone."""

import multiprocessing
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tasks.errors import PipelineError
from tasks.tracking.environment import (
    SAFE_SETTINGS,
    apply_safe_settings,
    tracking_environment,
    tracking_uri,
)
from tasks.tracking.store import experiment_id, open_store, process_tags

# A new interpreter: a copy of this one would share its threads' locks.
SPAWN = multiprocessing.get_context("spawn")


def _use(root: Path) -> None:
    store = open_store(root, "things")
    run = store.client.create_run(store.experiment_id, tags=process_tags())
    for step in range(10):
        store.client.log_metric(run.info.run_id, "loss", step, step=step)
    store.client.set_terminated(run.info.run_id)


@pytest.mark.slow
def test_four_processes_may_use_a_new_store_at_once(tmp_path: Path) -> None:
    workers = [SPAWN.Process(target=_use, args=(tmp_path,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4

    store = open_store(tmp_path, "things")
    runs = store.client.search_runs([store.experiment_id])
    assert len(runs) == 4
    for run in runs:
        assert len(store.client.get_metric_history(run.info.run_id, "loss")) == 10


def test_the_experiment_is_the_same_each_time(project: Path) -> None:
    first = experiment_id(project, "things")
    assert experiment_id(project, "things") == first
    assert experiment_id(project, "others") != first


def test_the_environment_may_name_another_store(
    project: Path, tmp_path: Path, laid_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "elsewhere.db"
    shutil.copy(laid_out, other)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other}")
    before = (project / "mlflow.db").read_bytes()

    store = open_store(project, "things")
    assert store.uri == f"sqlite:///{other}"
    assert store.client.get_experiment_by_name("things") is not None
    assert (project / "mlflow.db").read_bytes() == before


def test_runs_of_dead_processes_are_marked_as_killed(project: Path) -> None:
    store = open_store(project, "things")
    create = store.client.create_run
    dead = create(store.experiment_id, tags=process_tags() | {"host.pid": "4194399"})
    reused = create(store.experiment_id, tags=process_tags() | {"host.pid_started": "1"})
    alive = create(store.experiment_id, tags=process_tags())
    elsewhere = create(
        store.experiment_id, tags=process_tags() | {"host.name": "far", "host.pid": "1"}
    )
    unknown = create(store.experiment_id)

    open_store(project, "things")
    status = {
        run.info.run_id: run.info.status for run in store.client.search_runs([store.experiment_id])
    }
    assert status[dead.info.run_id] == status[reused.info.run_id] == "KILLED"
    assert status[alive.info.run_id] == status[elsewhere.info.run_id] == "RUNNING"
    assert status[unknown.info.run_id] == "RUNNING"


def test_a_copied_project_reads_and_writes_its_own_files(project: Path, tmp_path: Path) -> None:
    store = open_store(project, "things")
    run = store.client.create_run(store.experiment_id)
    store.client.log_text(run.info.run_id, "told", "note.txt")
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    shutil.rmtree(project / "mlartifacts")

    moved = open_store(copy, "things")
    assert moved.experiment_id == store.experiment_id
    assert [file.path for file in moved.client.list_artifacts(run.info.run_id)] == ["note.txt"]
    fresh = moved.client.create_run(moved.experiment_id)
    moved.client.log_text(fresh.info.run_id, "told", "note.txt")
    assert not (project / "mlartifacts").exists()


def test_a_deleted_experiment_is_named_with_its_remedy(project: Path) -> None:
    store = open_store(project, "things")
    store.client.delete_experiment(store.experiment_id)
    with pytest.raises(PipelineError, match=f"restore --experiment-id {store.experiment_id}"):
        open_store(project, "things")


@pytest.mark.slow
def test_a_store_of_an_unknown_mlflow_is_kept_and_explained(project: Path) -> None:
    with sqlite3.connect(project / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    with pytest.raises(PipelineError, match="newer MLflow"):
        open_store(project, "things")
    assert (project / "mlflow.db.before-upgrade").is_file()


def test_mlflow_is_quiet_and_loads_no_pickles(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.environment_variables import MLFLOW_ALLOW_PICKLE_DESERIALIZATION
    from mlflow.telemetry.utils import is_telemetry_disabled

    for name in SAFE_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    apply_safe_settings()
    assert MLFLOW_ALLOW_PICKLE_DESERIALIZATION.get() is False
    assert is_telemetry_disabled()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    apply_safe_settings()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"


def test_processes_of_ours_are_handed_the_store(project: Path) -> None:
    handed = tracking_environment(project)
    assert (
        handed["MLFLOW_TRACKING_URI"] == tracking_uri(project) == f"sqlite:///{project}/mlflow.db"
    )
    assert MlflowClient(handed["MLFLOW_TRACKING_URI"]).search_experiments()


def test_a_store_that_cannot_be_opened_is_named_with_a_remedy(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "mlflow.db").write_text("this is no database, whatever its name may say")
    with pytest.raises(PipelineError, match=r"mlflow\.db.*move it away"):
        open_store(project, "things")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:tops3cret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(PipelineError, match="Start the server") as refused:
        open_store(project, "things")
    assert "tops3cret" not in str(refused.value)
