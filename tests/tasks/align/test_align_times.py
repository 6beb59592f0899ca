import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.align.matching import NOBODY, Outcome
from tasks.align.timestamps import NO_TIME, closest_pairs, match_by_time

DIRECTIONS = ("nearest", "backward", "forward")
times = st.lists(st.one_of(st.integers(0, 60), st.just(NO_TIME)), max_size=25)


def match(left, right, tolerance=5, direction="nearest", one_to_one=True):
    left, right = np.array(left, dtype=np.int64), np.array(right, dtype=np.int64)
    order = np.arange(len(left)), np.arange(len(right))
    return match_by_time(left, right, tolerance, direction, one_to_one, *order)


def allowed(left, right, direction):
    return {"nearest": True, "backward": right <= left, "forward": right >= left}[direction]


def distances_of_greedy_pairs(left, right, tolerance, direction):
    """Pair the closest first by looking at every pair; return how far the pairs are apart."""
    pairs = sorted(
        (abs(a - b), i, j)
        for i, a in enumerate(left)
        for j, b in enumerate(right)
        if NO_TIME not in (a, b) and abs(a - b) <= tolerance and allowed(a, b, direction)
    )
    used_left, used_right, distances = set(), set(), []
    for distance, i, j in pairs:
        if i not in used_left and j not in used_right:
            used_left.add(i)
            used_right.add(j)
            distances.append(distance)
    return distances


@given(left=times, right=times, direction=st.sampled_from(DIRECTIONS), tolerance=st.integers(0, 9))
@settings(max_examples=300, deadline=None)
def test_one_to_one_never_reuses_and_never_exceeds_the_tolerance(left, right, direction, tolerance):
    found = match(left, right, tolerance, direction)
    at = np.flatnonzero(found.partner != NOBODY)
    partners = found.partner[at]
    assert len(set(partners.tolist())) == len(partners)
    for i, j in zip(at, partners, strict=True):
        assert abs(left[i] - right[j]) <= tolerance
        assert allowed(left[i], right[j], direction)
    assert (found.left == Outcome.MATCHED).sum() == (found.right == Outcome.MATCHED).sum()


def distinct_gaps(values):
    """Times whose pairwise differences all differ, so that greedy pairing has one answer."""
    return sorted(2**k for k in values)


@given(
    left=st.sets(st.integers(0, 40), max_size=12),
    right=st.sets(st.integers(0, 40), max_size=12),
    direction=st.sampled_from(DIRECTIONS),
    tolerance=st.integers(0, 45),
)
@settings(max_examples=200, deadline=None)
def test_the_closest_pair_of_all_is_taken_first(left, right, direction, tolerance):
    left, right = distinct_gaps(left), distinct_gaps(right - left)
    found = closest_pairs(
        np.array(left, dtype=np.int64), np.array(right, dtype=np.int64), 2**tolerance, direction
    )
    at = np.flatnonzero(found != NOBODY)
    distances = [abs(left[i] - right[found[i]]) for i in at]
    assert sorted(distances) == distances_of_greedy_pairs(left, right, 2**tolerance, direction)


@given(left=times, right=times, direction=st.sampled_from(DIRECTIONS), tolerance=st.integers(0, 9))
@settings(max_examples=200, deadline=None)
def test_reusing_takes_the_nearest_of_all(left, right, direction, tolerance):
    found = match(left, right, tolerance, direction, one_to_one=False)
    for i, a in enumerate(left):
        near = [
            abs(a - b)
            for b in right
            if NO_TIME not in (a, b) and abs(a - b) <= tolerance and allowed(a, b, direction)
        ]
        assert (found.partner[i] != NOBODY) == bool(near)
        if near:
            assert abs(a - right[found.partner[i]]) == min(near)


@given(data=st.data(), left=times, right=times, one_to_one=st.booleans())
@settings(max_examples=150, deadline=None)
def test_row_order_is_irrelevant(data, left, right, one_to_one):
    of_left = np.array(data.draw(st.permutations(range(len(left)))), dtype=np.int64)
    of_right = np.array(data.draw(st.permutations(range(len(right)))), dtype=np.int64)
    lefts, rights = np.array(left, dtype=np.int64), np.array(right, dtype=np.int64)
    plain = match(left, right, one_to_one=one_to_one)
    moved = match_by_time(
        lefts[of_left], rights[of_right], 5, "nearest", one_to_one, of_left, of_right
    )
    expected = {i: j for i, j in enumerate(plain.partner.tolist()) if j != NOBODY}
    found = {int(of_left[i]): int(of_right[j]) for i, j in enumerate(moved.partner) if j != NOBODY}
    assert found == expected
    assert plain.left[of_left].tolist() == moved.left.tolist()
    assert plain.right[of_right].tolist() == moved.right.tolist()


def test_the_loser_of_one_to_one_is_a_duplicate_match():
    found = match([10, 12, 40, NO_TIME], [13, 90, NO_TIME])
    assert found.partner.tolist() == [-1, 0, -1, -1]
    assert [Outcome(code).reason for code in found.left] == [
        "duplicate_match", "matched", "no_partner", "no_time",
    ]  # fmt: skip
    assert [Outcome(code).reason for code in found.right] == ["matched", "no_partner", "no_time"]


def test_a_loser_takes_the_next_best_that_is_free():
    assert match([10, 12], [13, 7]).partner.tolist() == [1, 0]


def test_of_equal_times_the_first_in_the_source_is_matched():
    found = match([20, 20, 20], [21, 21])
    assert found.partner.tolist() == [0, 1, -1]


@pytest.mark.parametrize(("direction", "partner"), [("backward", 1), ("forward", 0)])
def test_direction_keeps_to_one_side_of_time_and_takes_the_same_instant(direction, partner):
    assert match([10], [11, 8], direction=direction).partner.tolist() == [partner]
    assert match([10], [10, 10], direction=direction).partner.tolist() == [0]


def test_many_records_are_matched_one_to_one():
    rng = np.random.default_rng(0)
    right = rng.permutation(np.arange(300_000) * 1000)
    left = right + rng.integers(-300, 300, len(right))
    found = match(left, right, tolerance=400)
    assert (found.partner == np.arange(len(right))).all()
