"""The DAG as dvc.yaml draws it."""

from pathlib import Path

import pytest

from flows.dag import Dag
from tasks.errors import PipelineError
from tests.support.dvc_project import make_project

# Written in an order that cannot be run.
DIAMOND = {
    "join": "{cmd: cat left right > join, deps: [left, right], outs: [join]}",
    "right": "{cmd: cp top right, deps: [top], outs: [right]}",
    "left": "{cmd: cp top left, deps: [top], outs: [left]}",
    "alone": "{cmd: echo alone > alone, outs: [alone]}",
    "top": "{cmd: cp source.txt top, deps: [source.txt], outs: [top]}",
}


@pytest.fixture(scope="module")
def diamond(tmp_path_factory: pytest.TempPathFactory) -> Dag:
    root = make_project(tmp_path_factory.mktemp("diamond"), DIAMOND, source_txt="x")
    return Dag(root)


def test_each_stage_comes_after_what_it_reads(diamond: Dag) -> None:
    order = diamond.stages_in_order()
    assert sorted(order) == sorted(DIAMOND)
    pairs = [(above, stage) for stage in order for above in diamond.upstream(stage)]
    assert sorted(pairs) == [("left", "join"), ("right", "join"), ("top", "left"), ("top", "right")]
    assert all(order.index(above) < order.index(stage) for above, stage in pairs)


def test_until_leaves_out_what_a_stage_does_not_need(diamond: Dag) -> None:
    assert set(diamond.stages_in_order("left")) == {"top", "left"}
    assert set(diamond.stages_in_order("join")) == {"top", "left", "right", "join"}


def test_an_unknown_stage_is_named_with_its_nearest(diamond: Dag) -> None:
    with pytest.raises(PipelineError, match=r"no stage 'jion'.*Did you mean 'join'\?"):
        diamond.stages_in_order("jion")


def test_a_cycle_and_a_folder_without_dvc_are_faults_that_say_so(tmp_path: Path) -> None:
    root = make_project(
        tmp_path / "cycle",
        {"a": "{cmd: cp b a, deps: [b], outs: [a]}", "b": "{cmd: cp a b, deps: [a], outs: [b]}"},
    )
    with pytest.raises(PipelineError, match="ycle"):
        Dag(root)
    (tmp_path / "bare").mkdir()
    with pytest.raises(PipelineError, match="dvc init"):
        Dag(tmp_path / "bare")


def test_a_stage_is_changed_until_it_has_run_and_when_an_input_differs(tmp_path: Path) -> None:
    import subprocess
    import sys

    from tests.support.dvc_project import environment

    root = make_project(tmp_path, {"top": DIAMOND["top"]}, source_txt="x")
    dag = Dag(root)
    assert dag.changed("top")
    subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "-q"], cwd=root, env=environment(), check=True
    )
    dag.forget()
    assert not dag.changed("top")
    (root / "source.txt").write_text("y")
    dag.forget()
    assert dag.changed("top")
