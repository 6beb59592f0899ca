"""Labels, ids, splits and leaks that must stop the stage, be told, or change nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tasks.__main__ import run_stage
from tasks.errors import DataError
from tasks.params import Params
from tasks.samples.folders import stage_output, write_manifest
from tasks.samples.membership import membership
from tasks.samples.quarantine import read_quarantine
from tasks.samples.schema import InputSpec, SampleSchema, TabularColumn
from tasks.samples.tables import read_table, write_table
from tasks.split.report import SplitReport
from tasks.split.stage import run

SCHEMA = SampleSchema(
    inputs=(
        InputSpec(name="text", modality="text", column="n.text"),
        InputSpec(name="tabular", modality="tabular",
                  columns=(TabularColumn(name="n.code", kind="category"),)),
    ),
    target_column="n.y",
    target_kind="category",
)  # fmt: skip


def table(target: list[str], **columns: list[Any]) -> pa.Table:
    n = len(target)
    given = {"text": [f"text {i}" for i in range(n)], "code": ["-"] * n, **columns}
    return SCHEMA.attach(
        pa.table(
            {
                "sample_id": [f"s{i}" for i in range(n)],
                "target": target,
                **{f"n.{name}": pa.array(values) for name, values in given.items()},
            }
        )
    )


def split(
    root: Path, samples: pa.Table, near: list[list[str]] | None = None, **settings: Any
) -> SplitReport:
    write_table(samples, root / "data/align/samples.parquet")
    write_manifest(root / "data/align")
    rows = [(value, f"g{i}") for i, group in enumerate(near or []) for value in group]
    columns = {
        "column": pa.array(["n.person"] * len(rows), pa.string()),
        "value": pa.array([value for value, _ in rows], pa.string()),
        "near_group": pa.array([group for _, group in rows], pa.string()),
    }
    write_table(pa.table(columns), root / "data/clean/near_duplicates.parquet")
    write_manifest(root / "data/clean")
    source = {"kind": "table", "name": "n", "path": "n.csv", "columns": {"y": "category"}}
    sections = ("clean", "augment", "pretrain", "finetune", "evaluate")
    params = Params.model_validate(
        {
            "project": {},
            "collect": {"sources": (source,)},
            "align": {"base": "n", "inputs": ("text",), "target": "y"},
            "split": settings,
            **{section: {} for section in sections},
        }
    )
    with stage_output(root, "split") as folders:
        return run(params, folders)


def where(root: Path) -> dict[str, str]:
    written = read_table(root / "data/split/samples.parquet")
    return dict(zip(written["sample_id"].to_pylist(), written["split"].to_pylist(), strict=True))


@pytest.mark.parametrize("strategy", ["grouped", "stratified", "k_fold", "nested"])
def test_107_one_person_is_never_in_two_splits(tmp_path, strategy):
    person = [f"p{i}" for i in np.random.default_rng(0).integers(0, 60, 300)]
    split(tmp_path, table(["a", "b"] * 150, person=person), strategy=strategy, group_by=("person",))
    written = read_table(tmp_path / "data/split/samples.parquet")
    pairs = set(zip(written["n.person"].to_pylist(), written["split"].to_pylist(), strict=True))
    assert len(pairs) == len(set(person))


def test_107_a_published_split_that_tears_a_person_stops_the_stage(tmp_path):
    person = ["torn", "torn", *(f"p{i}" for i in range(38))]
    samples = table(["a", "b"] * 20, person=person, part=["train", "test"] * 20)
    with pytest.raises(DataError, match=r"1 groups that share n\.person.*'s0' in train and 's1'"):
        split(tmp_path, samples, strategy="predefined", column="part", group_by=("person",))


def test_108_near_duplicates_are_never_in_two_splits(tmp_path):
    person = [f"{i:064x}" for i in range(200)]
    near = [[person[2 * i], person[2 * i + 1]] for i in range(50)]
    samples = table(["a", "b"] * 100, person=person)
    split(tmp_path, samples, near, group_by=("person",))
    found = where(tmp_path)
    assert sum(found[f"s{2 * i}"] != found[f"s{2 * i + 1}"] for i in range(50)) == 0


def test_110_a_class_that_train_never_sees_and_one_of_a_single_sample_are_named(tmp_path):
    part = ["train"] * 30 + ["test"] * 10
    target = ["a", "b"] * 15 + ["a", "new"] * 5
    target[0] = "alone"
    report = split(tmp_path, table(target, part=part), strategy="predefined", column="part")
    told = " ".join(report.notices)
    assert "never trained on, yet in other splits: 'new'" in told
    assert "fewer than 3 samples have 'alone'" in told


def test_110_stratified_takes_a_class_of_one_sample(tmp_path):
    report = split(tmp_path, table(["a", "b"] * 50 + ["alone"]), strategy="stratified")
    assert sum("alone" in notice for notice in report.notices) == 1


def test_113_one_class_stops_the_stage(tmp_path):
    with pytest.raises(DataError, match="expected several targets among the train samples, found "):
        split(tmp_path, table(["a"] * 40))


def test_113_a_class_that_has_nearly_all_samples_is_told(tmp_path):
    report = split(tmp_path, table(["a"] * 997 + ["b"] * 3), strategy="stratified")
    assert any("99.7% of the samples are of class 'a'; accuracy says" in n for n in report.notices)


def test_114_a_copy_of_the_label_stops_the_stage(tmp_path):
    target = np.random.default_rng(0).choice(["a", "b"], 200).tolist()
    with pytest.raises(DataError, match=r"'n\.code' is a copy of the target"):
        split(tmp_path, table(target, code=target))


def test_114_file_names_and_the_order_of_samples_are_told(tmp_path):
    target = ["first"] * 400 + ["second"] * 400
    texts = [f"scans/{label}/{i}.png" for i, label in enumerate(target)]
    report = split(tmp_path, table(target, text=texts))
    kinds = {leak.column: leak.kind for leak in report.target_leaks}
    assert kinds == {"n.text": "names_target", "order of samples": "order_gives_away"}
    assert any("'n.text' names the target in its text" in notice for notice in report.notices)


def test_116_what_was_trained_on_can_be_checked(tmp_path):
    report = split(tmp_path, table(["a", "b"] * 100))
    written = read_table(tmp_path / "data/split/samples.parquet")
    train = written.filter(pc.equal(written["split"], "train"))
    assert membership(train["sample_id"]) == report.train_digest
    assert membership(train["sample_id"].slice(1)) != report.train_digest
    assert report.splits[0].n_samples == len(train)


@pytest.mark.parametrize("chosen", [{}, {"strategy": "k_fold"}, {"group_by": ("person",)}])
def test_117_a_row_more_or_another_order_moves_nothing(tmp_path, chosen):
    samples = table(["a", "b"] * 100, person=[f"p{i // 3}" for i in range(200)])
    split(tmp_path, samples.slice(1), **chosen)
    before = where(tmp_path)
    split(tmp_path, samples, **chosen)
    assert {name: part for name, part in where(tmp_path).items() if name != "s0"} == before
    split(tmp_path, samples.take(list(reversed(range(200)))).slice(0, 199), **chosen)
    assert where(tmp_path) == before


def test_a_published_leak_can_be_taken_out_of_train(tmp_path):
    texts = ["same", "same", *(f"t{i}" for i in range(38))]
    samples = table(["a", "b", "b", "a"] * 10, text=texts, part=["train", "test"] * 20)
    split(tmp_path, samples, strategy="predefined", column="part", on_leak="drop_train")
    aside = read_quarantine(tmp_path / "data/split").to_pylist()
    assert [(row["record_id"], row["source"], row["reason"]) for row in aside] == [
        ("s0", "n", "duplicate_elsewhere")
    ]
    assert sum(part == "test" for part in where(tmp_path).values()) == 20


def test_a_published_split_without_train_is_refused_in_words(tmp_path, settings, table):
    (tmp_path / "raw").mkdir()
    rows = [f"{i},text {i},{'ab'[i % 2]},test" for i in range(20)]
    (tmp_path / "raw" / "rows.csv").write_text("\n".join(["id,text,label,set", *rows]) + "\n")
    columns = {"id": "key", "text": "text", "label": "category", "set": "category"}
    source = table() | {"columns": columns, "id": "id"}
    params = settings(source, split={"strategy": "predefined", "column": "set"})
    for stage in ("collect", "clean", "align"):
        run_stage(stage, params, tmp_path)
    with pytest.raises(DataError, match="train"):
        run_stage("split", params, tmp_path)
