"""Copies under other names, in other forms: kept once, or kept together."""

import io

import numpy as np
import pytest
from PIL import Image

from tasks.__main__ import run_stage
from tasks.samples.quarantine import read_quarantine
from tasks.samples.tables import read_table

N_PAIRS = 50


def picture(seed, side=160):
    pixels = np.random.default_rng(seed).integers(0, 255, (9, 9, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def cropped(image):
    edge = image.width // 20
    return image.crop((edge, edge, image.width - edge, image.height - edge))


EDITS = (
    lambda image: encoded(image.resize((100, 80))),
    lambda image: encoded(image, "JPEG", quality=30),
    lambda image: encoded(cropped(image)),
    lambda image: encoded(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    lambda image: encoded(image.convert("L")),
)


@pytest.fixture
def project(tmp_path, settings):
    """Run some stages on a table with one input."""

    def run(kind, rows, stages, **sections):
        raw = tmp_path / "raw"
        raw.mkdir()
        lines = ["id,value,label"]
        for key, (content, label) in enumerate(rows):
            if isinstance(content, bytes):
                (raw / f"{key}.bin").write_bytes(content)
                content = f"{key}.bin"
            lines.append(f"{key},{content},{label}")
        (raw / "rows.csv").write_text("\n".join(lines) + "\n")
        source = {
            "kind": "table",
            "name": "rows",
            "path": "rows.csv",
            "id": "id",
            "columns": {"id": "key", "value": kind, "label": "category"},
        }
        align = {"base": "rows", "inputs": ("value",), "target": "label"}
        params = settings(source, align=align, **sections)
        for stage in stages:
            run_stage(stage, params, tmp_path)
        return tmp_path / "data"

    return run


def splits_of(data):
    samples = read_table(data / "split" / "samples.parquet")
    names = samples["sample_id"].to_pylist()
    return dict(zip(names, samples["split"].to_pylist(), strict=True))


def torn(splits):
    """Return the pairs that are in two splits; both of a pair must be there."""
    pairs = [(splits[str(i)], splits[str(i + N_PAIRS)]) for i in range(N_PAIRS)]
    assert len(set(splits.values())) == 3
    return [pair for pair in pairs if pair[0] != pair[1]]


def test_031_an_exact_duplicate_under_two_names_is_kept_once_and_both_are_named(project):
    content = encoded(picture(1))
    data = project("image", [(content, "a"), (content, "a")], ["collect", "clean"])
    assert read_table(data / "collect" / "media" / "index.parquet").num_rows == 1
    kept = read_table(data / "clean" / "records" / "rows.parquet").to_pylist()
    assert [row["value.path"] for row in kept] == ["0.bin"]
    (aside,) = read_quarantine(data / "clean").to_pylist()
    assert (aside["record_id"], aside["reason"]) == ("1", "duplicate")
    assert "'0'" in aside["detail"]
    assert read_table(data / "clean" / "near_duplicates.parquet").num_rows == 0


def test_032_108_near_duplicate_images_are_never_in_two_splits(project):
    originals = [picture(seed) for seed in range(N_PAIRS)]
    edited = [EDITS[i % len(EDITS)](image) for i, image in enumerate(originals)]
    rows = [*((encoded(image, "JPEG", quality=95)) for image in originals), *edited]
    labelled = [(content, "ab"[i % 2]) for i, content in enumerate(rows)]
    data = project("image", labelled, ["collect", "clean", "align", "split"])
    groups = read_table(data / "clean" / "near_duplicates.parquet")
    assert groups.num_rows == 2 * N_PAIRS
    assert len(set(groups["near_group"].to_pylist())) == N_PAIRS
    assert torn(splits_of(data)) == []


def test_108_near_duplicate_texts_are_never_in_two_splits(project):
    random = np.random.default_rng(0)
    texts = [" ".join(f"w{n}" for n in random.integers(0, 900, 40)) for _ in range(N_PAIRS)]
    changed = [text.replace(text.split()[7], "another", 1).upper() for text in texts]
    rows = [(text, "ab"[i % 2]) for i, text in enumerate([*texts, *changed])]
    data = project("text", rows, ["collect", "clean", "align", "split"])
    assert read_table(data / "clean" / "near_duplicates.parquet").num_rows == 2 * N_PAIRS
    assert torn(splits_of(data)) == []


def test_pictures_of_a_camera_that_stands_still_end_and_are_told(tmp_path, settings):
    """Far more pairs are alike at first glance than can be looked at; split says so."""
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    for i in range(400):
        frame = base.copy()
        frame[rng.integers(8), rng.integers(8)] = rng.integers(0, 256, 3)
        folder = tmp_path / "raw" / "frames" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(frame).resize((48, 48), Image.Resampling.NEAREST).save(
            folder / f"{i:03d}.png"
        )
    source = {"kind": "folder", "name": "frames", "path": "frames", "modality": "image"}
    params = settings(
        source, align={"base": "frames", "inputs": ("file",), "target": "label"},
        split={"strategy": "stratified"},
    )  # fmt: skip
    for stage in ("collect", "clean", "align"):
        run_stage(stage, params, tmp_path)
    report = run_stage("split", params, tmp_path)
    assert any("look alike at first glance" in notice for notice in report.notices)
