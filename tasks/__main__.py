"""``python -m tasks STAGE``: run one stage on the project in the current folder.

This is the command that dvc.yaml names. It reads params.yaml, gives the stage a folder to write to,
and puts its report beside the others. A stage whose parent is gone stops by itself, so that two
never write to the same place.
"""

import importlib
import logging
import os
import random
import sys
import threading
import time
from pathlib import Path

from tasks.errors import PipelineError, listing, nearest
from tasks.lock import TURN, is_alive, stage_turn
from tasks.params import Params, load_params
from tasks.samples.folders import stage_output, write_text
from tasks.samples.report import StageReport

STAGES = ("collect", "clean", "align", "split", "augment", "pretrain", "finetune", "evaluate")


def main(arguments: list[str] | None = None) -> int:
    """Run the stage named on the command line; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    if len(arguments) != 1 or arguments[0] not in STAGES:
        close = nearest(arguments[0], STAGES) if arguments else ""
        print(f"usage: python -m tasks STAGE, a stage being one of {listing(STAGES)}.{close}")
        return 2
    stop_with_parent()
    # Threads that wait for others sleep: where cores are shared, spinning costs more than it gains.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        params = load_params()
        with stage_turn(Path.cwd(), say=lambda words: print(words, flush=True)):
            run_stage(arguments[0], params, Path.cwd())
    except PipelineError as fault:
        print(f"{type(fault).__name__}: {fault}", file=sys.stderr, flush=True)
        return fault.exit_code
    except OSError as fault:
        where, why = fault.filename or "a file", fault.strerror or fault
        print(
            f"{type(fault).__name__}: {where}: {why}; free some space, or grant this user the "
            "right to write there, and run it again (what was there before is whole)",
            file=sys.stderr,
            flush=True,
        )
        return 1
    return 0


def run_stage(stage: str, params: Params, root: Path) -> StageReport:
    """Run one stage: its folder appears when it is done, then its report."""
    random.seed(params.project.seed)
    run = importlib.import_module(f"tasks.{stage}.stage").run
    with stage_output(root, stage) as folders:
        report: StageReport = run(params, folders)
    write_text(root / "reports" / f"{stage}.json", report.model_dump_json(indent=2) + "\n")
    for line in report.lines():
        logging.getLogger("tasks").info("%s: %s", stage, line)
    return report


def stop_with_parent() -> None:
    """End this process when what started it is gone: nobody would record its result.

    What started it is its parent, and the run that it is part of where there is one.
    """
    parent, run = os.getppid(), os.environ.get(TURN)

    def watch() -> None:
        while os.getppid() == parent and (run is None or is_alive(run)):
            time.sleep(0.5)
        print("the process that started this stage is gone; stopping", file=sys.stderr, flush=True)
        os._exit(143)

    threading.Thread(target=watch, daemon=True, name="stop-with-parent").start()


if __name__ == "__main__":
    sys.exit(main())
