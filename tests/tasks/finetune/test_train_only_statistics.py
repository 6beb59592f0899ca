"""Statistics of every kind come from the training rows: what is elsewhere leaves no trace."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from numpy.typing import NDArray
from tiny_project import write_tiny_project

from tasks.__main__ import run_stage
from tasks.errors import DataError
from tasks.evaluate.stage import require_trained_on
from tasks.finetune.building import build_model
from tasks.finetune.targets import Targets, learn_targets
from tasks.models.prepared import prepare
from tasks.samples.folders import StageFolders, write_manifest
from tasks.samples.media import MediaWriter, sample_media
from tasks.samples.membership import trained_on
from tasks.samples.schema import SampleSchema
from tasks.samples.tables import read_table, write_table
from tasks.samples.windows import WINDOW_SUFFIX, encode_window

PLANTED: dict[str, Any] = {
    "rows.size": 1e9,
    "rows.place": "a place that only the test split has",
    "rows.question": "zyzzyva quokka xylophone?",
}


def _plant(root: Path, split: str) -> None:
    """Put an outlier into every input of one split, and a class that no other split has."""
    folder = root / "data" / "align" / "windows"
    store = {d: sample_media(StageFolders(root, root)).read(d) for d in _windows(root)}
    with MediaWriter(folder) as windows:
        for content in store.values():
            windows.add(content, WINDOW_SUFFIX)
        loud = windows.add(encode_window(np.full((16, 2), 1e6)), WINDOW_SUFFIX)
    write_manifest(root / "data" / "align")
    for stage in ("split", "augment"):
        path = root / "data" / stage / "samples.parquet"
        table = read_table(path)
        there = pc.equal(table["split"], split)
        for column, value in (*PLANTED.items(), ("watch.window", loud), ("target", _target(table))):
            at = table.schema.get_field_index(column)
            changed = pc.if_else(there, pa.scalar(value, table[column].type), table[column])
            table = table.set_column(at, table.schema.field(at), changed)
        write_table(table, path)
        write_manifest(root / "data" / stage)


def _target(table: pa.Table) -> Any:
    return 1e9 if pa.types.is_floating(table["target"].type) else "a class of its own"


def _windows(root: Path) -> list[str]:
    samples = read_table(root / "data" / "split" / "samples.parquet")
    return list(samples["watch.window"].unique().to_pylist())


@pytest.mark.parametrize("target", ["answer", "price"])
@pytest.mark.parametrize("split", ["test", "validation"])
def test_an_outlier_leaves_no_trace_in_what_training_reads(
    tmp_path: Path, split: str, target: str
) -> None:
    inputs, targets, files = {}, {}, {}
    for name in ("plain", "planted"):
        root = tmp_path / name
        params = write_tiny_project(root, target=target)
        params = params.model_copy(
            update={"pretrain": params.pretrain.model_copy(update={"epochs": 0})}
        )
        if name == "planted":
            _plant(root, split)
        run_stage("pretrain", params, root)
        inputs[name], targets[name] = _what_training_reads(root, params)
        files[name] = _bytes_of(root / "data" / "pretrain")
    assert set(inputs["plain"]) == {"picture", "tone", "question", "watch", "tabular"}
    for name, arrays in inputs["plain"].items():
        assert arrays.tobytes() == inputs["planted"][name].tobytes(), name
        assert np.abs(arrays.astype(np.float64)).max() < 1e5
    assert targets["plain"] == targets["planted"]
    assert files["plain"] == files["planted"]


def _what_training_reads(root: Path, params: Any) -> tuple[Mapping[str, NDArray[Any]], Targets]:
    samples = read_table(root / "data" / "augment" / "samples.parquet")
    schema = SampleSchema.of(samples)
    train = samples.filter(pc.equal(samples["split"], "train"))
    targets = learn_targets(train, schema)
    media = sample_media(StageFolders(root, root))
    built = build_model(
        params.finetune, schema, train, targets, root / "data" / "pretrain", root, media
    )
    prepared = prepare(train, schema.inputs, built.processors, media, None)
    return {name: np.asarray(p.distinct) for name, p in prepared.items()}, targets


def _bytes_of(folder: Path) -> dict[str, str]:
    """Return the digests of the files of processors and tokenizers."""
    files = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.json"))
        if path.name != "MANIFEST.json"
    }
    assert len(files) >= 6
    return files


def test_116_a_model_fitted_on_other_samples_is_not_evaluated(tmp_path: Path) -> None:
    training = tmp_path / "training.json"
    samples = pa.table(
        {
            "sample_id": ["a", "b", "b~1", "c"],
            "split": ["train", "train", "train", "test"],
            "parent_id": [None, None, "b", None],
        }
    )
    training.write_text(json.dumps({"train_digest": trained_on(samples)}))
    require_trained_on(samples.take([1, 0, 2, 3]), training)
    moved = samples.set_column(1, "split", [["train", "train", "train", "train"]])
    with pytest.raises(DataError, match="trained on other samples than the train split holds now"):
        require_trained_on(moved, training)
