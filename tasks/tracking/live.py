"""A fine-tuning as it goes: one MLflow run, with its settings, curves and the machine's load.

Training never waits for the store and never fails because of it. A thread of its own writes what
training says; where the store is locked, full or gone it says so once, keeps what it can, and
counts what it could not write. `fuseline track` adds what is missing from the model's own records.
"""

import logging
import math
import os
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import psutil
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from tasks.errors import PipelineError
from tasks.params import Params
from tasks.tracking.flatten import cut, safe_name
from tasks.tracking.store import STORE_FAULTS, Store, first_line, open_store, process_tags
from tasks.tracking.tags import (
    MODEL_DIGEST,
    RESUME_KEY,
    STAGE,
    git_tags,
    run_name,
    run_params,
)

End = Literal["FINISHED", "FAILED", "KILLED"]

SWITCH = "FUSELINE_TRACKING"
"""The environment variable that turns live logging off, where it is ``off``."""

WRITE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
SYSTEM_SECONDS = 10.0
CLOSE_SECONDS = 20.0
METRICS_AT_ONCE = 900
TAGS_AT_ONCE = 90
MOST_WAITING = 100_000
TAG_LIMIT = 8000
PARAMS_AT_ONCE = 100

_LOG = logging.getLogger("tasks.tracking")


class LiveRun:
    """What a fine-tuning says of itself. This one keeps nothing: tracking is off or impossible."""

    run_id = ""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Note figures of a step; figures that are no number become tags."""

    def tag(self, name: str, value: str) -> None:
        """Note a fact about the run; a later one of the same name replaces it."""

    def finish(self, model_digest: str) -> None:
        """Name the model that came out, by which it is found again."""


class StoredRun(LiveRun):
    """A live run that a thread writes to the store."""

    def __init__(self, store: Store, run: Run) -> None:
        self.run_id: str = run.info.run_id
        self._writer = _Writer(store, self.run_id)
        self._writer.start()

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Note figures of a step; figures that are no number become tags."""
        now = int(time.time() * 1000)
        good = []
        for name, value in metrics.items():
            if math.isfinite(value):
                good.append(Metric(safe_name(name), float(value), now, step))
            else:
                self.tag(f"not_a_number.{name}", f"{value} at step {step}")
        self._writer.add(good)

    def tag(self, name: str, value: str) -> None:
        """Note a fact about the run; a later one of the same name replaces it."""
        self._writer.add_tag(RunTag(safe_name(name), cut(value, TAG_LIMIT)))

    def finish(self, model_digest: str) -> None:
        """Name the model that came out, by which it is found again."""
        self.tag(MODEL_DIGEST, model_digest)

    def end(self, status: End) -> None:
        """Write what is waiting, within seconds, and close the run."""
        self._writer.close(status)


@contextmanager
def live_run(root: Path, params: Params, *, resume_key: str = "") -> Iterator[LiveRun]:
    """Record a fine-tuning while the block runs; its run ends as the block does.

    Args:
        root: The project's folder.
        params: Every setting; they become the run's parameters.
        resume_key: Names this training in such a way that one which goes on after a kill has the
            same key; it then goes on in the same run too.
    """
    run = _begin(root, params, resume_key)
    try:
        yield run
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        _end(run, "KILLED")
        raise
    except BaseException:
        _end(run, "FAILED")
        raise
    _end(run, "FINISHED")


def _begin(root: Path, params: Params, resume_key: str) -> LiveRun:
    if os.environ.get(SWITCH, "").lower() == "off":
        return LiveRun()
    try:
        store = open_store(root, params.project.name)
        run = _unfinished(store, resume_key) or _new_run(store, params, resume_key)
    except (*STORE_FAULTS, PipelineError, subprocess.SubprocessError) as fault:
        _LOG.warning(
            "MLflow does not take this run (%s); training goes on without it, and "
            "`fuseline track` adds the run afterwards",
            first_line(fault),
        )
        return LiveRun()
    return StoredRun(store, run)


def _end(run: LiveRun, status: End) -> None:
    if isinstance(run, StoredRun):
        run.end(status)


def _unfinished(store: Store, resume_key: str) -> Run | None:
    """Return the run of the same training that was cut short, open again."""
    if not resume_key:
        return None
    found = store.client.search_runs(
        [store.experiment_id],
        f"tags.`{RESUME_KEY}` = '{resume_key}'",
        max_results=1,
        order_by=["attributes.start_time DESC"],
    )
    if not found or found[0].info.status not in ("KILLED", "FAILED"):
        return None
    run: Run = found[0]
    store.client.log_batch(run.info.run_id, tags=_run_tags(process_tags()))
    store.client.update_run(run.info.run_id, status="RUNNING")
    return run


