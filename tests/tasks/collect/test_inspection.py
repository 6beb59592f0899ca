"""What an inspection guesses can be pasted: it loads, names what is there, and hides no doubt."""

import json
import os
import tarfile
from pathlib import Path

import hypothesis.strategies as st
import openpyxl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from PIL import Image
from ruamel.yaml import YAML

from flows.settings import settings as read_settings
from tasks.__main__ import run_stage
from tasks.collect.inspection.columns import guess_column
from tasks.collect.inspection.inspect import inspect
from tasks.collect.inspection.yaml_text import as_yaml
from tasks.errors import SourceError
from tasks.params import load_params

SHARED = Path(os.environ.get("FUSELINE_SHARED", Path(__file__).parents[4] / "shared"))
DATA_SETS = sorted(path.parent.name for path in SHARED.glob("data/*/SOURCE.md"))


@pytest.fixture
def pasted(tmp_path):
    """Inspect a place, and load what is guessed as the settings of a project."""

    def run(path, n_rows=100_000):
        text = as_yaml(inspect(path, n_rows))
        shown, adopted = tmp_path / "guessed.yaml", tmp_path / "params.yaml"
        shown.write_text(text, encoding="utf-8")
        adopted.write_text(read_settings(shown, whole=False).text, encoding="utf-8")
        return load_params(adopted), text

    return run


@pytest.fixture
def data(tmp_path):
    """A folder of files given by name."""

    def write(**files):
        folder = tmp_path / "some data"
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder

    return write


def guessed(name, *cells, files=()):
    return guess_column(name, cells, lambda path: path in files)


@pytest.mark.parametrize(
    ("name", "cells", "kind"),
    [
        ("price", ("1.5", "2", ""), "number"),
        ("colour", ("red", "blue", "red", "blue", "red") * 5, "category"),
        ("grade", ("1", "2", "3") * 30, "category"),
        ("size", tuple(f"{i}.0" for i in range(3)) * 30, "number"),
        ("note", ("a small red house", "one more of these here"), "text"),
        ("question", ("is it even?", "which digit is it?") * 50, "text"),
        ("customer_id", ("1", "2", "2"), "key"),
        ("code", ("007", "008"), "key"),
        ("at", ("2024-03-01T09:00", "2024-03-01 10:00:00Z"), "time"),
        ("part", ("train", "Test", "val"), "category"),
        ("tags", ("a;b", "b;c", "a", "c;a", "b") * 4, "labels"),
        ("mixed", ("1", "two words here and", "nan"), "text"),
        ("empty", ("", None), None),
    ],
)
def test_types_by_the_cells(name, cells, kind):
    assert guessed(name, *cells).kind == kind


@pytest.mark.parametrize(
    ("start", "step", "unit"),
    [(1_700_000_000, 1, "s"), (1_700_000_000_000, 10, "ms"), (0, 0.01, "s")],
)
def test_numbers_that_are_times(start, step, unit):
    guess = guessed("timestamp", *(f"{start + i * step:g}" if step < 1 else str(start + i * step)
                                   for i in range(50)))  # fmt: skip
    assert (guess.kind, guess.time_unit) == ("time", unit)


def test_files_that_are_there_and_files_that_are_not():
    assert guessed("photo", "a.png", "b.JPG", files={"a.png", "b.JPG"}).kind == "image"
    assert guessed("sound", "a.wav", files={"a.wav"}).kind == "audio"
    lost = guessed("photo", "a.png", "b.png")
    assert lost.kind == "key"
    assert "only 0 are there" in lost.why


def test_columns_to_look_out_for_are_pointed_out():
    assert guessed("a", *("x",) * 5).remarks == ("constant",)
    assert "near-constant" in guessed("a", *("1.5",) * 999, "2.5").remarks[0]
    assert "id-like" in guessed("a", *(f"u{i}" for i in range(99))).remarks[0]
    assert not guessed("a", *("x",) * 5).as_input


