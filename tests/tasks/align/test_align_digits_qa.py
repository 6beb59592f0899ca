"""The embedded data set from its files to samples, counted against what was planted in it."""

from pathlib import Path

import pyarrow.compute as pc
import pytest

from tasks.__main__ import run_stage
from tasks.demo.digits_qa import CLOCK_OFFSET_SECONDS, write_digits_qa
from tasks.params import load_params
from tasks.samples.tables import read_table

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    root = tmp_path_factory.mktemp("digits-qa")
    settings = (REPOSITORY / "params.yaml").read_text()
    (root / "params.yaml").write_text(
        settings.replace("root: data/raw/digits-qa", f"root: {root / 'data/raw/digits-qa'}")
    )
    manifest = write_digits_qa(root / "data" / "raw" / "digits-qa", n_scans=400)
    params = load_params(root / "params.yaml")
    reports = {
        stage: run_stage(stage, params, root)
        for stage in ("collect", "clean", "align", "split", "augment")
    }
    return root, manifest, reports


def test_the_clock_offset_is_found(demo):
    _, _, reports = demo
    found = reports["align"].pairs[1].time
    assert found.clock_offset_seconds == pytest.approx(CLOCK_OFFSET_SECONDS, abs=0.02)
    assert found.clock_offset_applied


def test_every_tone_is_joined_to_the_scan_it_was_recorded_for(demo):
    root, manifest, _ = demo
    samples = read_table(root / "data" / "align" / "samples.parquet")
    both = samples.filter(pc.is_valid(samples["tones.tone"])).select(
        ["scans.scan_id", "tones.tone.path"]
    )
    assert both.num_rows > 900
    for row in both.to_pylist():
        assert manifest.tone_of[row["scans.scan_id"]] == row["tones.tone.path"]


def test_the_unmatched_are_those_that_were_planted(demo):
    _, manifest, reports = demo
    planted, pair = manifest.planted, reports["align"].pairs[1]
    without_scan = [*planted.missing_images, *planted.truncated_images]
    never_fit = [*planted.tones_without_scan, *planted.tones_out_of_tolerance]
    assert pair.unmatched_right == len(without_scan) + len(never_fit)
    assert reports["align"].quarantine_reasons == {"null_target": len(planted.empty_answers)}


def test_no_image_is_in_two_splits(demo):
    root, _, reports = demo
    samples = read_table(root / "data" / "split" / "samples.parquet")
    with_image = samples.filter(pc.is_valid(samples["scans.image"]))
    pairs = with_image.group_by(["scans.image", "split"]).aggregate([])
    assert pairs.num_rows == len(pairs["scans.image"].unique())
    assert reports["split"].largest_class_deviation < 0.02


def test_training_samples_are_doubled_and_no_other(demo):
    _, _, reports = demo
    train = reports["split"].splits[0].n_samples
    assert (reports["augment"].n_train, reports["augment"].n_added) == (train, train)
