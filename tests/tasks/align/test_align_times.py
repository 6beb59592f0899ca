import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.align import timestamps
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


@given(
    left=st.lists(st.integers(0, 80), max_size=60),
    right=st.lists(st.integers(0, 80), max_size=60),
    direction=st.sampled_from(DIRECTIONS),
    tolerance=st.integers(0, 30),
)
@settings(max_examples=400, deadline=None)
def test_pairing_in_rounds_is_pairing_one_by_one(left, right, direction, tolerance):
    times = np.array([*left, *right], dtype=np.int64)
    is_left = np.arange(len(times)) < len(left)
    merged = np.lexsort((is_left != (direction == "forward"), times))
    times, is_left = times[merged], is_left[merged]
    rounds = timestamps._paired_off(times, is_left, tolerance, direction)
    heap = timestamps._paired_off_by_heap(times, is_left, tolerance, direction)
    gaps = [np.sort(times[second] - times[first]).tolist() for first, second in (rounds, heap)]
    assert gaps[0] == gaps[1]
    used = np.concatenate(rounds)
    assert len(np.unique(used)) == len(used)


def test_a_hundred_thousand_dense_times_are_paired_in_seconds():
    rng = np.random.default_rng(0)
    left, right = (np.sort(rng.integers(0, 10**9, 100_000)) for _ in range(2))
    started = time.process_time()
    found = closest_pairs(left, right, 10**6, "nearest")
    assert time.process_time() - started < 3
    assert (found != NOBODY).mean() > 0.9


@given(left=times, right=times, tolerance=st.integers(0, 20))
@settings(max_examples=200, deadline=None)
def test_numbers_are_read_between_records_on_both_sides(left, right, tolerance):
    found = match(left, right, tolerance, "interpolated", one_to_one=False)
    known = [t for t in right if t != NO_TIME]
    for i, at in enumerate(left):
        before = [t for t in known if t <= at]
        after = [t for t in known if t >= at]
        near = (
            at != NO_TIME and before and after
            and at - max(before) <= tolerance and min(after) - at <= tolerance
        )  # fmt: skip
        assert (found.partner[i] != NOBODY) == bool(near)
        if near:
            first, last = right[found.between.before[i]], right[found.between.after[i]]
            read = first * (1 - found.between.share[i]) + last * found.between.share[i]
            assert read == pytest.approx(at)
            assert abs(right[found.partner[i]] - at) == min(at - first, last - at)


def test_interpolated_columns_of_a_stage_run(aligned):
    aligned.source("a", {"t": "time", "y": "category"}, t=[1.0, 2.5, 9.0, None], y=["c"] * 4)
    aligned.source(
        "b", {"t": "time", "v": "number", "w": "number", "s": "text"},
        t=[1.0, 2.0, 4.0], v=[10.0, 20.0, 40.0], w=[1.0, None, 3.0], s=["p", "q", "r"],
    )  # fmt: skip
    join = {
        "on": "time", "right": "b", "left_on": "t", "tolerance_seconds": 2.0,
        "direction": "interpolated", "one_to_one": False,
    }  # fmt: skip
    report = aligned.run(base="a", joins=(join,), inputs=("v", "w", "s"), target="y")
    samples = aligned.read("samples")
    assert samples["b.v"].to_pylist() == [10.0, 25.0, None, None][: samples.num_rows]
    assert samples["b.w"].to_pylist()[:2] == [1.0, None]
    assert samples["b.s"].to_pylist()[:2] == ["p", "q"]
    assert report.pairs[0].unmatched_reasons_left == {"no_time": 1, "no_partner": 1}
    assert report.quarantine_reasons == {"no_inputs": 2}
    assert report.pairs[0].matched_right == 3
