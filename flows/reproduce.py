"""One stage reproduced by DVC: what came of it, and where it failed, in the stage's own words."""

import re
import sys
from collections.abc import Callable, Sequence
from typing import Literal

from flows.child import Children, Ended
from tasks.errors import StageError
from tasks.lock import ProjectLock, runs

Outcome = Literal["Ran", "Restored", "Cached"]

PERSONS_FAULTS = (2, 3, 4)
"""Exit codes of a stage whose settings, data or model are at fault; see ``tasks.errors``."""

BUSY = ("is busy, it is being blocked by", "Unable to acquire lock")
BLOCKER = re.compile(r"\(PID (\d+)\): (.+)")
EXITED = re.compile(r"exited with (-?\d+)")
DVC_ERROR = re.compile(r"^ERROR: ")
ADVICE = re.compile(
    r"^(?:To track the changes with git, run:|To enable auto staging, run:|Use `dvc push` to send|"
    r"\s+git add |\s+dvc config core\.autostage )"
)
"""What DVC advises after every stage; a run says it once, at its end."""

ERROR_LINE = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception|Exit|Interrupt|Warning): ")


class StageFailedError(StageError):
    """A stage that failed.

    Attributes:
        worth_retrying: The fault may pass by itself; it is not in settings, data or model.
    """

    def __init__(self, message: str, worth_retrying: bool) -> None:
        self.worth_retrying = worth_retrying
        super().__init__(message)


class Reproducer:
    """Reproduces stages through DVC within one turn."""

    def __init__(self, children: Children, lock: ProjectLock) -> None:
        self._children, self._lock = children, lock

    def reproduce(self, stage: str, force: bool, say: Callable[[str], object]) -> Outcome:
        """Reproduce one stage, and none of those before it.

        Raises:
            StageFailedError: The stage failed.
            Stopped: The run was interrupted.
        """
        options = ["--force"] if force else []
        ended = self.dvc(["repro", "--single-item", *options, stage], say)
        if ended.code:
            raise failure_of(stage, ended)
        return outcome_of(ended)

    def dvc(self, arguments: Sequence[str], say: Callable[[str], object]) -> Ended:
        """Run a DVC command; where another one is in its way, wait for that and try again."""

        def say_news(line: str) -> None:
            if not ADVICE.match(line):
                say(line)

        while True:
            ended = self._children.run([sys.executable, "-m", "dvc", *arguments], say_news)
            if ended.code == 0 or not is_busy(ended):
                return ended
            self._wait_for(blockers_of(ended), say)

    def _wait_for(self, blockers: dict[int, str], say: Callable[[str], object]) -> None:
        strangers = {
            pid: command for pid, command in blockers.items() if not self._children.owns(pid)
        }
        who = [f"{command} (process {pid})" for pid, command in strangers.items()]
        say(f"waiting for: {', '.join(who) or 'another DVC command'}")
        if not strangers:
            self._children.pause(1.0)
            return
        with self._lock.lent(say, self._children.pause):
            while any(runs(pid) for pid in strangers):
                self._children.pause(0.5)


def is_busy(ended: Ended) -> bool:
    """Tell whether DVC gave up because another DVC command had something locked."""
    return any(words in line for line in ended.lines for words in BUSY)


def blockers_of(ended: Ended) -> dict[int, str]:
    """Return the commands that DVC named as being in its way, by process id.

    >>> blockers_of(Ended(255, ("  (PID 7): dvc repro",)))
    {7: 'dvc repro'}
    """
    found = (BLOCKER.search(line) for line in ended.lines)
    return {int(match[1]): match[2] for match in found if match}


def outcome_of(ended: Ended) -> Outcome:
    """Tell what DVC did to bring a stage up to date.

    >>> outcome_of(Ended(0, ("Stage 'x' is cached - skipping run, checking out outputs",)))
    'Restored'
    """
    if any("is cached - skipping run" in line for line in ended.lines):
        return "Restored"
    if any("didn't change, skipping" in line for line in ended.lines):
        return "Cached"
    return "Ran"


def failure_of(stage: str, ended: Ended) -> StageFailedError:
    """Word a failure as the stage itself did."""
    code = _stage_code(ended)
    if code is None:
        return StageFailedError(_dvcs_error(stage, ended), worth_retrying=False)
    if killed_by := _signal_of(code):
        words = f"ended by signal {killed_by}"
        if killed_by == 9:
            words += ", often for want of memory; see the log of the machine"
        return StageFailedError(words, worth_retrying=True)
    words = own_error(ended.lines) or f"{stage} exited with {code} and printed nothing"
    return StageFailedError(words, worth_retrying=code not in PERSONS_FAULTS)


def own_error(lines: Sequence[str]) -> str:
    r"""Return the last error that a stage printed, before DVC added its own.

    It begins at the last line that looks like ``DataError: ...`` and goes on to the end, since a
    list of faults has many lines. Where no line looks like one, it is the last line printed.

    >>> own_error(["reading", "ParamsError: 2 faults", "  one", "  two", "ERROR: failed to run"])
    'ParamsError: 2 faults\n  one\n  two'
    >>> own_error(["> cat x", "cat: x: No such file", "ERROR: failed to reproduce 'x'"])
    'cat: x: No such file'
    """
    begin = max((i + 1 for i, line in enumerate(lines) if line.startswith("> ")), default=0)
    end = next((i for i, line in enumerate(lines) if DVC_ERROR.match(line)), len(lines))
    said = [line for line in lines[begin:end] if line.strip()]
    starts = [i for i, line in enumerate(said) if ERROR_LINE.match(line)]
    return "\n".join(said[starts[-1] :] if starts else said[-1:])


def _stage_code(ended: Ended) -> int | None:
    """Return the exit code of the stage itself, which DVC prints; None where DVC failed."""
    found = [match for line in ended.lines if (match := EXITED.search(line))]
    return int(found[-1][1]) if found else None


def _signal_of(code: int) -> int | None:
    """Return the signal that an exit code stands for, directly or as a shell reports it."""
    if code < 0:
        return -code
    return code - 128 if 128 < code < 160 else None


def _dvcs_error(stage: str, ended: Ended) -> str:
    errors = [line.removeprefix("ERROR: ") for line in ended.lines if DVC_ERROR.match(line)]
    words = errors[-1] if errors else f"dvc exited with {ended.code}"
    return words.removeprefix(f"failed to reproduce '{stage}': ")
