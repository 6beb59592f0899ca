"""params.yaml: every fault at once, each with its line and what was expected."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from tasks.errors import ParamsError
from tasks.params import load_params

REPOSITORY = Path(__file__).parents[3]

GOOD = """\
project: {name: demo, seed: 7, cpu_threads: 1, max_bad_fraction: 0.2}
collect:
  root: data/raw
  sources:
    - kind: table
      name: rows
      path: rows.csv
      columns: {text: text, photo: image, label: category, at: time}
clean: {}
align: {base: rows, inputs: [text, photo], target: label}
split: {}
augment: {}
pretrain: {}
finetune: {learning_rate: 1e-3}
evaluate: {}
"""


@pytest.fixture
def faults(tmp_path):
    """Load the good settings with some words replaced, and return what is wrong with them."""

    def of(*changes: tuple[str, str]) -> list[str]:
        text = GOOD
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "params.yaml"
        path.write_text(text)
        with pytest.raises(ParamsError) as fault:
            load_params(path)
        return [line.replace(str(path), "params.yaml") for line in fault.value.faults]

    return of


def test_the_repository_s_own_settings_hold():
    params = load_params(REPOSITORY / "params.yaml")
    assert params.project.name == "digits-qa"
    assert [source.name for source in params.collect.sources] == ["questions", "scans", "tones"]


def test_good_settings_are_frozen_and_yaml_1_2(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(GOOD.replace("name: demo", "name: no"))
    params = load_params(path)
    assert params.finetune.learning_rate == 1e-3
    assert params.project.name == "no"
    with pytest.raises(ValidationError):
        params.project.seed = 8  # type: ignore[misc]


def test_all_faults_are_told_at_once_with_their_lines(faults):
    told = faults(
        ("clean: {}", "clean: {max_image_pixel: 9}"),
        ("learning_rate: 1e-3", 'epochs: "ten", fusion: gatet'),
        ("evaluate: {}", "evaluate: {confidence: 2.0}"),
    )
    assert told == [
        "params.yaml:9: unknown key 'clean.max_image_pixel'. Did you mean 'max_image_pixels'?",
        "params.yaml:14: finetune.fusion: expected 'concat', 'gated' or 'cross_attention', "
        "found 'gatet'. Did you mean 'gated'?",
        "params.yaml:14: finetune.epochs: expected a valid integer, found 'ten'",
        "params.yaml:15: evaluate.confidence: expected less than 1, found 2.0 (float)",
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("split: {}\n", ""), "'split' is missing (write `{}` to take every default)"),
        (("kind: table", "kind: tabel"), "collect.sources.0: expected 'kind' 'table', 'folder'"),
        (("photo: image", "photo: picture"), "expected 'text', 'category', 'labels'"),
        (("{text: text", "{record_id: key, text: text"), "'record_id' of source 'rows' has a name"),
        (("at: time}", "photo.path: text}"), "'photo.path' of source 'rows' has a name"),
        (("base: rows", "base: row"), "Did you mean 'rows'?"),
        (("target: label", "target: labl"), "Did you mean 'label'?"),
        (("target: label", "target: at"), "'rows.at' is of type time; a target is"),
        (("[text, photo]", "[text, at]"), "'rows.at' is of type time; inputs are"),
        (("[text, photo]", "[text, label]"), "'label' is listed among the inputs too"),
        (("[text, photo]", "[]"), "align.inputs: expected 1 or more, found a list too short"),
        (("split: {}", "split: {strategy: predefined}"), "needs 'column'"),
        (
            ("split: {}", "split: {fractions: {train: 0.9}}"),
            "fractions must sum to 1, these sum to 1.2",
        ),
        (("1e-3", ".nan"), "expected a finite number"),
        (("1e-3}", "1e-3, encoders: {sound: {}}}"), "'sound' is no input and no modality"),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_each_fault_says_what_was_expected(faults, change, expected):
    (told,) = faults(change)
    assert expected in told


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty or not UTF-8"),
        (b"caf\xe9: 1", "empty or not UTF-8"),
        (b"- a\n- b\n", "expected a mapping of sections, found a list"),
        (b"project: {}\nclean: {\n", "not valid YAML"),
        (b"clean: {}\nclean: {}\n", "not valid YAML"),
        (b"a: 1\n" * 300_000, "larger than"),
        (b"project: !!python/object/apply:os.system ['true']\n", "params.yaml"),
    ],
)
def test_files_that_are_no_settings(tmp_path, content, expected):
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(ParamsError) as fault:
        load_params(path)
    assert expected in str(fault.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ParamsError, match="there is no such file"):
        load_params(tmp_path / "params.yaml")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tasks", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin"},
        check=False,
    )


def test_a_fault_in_the_settings_exits_with_2(tmp_path):
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    path = tmp_path / "params.yaml"
    path.write_text(path.read_text().replace("copies: 1", "copys: 1"))
    done = run(tmp_path, "collect")
    assert done.returncode == 2
    assert "Did you mean 'copies'?" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_missing_source_exits_with_3_and_an_unknown_stage_with_2(tmp_path):
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    done = run(tmp_path, "collect")
    assert (done.returncode, "SourceError" in done.stderr) == (3, True)
    assert "Traceback" not in done.stderr
    done = run(tmp_path, "colect")
    assert done.returncode == 2
    assert "Did you mean 'collect'?" in done.stdout


def test_inputs_that_repeat_or_give_the_target_away_are_told(faults):
    told = faults(("inputs: [text, photo]", "inputs: [text, rows.text, rows.label]"))
    assert len(told) == 2
    assert "target 'label' is listed among the inputs too" in told[0]
    assert "'rows.text' is listed twice among the inputs" in told[1]
