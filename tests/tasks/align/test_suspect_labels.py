"""Labels that look wrong are found where the inputs tell of them, and left alone where not."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score
from suspect_samples import World, flagged, spoiled

from tasks.align.suspects.labels import confident_doubts
from tasks.align.suspects.out_of_fold import folds_of, ridge_out_of_fold


def test_planted_label_errors_are_flagged_and_others_are_not(tmp_path):
    world = World(600)
    colours = world.colour()
    world.add("note", "text", [world.caption(c) for c in colours])
    world.add("picture", "image", [world.picture(c) for c in colours])
    given, wrong = spoiled(colours, 0.06, world.rng)
    found = world.judge(tmp_path, world.table(given), {"pairs": "off"})
    labels = found.report.labels
    assert found.report.pairs == ()
    assert labels.trusted
    assert labels.floor < 0.35
    hit = flagged(found, "suspect_label", world.n)
    assert (hit & wrong).sum() >= 0.7 * wrong.sum()
    assert (hit & ~wrong).sum() <= 2
    assert labels.n_flagged == hit.sum() == sum(each.n_flagged for each in found.report.classes)
    first = found.flags.to_pylist()[0]
    place = int(first["sample_id"][2:])
    assert f"given '{given[place]}', the other samples say '{colours[place]}'" in first["detail"]
    assert 0.5 < first["score"] <= 1
    assert sum(labels.scores.counts) == 600


def test_a_few_questions_are_judged_question_by_question(tmp_path):
    """Neither the question nor the picture tells the answer; only the two together do."""
    world = World(900)
    colours = world.colour()
    questions = [str(q) for q in world.rng.choice(["is it red?", "is it blue?", "warm?"], world.n)]
    warm = {"is it red?": ["red"], "is it blue?": ["blue"], "warm?": ["red", "yellow"]}
    answers = ["yes" if c in warm[q] else "no" for c, q in zip(colours, questions, strict=True)]
    world.add("question", "text", questions)
    world.add("picture", "image", [world.picture(c) for c in colours])
    given, wrong = spoiled(answers, 0.05, world.rng)
    found = world.judge(tmp_path, world.table(given))
    assert found.report.labels.model in ("by question", "joined")
    assert found.report.labels.trusted
    hit = flagged(found, "suspect_label", world.n)
    assert (hit & wrong).sum() >= 0.7 * wrong.sum()
    assert (hit & ~wrong).sum() <= 3


def test_inputs_that_say_nothing_of_the_target_accuse_nobody(tmp_path):
    world = World(500)
    world.add("picture", "image", [world.picture(c) for c in world.colour()])
    found = world.judge(tmp_path, world.table(world.colour()))
    assert not found.report.labels.trusted
    assert found.report.labels.n_flagged == found.flags.num_rows == 0
    assert "guessing gives" in found.report.labels.why_not
    assert any("labels were not judged" in notice for notice in found.report.notices)


def test_numbers_far_off_are_flagged(tmp_path):
    world = World(800)
    x, z = world.rng.normal(size=(2, world.n))
    kind = world.rng.choice(["a", "b"], world.n)
    target = 3 * x + z**2 + 4 * (kind == "a") + world.rng.normal(0, 0.2, world.n)
    wrong = world.rng.random(world.n) < 0.03
    target[wrong] += 40
    world.add_table(x=x.tolist(), z=z.tolist(), kind=kind.tolist())
    found = world.judge(tmp_path, world.table(target.tolist(), "number"))
    assert found.report.labels.measure == "r2"
    assert found.report.labels.trusted
    hit = flagged(found, "suspect_label", world.n)
    assert hit[wrong].all()
    assert (hit & ~wrong).sum() <= 8
    assert "the other samples say about" in found.flags["detail"][0].as_py()


def test_a_class_of_a_few_samples_is_not_accused(tmp_path):
    world = World(400)
    colours = world.colour()
    world.add("picture", "image", [world.picture(c) for c in colours])
    given = ["rare"] * 4 + colours[4:]
    found = world.judge(tmp_path, world.table(given))
    assert found.report.labels.n_rare == 4
    assert found.report.labels.n_judged == 396
    assert not flagged(found, "suspect_label", world.n)[:4].any()


def test_what_is_found_does_not_depend_on_the_order_of_the_samples(tmp_path):
    world = World(300)
    colours = world.colour()
    world.add("picture", "image", [world.picture(c) for c in colours])
    table = world.table(spoiled(colours, 0.1, world.rng)[0])
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = world.judge(tmp_path / "a", table)
    other = world.judge(tmp_path / "b", table.take(pa.array(world.rng.permutation(300))))
    assert one.flags.num_rows > 10
    by_name = [("sample_id", "ascending")]
    assert one.flags.sort_by(by_name).equals(other.flags.sort_by(by_name))
    assert one.report == other.report


def test_at_most_as_many_samples_as_the_settings_say_are_judged(tmp_path):
    world = World(500)
    colours = world.colour()
    world.add("picture", "image", [world.picture(c) for c in colours])
    given, wrong = spoiled(colours, 0.1, world.rng)
    found = world.judge(tmp_path, world.table(given), {"max_samples": 200})
    assert found.report.n_examined == found.report.labels.n_judged == 200
    assert 5 < found.report.labels.n_flagged < wrong.sum()
    assert "200 of 500 samples" in found.report.notices[0]


def test_doubts_rank_planted_errors_first():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 900)
    sure = np.eye(3)[truth] * 0.8 + rng.dirichlet([1, 1, 1], 900) * 0.2
    wrong = rng.random(900) < 0.1
    label = np.where(wrong, (truth + 1) % 3, truth)
    score, doubtful = confident_doubts(label, sure)
    assert roc_auc_score(wrong, score) > 0.999
    assert not (doubtful & ~wrong).any()
    assert doubtful.sum() > 0.8 * wrong.sum()


@pytest.mark.parametrize(("n", "d"), [(60, 12), (30, 50)])
def test_ridge_for_all_folds_at_once_is_ridge_for_each(n, d):
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(n)
    features = rng.normal(size=(n, d)).astype(np.float32)
    targets = rng.normal(size=(n, 2))
    folds = folds_of(np.arange(n) // 2, seed=1)
    assert all(len(np.unique(folds[i : i + 2])) == 1 for i in range(0, n, 2))
    (got,) = ridge_out_of_fold(features, targets, folds, [0.1])
    for fold in np.unique(folds):
        own, others = folds == fold, folds != fold
        wide = np.column_stack([features, np.ones(n)])  # the constant is held back like the rest
        total = np.square(wide[others]).sum()
        level = total / (d + 1) if d <= n else total / d
        model = Ridge(alpha=0.1 * level, fit_intercept=False).fit(wide[others], targets[others])
        assert np.allclose(got[own], model.predict(wide[own]), atol=1e-3)
