"""The pipeline as a Prefect flow: each stage of dvc.yaml a task run, and tracking at the end."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import allow_failure, flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, wait
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.child import Children
from flows.dag import Dag
from flows.prefect_server import wait_for_records
from flows.reproduce import Reproducer, own_error
from flows.sources import require_source
from flows.stage_task import StageRuns, named_task, stage_task
from tasks.errors import ParamsError, PipelineError
from tasks.lock import lock_of, turn_environment
from tasks.params import load_params

SIDE_BY_SIDE = 2
"""Stages that run at once where the DAG lets them; each is a process of its own."""

MODEL_IS_DONE = "evaluate"
"""The stage after which there is a model to show."""

THREADS: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=SIDE_BY_SIDE)


def project_name() -> str:
    """Return what a flow run is named after; a run with faulty settings must have a name too."""
    try:
        return load_params().project.name
    except ParamsError:
        return "faulty-settings"


@flow(
    name="fuseline",
    flow_run_name=project_name,
    task_runner=THREADS,
    persist_result=False,
)
def pipeline(until: str | None = None, force: bool = False, track: bool = True) -> State[Any]:
    """Bring the project in the current folder up to date.

    Args:
        until: Run this stage and what it needs, and no more; every stage where None.
        force: Run stages also where nothing changed.
        track: After the last stage, make sure that MLflow shows the model.
    """
    root = Path.cwd()
    lock = lock_of(root, "fuseline run")
    with lock.held(say=get_run_logger().info):
        try:
            require_source(root, load_params(root / "params.yaml"), get_run_logger().info)
            dag = Dag(root)
            stages = dag.stages_in_order(until)
        except PipelineError as fault:
            return Failed(message=f"{type(fault).__name__}: {fault}")
        children = Children(root, turn_environment(lock))
        runs = StageRuns(dag, Reproducer(children, lock), force)
        try:
            run_stages(stages, runs)
            if track and MODEL_IS_DONE in stages and runs.all_completed():
                run_tracking(children, runs)
        except BaseException:
            # A task in a thread ends only when its child process does.
            children.stop()
            raise
        wait_for_records(flow_run.id, runs.counts().total())
    return conclusion(runs)


def run_stages(stages: Sequence[str], runs: StageRuns) -> None:
    """Run each stage when those it reads from have ended, independent ones side by side."""
    futures: dict[str, PrefectFuture[Any]] = {}
    for stage in stages:
        above = [allow_failure(futures[name]) for name in runs.dag.upstream(stage)]
        futures[stage] = stage_task(stage, runs).submit(wait_for=above)
    wait(list(futures.values()))


def run_tracking(children: Children, runs: StageRuns) -> None:
    """Make sure that MLflow shows the model, in a process that can be ended like a stage."""

    def track() -> State[Any]:
        command = [sys.executable, "-m", "flows", "track"]
        ended = children.run(command, get_run_logger().info)
        words = own_error(ended.lines) if ended.code else ended.lines[-1]
        return runs.note("track", (Failed if ended.code else Completed)(message=words))

    named_task("track", track).submit().wait()


def conclusion(runs: StageRuns) -> State[Any]:
    """Return the state of the flow run: failed, with what went wrong, where any part failed."""
    if failures := runs.failures():
        return Failed(message="\n".join(failures))
    counts = ", ".join(f"{n} {name.lower()}" for name, n in runs.counts().items())
    return Completed(message=counts)
