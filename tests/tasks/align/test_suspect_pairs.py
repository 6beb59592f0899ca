"""Inputs that do not belong together are found where one tells of the other."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from suspect_samples import World, flagged, swapped

from tasks.align.suspects.pairs import Fits, learned_fits, misfits, suspect_pairs, told_apart
from tasks.align.suspects.views import view_of
from tasks.samples.cheap_features.extract import features_of
from tasks.samples.media import MediaInMemory
from tasks.samples.schema import InputSpec

SHARED = Path(os.environ.get("FUSELINE_SHARED", Path(__file__).parents[4] / "shared"))


def judged(world, left, right):
    """Judge the pairs of two inputs, and return what was found."""
    table = world.table(["x"] * world.n)
    media = MediaInMemory(world.media)
    views = [
        view_of(s.name, features_of(table, s, media), 2, seed=1)
        for s in world.inputs
        if s.name in (left, right)
    ]
    return suspect_pairs(views[0], views[1], None, seed=1)


@pytest.mark.parametrize(("left", "right"), [("picture", "note"), ("tone", "note")])
def test_swapped_captions_stand_out(left, right):
    world = World(1000)
    colours = world.colour()
    make = world.picture if left == "picture" else world.tone
    notes, wrong = swapped([world.caption(c) for c in colours], 0.05, world.rng)
    world.add(left, "image" if left == "picture" else "audio", [make(c) for c in colours])
    world.add(right, "text", notes)
    wrong &= [colour not in note for colour, note in zip(colours, notes, strict=True)]
    found = judged(world, left, right)
    assert found.findings.informative
    assert found.findings.told_apart > 0.8
    assert roc_auc_score(wrong, found.score) >= 0.95
    assert (found.flagged & wrong).sum() >= 0.6 * wrong.sum()
    assert (found.flagged & ~wrong).sum() <= 0.02 * world.n
    assert "joined at random" in found.detail(int(np.flatnonzero(found.flagged)[0]))


def test_inputs_that_say_nothing_of_each_other_accuse_nobody(tmp_path):
    world = World(400)
    world.add("picture", "image", [world.picture(c) for c in world.colour()])
    world.add("note", "text", [world.caption(c) for c in world.colour()])
    found = world.judge(tmp_path, world.table(["x", "y"] * 200))
    (pair,) = found.report.pairs
    assert 0.4 < pair.told_apart < 0.6
    assert not pair.informative
    assert pair.n_flagged == 0
    assert "too little" in pair.why_not


def test_clean_pairs_are_left_alone_and_missing_ones_are_not_judged(tmp_path):
    world = World(500)
    colours = world.colour()
    world.add("picture", "image", [None, *(world.picture(c) for c in colours[1:])])
    world.add("note", "text", [world.caption(c) for c in colours])
    found = world.judge(tmp_path, world.table(colours))
    (pair,) = found.report.pairs
    assert pair.informative
    assert pair.n_judged == 499
    assert pair.n_flagged <= 5
    assert not flagged(found, "suspect_pair", world.n)[0]


def test_how_often_real_pairs_fit_better():
    assert told_apart(Fits(np.array([1.0, 2.0]), np.array([0.0, 0.5]))) == 1
    assert told_apart(Fits(np.array([1.0]), np.array([1.0]))) == 0.5
    assert told_apart(Fits(np.array([1.0]), np.zeros(0))) == 0.5


def test_misfits_are_about_as_many_as_are_wrong():
    rng = np.random.default_rng(2)
    for part in (0.0, 0.05, 0.2):
        wrong = rng.random(5000) < part
        real = np.where(wrong, rng.normal(0, 1, 5000), rng.normal(6, 1, 5000))
        score, suspect = misfits(Fits(real, rng.normal(0, 1, 15_000)))
        assert ((score >= 0) & (score <= 1)).all()
        assert (suspect & ~wrong).sum() <= 5
        assert suspect.sum() >= 0.85 * wrong.sum()


def test_learning_needs_what_other_pairs_have_in_common():
    """A relation that holds for one pair only, as between random numbers, is not learnt."""
    world = World(300)
    world.add("note", "text", [f"{world.rng.integers(10**9)}" for _ in range(world.n)])
    world.add_table(x=world.rng.normal(size=world.n).tolist())
    table = world.table(["x"] * world.n)
    left, right = (
        view_of(s.name, features_of(table, s, None), 2, seed=1) for s in world.inputs
    )  # fmt: skip
    pairs = np.column_stack([left.index, right.index])
    assert 0.4 < told_apart(learned_fits(left, right, pairs, seed=1)) < 0.6


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data sets are not here")
def test_swapped_recordings_of_digits_stand_out():
    folder = SHARED / "data" / "av_mnist"
    with (folder / "pairs_same_digit.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"][::2]
    world = World(len(rows))
    read = {n: (folder / n).read_bytes() for r in rows for n in (r["image"], r["audio"])}
    recordings, wrong = swapped([row["audio"] for row in rows], 0.05, world.rng)
    spoken = [name.split("/")[1][0] for name in recordings]
    wrong &= [digit != row["digit"] for digit, row in zip(spoken, rows, strict=True)]
    world.add("image", "image", [world.keep(read[row["image"]]) for row in rows])
    world.add("audio", "audio", [world.keep(read[name]) for name in recordings])
    found = judged(world, "image", "audio")
    assert found.findings.informative
    assert roc_auc_score(wrong, found.score) >= 0.97


def test_a_pair_needs_two_encoders_or_enough_samples():
    world = World(40)
    world.add("picture", "image", [world.picture("red") for _ in range(40)])
    world.inputs.append(InputSpec(name="note", modality="text", column="a.note"))
    world.columns["a.note"] = [world.caption("red") for _ in range(40)]
    found = judged(world, "picture", "note")
    assert found.findings.why_not == "too few pairs to learn from"
    assert not found.flagged.any()
