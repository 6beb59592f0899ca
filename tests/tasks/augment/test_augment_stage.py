import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks.augment.policies import text_policies
from tasks.errors import DataError
from tasks.samples.decoding import Recording
from tasks.samples.schema import SampleSchema
from tasks.samples.transforms import apply_recipe

quick = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SPLIT = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2
TARGET = ["a", "a", "a", "a", "b", "c", "a", "b", "a", "b"]


def test_the_rows_of_the_split_stage_stay_as_they_are(augmenting, split_samples):
    samples = split_samples(TARGET, SPLIT)
    augmenting.run(samples, copies=2, text=("drop_word",), balance="classes")
    written = augmenting.read()
    originals = written.filter(pa.compute.is_null(written["parent_id"]))
    assert originals.drop_columns(["parent_id", "recipe"]).equals(samples)
    assert originals["recipe"].null_count == 10
    assert SampleSchema.of(written) == SampleSchema.of(samples)
    for part in ("validation", "test"):
        kept = written.filter(pa.compute.equal(written["split"], part))
        before = samples.filter(pa.compute.equal(samples["split"], part))
        assert kept.drop_columns(["parent_id", "recipe"]).equals(before)


def test_copies_are_named_by_their_parent_and_stay_in_train(augmenting, split_samples):
    report = augmenting.run(split_samples(TARGET, SPLIT), copies=2)
    copies = augmenting.copies()
    assert sorted(copies) == sorted(f"s{i}~{n}" for i in range(6) for n in (1, 2))
    assert report.n_added == 12
    for name, row in copies.items():
        assert row["parent_id"] == name.split("~")[0]
        assert row["split"] == "train"
        assert row["group"] == f"g{row['parent_id'][1:]}"
        assert row["q.image"] == f"img{row['parent_id'][1:]}"
    assert report.classes_after == {"a": 12, "b": 3, "c": 3}
    assert report.modalities_after == {"question+image+tone+tabular": 18}


def test_recipes_can_be_applied(augmenting, split_samples):
    everything = {
        "image": ("shift", "rotate", "flip_horizontal", "colour", "noise", "erase"),
        "audio": ("noise", "gain", "shift"),
    }
    report = augmenting.run(split_samples(TARGET, SPLIT), copies=4, **everything)
    image = Image.effect_noise((16, 16), 50).convert("RGB")
    tone = Recording(np.sin(np.arange(500)).astype(np.float32), 8000, 1)
    recipes = [json.loads(row["recipe"]) for row in augmenting.copies().values()]
    assert len(recipes) == 24
    assert {step["name"] for r in recipes for step in r["image"]} == set(everything["image"])
    for recipe in recipes:
        assert apply_recipe(image, recipe["image"], "image").tobytes() != image.tobytes()
        assert (apply_recipe(tone, recipe["tone"], "audio").samples != tone.samples).any()
    assert len(report.examples) == 6
    shown = augmenting.copies()[report.examples[0].sample_id]
    assert report.examples[0].recipe == shown["recipe"]


