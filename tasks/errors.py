"""Everything Fuseline raises on purpose.

    PipelineError            a fault that a person can mend; the message says how
    ├── ParamsError          params.yaml, or a setting in it          exit code 2
    ├── SourceError          a source that cannot be read as declared  exit code 3
    ├── DataError            records or samples that break a promise   exit code 3
    ├── ModelError           a checkpoint or model that does not fit   exit code 4
    ├── TrainingError        training that cannot go on                exit code 4
    └── StageError           a stage failed while a flow ran it        exit code 1

A message is one sentence or two: what was expected, what was found, what to do next. It names the
file, the row and the column wherever there is one.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class PipelineError(Exception):
    """A fault that a person can mend."""

    exit_code = 1


class ParamsError(PipelineError):
    """One or more faults in params.yaml, all listed together."""

    exit_code = 2

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__("\n".join([f"{count} in the settings:", *(f"  {f}" for f in faults)]))


class SourceError(PipelineError):
    """A source that is missing or cannot be read as it was declared."""

    exit_code = 3


class DataError(PipelineError):
    """Records or samples that break a promise a stage makes."""

    exit_code = 3


class ModelError(PipelineError):
    """A checkpoint or a model that is missing, unsafe or does not fit the data."""

    exit_code = 4


class TrainingError(PipelineError):
    """Training that cannot go on: nothing to train, or a loss that is no number."""

    exit_code = 4


class StageError(PipelineError):
    """A stage that failed while a flow was running it."""


def nearest(name: str, available: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" where a name is close, and "" where none is.

    >>> nearest("fusoin", ["fusion", "epochs"])
    " Did you mean 'fusion'?"
    >>> nearest("zebra", ["fusion"])
    ''
    """
    close = get_close_matches(name, list(available), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""


def listing(names: Iterable[str], most: int = 12) -> str:
    """List names for a message, the first few of them where there are many.

    >>> listing(["a", "b"])
    "'a', 'b'"
    >>> listing(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    names = list(names)
    shown = ", ".join(f"'{name}'" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