def _new_run(store: Store, params: Params, resume_key: str) -> Run:
    tags = {STAGE: "finetune", **process_tags(), **git_tags(store.root)}
    if resume_key:
        tags[RESUME_KEY] = resume_key
    run = store.client.create_run(store.experiment_id, tags=tags, run_name=run_name(params))
    log_params(store.client, run.info.run_id, run_params(params))
    return run


def log_params(client: MlflowClient, run_id: str, params: Mapping[str, str]) -> None:
    """Write parameters, as many at a time as MLflow takes."""
    entries = [Param(name, value) for name, value in params.items()]
    for start in range(0, len(entries), PARAMS_AT_ONCE):
        client.log_batch(run_id, params=entries[start : start + PARAMS_AT_ONCE])


def _run_tags(tags: Mapping[str, str]) -> list[RunTag]:
    return [RunTag(name, value) for name, value in tags.items()]


class _Writer(threading.Thread):
    """Writes metrics and tags to the store, as often as it answers."""

    def __init__(self, store: Store, run_id: str) -> None:
        super().__init__(name="mlflow-writer", daemon=True)
        self._client, self._run_id = store.client, run_id
        self._metrics: deque[Metric] = deque()
        self._tags: dict[str, RunTag] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._status: End = "FINISHED"
        self._n_dropped = 0
        self._fault = ""
        self._closed = False
        self._system: Any = SystemMetricsMonitor(  # type: ignore[no-untyped-call]
            run_id, tracking_uri=store.uri
        )
        self._system_step = 0
        self._next_system = time.monotonic()

    def add(self, metrics: list[Metric]) -> None:
        """Take metrics to write; the oldest make room where too many are waiting."""
        with self._lock:
            self._metrics.extend(metrics)
            while len(self._metrics) > MOST_WAITING:
                self._metrics.popleft()
                self._n_dropped += 1

    def add_tag(self, tag: RunTag) -> None:
        """Take a tag to write."""
        with self._lock:
            self._tags[tag.key] = tag

    def close(self, status: End) -> None:
        """Have the rest written and the run closed; say what could not be."""
        self._status = status
        self._closing.set()
        self.join(CLOSE_SECONDS)
        lost = self._n_dropped + len(self._metrics)
        if lost or not self._closed:
            _LOG.warning(
                "MLflow run %s: %d metric values could not be written (%s); `fuseline track` adds "
                "the model's curves from its own records",
                self._run_id,
                lost,
                self._fault or "the store did not answer in time",
            )

    def run(self) -> None:
        """Write until told to close, then once more."""
        pause = WRITE_SECONDS
        while not self._closing.wait(pause):
            self._look_at_machine()
            pause = WRITE_SECONDS if self._write() else min(2 * pause, LONGEST_PAUSE_SECONDS)
        self._next_system = 0.0  # even the shortest run shows what the machine did
        self._look_at_machine()
        if self._write():
            self._closed = self._close_run()

    def _write(self) -> bool:
        """Write all that is waiting; return whether the store took it."""
        while True:
            with self._lock:
                metrics = [
                    self._metrics.popleft() for _ in range(min(METRICS_AT_ONCE, len(self._metrics)))
                ]
                tags, self._tags = self._tags, {}
            if not metrics and not tags:
                return True
            try:
                self._client.log_batch(
                    self._run_id, metrics=metrics, tags=list(tags.values())[:TAGS_AT_ONCE]
                )
            except STORE_FAULTS as fault:
                with self._lock:
                    self._metrics.extendleft(reversed(metrics))
                    self._tags = {**tags, **self._tags}
                self._warn_once(fault)
                return False
            rest = list(tags.items())[TAGS_AT_ONCE:]
            with self._lock:
                self._tags = {**dict(rest), **self._tags}

    def _close_run(self) -> bool:
        try:
            if self._n_dropped:
                self._client.set_tag(self._run_id, "metrics.lost", str(self._n_dropped))
            self._client.set_terminated(self._run_id, self._status)
        except STORE_FAULTS as fault:
            self._warn_once(fault)
            return False
        return True

    def _warn_once(self, fault: BaseException) -> None:
        if not self._fault:
            _LOG.warning(
                "MLflow takes no figures at the moment (%s); training goes on, and they are kept "
                "until it does",
                first_line(fault),
            )
        self._fault = first_line(fault)

    def _look_at_machine(self) -> None:
        if time.monotonic() < self._next_system:
            return
        self._next_system = time.monotonic() + SYSTEM_SECONDS
        try:
            self._system.collect_metrics()
            load = self._system.aggregate_metrics()
        except (psutil.Error, OSError):
            return  # a machine that does not tell its load is no reason to warn
        finally:
            for monitor in self._system.monitors:
                monitor.clear_metrics()
        now = int(time.time() * 1000)
        self.add(
            [
                Metric(f"system/{name}", float(value), now, self._system_step)
                for name, value in load.items()
                if math.isfinite(value)
            ]
        )
        self._system_step += 1
