"""Labels that are wrong or contradict each other, by their number in the catalogue."""

import numpy as np
import pyarrow as pa
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from suspect_samples import World, flagged, spoiled, swapped

from tasks.align.suspects.labels import Examined, suspect_classes
from tasks.align.suspects.pairs import suspect_pairs
from tasks.align.suspects.views import view_of
from tasks.samples.cheap_features.extract import features_of
from tasks.samples.media import MediaInMemory


def test_106_same_content_with_different_labels(tmp_path):
    world = World(120)
    texts = [f"note {i}" for i in range(120)]
    texts[1] = texts[0]
    world.add("note", "text", texts)
    table = world.table(["cat", "dog"] * 60)
    found = world.judge(tmp_path, table, {"labels": "off"})
    assert flagged(found, "contradicting_label", 120).nonzero()[0].tolist() == [0, 1]
    assert found.report.contradictions.n_groups == 1
    found = world.judge(tmp_path, table, {"labels": "off", "contradictions": "drop"})
    assert sorted(found.set_aside) == [0, 1]
    assert found.flags.num_rows == 0


def test_111_labels_that_are_no_class_index_are_classes_by_name(tmp_path):
    """Classes are text throughout, so -1 or a number too large is a class like any other."""
    world = World(150)
    world.add("note", "text", [f"kind{i % 3} thing" for i in range(150)])
    found = world.judge(tmp_path, world.table([["-1", "7", "999"][i % 3] for i in range(150)]))
    assert found.report.labels.value == 1.0
    assert found.flags.num_rows == 0


def examined(world, table):
    media = MediaInMemory(world.media)
    features = [features_of(table, spec, media, 7) for spec in world.inputs]
    codes = [np.arange(world.n) for _ in world.inputs]
    return Examined(
        views=[
            view_of(s.name, f, len(features), 7)
            for s, f in zip(world.inputs, features, strict=True)
        ],
        codes=codes,
        same=codes[0],
        table=features[0].of_samples() if world.inputs[0].modality == "tabular" else None,
        targets=pa.array(table["target"].to_pylist()),
        seed=7,
    )


def test_118_permuted_labels_are_ranked_first():
    digits = load_digits()
    world = World(len(digits.target))
    world.add_table(**{f"p{i}": digits.data[:, i].tolist() for i in range(64)})
    given, wrong = spoiled([str(v) for v in digits.target], 0.05, world.rng)
    found = suspect_classes(examined(world, world.table(given)))
    assert roc_auc_score(wrong, found.score) >= 0.99
    assert (found.flagged & wrong).sum() >= 0.7 * wrong.sum()
    assert (found.flagged & ~wrong).sum() <= 0.01 * world.n


def test_118_swapped_captions_are_ranked_first():
    world = World(1000)
    colours = world.colour()
    notes, wrong = swapped([world.caption(c) for c in colours], 0.05, world.rng)
    world.add("picture", "image", [world.picture(c) for c in colours])
    world.add("note", "text", notes)
    wrong &= [colour not in note for colour, note in zip(colours, notes, strict=True)]
    views = examined(world, world.table(colours)).views
    found = suspect_pairs(views[0], views[1], None, seed=7)
    assert roc_auc_score(wrong, found.score) >= 0.95
    assert found.findings.informative
