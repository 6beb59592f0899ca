"""One stage of the DAG as a Prefect task run of the same name."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from prefect import Task, get_run_logger
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Cancelled, Completed, Failed

from flows.child import Stopped
from flows.dag import Dag
from flows.reproduce import Reproducer, StageFailedError

RETRIED_STAGES = ("collect",)
"""Only collect reads from outside the project, where a fault can pass by itself."""

NOT_RUN = "NotRun"
"""The state of a stage that reads from one that failed."""

RETRIES = 2
RETRY_DELAYS_SECONDS = (10.0, 30.0)


class StageRuns:
    """The stages of one flow run: how each is brought up to date, and how it ended."""

    def __init__(self, dag: Dag, reproducer: Reproducer, force: bool = False) -> None:
        self.dag, self._reproducer, self._force = dag, reproducer, force
        self._ended: dict[str, State[Any]] = {}

    def bring_up_to_date(self, stage: str, say: Callable[[str], object]) -> State[Any]:
        """Reproduce a stage if it changed and all it reads from is there; return how that ended."""
        return self.note(stage, self._state_of(stage, say))

    def note(self, name: str, state: State[Any]) -> State[Any]:
        """Remember how a stage ended; a retry overwrites what was remembered before."""
        self._ended[name] = state
        return state

    def all_completed(self) -> bool:
        """Tell whether nothing failed and nothing was left out."""
        return all(state.is_completed() for state in self._ended.values())

    def failures(self) -> list[str]:
        """Return what went wrong in each stage that failed, in the stage's own words."""
        return [
            f"{name}: {state.message}"
            for name, state in self._ended.items()
            if state.is_failed() and state.name != NOT_RUN
        ]

    def counts(self) -> Counter[str]:
        """Return how many stages ended in each way."""
        return Counter(state.name or state.type.value for state in self._ended.values())

    def _state_of(self, stage: str, say: Callable[[str], object]) -> State[Any]:
        if broken := [above for above in self.dag.upstream(stage) if self._is_broken(above)]:
            words = f"not run, since {' and '.join(broken)} did not complete"
            # A failure by type: after any other end Prefect would not look at what comes below.
            return Failed(name=NOT_RUN, message=words)
        if not self._force and not self.dag.changed(stage):
            say("unchanged, nothing to do")
            return Completed(name="Cached", message="unchanged since its last run")
        try:
            outcome = self._reproducer.reproduce(stage, self._force, say)
        except StageFailedError as failure:
            return Failed(message=str(failure), data=failure)
        except Stopped as stop:
            return Cancelled(message=str(stop))
        finally:
            self.dag.forget()
        match outcome:
            case "Restored":
                return Completed(name="Restored", message="taken from DVC's cache of earlier runs")
            case "Cached":
                return Completed(name="Cached", message="brought up to date by another run")
            case "Ran":
                return Completed(message="ran")

    def _is_broken(self, stage: str) -> bool:
        return stage in self._ended and not self._ended[stage].is_completed()


def is_worth_another_try(_task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Tell whether a failed stage is tried again: collect, a few times, if the fault may pass."""
    failure = state.data
    return (
        run.name in RETRIED_STAGES
        and run.run_count <= RETRIES
        and isinstance(failure, StageFailedError)
        and failure.worth_retrying
    )


def named_task(name: str, body: Callable[..., State[Any]]) -> Task[..., Any]:
    """Return a task, and task runs, of a name; its body returns the state that it ends in.

    DVC owns the caching. One retry more is allowed than is made: the condition ends them, since
    Prefect logs an empty traceback where a returned failure has used them up.
    """
    return Task(
        body,
        name=name,
        task_run_name=name,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=RETRIES + 1,
        retry_delay_seconds=list(RETRY_DELAYS_SECONDS),
        retry_condition_fn=is_worth_another_try,
    )


def stage_task(stage: str, runs: StageRuns) -> Task[..., Any]:
    """Return the task that brings a stage up to date."""

    def bring_up_to_date() -> State[Any]:
        return runs.bring_up_to_date(stage, get_run_logger().info)

    return named_task(stage, bring_up_to_date)
