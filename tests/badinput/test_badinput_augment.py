"""Bad inputs of augmentation; the number in a test's name is the row of the catalogue."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tiny_project import tiny_params, write_tiny_project

from tasks.__main__ import run_stage
from tasks.errors import DataError
from tasks.samples.folders import write_manifest
from tasks.samples.schema import SampleSchema
from tasks.samples.tables import read_table, write_table

COPIES = {"copies": 2, "text": ("drop_word",), "tabular": ("noise", "swap")}


@pytest.fixture(scope="module")
def augmented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project, augmented by the stage itself."""
    root = tmp_path_factory.mktemp("augmented")
    write_tiny_project(root)
    run_stage("augment", tiny_params(augment=COPIES), root)
    return root


@pytest.fixture
def project(augmented: Path, tmp_path: Path) -> Path:
    shutil.copytree(augmented, tmp_path, dirs_exist_ok=True)
    return tmp_path


def samples_of(root: Path) -> pa.Table:
    return read_table(root / "data" / "augment" / "samples.parquet")


def test_115_parents_of_copies_are_in_train_and_nowhere_else(augmented: Path) -> None:
    samples = samples_of(augmented)
    split_of = dict(
        zip(samples["sample_id"].to_pylist(), samples["split"].to_pylist(), strict=True)
    )
    copies = [row for row in samples.to_pylist() if row["parent_id"]]
    assert len(copies) == 2 * 48
    assert {row["split"] for row in copies} == {"train"}
    assert {split_of[row["parent_id"]] for row in copies} == {"train"}
    for row in copies:
        assert "~" not in row["parent_id"]


def test_115_validation_and_test_rows_keep_their_bytes(augmented: Path) -> None:
    before = read_table(augmented / "data" / "split" / "samples.parquet")
    after = samples_of(augmented)
    for split in ("validation", "test"):
        given = before.filter(pc.equal(before["split"], split))
        kept = after.filter(pc.equal(after["split"], split))
        assert given.num_rows == 24
        assert kept.drop_columns(["parent_id", "recipe"]).equals(given)


@pytest.mark.parametrize("place", ["test", "validation"])
def test_115_a_copy_of_a_sample_that_is_not_for_training_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("FUSELINE_TRACKING", "off")
    samples = samples_of(project)
    rows = samples.to_pylist()
    astray = next(row for row in rows if row["split"] == place)
    victim = next(row for row in rows if row["parent_id"])
    victim["parent_id"] = astray["sample_id"]
    _write(project, samples, rows)
    with pytest.raises(DataError, match="1 augmented copies are not of training samples"):
        run_stage("finetune", tiny_params(), project)


def test_115_a_copy_in_the_test_split_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUSELINE_TRACKING", "off")
    samples = samples_of(project)
    rows = samples.to_pylist()
    next(row for row in rows if row["parent_id"])["split"] = "test"
    _write(project, samples, rows)
    with pytest.raises(DataError, match="run `dvc repro --force augment`"):
        run_stage("finetune", tiny_params(), project)


def _write(root: Path, samples: pa.Table, rows: list[dict[str, Any]]) -> None:
    changed = pa.Table.from_pylist(rows, schema=samples.schema)
    write_table(SampleSchema.of(samples).attach(changed), root / "data/augment/samples.parquet")
    write_manifest(root / "data" / "augment")


def test_116_spreads_and_swapped_values_come_from_train_alone(project: Path) -> None:
    path = project / "data" / "split" / "samples.parquet"
    before = samples_of(project).filter(pc.is_valid(samples_of(project)["parent_id"]))
    samples = read_table(path)
    in_train = np.asarray(pc.equal(samples["split"], "train"))
    at = samples.schema.get_field_index("rows.size")
    planted = np.where(in_train, samples["rows.size"].to_numpy(), 1e12)
    changed = samples.set_column(at, "rows.size", pa.array(planted))
    write_table(SampleSchema.of(samples).attach(changed), path)
    write_manifest(path.parent)
    run_stage("augment", tiny_params(augment=COPIES), project)
    after = samples_of(project).filter(pc.is_valid(samples_of(project)["parent_id"]))
    assert after.equals(before)


def test_185_what_is_drawn_does_not_depend_on_what_was_drawn_before(project: Path) -> None:
    samples = samples_of(project)
    recipes = {
        (row["rows.picture"], row["sample_id"][-1]): json.loads(row["recipe"] or "{}")["picture"]
        for row in samples.to_pylist()
        if row["parent_id"] and row["rows.picture"]
    }
    path = project / "data" / "split" / "samples.parquet"
    half = read_table(path)
    half = half.take(np.arange(len(half))[::-1][: len(half) // 2])
    write_table(half, path)
    write_manifest(path.parent)
    run_stage("augment", tiny_params(augment=COPIES), project)
    again = [r for r in samples_of(project).to_pylist() if r["parent_id"] and r["rows.picture"]]
    assert len(again) > 20
    for row in again:
        drawn = json.loads(row["recipe"])["picture"]
        assert drawn == recipes[row["rows.picture"], row["sample_id"][-1]]
