"""Names are taken once, and unknown ones are answered with those that are known."""

import os
import subprocess
import sys

import pytest

from tasks.errors import PipelineError
from tasks.registry import Registry


def test_a_name_is_taken_once():
    kinds: Registry[int] = Registry("kind")
    assert kinds.register("one")(1) == 1
    with pytest.raises(PipelineError, match="kind 'one' is registered twice"):
        kinds.register("one")(2)
    assert kinds.get("one") == 1


def test_an_unknown_name_is_answered_with_those_that_are_known():
    kinds: Registry[int] = Registry("fusion")
    for name in ("gated", "concat"):
        kinds.register(name)(1)
    with pytest.raises(PipelineError) as fault:
        kinds.get("gatet")
    assert str(fault.value) == (
        "unknown fusion 'gatet'; known are 'concat', 'gated'. Did you mean 'gated'?"
    )
    assert list(kinds) == ["concat", "gated"]
    assert "gated" in kinds
    assert "gatet" not in kinds


def test_a_third_party_joins_through_an_entry_point(tmp_path):
    (tmp_path / "elsewhere.py").write_text("sum_of = sum\n")
    info = tmp_path / "elsewhere-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fuseline.a_kind]\nsum = elsewhere:sum_of\n")
    asked = "from tasks.registry import Registry; print(Registry('a kind').get('sum')([1, 2]))"
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", asked],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("3", "")
