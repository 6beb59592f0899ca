"""Every fault has an exit status, and a message that a person can act on."""

import pytest

from tasks.errors import (
    DataError,
    ModelError,
    ParamsError,
    PipelineError,
    SourceError,
    StageError,
    TrainingError,
    listing,
    nearest,
)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (ParamsError, 2),
        (SourceError, 3),
        (DataError, 3),
        (ModelError, 4),
        (TrainingError, 4),
        (StageError, 1),
    ],
)
def test_exit_statuses(kind, status):
    assert issubclass(kind, PipelineError)
    assert kind.exit_code == status


def test_faults_in_settings_are_told_together():
    fault = ParamsError(["params.yaml:1: one", "params.yaml:2: two"])
    assert str(fault) == "2 faults in the settings:\n  params.yaml:1: one\n  params.yaml:2: two"
    assert str(ParamsError(["x"])).startswith("1 fault in")


def test_names_in_messages():
    assert nearest("lable", ["label", "text"]) == " Did you mean 'label'?"
    assert nearest("lable", []) == ""
    assert listing([]) == ""
    assert listing(map(str, range(20)), most=3) == "'0', '1', '2' and 17 more"
