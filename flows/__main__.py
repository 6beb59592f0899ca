"""The command line: ``fuseline``. Heavy libraries are imported by the commands that need them."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from flows.settings import PARAMS, Settings, adopt, settings
from flows.sources import require_source, write_demo_data
from flows.summary import has_model, summary
from tasks.errors import PipelineError, SourceError
from tasks.lock import lock_of, turn_environment

INTERRUPTED = 130

app = typer.Typer(
    help="Fine-tune pre-trained models on your own labelled multimodal data, reproducibly.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one value of params.yaml, as in --set finetune.epochs=3; repeatable.",
    ),
]
ParamsOption = Annotated[
    Path | None,
    typer.Option(
        "--params",
        metavar="FILE",
        help="Settings to run with; they become params.yaml. Sections left out take defaults.",
    ),
]


@app.command()
def run(
    params: ParamsOption = None,
    assignments: SetOption = None,
    until: Annotated[
        str | None,
        typer.Option("--until", "--stage", metavar="STAGE", help="Run this stage and its needs."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Run also what did not change.")] = False,
    track: Annotated[
        bool, typer.Option("--track/--no-track", help="Make sure that MLflow shows the model.")
    ] = True,
) -> None:
    """Run the pipeline: every stage whose code, data or settings changed."""
    root = project_root()
    chosen = settings(params or PARAMS, assignments or (), whole=params is None)
    with lock_of(root, "fuseline run").held(plain):
        take_on(root, chosen)
        require_source(root, chosen.params, plain)
        failure = run_flow(root, until, force, track)
    if failure:
        err.print("\nThe run failed.", style="bold red")
        err.print(failure, markup=False)
        raise typer.Exit(1)
    for line in summary(root, until):
        out.print(line, markup=False)


@app.command("demo-data")
def demo_data() -> None:
    """Write the embedded data set digits-qa, unless it is there."""
    write_demo_data(project_root(), plain)


@app.command()
def check(
    params: Annotated[
        Path | None, typer.Option("--params", help="Settings to check in place of params.yaml.")
    ] = None,
) -> None:
    """Say all that is wrong with params.yaml, or with other settings, and run nothing."""
    source = params or project_root() / PARAMS
    found = settings(source, whole=params is None).params
    shown = ", ".join(found.align.inputs[:12]) + (" …" if len(found.align.inputs) > 12 else "")
    plain(f"{source.name} is right: project {found.project.name}, inputs {shown}")


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="A file, a folder, or a glob in quotes.")],
    rows: Annotated[
        int, typer.Option(min=20, help="Rows of each table to look at, at most.")
    ] = 100_000,
) -> None:
    """Guess settings for some data, with what speaks for each; a run itself guesses nothing."""
    from flows.inspection_table import show_sources
    from tasks.collect.inspection.inspect import inspect as look_at
    from tasks.collect.inspection.yaml_text import as_yaml

    found = look_at(path, rows)
    if out.is_terminal:
        show_sources(found, out)
    plain(as_yaml(found).rstrip())


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def repro(context: typer.Context) -> None:
    """Run `dvc repro` with the arguments given, after waiting for a run that is in its way.

    A plain `dvc repro` is refused by DVC ("is busy") while a stage of a run is at work.
    """
    from flows.child import Children
    from flows.reproduce import Reproducer

    root = project_root()
    with lock_of(root, "fuseline repro").held(plain) as lock:
        children = Children(root, turn_environment(lock))
        try:
            ended = Reproducer(children, lock).dvc(["repro", *context.args], plain)
        finally:
            children.stop()
    raise typer.Exit(ended.code)


@app.command()
def track() -> None:
    """Make sure that MLflow shows the present model, its curves, data and version."""
    from tasks.tracking.track import track_project

    root = project_root()
    result = track_project(root, settings(root / PARAMS).params)
    plain(f"{result.action}: run {result.run_id}, model version {result.model_version}")
    if result.url:
        plain(result.url)


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Port, or one near it where it is taken.")] = 5000,
) -> None:
    """Show runs and models in MLflow's pages, until Ctrl-C."""
    root = project_root()
    params = settings(root / PARAMS).params
    from flows.ui import serve_ui

    if has_model(root):
        from tasks.tracking.track import track_project

        track_project(root, params)
    plain("Flow runs: `prefect server start` in another terminal, then http://127.0.0.1:4200")
    raise typer.Exit(serve_ui(root, params.project.name, port, plain))


@app.command()
def schedule(
    cron: Annotated[str, typer.Option(help="When: minute hour day month weekday.")] = "0 2 * * *",
) -> None:
    """Run the pipeline by the clock, until Ctrl-C; needs `prefect server start`."""
    root = project_root()
    params = settings(root / PARAMS).params
    prepare_prefect(root)
    from flows.schedule import serve_schedule

    serve_schedule(params.project.name, cron, plain)


def run_flow(root: Path, until: str | None, force: bool, track_too: bool) -> str | None:
    """Run the flow; return what went wrong, or None."""
    prepare_prefect(root)
    from flows.pipeline import pipeline
    from flows.prefect_server import require_server_to_report_to

    require_server_to_report_to()
    state = pipeline(until, force, track_too, return_state=True)
    return None if state.is_completed() else state.message


def prepare_prefect(root: Path) -> None:
    """Make Prefect's folder before it is imported: it makes no parents, and warns."""
    (root / ".fuseline" / "prefect").mkdir(parents=True, exist_ok=True)


def project_root() -> Path:
    """Return the folder of the project, which is the present one.

    Raises:
        SourceError: It holds no dvc.yaml.
    """
    root = Path.cwd()
    if not (root / "dvc.yaml").is_file():
        raise SourceError(f"{root}: no dvc.yaml here; change to the folder of the project")
    return root


def take_on(root: Path, chosen: Settings) -> None:
    """Make settings the project's own, and say so where former ones would have been lost."""
    if kept := adopt(root, chosen.text):
        plain(f"params.yaml had changes that are not in git; it is kept in {kept}")


def plain(words: str) -> None:
    """Print words as they are, at once."""
    print(words, flush=True)


def guarded(command: Callable[[], object]) -> int:
    """Run a command; return its exit code, a person's faults as words and not as tracebacks."""
    try:
        command()
    except PipelineError as fault:
        print(f"{type(fault).__name__}: {fault}", file=sys.stderr, flush=True)
        return fault.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr, flush=True)
        return INTERRUPTED
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def main() -> None:
    """Run ``fuseline`` with the arguments of this process."""

    def terminate(number: int, _frame: FrameType | None) -> None:
        # As an exception, so that what was started is also ended.
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, terminate)
    sys.exit(guarded(app))


if __name__ == "__main__":
    main()
