"""Small projects of shell commands under DVC, and what a test asks of their processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from tasks.lock import runs

REPOSITORY = Path(__file__).parents[2]

Stages = Mapping[str, str]

STAGE = (
    "import sys, time; from pathlib import Path; from tasks.lock import stage_turn\n"
    "name, seconds = sys.argv[1:]\n"
    "with stage_turn(Path.cwd(), lambda words: print(words, flush=True)):\n"
    "    Path(f'{name}.begun').write_text(''); time.sleep(float(seconds))\n"
    "    with open('order', 'a') as order: order.write(name + ' ')\n"
    "    Path(name).write_text('done')\n"
)
"""A stage that takes the turn as the real ones do, and writes a file of its name."""


def make_project(root: Path, stages: Stages, **files: str) -> Path:
    """Make a git and DVC project of a dvc.yaml body and some files, with valid settings.

    Args:
        root: Where; the folder is made.
        stages: The YAML of each stage, in flow style, by name.
        files: Texts of more files; ``_`` in a name stands for ``.``.
    """
    root.mkdir(parents=True, exist_ok=True)
    body = "".join(f"  {name}: {stage}\n" for name, stage in stages.items())
    (root / "dvc.yaml").write_text(f"stages:\n{body}")
    settings = (REPOSITORY / "params.yaml").read_text()
    (root / "params.yaml").write_text(settings.replace("root: data/raw/digits-qa", "root: ."))
    for name, text in files.items():
        (root / name.replace("_", ".")).write_text(text)
    (root / ".dvc").mkdir()
    (root / ".dvc/config").write_text("[core]\n    analytics = false\n")
    (root / ".dvc/.gitignore").write_text("/tmp\n/cache\n")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    return root


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment with the interpreter's folder first and DVC quiet."""
    here = str(Path(sys.executable).parent)
    path = os.pathsep.join([here, os.environ["PATH"]])
    return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1", "PYTHONUNBUFFERED": "1", **more}


def start(root: Path, *command: str, **more: str) -> "subprocess.Popen[str]":
    """Start a Python module with arguments in a project, its output going to ``output.N``."""
    log = (root / f"output.{len(list(root.glob('output.*')))}").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=root,
        env=environment(PYTHONPATH=str(REPOSITORY), **more),
        stdout=log,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # A shell starts what it puts in the background deaf to Ctrl-C, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    log.close()
    return process


def until(holds: Callable[[], object], seconds: float, what: str) -> float:
    """Wait until something holds; return how long it took, or fail."""
    begin = time.monotonic()
    while not holds():
        assert time.monotonic() - begin < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - begin


def living(pids: list[int]) -> list[int]:
    """Return those process ids whose process still runs."""
    return [pid for pid in pids if runs(pid)]


def end(process: "subprocess.Popen[str]") -> None:
    """End a process that a test started, and what it started."""
    family = (
        [*psutil.Process(process.pid).children(recursive=True)] if process.poll() is None else []
    )
    for member in family:
        if member.is_running():
            member.kill()
    process.kill()
    process.wait()
