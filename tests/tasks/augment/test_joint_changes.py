"""What changes together with a flipped image: words, targets, signs; or the flip is refused."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.params import Params
from tasks.samples.schema import InputSpec, SampleSchema
from tasks.samples.side_words import SideWords

N = 24
SIDES = [("is it on the left ?", "Right or left ?", "how many ?")[i % 3] for i in range(N)]


def flipped(row):
    recipe = json.loads(row["recipe"] or "{}")
    return any(step["name"] == "flip_horizontal" for step in recipe.get("image", []))


def run(augmenting, samples, **flip):
    return augmenting.run(
        samples, copies=1, image=("flip_horizontal",), audio=(), joint={"flip_horizontal": flip}
    )


def originals(augmenting):
    return {row["sample_id"]: row for row in augmenting.read().to_pylist() if not row["parent_id"]}


def test_a_flip_swaps_the_words_that_name_a_side(augmenting, split_samples):
    samples = split_samples(["a", "b"] * (N // 2), ["train"] * N, question=SIDES)
    report = run(augmenting, samples)
    before = originals(augmenting)
    swapped = {"is it on the left ?": "is it on the right ?", "Right or left ?": "Left or right ?"}
    n_flipped = 0
    for row in augmenting.copies().values():
        question = before[row["parent_id"]]["q.question"]
        expected = swapped.get(question, question) if flipped(row) else question
        assert row["q.question"] == expected
        n_flipped += flipped(row)
    assert 4 < n_flipped < 20
    assert 0 < report.n_words_swapped < n_flipped
    assert report.n_flips_refused == 0


def test_a_flip_is_refused_where_words_may_not_be_swapped(augmenting, split_samples):
    samples = split_samples(["a", "b"] * (N // 2), ["train"] * N, question=SIDES)
    report = run(augmenting, samples, texts="refuse")
    for row in augmenting.copies().values():
        if row["q.question"] != "how many ?":
            assert not flipped(row)
    assert any(flipped(row) for row in augmenting.copies().values())
    assert report.n_flips_refused > 0
    assert report.n_words_swapped == 0
    assert "were refused" in "\n".join(report.lines())


def test_a_target_that_names_a_side_refuses_the_flip(augmenting, split_samples):
    samples = split_samples(["left", "straight"] * (N // 2), ["train"] * N)
    report = run(augmenting, samples)
    kinds = {(row["target"], flipped(row)) for row in augmenting.copies().values()}
    assert kinds == {("left", False), ("straight", False), ("straight", True)}
    assert report.n_flips_refused > 0


def test_a_target_may_be_swapped_by_setting(augmenting, split_samples):
    samples = split_samples(["turn_left", "turn_right"] * (N // 2), ["train"] * N)
    run(augmenting, samples, target="swap")
    before = originals(augmenting)
    for row in augmenting.copies().values():
        same = row["target"] == before[row["parent_id"]]["target"]
        assert same != flipped(row)
        assert row["target"] in ("turn_left", "turn_right")


def test_words_of_another_language(augmenting, split_samples):
    samples = split_samples(["a", "b"], ["train"] * 2, question=["à gauche"] * 2)
    for _ in range(1):
        run(augmenting, samples, swap_words=(("gauche", "droite"),))
    for row in augmenting.copies().values():
        assert row["q.question"] == ("à droite" if flipped(row) else "à gauche")


def test_words_are_left_alone_where_that_is_asked_for(augmenting, split_samples):
    samples = split_samples(["left", "right"] * (N // 2), ["train"] * N, question=SIDES)
    report = run(augmenting, samples, texts="ignore", target="ignore")
    before = originals(augmenting)
    for row in augmenting.copies().values():
        assert row["q.question"] == before[row["parent_id"]]["q.question"]
        assert row["target"] == before[row["parent_id"]]["target"]
    assert report.n_words_swapped == report.n_flips_refused == 0


def test_a_flip_changes_the_sign_of_numbers(augmenting, split_samples):
    steering = [float(i) - 12 for i in range(N)]
    samples = split_samples(steering, ["train"] * N, age=steering)
    samples = SampleSchema.of(samples).model_copy(update={"target_column": "q.age"}).attach(samples)
    augmenting.columns = {"y": "category", "age": "number"}
    report = run(augmenting, samples, negate=("age",))
    before = originals(augmenting)
    signs = set()
    for row in augmenting.copies().values():
        sign = -1 if flipped(row) else 1
        assert row["q.age"] == sign * before[row["parent_id"]]["q.age"]
        assert row["target"] == sign * before[row["parent_id"]]["target"]
        assert np.copysign(1, row["target"]) == 1 or row["target"] != 0
        signs.add(sign)
    assert signs == {-1, 1}
    assert report.n_numbers_negated > 0


def test_all_images_of_a_sample_are_flipped_or_none(augmenting, split_samples):
    samples = split_samples(["a", "b"] * (N // 2), ["train"] * N)
    samples = samples.append_column("q.rear", [[f"rear{i}" for i in range(N)]])
    schema = SampleSchema.of(samples)
    rear = InputSpec(name="rear", modality="image", column="q.rear")
    samples = schema.model_copy(update={"inputs": (*schema.inputs, rear)}).attach(samples)
    run(augmenting, samples)
    kinds = set()
    for row in augmenting.copies().values():
        recipe = json.loads(row["recipe"] or "{}")
        kinds.add(("image" in recipe, "rear" in recipe))
    assert kinds == {(True, True), (False, False)}


def test_cameras_on_either_side_change_places(augmenting, split_samples):
    samples = split_samples(["a", "b"] * (N // 2), ["train"] * N)
    samples = samples.append_column("q.rear", [[f"rear{i}" for i in range(N)]])
    schema = SampleSchema.of(samples)
    rear = InputSpec(name="rear", modality="image", column="q.rear")
    samples = schema.model_copy(update={"inputs": (*schema.inputs, rear)}).attach(samples)
    augmenting.columns = {"y": "category", "image": "image", "rear": "image"}
    run(augmenting, samples, swap_inputs=(("image", "rear"),))
    kinds = set()
    for row in augmenting.copies().values():
        number = row["parent_id"][1:]
        sides = (f"img{number}", f"rear{number}")
        assert (row["q.image"], row["q.rear"]) == (sides[::-1] if flipped(row) else sides)
        kinds.add(flipped(row))
    assert kinds == {True, False}


def test_samples_that_share_an_image_share_its_flip(augmenting, split_samples):
    samples = split_samples(
        ["a", "b"] * (N // 2), ["train"] * N, image=[f"img{i // 4}" for i in range(N)]
    )
    run(augmenting, samples)
    kinds = {}
    for row in augmenting.copies().values():
        kinds.setdefault(row["q.image"], set()).add(flipped(row))
    assert all(len(found) == 1 for found in kinds.values())
    assert set().union(*kinds.values()) == {True, False}


def test_batches_cannot_change_signs_and_the_settings_say_so():
    with pytest.raises(ValueError, match="cannot change the sign of numbers"):
        Params.model_fields["augment"].annotation.model_validate(
            {
                "online": {"image": ("flip_horizontal",)},
                "joint": {"flip_horizontal": {"negate": ("steering",)}},
            }
        )


@given(st.lists(st.sampled_from(["left", "Right", "LEFT", "lefty", "up", "_", " ", "-"])))
def test_mirroring_twice_gives_the_text_again(parts):
    sides = SideWords([("left", "right")])
    text = "".join(parts)
    assert sides.mirrored(sides.mirrored(text)) == text
    assert sides.are_in(text) == (sides.mirrored(text) != text)


def test_no_pairs_find_nothing():
    sides = SideWords([])
    assert not sides.are_in("left")
    assert sides.mirrored("left") == "left"
    assert np.array_equal([sides.are_in("")], [False])
