"""The command line: quick to start, and faults said before any work."""

import subprocess
import sys
from pathlib import Path

import pytest

from flows.settings import BEFORE, adopt, settings
from tasks.errors import ParamsError
from tests.support.dvc_project import REPOSITORY, environment, make_project

STAGE = {"collect": "{cmd: touch ran, deps: [source.txt], outs: [ran]}"}


def fuseline(root: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "flows", *arguments],
        cwd=root,
        env=environment(PYTHONPATH=str(REPOSITORY)),
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_help_and_settings_import_nothing_heavy() -> None:
    code = (
        "import sys, flows.__main__, tasks.params\n"
        "heavy = {'prefect', 'dvc', 'torch', 'transformers', 'mlflow', 'numpy', 'pyarrow'}\n"
        "print(sorted(heavy & set(sys.modules)), 'typer' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True
    )
    assert ended.stdout == "[] True\n"


def test_every_command_says_what_it_is_for() -> None:
    shown = fuseline(REPOSITORY, "--help")
    assert shown.returncode == 0
    for command in ("run", "demo-data", "check", "repro", "track", "ui", "schedule"):
        assert f" {command} " in shown.stdout, command


def test_all_faults_of_the_settings_are_said_at_once_with_exit_code_2(tmp_path: Path) -> None:
    root = make_project(tmp_path, STAGE, source_txt="x")
    params = root / "params.yaml"
    text = params.read_text().replace("fusion: gated", "fusoin: gated")
    params.write_text(text.replace("copies: 1", "copies: many"))
    for command in (["run"], ["check"]):
        ended = fuseline(root, *command)
        assert ended.returncode == 2
        assert "ParamsError: 2 faults" in ended.stderr
        assert "unknown key 'finetune.fusoin'. Did you mean 'fusion'?" in ended.stderr
        assert "augment.copies" in ended.stderr
        assert "Traceback" not in ended.stderr
    assert not (root / "ran").exists()


def test_a_missing_settings_file_and_a_folder_that_is_no_project(tmp_path: Path) -> None:
    root = make_project(tmp_path / "project", STAGE, source_txt="x")
    ended = fuseline(root, "run", "--params", "mine.yaml")
    assert (ended.returncode, "mine.yaml: there is no such file" in ended.stderr) == (2, True)
    ended = fuseline(tmp_path, "check")
    assert (ended.returncode, "no dvc.yaml here" in ended.stderr) == (3, True)


def test_a_source_folder_that_does_not_exist_is_said_before_any_work(tmp_path: Path) -> None:
    root = make_project(tmp_path, STAGE, source_txt="x")
    ended = fuseline(root, "run", "--set", "collect.root=photos")
    assert ended.returncode == 3
    assert "found no 'photos'" in ended.stderr
    assert not (root / "ran").exists()


@pytest.fixture
def params(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text((REPOSITORY / "params.yaml").read_text())
    return path


def test_set_changes_one_value_and_keeps_the_comments(params: Path) -> None:
    chosen = settings(params, ["finetune.epochs=3", "align.joins.1.tolerance_seconds=0.25"])
    assert chosen.params.finetune.epochs == 3
    assert chosen.params.align.joins[1].tolerance_seconds == 0.25
    assert "epochs: 3" in chosen.text
    comments = [line.split("#")[1] for line in params.read_text().splitlines() if "#" in line]
    assert len(comments) >= 8
    assert [c for c in comments if f"#{c}" not in chosen.text] == []
    params.write_text(chosen.text)
    assert settings(params).params == chosen.params


@pytest.mark.parametrize(("value", "read"), [("1e-4", 1e-4), ("1.0e-4", 1e-4), ("0.5", 0.5)])
def test_set_reads_numbers_as_yaml_1_2_does(params: Path, value: str, read: float) -> None:
    chosen = settings(params, [f"finetune.learning_rate={value}"])
    assert chosen.params.finetune.learning_rate == read


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("finetune.epoch=3", "unknown key 'finetune.epoch'. Did you mean 'epochs'?"),
        ("finetune.epochs=many", "finetune.epochs: expected a valid integer, found 'many'"),
        ("finetune.epochs", "expected KEY=VALUE"),
        ("align.joins.7.on=key", "'align.joins' is a list of 2; no place '7'"),
        ("project.seed.x=1", "'project.seed' is a value"),
        ("project.seed=[1", "not a YAML value"),
        ("fintune.epochs=3", "unknown key 'fintune'. Did you mean 'finetune'?"),
    ],
)
def test_a_wrong_assignment_is_refused(params: Path, assignment: str, words: str) -> None:
    before = params.read_text()
    with pytest.raises(ParamsError) as fault:
        settings(params, [assignment])
    assert words in str(fault.value)
    assert params.read_text() == before


def test_a_file_with_three_sections_is_enough_and_keeps_its_text(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "project: {name: mine, seed: 1, cpu_threads: 1, max_bad_fraction: 0.1}\n"
        "collect:\n  root: .\n  sources:\n"
        "    - {kind: table, name: rows, path: rows.csv, columns: {words: text, label: category}}\n"
        "align: {base: rows, inputs: [words], target: label}  # what is learnt\n"
    )
    chosen = settings(mine, whole=False)
    assert chosen.text.startswith(mine.read_text())
    assert chosen.text.endswith("finetune: {}\nevaluate: {}\n")
    (tmp_path / "params.yaml").write_text(chosen.text)
    assert settings(tmp_path / "params.yaml").params == chosen.params

    mine.write_text("align: {base: rows, inputs: [words], target: label}\n")
    with pytest.raises(ParamsError, match="collect"):
        settings(mine, whole=False)


def test_former_settings_are_kept_where_git_does_not_hold_them(tmp_path: Path) -> None:
    root = make_project(tmp_path, STAGE)
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "add", "params.yaml"], cwd=root, check=True)
    subprocess.run(["git", *identity, "commit", "-qm", "x"], cwd=root, check=True)
    held = (root / "params.yaml").read_text()

    assert adopt(root, held) is None
    assert adopt(root, "first: {}\n") is None
    kept = adopt(root, "second: {}\n")
    assert kept == BEFORE.with_stem("params.before.1")
    assert (root / "params.yaml").read_text() == "second: {}\n"
    assert (root / kept).read_text() == "first: {}\n"
    assert adopt(root, "third: {}\n") == BEFORE.with_stem("params.before.2")
    assert (root / kept).read_text() == "first: {}\n"
    assert (root / "params.yaml").read_text() == "third: {}\n"
