"""One turn at a time: a flow, `fuseline repro` and a stage under a plain `dvc repro` never overlap.

Whoever has the turn holds an flock on ``.fuseline/run.lock`` and has written into the file who it
is, so that the next one can say what it waits for. The kernel gives the lock back when its holder
dies. A plain `dvc repro` cannot hold it, only the stages that it starts can; therefore such a stage
writes down the DVC process, and the turn lasts until that process has ended.

What cannot be had: a plain `dvc repro` that begins while a stage of a run is busy is refused by DVC
itself, at once and with the words "is busy, it is being blocked by", before any code of ours runs;
`dvc --wait-for-lock` does not wait for that. Nothing is harmed. `fuseline repro` waits instead.
"""

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import psutil

LOCK = Path(".fuseline/run.lock")
TURN = "FUSELINE_RUN"
"""The environment variable by which a run tells its stages that they are part of its turn."""

POLL_SECONDS = 0.2
REMIND_SECONDS = 60.0


@dataclass(frozen=True)
class Holder:
    """A process that has the turn.

    Attributes:
        pid: Its process id.
        started: When the process started, in seconds since 1970; ids are used again, pairs are not.
        host: The machine it runs on.
        command: What it does, for a person.
    """

    pid: int
    started: float
    host: str
    command: str

    @classmethod
    def of(cls, process: psutil.Process, command: str | None = None) -> "Holder":
        """Describe a living process."""
        said = command or " ".join(process.cmdline())
        return cls(process.pid, process.create_time(), socket.gethostname(), said)

    @property
    def token(self) -> str:
        """What names the process beyond doubt."""
        return f"{self.pid}:{self.started:.2f}"

    def is_alive(self) -> bool:
        """Tell whether it still runs; of another machine only the lock itself can tell."""
        return self.host == socket.gethostname() and is_alive(self.token)

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.started, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        return f"{self.command} (process {self.pid} on {self.host}, started {since})"


def is_alive(token: str) -> bool:
    """Tell whether the process that a token names still runs.

    >>> is_alive(Holder.of(psutil.Process()).token), is_alive("1:0.00"), is_alive("")
    (True, False, False)
    """
    pid, _, started = token.partition(":")
    try:
        return runs(int(pid)) and f"{psutil.Process(int(pid)).create_time():.2f}" == started
    except (psutil.NoSuchProcess, ValueError):
        return False


def runs(pid: int) -> bool:
    """Tell whether a process runs; one that ended and was not yet asked for its code does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class ProjectLock:
    """The turn in one project, as one process sees it; taking it again inside itself is free."""

    def __init__(self, root: Path, holder: Holder) -> None:
        self.holder = holder
        self._path = root / LOCK
        self._file: IO[str] | None = None
        self._depth = 0
        self._lending = threading.Lock()

    @contextmanager
    def held(
        self, say: Callable[[str], object], pause: Callable[[float], object] = time.sleep
    ) -> Iterator["ProjectLock"]:
        """Wait for the turn, saying for whom, and keep it for the length of the block.

        Args:
            say: Told once, and every minute again, who has the turn.
            pause: Sleeps between looks; what it raises ends the wait.
        """
        self.acquire(say, pause)
        try:
            yield self
        finally:
            self.release()

    def acquire(
        self, say: Callable[[str], object], pause: Callable[[float], object] = time.sleep
    ) -> None:
        """Wait for the turn and take it."""
        self._depth += 1
        if self._depth > 1:
            return
        try:
            self._wait(say, pause)
        except BaseException:
            self._depth -= 1
            raise

    def release(self) -> None:
        """Give the turn back; a DVC process that was written down keeps it while it lives."""
        self._depth -= 1
        if not self._depth and self._file is not None:
            self._give_back()

    @contextmanager
    def lent(
        self, say: Callable[[str], object], pause: Callable[[float], object] = time.sleep
    ) -> Iterator[None]:
        """Let whoever waits have the turn for the length of the block, then wait to have it back.

        A run that is blocked by a plain `dvc repro`, whose stage in turn waits for the run, would
        otherwise wait for ever. One thread at a time.
        """
        with self._lending:
            if self._file is not None:
                self._give_back()
            try:
                yield
            finally:
                self._wait(say, pause)

    def _give_back(self) -> None:
        assert self._file is not None
        if self.holder.pid == os.getpid():
            self._file.truncate(0)
        self._file.close()
        self._file = None

    def _wait(self, say: Callable[[str], object], pause: Callable[[float], object]) -> None:
        remind_at = time.monotonic()
        while (other := self._try()) is not None:
            if time.monotonic() >= remind_at:
                say(f"waiting for: {other}")
                remind_at = time.monotonic() + REMIND_SECONDS
            pause(POLL_SECONDS)

    def _try(self) -> str | None:
        """Take the turn where it is free; return who has it where it is not."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644), "r+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with file:
                return str(_read(file) or "another run that has just begun")
        other = _read(file)
        if other and other != self.holder and other.is_alive():
            file.close()
            return str(other)
        file.seek(0)
        file.truncate()
        file.write(json.dumps(asdict(self.holder)))
        file.flush()
        self._file = file
        return None


def _read(file: IO[str]) -> Holder | None:
    """Return who the file names; None where it is empty or was cut short by a kill."""
    file.seek(0)
    try:
        return Holder(**json.loads(file.read()))
    except (json.JSONDecodeError, TypeError):
        return None


@contextmanager
def stage_turn(root: Path, say: Callable[[str], object]) -> Iterator[None]:
    """Wait for the turn on behalf of a stage, unless the run that started the stage has it."""
    if is_alive(os.environ.get(TURN, "")):
        yield
        return
    me = psutil.Process()
    dvc = next((p for p in me.parents()[:3] if _is_dvc(p)), me)
    with ProjectLock(root, Holder.of(dvc)).held(say):
        yield


def _is_dvc(process: psutil.Process) -> bool:
    """Tell whether a process is a DVC command.

    It is told by its words, `dvc repro` or `python -m dvc repro`, since it has no other mark.
    """
    try:
        words = process.cmdline()[:3]
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
    return any(Path(word).name == "dvc" for word in words)


_locks: dict[Path, ProjectLock] = {}
_locks_guard = threading.Lock()


def lock_of(root: Path, command: str) -> ProjectLock:
    """Return this process's lock on a project: one and the same however often it is asked for."""
    with _locks_guard:
        return _locks.setdefault(
            root.resolve(),
            ProjectLock(root.resolve(), Holder.of(psutil.Process(), command)),
        )


def turn_environment(lock: ProjectLock) -> Mapping[str, str]:
    """Return what tells a child process that it runs within this lock's turn."""
    return {TURN: lock.holder.token}