def test_same_seed_same_bytes_and_another_seed_others(augmenting, split_samples):
    samples = split_samples(TARGET, SPLIT)
    manifest = augmenting.root / "data" / "augment" / "MANIFEST.json"
    contents = []
    for seed in (1, 1, 2):
        augmenting.run(samples, seed=seed, copies=1, text=("swap_words",))
        contents.append(manifest.read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_adding_rows_changes_no_other_copy(augmenting, split_samples):
    chosen = {"copies": 2, "text": ("drop_word", "swap_words")}
    augmenting.run(split_samples(TARGET, SPLIT), **chosen)
    before = augmenting.copies()
    more = split_samples(
        ["b", *TARGET], ["train", *SPLIT], ids=["new", *[f"s{i}" for i in range(10)]],
        question=["a new one", *[f"is number {i} even ?" for i in range(10)]],
        image=["new", *[f"img{i}" for i in range(10)]],
        tone=["new", *[f"tone{i}" for i in range(10)]],
    )  # fmt: skip
    augmenting.run(more, **chosen)
    after = augmenting.copies()
    for name, row in before.items():
        assert {k: after[name][k] for k in ("recipe", "q.question")} == {
            k: row[k] for k in ("recipe", "q.question")
        }


def test_samples_that_share_an_image_share_what_is_done_to_it(augmenting, split_samples):
    samples = split_samples(["a", "b"] * 3, ["train"] * 6, image=["one", "one", "two"] * 2)
    augmenting.run(samples, copies=2)
    steps = {}
    for row in augmenting.copies().values():
        done = json.dumps(json.loads(row["recipe"])["image"])
        steps.setdefault((row["q.image"], row["sample_id"][-1]), set()).add(done)
    assert all(len(found) == 1 for found in steps.values())
    assert len(set.union(*steps.values())) == len(steps) == 4


def test_a_missing_input_gets_no_recipe(augmenting, split_samples):
    samples = split_samples(["a", "b"], ["train"] * 2, image=[None, "img"], tone=[None, "tone"])
    report = augmenting.run(samples, copies=1)
    copies = augmenting.copies()
    assert copies["s0~1"]["recipe"] is None
    assert set(json.loads(copies["s1~1"]["recipe"])) == {"image", "tone"}
    assert report.n_plain_repetitions == 1
    assert report.modalities_before == {"question+image+tone+tabular": 1, "question+tabular": 1}


@given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=4),
    copies=st.integers(0, 2),
    most=st.integers(1, 12),
)
@quick
def test_balancing_brings_classes_to_the_largest_as_far_as_allowed(
    augmenting, split_samples, sizes, copies, most
):
    target = [label for label, n in zip("abcd", sizes, strict=False) for _ in range(n)]
    samples = split_samples(target, ["train"] * len(target))
    report = augmenting.run(samples, copies=copies, balance="classes", max_balance_copies=most)
    goal = max(sizes) * (1 + copies)
    for label, size in zip("abcd", sizes, strict=False):
        assert report.classes_after[label] == min(goal, size * (1 + max(most, copies)))
    per_parent = Counter(row["parent_id"] for row in augmenting.copies().values())
    assert max(per_parent.values(), default=0) <= max(most, copies)


def test_balancing_does_not_depend_on_row_order(augmenting, split_samples):
    samples = split_samples(TARGET, SPLIT)
    augmenting.run(samples, balance="classes")
    before = augmenting.copies()
    augmenting.run(samples.take([9, 3, 1, 5, 0, 2, 4, 8, 6, 7]), balance="classes")
    assert augmenting.copies() == before


def test_a_number_cannot_be_balanced_by_class(augmenting, split_samples):
    with pytest.raises(DataError, match="expects a target that is a category"):
        augmenting.run(split_samples([1.0, 2.0], ["train"] * 2), balance="classes")


def test_tabular_samples_are_left_alone_and_it_is_said(augmenting, split_samples):
    samples = split_samples(TARGET, SPLIT, inputs=("tabular",))
    report = augmenting.run(samples, copies=3)
    assert report.n_added == 0
    assert "augment.copies added nothing" in report.notices[0]
    assert augmenting.read().num_rows == 10


def test_no_copies_are_made_where_none_are_asked_for(augmenting, split_samples):
    report = augmenting.run(split_samples(TARGET, SPLIT))
    assert report.n_added == 0
    assert report.notices == ()
    assert augmenting.read()["parent_id"].null_count == 10


def test_a_sample_named_like_a_copy_is_refused(augmenting, split_samples):
    ids = ["x", "x~1", "x~9", "y~1"]
    samples = split_samples(["a", "b"] * 2, ["train", "test"] * 2, ids=ids)
    with pytest.raises(DataError, match=r"1 samples have the names .*'x~1'"):
        augmenting.run(samples, copies=1)


@given(
    text=st.text(alphabet="ab \n\u00e9", max_size=30),
    seed=st.integers(0, 2**32),
    policy=st.sampled_from(list(text_policies)),
)
@quick
def test_text_keeps_its_words_but_for_one_and_is_never_emptied(text, seed, policy):
    after = text_policies.get(policy)(text, np.random.default_rng(seed))
    lost = Counter(text.split()) - Counter(after.split())
    assert not Counter(after.split()) - Counter(text.split())
    n_words = len(text.split())
    assert sum(lost.values()) == (1 if policy == "drop_word" and n_words > 1 else 0)
    assert bool(after.strip()) == bool(text.strip())


def test_changed_texts_are_counted_and_shown(augmenting, split_samples):
    report = augmenting.run(
        split_samples(TARGET, SPLIT), copies=1, text=("drop_word",), image=(), audio=()
    )
    assert report.n_texts_changed == 6
    example = report.examples[0]
    before, after = example.texts["question"]
    assert before == f"is number {example.parent_id[1:]} even ?"
    assert len(after.split()) == 4
    assert augmenting.copies()[example.sample_id]["q.question"] == after
    assert augmenting.copies()[example.sample_id]["recipe"] is None
