"""Child processes of a run: started apart, read line by line, and ended with all they started."""

import contextlib
import os
import re
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import StageError

KEPT_LINES = 400
POLL_SECONDS = 0.25
GRACE_SECONDS = 2.0
LINE_ENDS = re.compile(rb"[\r\n]+")


@dataclass(frozen=True)
class Ended:
    """A process that has ended.

    Attributes:
        code: Its exit code; negative where a signal ended it.
        lines: The last lines that it printed.
    """

    code: int
    lines: tuple[str, ...]


class Stopped(StageError):  # noqa: N818  (what happened to it, not a fault of it)
    """The run was interrupted, and this child with it."""


class Children:
    """The living child processes of one run, which all end when the run does."""

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        self._root = root
        # `python` in dvc.yaml must be the one that runs this, also where no environment is active.
        interpreters = str(Path(sys.executable).parent)
        self._environment = {
            **os.environ,
            "PATH": os.pathsep.join([interpreters, os.environ.get("PATH", os.defpath)]),
            "PYTHONUNBUFFERED": "1",
            **environment,
        }
        self._living: set[subprocess.Popen[bytes]] = set()
        self._guard = threading.Lock()
        self._stopping = threading.Event()

    def run(self, command: Sequence[str], say: Callable[[str], object]) -> Ended:
        """Run a command to its end in the project's folder, passing on each line as it comes.

        Raises:
            Stopped: :meth:`stop` was called before or meanwhile.
        """
        process = self._start(command)
        assert process.stdout is not None
        kept: deque[str] = deque(maxlen=KEPT_LINES)
        try:
            for line in lines_of(process):
                kept.append(line)
                say(line)
            code = process.wait()
        finally:
            end_tree(process)
            process.stdout.close()
            with self._guard:
                self._living.discard(process)
        if self._stopping.is_set():
            raise Stopped(f"interrupted: {' '.join(command[2:])}")
        return Ended(code, tuple(kept))

    def pause(self, seconds: float) -> None:
        """Sleep, but not past an interruption.

        Raises:
            Stopped: :meth:`stop` was called before or meanwhile.
        """
        if self._stopping.wait(seconds):
            raise Stopped("interrupted while waiting")

    def owns(self, pid: int) -> bool:
        """Tell whether a process id is that of a living child."""
        with self._guard:
            return any(process.pid == pid for process in self._living)

    def stop(self) -> None:
        """End every child with all that it started, and start none any more."""
        self._stopping.set()
        with self._guard:
            living = list(self._living)
        for process in living:
            signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        for process in living:
            end_tree(process, max(0.0, deadline - time.monotonic()))

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with self._guard:
            if self._stopping.is_set():
                raise Stopped(f"interrupted before: {' '.join(command[2:])}")
            process = subprocess.Popen(
                command,
                cwd=self._root,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._living.add(process)
            return process


def lines_of(process: "subprocess.Popen[bytes]") -> Iterator[str]:
    """Yield the lines that a process prints; a progress bar's returns count as line ends.

    The wait wakes up often: an exception raised into this thread must land, and something that
    outlives the process may keep its pipe open.
    """
    assert process.stdout is not None
    pipe, rest = process.stdout, b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            if not selector.select(POLL_SECONDS):
                if process.poll() is not None:
                    break
                continue
            chunk = os.read(pipe.fileno(), 65_536)
            if not chunk:
                break
            *complete, rest = LINE_ENDS.split(rest + chunk)
            yield from (decoded for line in complete if (decoded := _decoded(line)))
    if last := _decoded(rest):
        yield last


def _decoded(line: bytes) -> str:
    return line.decode(errors="replace").rstrip()


def end_tree(process: subprocess.Popen[bytes], grace_seconds: float = GRACE_SECONDS) -> None:
    """End a process that leads a session, and everything in it; return when it is gone."""
    if process.poll() is None:
        signal_group(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_seconds)
    # Also where the leader has ended by itself: what it left behind must not run on.
    signal_group(process, signal.SIGKILL)
    process.wait()


def signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to all of a session leader's group that is still there."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