def test_a_table_with_images_and_a_second_one(data, pasted):
    rows = "".join(f"p{i},photos/{i % 5}.png,k{i % 3},a long text of row {i},{'ab'[i % 2]}\n"
                   for i in range(30))  # fmt: skip
    folder = data(
        **{
            "notes.csv": "plant,photo,site_key,note,species\n" + rows,
            "sites.jsonl": "".join(f'{{"site_key": "k{i}", "height": {i}.5}}\n' for i in range(3)),
            **{f"photos/{i}.png": b"png" for i in range(5)},
        }
    )
    params, text = pasted(folder)
    assert params.align.base == "notes"
    assert set(params.align.inputs) == {"photo", "note", "height"}
    assert params.align.target == "notes.species"
    (join,) = params.align.joins
    assert (join.on, join.right, join.relation) == ("key", "sites", "many_to_one")
    assert "notes.photo" in params.split.group_by
    assert "5 of 5 name a file that is there" in text
    assert [source.name for source in params.collect.sources] == ["notes", "sites"]


def test_another_delimiter_encoding_and_epoch_are_seen(data, pasted):
    rows = "".join(f"{1_700_000_000_000 + 86_400_000 * i};caf\u00e9;{i % 2}\n" for i in range(40))
    folder = data(**{"rows.csv": ("timestamp;word;label\n" + rows).encode("latin-1")})
    (source,) = pasted(folder)[0].collect.sources
    assert (source.delimiter, source.encoding, source.time_unit) == (";", "latin-1", "ms")


def test_readings_of_a_sensor(data, pasted, tmp_path):
    rows = "".join(f"{i * 0.02:.2f},{i % 7}.5,{'walk' if i < 50 else 'sit'}\n" for i in range(100))
    folder = data(**{f"watch/{name}.csv": "t,x,label\n" + rows for name in ("s1", "s2")})
    params, _ = pasted(folder)
    (source,) = params.collect.sources
    assert (source.kind, source.path, source.time_unit) == ("sensor", "watch/*.csv", "s")
    assert params.align.segments.rate_hz == 50
    assert params.align.inputs == ("watch",)
    assert params.split.group_by == ("watch.series",)
    report = run_stage("collect", params, tmp_path)
    assert report.sources[0].readable == 200


def test_folders_of_classes_with_and_without_metadata(data, pasted):
    photos = {f"photos/{label}/{i}.png": b"png" for label in ("oak", "elm") for i in range(4)}
    params, _ = pasted(data(**photos))
    (source,) = params.collect.sources
    assert (source.kind, source.path, source.modality) == ("folder", "photos", "image")
    assert params.align.target == "photos.label"
    table = "file_name,height\n" + "".join(f"{p[7:]},{i}.5\n" for i, p in enumerate(photos))
    params, _ = pasted(data(**photos, **{"photos/metadata.csv": table}))
    (source,) = params.collect.sources
    assert source.metadata.columns == {"height": "number"}
    assert "height" in params.align.inputs


def test_layouts_that_say_what_they_are(data, pasted, tmp_path):
    told = {
        "images": [{"id": 1, "file_name": "a.png", "width": 4, "height": 4}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 2]}],
        "categories": [{"id": 1, "name": "cell"}],
    }
    folder = data(**{"boxes.json": json.dumps(told)})
    (folder / "images").mkdir()
    Image.new("RGB", (4, 4)).save(folder / "images" / "a.png")
    params, _ = pasted(folder)
    (source,) = params.collect.sources
    assert (source.kind, source.images, source.crop) == ("coco", "images", True)
    assert run_stage("collect", params, tmp_path).sources[0].readable == 1


