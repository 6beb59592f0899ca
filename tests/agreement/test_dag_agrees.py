"""dvc.yaml, the stages' code and the settings tell the same story."""

import ast
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

from tasks.__main__ import STAGES
from tasks.params import Params

REPOSITORY = Path(__file__).parents[2]
ROOT_SECTIONS = {"project"}


def _load(name: str) -> Any:
    return YAML(typ="safe").load((REPOSITORY / name).read_text(encoding="utf-8"))


DVC = _load("dvc.yaml")["stages"]


def _data_stages(paths: list[str]) -> set[str]:
    return {path.split("/")[1] for path in paths if path.startswith("data/")}


def _names(outs: list[Any]) -> list[str]:
    """Outs, metrics and plots are paths, or mappings from a path to options."""
    return [out if isinstance(out, str) else next(iter(out)) for out in outs]


def _modules(stage: str) -> list[ast.Module]:
    files = sorted((REPOSITORY / "tasks" / stage).rglob("*.py"))
    assert len(files) >= 3, f"tasks/{stage} has hardly any code"
    return [ast.parse(file.read_text(encoding="utf-8")) for file in files]


def _imports(module: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found


def test_the_stages_are_the_same_everywhere() -> None:
    assert tuple(DVC) == STAGES
    assert len(STAGES) == 8
    sections = set(Params.model_fields)
    assert sections == set(STAGES) | ROOT_SECTIONS
    assert set(_load("params.yaml")) == sections
    for stage in STAGES:
        for file in ("stage.py", "report.py"):
            assert (REPOSITORY / "tasks" / stage / file).is_file(), f"tasks/{stage}/{file}"
        assert (REPOSITORY / "tasks/params" / f"{stage}.py").is_file()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_itself_and_writes_its_own_folder_and_report(stage: str) -> None:
    entry = DVC[stage]
    assert entry["cmd"] == f"python -m tasks {stage}"
    assert entry["desc"].endswith(".")
    written = _names([*entry["outs"], *entry.get("metrics", []), *entry.get("plots", [])])
    assert _data_stages(written) == {stage}
    assert f"reports/{stage}.json" in written
    elsewhere = {path for other in STAGES if other != stage for path in _written(other)}
    assert not elsewhere & set(written)


def _written(stage: str) -> list[str]:
    entry = DVC[stage]
    return _names([*entry["outs"], *entry.get("metrics", []), *entry.get("plots", [])])


@pytest.mark.parametrize("stage", STAGES)
def test_what_a_stage_reads_is_what_dvc_watches(stage: str) -> None:
    from importlib import import_module

    reads = import_module(f"tasks.{stage}.stage").READS
    read_data = {s for s in _data_stages(DVC[stage]["deps"]) if s != "raw"}
    assert read_data == set(reads)
    assert bool(reads) == (stage != "collect")
    for above in reads:
        assert STAGES.index(above) < STAGES.index(stage)


@pytest.mark.parametrize("stage", STAGES)
def test_the_code_that_a_stage_imports_is_what_dvc_watches(stage: str) -> None:
    packages = {
        "/".join(name.split(".")[:2])
        for module in _modules(stage)
        for name in _imports(module)
        if name.startswith("tasks.")
    }
    # Settings reach a stage through its params; a change of words in an error changes no output;
    # what tracking shows is no output either.
    watched_otherwise = {"tasks/params", "tasks/errors", "tasks/registry", "tasks/tracking"}
    deps = set(DVC[stage]["deps"])
    assert packages - watched_otherwise <= deps
    assert f"tasks/{stage}" in packages | {f"tasks/{stage}"} & deps
    assert f"tasks/{stage}" in deps
    assert f"tasks/params/{stage}.py" in deps


@pytest.mark.parametrize("stage", STAGES)
def test_the_files_dvc_watches_exist(stage: str) -> None:
    code = [path for path in DVC[stage]["deps"] if path.startswith("tasks/")]
    assert len(code) >= 3
    for path in code:
        assert (REPOSITORY / path).exists(), path


@pytest.mark.parametrize("stage", STAGES)
def test_the_settings_dvc_watches_exist(stage: str) -> None:
    watched = DVC[stage]["params"]
    assert stage in watched
    for dotted in watched:
        model: Any = Params
        for part in dotted.split("."):
            assert issubclass(model, BaseModel), dotted
            assert part in model.model_fields, dotted
            model = model.model_fields[part].annotation
            if not isinstance(model, type):
                break


def test_params_yaml_writes_down_every_setting_dvc_watches() -> None:
    """DVC stops where one is missing, though it has a default."""
    params, watched = _load("params.yaml"), {w for s in STAGES for w in DVC[s]["params"]}
    assert len(watched) >= 10
    for dotted in watched:
        node = params
        for part in dotted.split("."):
            assert part in node, dotted
            node = node[part]


@pytest.mark.parametrize("stage", STAGES)
def test_the_settings_a_stage_reads_are_what_dvc_watches(stage: str) -> None:
    """A section reached as ``params.SECTION`` in a stage's code must be among its params."""
    read = {
        node.attr
        for module in _modules(stage)
        for node in ast.walk(module)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "params"
        and node.attr in Params.model_fields
    }
    watched = {dotted.split(".")[0] for dotted in DVC[stage]["params"]}
    assert read, f"tasks/{stage} reads no settings"
    assert read <= watched
