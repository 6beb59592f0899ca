"""Data sets of Hugging Face, as they lie on disk, and what is asked of those of the hub."""

import datetime as dt
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from datasets import (
    Audio,
    ClassLabel,
    Dataset,
    DatasetDict,
    Features,
    Image,
    Value,
    disable_progress_bars,
)
from datasets import List as Listed
from PIL import Image as Picture

from tasks.errors import SourceError
from tasks.samples.media import MediaStore, digest_of

REPOSITORY = Path(__file__).parents[3]
disable_progress_bars()


def png(colour):
    file = io.BytesIO()
    Picture.new("RGB", (8, 8), colour).save(file, format="PNG")
    return file.getvalue()


def wav(seed):
    file = io.BytesIO()
    samples = np.random.default_rng(seed).normal(0, 0.1, 800)
    soundfile.write(file, samples, 8000, format="WAV", subtype="PCM_16")
    return file.getvalue()


FEATURES = Features(
    {
        "picture": Image(),
        "sound": Audio(),
        "label": ClassLabel(names=["cat", "dog"]),
        "text": Value("string"),
        "size": Value("float32"),
        "count": Value("int64"),
        "fresh": Value("bool"),
        "at": Value("timestamp[ms, tz=UTC]"),
    }
)
COLUMNS = {
    "picture": "image",
    "sound": "audio",
    "label": "category",
    "text": "text",
    "size": "number",
    "count": "number",
    "fresh": "category",
    "at": "time",
}
NOON = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)


def rows(n, first=0):
    """Rows as Arrow holds them: to encode a recording, the library wants one more library."""
    numbers = range(first, first + n)
    columns = {
        "picture": [{"bytes": png((i, 0, 0)), "path": f"/home/me/{i}.png"} for i in numbers],
        "sound": [{"bytes": wav(i), "path": None} for i in numbers],
        "label": [i % 2 for i in numbers],
        "text": [f"text {i}" for i in numbers],
        "size": [i / 2 for i in numbers],
        "count": list(numbers),
        "fresh": [i % 2 == 0 for i in numbers],
        "at": [NOON for _ in numbers],
    }
    return Dataset(pa.table(columns, schema=FEATURES.arrow_schema))


@pytest.fixture
def raw(tmp_path):
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


@pytest.fixture
def collect(tmp_path, settings, outcome_of):
    def run(path="set", columns=COLUMNS, **more):
        source = {"kind": "huggingface", "name": "h", "path": path, "columns": columns, **more}
        return outcome_of("collect", settings(source, project={"max_bad_fraction": 1.0}), tmp_path)

    return run


def test_a_data_set_saved_to_disk(tmp_path, raw, collect):
    rows(3).save_to_disk(str(raw / "set"))
    first, second, third = collect().only()
    assert (first["label"], second["label"], third["label"]) == ("cat", "dog", "cat")
    assert (third["text"], third["size"], third["count"]) == ("text 2", 1.0, 2.0)
    assert (first["fresh"], second["fresh"]) == ("true", "false")
    assert first["at"] == NOON
    store = MediaStore(tmp_path / "data/collect/media")
    assert store.read(first["picture"]) == png((0, 0, 0))
    assert store.read(third["sound"]) == wav(2)
    assert (store.suffix(first["picture"]), store.suffix(first["sound"])) == (".png", ".wav")
    assert first["picture.path"] == f"0-{digest_of(png((0, 0, 0)))[:16]}.png"
    assert "/home" not in json.dumps([row["picture.path"] for row in (first, second, third)])
    assert [row["row"] for row in (first, second, third)] == [1, 2, 3]


def test_parts_are_kept_where_asked_for(raw, collect):
    DatasetDict({"train": rows(3), "test": rows(2, 3)}).save_to_disk(str(raw / "set"))
    columns = {"text": "text", "hub_split": "key"}
    found = [
        (row["text"], row["hub_split"], row["file"]) for row in collect(columns=columns).only()
    ]
    assert [part for _, part, _ in found] == ["train"] * 3 + ["test"] * 2
    assert found[3] == ("text 3", "test", "set/test")
    only = collect(columns=columns, split="test").only()
    assert [row["text"] for row in only] == ["text 3", "text 4"]
    with pytest.raises(SourceError, match=r"no split 'tset'.*Did you mean 'test'"):
        collect(columns=columns, split="tset")


