"""Boxes on images, in VOC's and in COCO's layout: checked against their image, cut out of it."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.errors import SourceError
from tasks.samples.decoding import decode_image
from tasks.samples.media import MediaStore

SHARED = Path(os.environ.get("FUSELINE_SHARED", Path(__file__).parents[4] / "shared"))
WIDTH, HEIGHT = 40, 30


def png(width=WIDTH, height=HEIGHT, orientation=None):
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([columns * 6, rows * 8, columns * 0], axis=-1).astype(np.uint8)
    file = io.BytesIO()
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    Image.fromarray(pixels).save(file, format="PNG", exif=exif)
    return file.getvalue()


def voc(*boxes, size=(WIDTH, HEIGHT), filename="a.png", extra=""):
    objects = "".join(
        f"<object><name>{name}</name><difficult>{hard}</difficult><bndbox>"
        + "".join(f"<{key}>{c}</{key}>" for key, c in zip(CORNERS, corners, strict=True))
        + "</bndbox></object>"
        for name, hard, corners in boxes
    )
    return (
        f"<annotation>{extra}<filename>{filename}</filename><size><width>{size[0]}</width>"
        f"<height>{size[1]}</height><depth>3</depth></size>{objects}</annotation>"
    ).encode()


CORNERS = ("xmin", "ymin", "xmax", "ymax")
INSIDE = ("cell", 0, (3, 4, 13, 9))


@pytest.fixture
def collect(tmp_path, settings, outcome_of):
    def run(files, **source):
        for name, content in files.items():
            path = tmp_path / "raw" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return outcome_of(
            "collect",
            settings({"name": "boxes", **source}, project={"max_bad_fraction": 1.0}),
            tmp_path,
        )

    return run


@pytest.fixture
def collect_voc(collect):
    def run(annotations, images=None, sets=None, **source):
        files = {f"v/Annotations/{name}.xml": xml for name, xml in annotations.items()}
        files |= {f"v/JPEGImages/{n}": c for n, c in (images or {"a.png": png()}).items()}
        files |= {f"v/ImageSets/Main/{n}.txt": c.encode() for n, c in (sets or {}).items()}
        return collect(files, kind="voc", path="v", **source)

    return run


def test_a_box_is_a_record_and_an_image_is_stored_once(collect_voc):
    outcome = collect_voc(
        {"a": voc(INSIDE, ("dot", 1, (0, 0, 40, 30)))},
        sets={"train": "a 1\n", "cell_train": "a -1\n", "trainval": "a\n"},
    )
    cell, dot = outcome.only()
    assert cell["record_id"] == "v/JPEGImages/a.png#1"
    place = [cell[key] for key in ("x", "y", "width", "height", "image_width", "image_height")]
    assert place == [3, 4, 10, 5, WIDTH, HEIGHT]
    assert (cell["label"], cell["stem"], cell["set"]) == ("cell", "a", "train")
    assert [row["marked"] for row in (cell, dot)] == ["no", "yes"]
    assert [row["clipped"] for row in (cell, dot)] == ["no", "no"]
    assert outcome.report.media_files == 1


def test_boxes_that_cannot_be_used(collect_voc):
    boxes = [
        ("zero", 0, (5, 5, 5, 9)),
        ("backwards", 0, (9, 9, 5, 5)),
        ("beyond", 0, (50, 5, 60, 9)),
        ("words", 0, ("left", 5, 9, 9)),
        ("endless", 0, (1, 5, "inf", 9)),
        ("", 0, (1, 5, 9, 9)),
        ("part", 0, (-4, 20, 10, 99)),
    ]
    outcome = collect_voc({"a": voc(*boxes)})
    reasons = [row["reason"] for row in outcome.quarantine]
    assert reasons == [
        "empty_box",
        "empty_box",
        "box_outside_image",
        "not_a_number",
        "non_finite",
        "missing_fields",
    ]
    (part,) = outcome.only()
    assert [part[key] for key in ("x", "y", "width", "height")] == [0, 20, 10, 10]
    assert part["clipped"] == "yes"
    assert outcome.report.sources[0].notes == {"boxes that left their image, cut to it": 1}


def test_a_size_that_is_not_the_image_s(collect_voc):
    files = {"a": voc(INSIDE, size=(30, 40)), "b": voc(INSIDE, size=(0, 0), filename="gone.jpg")}
    images = {"a.png": png(), "b.png": png()}
    outcome = collect_voc(files, images)
    assert outcome.reasons == {"image_size_mismatch": 1}
    assert outcome.only()[0]["image_width"] == WIDTH
    turned = collect_voc({"a": voc(INSIDE, size=(30, 40))}, {"a.png": png(orientation=6)})
    assert [row["image_width"] for row in turned.only() if row["stem"] == "a"] == [30]


def test_images_that_are_missing_or_torn_between_sets(collect_voc):
    outcome = collect_voc(
        {"a": voc(INSIDE), "b": voc(INSIDE, filename="b.png"), "c": voc(filename="c.png")},
        {"a.png": png(), "c.png": png()},
        {"train": "a\n", "test": "a\n"},
    )
    told = {row["file"]: row["reason"] for row in outcome.quarantine}
    assert told == {"v/Annotations/a.xml": "conflicting_set", "v/Annotations/b.xml": "missing_file"}
    assert outcome.report.sources[0].notes == {"images without a box": 1}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation/>', "unsafe_xml"),
        (b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><annotation/>', "unsafe_xml"),
        (voc(INSIDE)[:-20], "bad_xml"),
        (b"", "bad_xml"),
        (b"\x00\x01", "bad_xml"),
        (b'<?xml version="1.0" encoding="utf-99"?><annotation/>', "bad_xml"),
    ],
)
def test_annotations_that_are_no_plain_xml(collect_voc, content, reason):
    outcome = collect_voc({"a": voc(INSIDE), "b": content})
    assert outcome.reasons == {reason: 1}
    assert len(outcome.only()) == 1


def test_a_name_in_an_annotation_does_not_lead_out(collect_voc, tmp_path):
    (tmp_path / "secret.png").write_bytes(png())
    outcome = collect_voc({"a": voc(INSIDE, filename="../../../secret.png")}, {"x.png": png()})
    assert outcome.reasons == {"missing_file": 1}


def test_folders_that_are_not_there_are_named(collect, collect_voc):
    with pytest.raises(SourceError, match="set `images` to where"):
        collect({"v/Annotations/a.xml": voc(INSIDE)}, kind="voc", path="v")


def test_a_crop_is_the_box_s_own_pixels(collect_voc, tmp_path):
    outcome = collect_voc({"a": voc(INSIDE, ("cell", 0, (30, 20, 99, 25)))}, crop=True)
    store = MediaStore(tmp_path / "data" / "collect" / "media")
    whole = decode_image(png())
    first, second = (decode_image(store.read(row["image"])) for row in outcome.only())
    assert first.tobytes() == whole.crop((3, 4, 13, 9)).tobytes()
    assert second.size == (10, 5)
    assert {row["image.path"] for row in outcome.only()} == {"v/JPEGImages/a.png"}
    assert {store.suffix(row["image"]) for row in outcome.only()} == {".png"}


def test_an_image_that_cannot_be_decoded_cannot_be_cut(collect_voc):
    half = {"a.png": png()[:-40]}
    assert collect_voc({"a": voc(INSIDE)}, half, crop=True).reasons == {"truncated": 1}
    assert collect_voc({"a": voc(INSIDE)}, half).reasons == {}


# COCO


def coco(*annotations, images=({"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT},)):
    categories = [{"id": 7, "name": "cell", "supercategory": "blood"}]
    told = {"images": list(images), "annotations": list(annotations), "categories": categories}
    return json.dumps({"info": {}, **told}).encode()


GOOD = {"id": 5, "image_id": 1, "category_id": 7, "bbox": [3, 4.5, 10, 5], "iscrowd": 1}


@pytest.fixture
def collect_coco(collect):
    def run(content, path="c.json", **files):
        there = {"photos/a.png": png(), "c.json": content, **files}
        return collect(there, kind="coco", path=path, images="photos")

    return run


def test_a_coco_box(collect_coco):
    outline = {"segmentation": [[1.0] * 1000], "area": 50}
    (row,) = collect_coco(coco(GOOD | outline)).only()
    assert row["record_id"] == "c.json#5"
    assert [row[key] for key in ("x", "y", "width", "height")] == [3, 4.5, 10, 5]
    assert (row["label"], row["set"], row["marked"], row["stem"]) == ("cell", None, "yes", "a")


def test_several_files_are_sets(collect, collect_coco):
    files = {"photos/a.png": png(), "n/train.json": coco(GOOD), "n/val.json": coco(GOOD)}
    outcome = collect(files, kind="coco", path="n/*.json", images="photos")
    assert [row["set"] for row in outcome.only()] == ["train", "val"]


def test_coco_boxes_that_cannot_be_used(collect_coco):
    bad = [
        GOOD | {"id": 6, "image_id": 99},
        GOOD | {"id": 7, "category_id": 99},
        GOOD | {"id": 8, "bbox": [1, 2, 3]},
        GOOD | {"id": 9, "bbox": [1, 2, 0, 3]},
        GOOD | {"id": 10, "bbox": [1, 2, "3", 3]},
        GOOD,
        {key: value for key, value in GOOD.items() if key != "id"} | {"bbox": [40, 0, 9, 9]},
    ]
    outcome = collect_coco(coco(GOOD, *bad))
    assert outcome.reasons == {
        "unknown_image": 1,
        "unknown_category": 1,
        "missing_fields": 2,
        "empty_box": 1,
        "conflicting_id": 1,
        "box_outside_image": 1,
    }
    assert len(outcome.only()) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"images": [', "not readable as JSON"),
        (b"[1, 2]", "expected COCO's layout"),
        (b'{"images": [], "annotations": {}, "categories": []}', "expected COCO's layout"),
        (b'{"images": [], "annotations": [], "categories": []}', "expected a box at least"),
        (b'{"images": NaN, "annotations": [], "categories": []}', "NaN is no JSON value"),
        (b"[" * 100_000, "not readable as JSON"),
        (coco(GOOD, images=({"id": 1},)), "image 1 needs an id and a file_name"),
        (coco(GOOD, images=({"id": 1, "file_name": "a.png"},) * 2), "two images have the id 1"),
    ],
    ids=lambda value: value[:12],
)
def test_files_that_are_no_coco(collect_coco, content, words):
    with pytest.raises(SourceError, match=words):
        collect_coco(content)


def test_a_coco_name_does_not_lead_out(collect_coco, tmp_path):
    (tmp_path / "secret.png").write_bytes(png())
    images = ({"id": 1, "file_name": "../../secret.png"},)
    assert collect_coco(coco(GOOD, images=images)).reasons == {"path_outside_root": 1}


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data sets are not here")
def test_blood_cells_have_two_boxes_of_no_area(settings, outcome_of, tmp_path):
    params = settings({"kind": "voc", "name": "cells", "path": "bccd"})
    collect = params.collect.model_copy(update={"root": str(SHARED / "data")})
    outcome = outcome_of("collect", params.model_copy(update={"collect": collect}), tmp_path)
    assert [Path(row["file"]).stem for row in outcome.quarantine] == [
        "BloodImage_00338",
        "BloodImage_00343",
    ]
    assert outcome.reasons == {"empty_box": 2}
    assert outcome.report.media_files == 364
    assert len(outcome.only()) == 4_886