def test_archives_and_saved_data_sets(data, pasted, tmp_path):
    folder = data(**{"a/1.txt": "words"})
    with tarfile.open(folder / "shard-00.tar", "w") as archive:
        for ending in ("txt", "cls", "png"):
            archive.add(folder / "a" / "1.txt", arcname=f"s1.{ending}")
    (source,) = pasted(folder)[0].collect.sources
    assert (source.kind, source.path) == ("webdataset", "shard-00.tar")
    assert source.columns == {"txt": "text", "cls": "category", "png": "image"}
    saved = tmp_path / "saved"
    saved.mkdir()
    features = {
        "text": {"dtype": "string", "_type": "Value"},
        "label": {"names": ["a", "b"], "_type": "ClassLabel"},
        "boxes": [{"dtype": "int64", "_type": "Value"}],
    }
    (saved / "state.json").write_text("{}")
    (saved / "dataset_info.json").write_text(json.dumps({"features": features}))
    params, text = pasted(saved)
    assert params.collect.sources[0].columns == {"text": "text", "label": "category"}
    assert "left out: boxes" in text


def test_a_workbook(data, pasted, tmp_path):
    book = openpyxl.Workbook()
    book.create_sheet("notes")
    for i, row in enumerate(
        [("text", "label"), *(("some words here", "ab"[i % 2]) for i in range(9))]
    ):
        book.worksheets[0].append(row if i == 0 else (f"{row[0]} {i}", row[1]))
    book.save(data(**{"a.txt": ""}) / "rows.xlsx")
    params, _ = pasted(tmp_path / "some data" / "rows.xlsx")
    assert params.collect.sources[0].sheet == "Sheet"
    assert (params.align.inputs, params.align.target) == (("text",), "rows.label")


def test_what_cannot_be_read_is_told(data, pasted):
    folder = data(**{"broken.parquet": b"PAR1", "rows.csv": "a,label\n" + "1.5,x\n2.5,y\n" * 9})
    _, text = pasted(folder)
    assert "broken.parquet: not read" in text


def test_places_with_nothing_in_them(data, tmp_path):
    with pytest.raises(SourceError, match="there is no such file or folder"):
        inspect(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="found nothing that could be a source"):
        inspect(data(**{"a.bin": b"\0"}))


names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters='\0{\r\n,"'), min_size=1
)


@given(name=names.filter(lambda n: n.strip() == n and n not in ("label", "record_id")),
       cell=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n,\""),
                    min_size=1))  # fmt: skip
@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_name_and_any_cell_stay_data(tmp_path, name, cell):
    (tmp_path / "rows.csv").write_text(f"{name},label\n{cell},x\n{cell}2,y\n", encoding="utf-8")
    said = YAML(typ="safe").load(as_yaml(inspect(tmp_path / "rows.csv")))
    (source,) = said["collect"]["sources"]
    assert said["project"]["seed"] == 7
    assert source["path"] == "rows.csv"
    assert set(source["columns"] or {}) <= {name, "label"}


def test_the_embedded_data_set(digits_qa, pasted):
    params, _ = pasted(digits_qa.folder)
    assert params.align.base == "questions"
    assert [join.on for join in params.align.joins] == ["key", "time"]
    assert set(params.align.inputs) == {"question", "image", "tone"}
    assert params.align.target == "questions.answer"


EXPECTED = {
    "av_mnist": ("pairs_sum.total", {"image", "audio"}),
    "bccd": ("bccd.label", {"image"}),
    "car_minute_sensors": ("can_speed.value", {"imu_gyro", "can_radar"}),
    "driving_sim": ("driving_log.steering", {"center", "left", "right", "speed"}),
    "easy_vqa": ("questions.answer", {"image", "question"}),
    "im2latex_sample": ("formulas.latex", {"image"}),
    "mosi_text_audio_video": ("utterances.sentiment", {"text", "opensmile_00", "cnn3d_01"}),
    "phone_watch_har": ("phone.label", {"phone", "watch"}),
}


@pytest.mark.shared
@pytest.mark.skipif(not DATA_SETS, reason="the shared data sets are not here")
@pytest.mark.parametrize("name", DATA_SETS)
def test_real_data_sets(name, pasted):
    params, _ = pasted(SHARED / "data" / name, n_rows=5_000)
    target, inputs = EXPECTED[name]
    assert params.align.target == target
    assert inputs <= {each.rpartition(".")[2] for each in params.align.inputs}