def test_missing_values_are_null(raw, collect):
    features = Features({name: FEATURES[name] for name in ("picture", "label", "text", "size")})
    empty = {name: [None, None] for name in features}
    Dataset.from_dict({**empty, "text": ["a", None]}, features=features).save_to_disk(
        str(raw / "set")
    )
    first, second = collect(columns={name: COLUMNS[name] for name in features}).only()
    assert (first["text"], first["picture"], first["label"], first["size"]) == ("a",) + (None,) * 3
    assert second["text"] is None


def test_a_folder_of_parquet_with_its_features(tmp_path, raw, collect):
    (raw / "set" / "data").mkdir(parents=True)
    rows(3).to_parquet(raw / "set/data/train-00000-of-00002.parquet")
    rows(2, 3).to_parquet(raw / "set/data/train-00001-of-00002.parquet")
    rows(1, 5).to_parquet(raw / "set/data/test-00000-of-00001.parquet")
    found = collect(columns={**COLUMNS, "hub_split": "key"}).only()
    assert [(row["hub_split"], row["text"]) for row in found] == [
        ("test", "text 5"),
        *(("train", f"text {i}") for i in range(5)),
    ]
    assert {row["label"] for row in found} == {"cat", "dog"}
    store = MediaStore(tmp_path / "data/collect/media")
    assert store.read(found[0]["picture"]) == png((5, 0, 0))


def test_bytes_in_plain_parquet(tmp_path, raw, collect):
    (raw / "set").mkdir()
    content = [{"bytes": png((1, 2, 3)), "path": "a.png"}, None]
    table = pa.table({"picture": content, "blob": [wav(1), wav(2)]})
    pq.write_table(table, raw / "set/0.parquet")
    first, second = collect(columns={"picture": "image", "blob": "audio"}).only()
    store = MediaStore(tmp_path / "data/collect/media")
    assert store.read(first["picture"]) == png((1, 2, 3))
    assert second["picture"] is None
    assert store.read(second["blob"]) == wav(2)
    with pytest.raises(SourceError, match=r"holds .* files"):
        collect(columns={"picture": "text"})


def test_a_medium_that_is_only_named_must_lie_under_the_root(tmp_path, raw, collect):
    (tmp_path / "secret.png").write_bytes(png((9, 9, 9)))
    (raw / "a.png").write_bytes(png((1, 1, 1)))
    (raw / "set").mkdir()
    paths = ["a.png", str(tmp_path / "secret.png"), "/etc/passwd", "b.png"]
    table = pa.table(
        {
            "picture": pa.array(
                [{"bytes": None, "path": path} for path in paths], FEATURES["picture"].pa_type
            )
        }
    )
    features = Features({"picture": Image()})
    pq.write_table(table.cast(features.arrow_schema), raw / "set/0.parquet")
    outcome = collect(columns={"picture": "image"})
    assert outcome.reasons == {"path_outside_root": 2, "missing_file": 1}
    assert len(outcome.only()) == 1


def test_lists_and_objects_are_refused_by_name(raw, collect):
    features = Features({"words": Listed(Value("string")), "box": {"x": Value("int32")}})
    Dataset.from_dict({"words": [["a"]], "box": [{"x": 1}]}, features=features).save_to_disk(
        str(raw / "set")
    )
    for column in features:
        with pytest.raises(SourceError, match=rf"column '{column}' is a .*one value a row"):
            collect(columns={column: "text"})


def test_columns_that_do_not_fit_are_named(raw, collect):
    rows(1).save_to_disk(str(raw / "set"))
    with pytest.raises(SourceError, match=r"missing column 'txt'.*Did you mean 'text'"):
        collect(columns={"txt": "text"})
    with pytest.raises(SourceError, match=r"write `picture: image`"):
        collect(columns={"picture": "audio"})
    with pytest.raises(SourceError, match=r"write `sound: audio`"):
        collect(columns={"sound": "text"})


