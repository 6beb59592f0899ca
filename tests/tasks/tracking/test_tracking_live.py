"""Live runs: they say what happened, and never stand in the way of training."""

import logging
import math
import multiprocessing
import os
import resource
import signal
import sqlite3
import time
from pathlib import Path

import pytest
from mlflow.entities import Run

from tasks.params import Params
from tasks.tracking.live import LiveRun, live_run
from tasks.tracking.store import open_store

# A new interpreter: a copy of this one would share its threads' locks.
SPAWN = multiprocessing.get_context("spawn")


def runs(root: Path, params: Params) -> list[Run]:
    """Return all runs of a project, the oldest first."""
    store = open_store(root, params.project.name)
    found = store.client.search_runs([store.experiment_id], order_by=["attributes.start_time ASC"])
    return list(found)


def test_a_run_has_curves_settings_facts_and_the_load_of_the_machine(
    project: Path, params: Params
) -> None:
    with live_run(project, params) as live:
        for step in range(1, 6):
            live.log({"train_loss": 1 / step, "learning_rate": 0.1}, step=step)
        live.tag("device", "cpu")
        live.finish("digest-of-the-model")

    (run,) = runs(project, params)
    assert run.info.run_id == live.run_id
    assert run.info.run_name == "gated · 4 inputs · lr 0.002"
    assert run.info.status == "FINISHED"
    assert run.data.params["finetune.learning_rate"] == "0.002"
    assert run.data.params["collect.sources.things.columns.photo"] == "image"
    assert not any(name.startswith("evaluate.") for name in run.data.params)
    assert run.data.tags["model.digest"] == "digest-of-the-model"
    assert run.data.tags["device"] == "cpu"
    assert run.data.tags["host.pid"] == str(os.getpid())
    assert "system/system_memory_usage_percentage" in run.data.metrics
    store = open_store(project, params.project.name)
    curve = store.client.get_metric_history(run.info.run_id, "train_loss")
    assert [(point.step, point.value) for point in curve] == [(s, 1 / s) for s in range(1, 6)]


def test_figures_that_are_no_number_become_tags(project: Path, params: Params) -> None:
    with live_run(project, params) as live:
        live.log({"train_loss": math.nan, "grad_norm": math.inf, "fine": 1.0}, step=3)

    (run,) = runs(project, params)
    assert run.data.tags["not_a_number.train_loss"] == "nan at step 3"
    assert run.data.tags["not_a_number.grad_norm"] == "inf at step 3"
    assert run.data.metrics["fine"] == 1.0
    assert "train_loss" not in run.data.metrics


def test_names_that_mlflow_refuses_are_mended(project: Path, params: Params) -> None:
    with live_run(project, params) as live:
        live.log({"loss of <b>../x": 1.0}, step=1)
        live.tag("a<b", "x" * 10_000)

    (run,) = runs(project, params)
    assert run.data.metrics["loss of _b_../x"] == 1.0
    assert len(run.data.tags["a_b"]) == 8000


@pytest.mark.parametrize(
    ("fault", "status"), [(ValueError("no"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_a_run_ends_as_its_training_did(
    project: Path, params: Params, fault: BaseException, status: str
) -> None:
    def train() -> None:
        with live_run(project, params) as live:
            live.log({"train_loss": 1.0}, step=1)
            raise fault

    with pytest.raises(type(fault)):
        train()

    (run,) = runs(project, params)
    assert run.info.status == status
    assert run.data.metrics["train_loss"] == 1.0


def test_it_can_be_switched_off(
    project: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUSELINE_TRACKING", "off")
    with live_run(project, params) as live:
        live.log({"train_loss": 1.0}, step=1)
        live.finish("digest")
    assert type(live) is LiveRun
    assert runs(project, params) == []


def test_training_goes_on_where_the_store_cannot_be_opened(
    project: Path, params: Params, caplog: pytest.LogCaptureFixture
) -> None:
    (project / "mlflow.db").write_text("this is no database")
    with caplog.at_level(logging.WARNING), live_run(project, params) as live:
        live.log({"train_loss": 1.0}, step=1)
        live.finish("digest")
    warned = [record.message for record in caplog.records if record.name == "tasks.tracking"]
    assert len(warned) == 1
    assert "training goes on" in warned[0]


def test_figures_wait_while_the_store_is_locked(project: Path, params: Params) -> None:
    with live_run(project, params) as live:
        time.sleep(0.1)
        lock = sqlite3.connect(project / "mlflow.db", isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        started = time.monotonic()
        for step in range(50):
            live.log({"train_loss": 1.0}, step=step)
        assert time.monotonic() - started < 0.5
        time.sleep(1.5)
        lock.execute("ROLLBACK")
        lock.close()

    (run,) = runs(project, params)
    store = open_store(project, params.project.name)
    assert len(store.client.get_metric_history(run.info.run_id, "train_loss")) == 50
    assert run.info.status == "FINISHED"


def _train_on_a_full_disk(root: Path, params: Params, told: Path) -> None:
    logging.basicConfig(filename=told, level=logging.WARNING, force=True)
    with live_run(root, params) as live:
        time.sleep(1.5)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        room = (root / "mlflow.db").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        for step in range(5000):
            live.log({f"loss_{n}": float(step) for n in range(4)}, step=step)
        live.finish("digest")


def test_a_full_disk_does_not_end_training(project: Path, params: Params, tmp_path: Path) -> None:
    told = tmp_path / "log.txt"
    child = SPAWN.Process(target=_train_on_a_full_disk, args=(project, params, told))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    lines = [line for line in told.read_text().splitlines() if "tasks.tracking" in line]
    assert len(lines) == 2
    assert "training goes on" in lines[0]
    assert "metric values could not be written" in lines[1]
    assert sqlite3.connect(project / "mlflow.db").execute("PRAGMA integrity_check").fetchone() == (
        "ok",
    )
    (run,) = runs(project, params)
    assert run.info.status == "KILLED"  # its process is gone and could not say how it ended
    assert "model.digest" not in run.data.tags


def _train_and_die(root: Path, params: Params) -> None:
    with live_run(root, params, resume_key="same-training") as live:
        live.log({"train_loss": 1.0}, step=1)
        time.sleep(1.5)
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_training_goes_on_in_its_run(project: Path, params: Params) -> None:
    child = SPAWN.Process(target=_train_and_die, args=(project, params))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    (killed,) = runs(project, params)
    assert killed.info.status == "KILLED"

    with live_run(project, params, resume_key="same-training") as live:
        live.log({"train_loss": 0.5}, step=2)
    with live_run(project, params, resume_key="another-training"):
        pass

    first, second = runs(project, params)
    assert first.info.run_id == killed.info.run_id == live.run_id
    assert first.info.status == second.info.status == "FINISHED"
    store = open_store(project, params.project.name)
    curve = store.client.get_metric_history(first.info.run_id, "train_loss")
    assert [point.value for point in curve] == [1.0, 0.5]
