"""Evaluation on data and models that are not as they should be: said, never swallowed."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tasks.errors import DataError, ModelError
from tasks.evaluate.evaluation import evaluate
from tasks.evaluate.gallery import piece_of
from tasks.evaluate.notices import category_notices
from tasks.evaluate.plots import charts_of
from tasks.evaluate.publishing import publish
from tasks.evaluate.report import EvaluateReport
from tasks.evaluate.results import Evaluation
from tasks.evaluate.wording import verdict
from tasks.params import Params
from tasks.samples.folders import StageFolders, write_manifest
from tasks.samples.media import MediaInMemory
from tasks.samples.schema import InputSpec, SampleSchema, TabularColumn

TEXT = InputSpec(name="note", modality="text", column="s.note")
IMAGE = InputSpec(name="photo", modality="image", column="s.photo")
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "$\\frac{$",
    "$5 and $6",
    "\u202egnp.exe\u202c",
    "bell\x07 and \x1b[31mred",
    "=cmd|' /C calc'!A0",
    "| a | b |\n# heading\n</pre>",
    "x" * 5000,
    "{{ 7 * 7 }}{% for x in y %}",
    "]]> --> &amp; &#60;b&#62;",
)


class Echo:
    """A model that always says what it is told to."""

    def __init__(self, schema: SampleSchema, classes: tuple[str, ...], said: np.ndarray) -> None:
        self.schema, self.classes, self.said = schema, classes, said
        self.objective = "classification" if classes else "regression"

    def predict(self, samples: pa.Table, media: Any, cache: Path | None = None) -> np.ndarray:
        return self.said[: samples.num_rows].astype(np.float32)

    def encode(
        self, samples: pa.Table, media: Any, cache: Path | None = None
    ) -> dict[str, np.ndarray]:
        length = [float(len(t or "")) for t in samples["s.note"].to_pylist()]
        return {"note": np.array(length, dtype=np.float32)[:, None]}


def samples_of(split: dict[str, list[Any]], notes: tuple[str, ...] = ("a", "b")) -> pa.Table:
    rows = [(s, target) for s, targets in split.items() for target in targets]
    return pa.table(
        {
            "sample_id": [f"id{i}" for i in range(len(rows))],
            "target": pa.array(
                [t for _, t in rows],
                pa.string() if any(isinstance(t, str) for _, t in rows) else pa.float64(),
            ),
            "s.note": [notes[i % len(notes)] for i in range(len(rows))],
            "group": [f"g{i}" for i in range(len(rows))],
            "split": [s for s, _ in rows],
        }
    )


def schema_of(kind: str = "category") -> SampleSchema:
    return SampleSchema(inputs=(TEXT,), target_column="s.label", target_kind=kind)


def params_of(**evaluate_: Any) -> Params:
    return Params.model_validate(
        {
            "project": {"name": "bad"},
            "collect": {
                "sources": (
                    {
                        "kind": "table",
                        "name": "s",
                        "path": "s.csv",
                        "columns": {"note": "text", "label": "category"},
                    },
                )
            },
            "clean": {},
            "align": {"base": "s", "inputs": ("note",), "target": "label"},
            "split": {},
            "augment": {},
            "pretrain": {},
            "finetune": {},
            "evaluate": {"bootstrap_resamples": 100, **evaluate_},
        }
    )


def measured(samples: pa.Table, classes: tuple[str, ...], said: np.ndarray) -> Evaluation:
    model = Echo(schema_of("category" if classes else "number"), classes, said)
    return evaluate(model, samples, MediaInMemory({}), params_of())


def sure_of(columns: list[int], n_classes: int) -> np.ndarray:
    said = np.full((len(columns), n_classes), 0.1 / max(1, n_classes - 1))
    said[np.arange(len(columns)), columns] = 0.9
    return said


def test_a_class_that_was_not_in_train_is_wrong_and_said_to_be() -> None:
    samples = samples_of(
        {"train": ["a", "b"] * 5, "validation": ["a", "b"], "test": ["a", "b", "new", "new"]}
    )
    evaluation = measured(samples, ("a", "b"), sure_of([0, 1] * 8, 2))
    assert evaluation.class_names == ("a", "b", "new")
    assert evaluation.test.estimates["accuracy"].value == 0.5
    assert evaluation.test.estimates["log_loss"].value is None
    assert "2 samples of a class" in evaluation.test.estimates["log_loss"].undefined
    assert any("2 samples of test" in n and "'new'" in n for n in evaluation.notices)
    assert evaluation.splits["validation"].estimates["log_loss"].value is not None


def test_one_class_in_test_leaves_accuracy_alone() -> None:
    samples = samples_of({"train": ["a", "b"] * 5, "validation": ["a", "b"], "test": ["a"] * 4})
    evaluation = measured(samples, ("a", "b"), sure_of([0, 1] * 8, 2))
    estimates = evaluation.test.estimates
    assert estimates["accuracy"].value == 0.5
    for name in ("balanced_accuracy", "macro_f1", "mcc"):
        assert estimates[name].value is None
        assert "only one class, 'a'" in estimates[name].undefined
    said = EvaluateReport.describe(evaluation).model_dump(mode="json")
    assert said["test"]["mcc"]["value"] is None
    assert "only one class" in said["test"]["mcc"]["undefined"]
    assert "NaN" not in json.dumps(said)


def test_one_class_everywhere_is_no_achievement() -> None:
    samples = samples_of({"train": ["a"] * 8, "validation": ["a"] * 3, "test": ["a"] * 5})
    evaluation = measured(samples, ("a",), np.ones((16, 1)))
    assert evaluation.lead is not None
    assert evaluation.lead.value == 0.0
    assert not evaluation.lead.beyond_chance
    assert "does not beat it beyond chance" in verdict(evaluation)


def test_equal_predictions_leave_the_correlation_undefined() -> None:
    samples = samples_of(
        {"train": ["a", "b"] * 4, "validation": ["a", "b"], "test": ["a", "b"] * 4}
    )
    evaluation = measured(samples, ("a", "b"), sure_of([0] * 18, 2))
    assert evaluation.test.estimates["mcc"].undefined == "every prediction is 'a'"
    assert evaluation.test.estimates["balanced_accuracy"].value == 0.5


def test_three_rows_are_measured_and_not_trusted() -> None:
    samples = samples_of({"train": ["a", "b"] * 4, "validation": ["a"], "test": ["a", "b", "a"]})
    evaluation = measured(samples, ("a", "b"), sure_of([0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 1, 0], 2))
    accuracy = evaluation.test.estimates["accuracy"]
    assert accuracy.value == 1.0
    assert accuracy.low is not None
    assert accuracy.low < 0.4
    assert any("only 3 samples" in notice for notice in evaluation.notices)


@pytest.mark.parametrize("empty", ["train", "validation", "test"])
def test_an_empty_split_is_said_and_breaks_nothing(empty: str, tmp_path: Path) -> None:
    split = {"train": ["a", "b"] * 4, "validation": ["a", "b"] * 2, "test": ["a", "b"] * 3}
    samples = samples_of(split | {empty: []})
    evaluation = measured(samples, ("a", "b"), sure_of([0, 1, 1] * 6, 2))
    estimate = evaluation.splits[empty].estimates["accuracy"]
    assert (estimate.value, estimate.undefined) == (None, "the split holds no samples")
    page, _ = published(evaluation, tmp_path)
    assert "the split holds no samples" in page
    assert (tmp_path / "reports" / "plots" / "confusion.csv").is_file()


def test_a_constant_target_has_no_r2() -> None:
    samples = samples_of({"train": [1.0, 2.0] * 4, "validation": [1.0], "test": [3.0] * 4})
    evaluation = measured(samples, (), np.linspace(1, 3, 13))
    assert evaluation.test.estimates["r2"].value is None
    assert "every target of the split is 3" in evaluation.test.estimates["r2"].undefined
    assert evaluation.test.estimates["rmse"].value is not None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("classes", [("a", "b"), ()])
def test_predictions_that_are_no_number_are_an_error(classes: tuple[str, ...], bad: float) -> None:
    targets: list[Any] = ["a", "b"] if classes else [1.0, 2.0]
    samples = samples_of({"train": targets * 3, "validation": targets, "test": targets * 2})
    said = sure_of([0, 1] * 6, 2) if classes else np.arange(12.0)
    said[[2, 9]] = bad
    with pytest.raises(DataError, match=r"no number for 2 of 12 samples \('id2', 'id9'\)"):
        measured(samples, classes, said)


def test_predictions_of_another_shape_are_an_error() -> None:
    samples = samples_of({"train": ["a", "b"] * 3, "validation": ["a"], "test": ["a", "b"]})
    with pytest.raises(ModelError, match=r"shape \(9, 3\), expected \(9, 2\)"):
        measured(samples, ("a", "b"), np.ones((9, 3)))


def published(evaluation: Evaluation, root: Path, **reports: Any) -> tuple[str, str]:
    folders = StageFolders(root=root, output=root / "data" / ".evaluate.tmp")
    for stage in ("augment", "finetune"):
        (root / "data" / stage).mkdir(parents=True)
        write_manifest(root / "data" / stage)
    folders.output.mkdir()
    folders.reports.mkdir()
    for stage, said in reports.items():
        (folders.reports / f"{stage}.json").write_text(json.dumps(said))
    publish(evaluation, schema_of(), MediaInMemory({}), params_of(), folders)
    page = (folders.reports / "report.html").read_text(encoding="utf-8")
    return page, (folders.reports / "model_card.md").read_text(encoding="utf-8")


def test_hostile_labels_texts_and_reports_stay_words(tmp_path: Path) -> None:
    classes = tuple(sorted(HOSTILE))
    n = len(classes)
    split = {s: list(classes) * 2 for s in ("train", "validation", "test")}
    samples = samples_of(split, notes=HOSTILE)
    said = sure_of([(i * 3 + 1) % n for i in range(6 * n)], n)
    evaluation = measured(samples, classes, said)
    page, card = published(
        evaluation,
        tmp_path,
        clean={
            "notices": list(HOSTILE),
            HOSTILE[0]: HOSTILE[1],
            "sources": [{"name": h, "collected": 1, "quarantined": {h: 1}} for h in HOSTILE],
        },
        align={"pairs": [{"right": HOSTILE[0], "d": {"edges": [0, 1], "counts": [2]}}]},
    )
    assert "&lt;script&gt;alert(1)" in page
    for text in (page, card):
        assert not re.search(r"<script|<img src=x|[\x07\x1b\u202e]", text)
    assert "49" not in re.findall(r"<b class=\"wrong\">([^<]*)</b>", page)
    assert "x" * 500 not in re.sub(r"base64,\S+", "", page)
    for path in (tmp_path / "reports" / "evaluate").iterdir():
        assert path.parent == tmp_path / "reports" / "evaluate"
        assert "<script" not in path.read_text(encoding="utf-8")
    confusion = (tmp_path / "reports" / "plots" / "confusion.csv").read_text(encoding="utf-8")
    assert "'=cmd" in confusion
    assert not re.search(r'(^|,)"?=cmd', confusion, re.M)


def test_a_hundred_classes_are_drawn_and_counted(tmp_path: Path) -> None:
    classes = tuple(f"class number {i:03d}" for i in range(100))
    split = {"train": list(classes) * 2, "validation": list(classes), "test": list(classes) * 2}
    samples = samples_of(split)
    evaluation = measured(samples, classes, sure_of([i % 97 for i in range(500)], 100))
    drawn = {chart.name: chart for chart in charts_of(evaluation, None, None)}
    assert "71 classes" in drawn["confusion"].note
    assert drawn["confusion"].svg.count("class number") < 100


def test_history_that_holds_no_curve_draws_none() -> None:
    samples = samples_of({"train": ["a", "b"] * 4, "validation": ["a"], "test": ["a", "b"]})
    evaluation = measured(samples, ("a", "b"), sure_of([0, 1] * 6, 2))
    for history in ("", "epoch,step,split,loss\n", "nonsense", "epoch,loss\n1,nan\n"):
        names = {chart.name for chart in charts_of(evaluation, history, {"pairs": "none"})}
        assert names == {"floors", "balance", "confusion"}


def test_a_medium_that_cannot_be_shown_says_so() -> None:
    media = MediaInMemory({"d": b"\x89PNG\r\n\x1a\nbroken"})
    piece = piece_of(IMAGE, {"s.photo": "d", "s.photo.path": "a/<b>.png"}, media)
    assert piece.kind == "note"
    assert piece.content.startswith("cannot be shown")
    assert piece_of(IMAGE, {"s.photo": None}, media).content == "missing"


def test_092_categories_that_train_has_not_are_counted():
    schema = SampleSchema(
        inputs=(
            InputSpec(
                name="tabular",
                modality="tabular",
                columns=(TabularColumn(name="t.place", kind="category"),),
            ),
        ),
        target_column="t.label",
        target_kind="category",
    )
    rows = {
        "train": pa.table({"t.place": ["north", "south", None]}),
        "validation": pa.table({"t.place": ["north"]}),
        "test": pa.table({"t.place": ["west", "south", None, "west"]}),
    }
    assert category_notices(schema, rows) == [
        "2 samples of test have a value of 't.place' that train has not; "
        "the model reads it as unknown"
    ]