def test_records_are_named_by_content_or_id(raw, collect):
    """The order of the rows does not matter to the names of records; bytes tell two media apart."""
    same_name = [{"bytes": png((i, i, 0)), "path": "image.png"} for i in range(4)]
    features = Features({"picture": Image(), "label": ClassLabel(names=["cat", "dog"])})
    names = []
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        pictures = [same_name[i] for i in order]
        Dataset.from_dict({"picture": pictures, "label": [0] * 4}, features=features).save_to_disk(
            str(raw / "set")
        )
        found = collect(columns={"picture": "image", "label": "category"}).only()
        names.append({row["picture"]: row["record_id"] for row in found})
    assert names[0] == names[1]
    assert len(set(names[0].values())) == 4
    rows(3).save_to_disk(str(raw / "other"))
    by_id = collect("other", {"text": "key"}, id="text").only()
    assert [row["record_id"] for row in by_id] == ["text 0", "text 1", "text 2"]


def test_repeated_ids_across_parts_are_set_aside(raw, collect):
    DatasetDict({"train": rows(3), "test": rows(1)}).save_to_disk(str(raw / "set"))
    outcome = collect(columns={"text": "key", "hub_split": "key"}, id="text")
    assert outcome.reasons == {"conflicting_id": 2}


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("dataset_dict.json", '{"splits": ["../../elsewhere"]}'),
        ("state.json", '{"_data_files": [{"filename": "../../secret.arrow"}]}'),
        ("state.json", '{"_data_files": [{"filename": "/etc/passwd"}]}'),
        ("state.json", "{"),
        ("state.json", "[]"),
    ],
)
def test_lists_of_files_that_lead_out_or_are_broken(raw, collect, file, content):
    rows(1).save_to_disk(str(raw / "set"))
    (raw / "set" / file).write_text(content)
    with pytest.raises(SourceError, match=r"path_outside_root|not a whole data set"):
        collect()


def test_a_damaged_arrow_file(raw, collect):
    rows(1).save_to_disk(str(raw / "set"))
    (file,) = (raw / "set").glob("*.arrow")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(SourceError, match="not a whole data set"):
        collect()


def test_a_folder_that_holds_no_data_set(raw, collect):
    (raw / "set").mkdir()
    (raw / "set" / "model.pkl").write_bytes(b"cposix\nsystem\n")
    with pytest.raises(SourceError, match="no data set; expected what save_to_disk writes"):
        collect()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"dataset": "user/set"}, "needs a revision"),
        ({"dataset": "user/set", "revision": "main"}, "is a branch"),
        ({"dataset": "user/set", "revision": "v1", "path": "set"}, "either a dataset of the hub"),
        ({}, "either a dataset of the hub"),
        ({"path": "set", "revision": "v1"}, "belong to a hub name"),
        ({"path": "set", "id": "other"}, "not among the columns"),
    ],
)
def test_settings_that_are_refused(settings, more, told):
    source = {"kind": "huggingface", "name": "h", "columns": {"text": "text"}, **more}
    with pytest.raises(ValueError, match=told):
        settings(source)


def test_a_hub_name_while_offline(tmp_path, raw):
    """In a process of its own: the libraries read these variables once, when they are imported."""
    script = (
        "from pathlib import Path; from tasks.collect.sources.huggingface import read_huggingface\n"
        "from tasks.collect.rows import Notes; from tasks.params.collect import HuggingfaceSource\n"
        "source = HuggingfaceSource(kind='huggingface', name='h', dataset='user/nothing',\n"
        "    revision='v1', columns={'text': 'text'})\n"
        "try: list(read_huggingface(source, Path('raw'), Notes()))\n"
        "except Exception as fault: print(type(fault).__name__, fault)\n"
    )
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, **offline, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout.startswith("SourceError source 'h': the data set user/nothing@v1")
    assert "HF_HUB_OFFLINE" in ended.stdout
