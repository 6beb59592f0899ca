"""Groups of near duplicates, against all pairs compared one by one."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.clean.near_duplicates.grouping import (
    MOST_ALIKE,
    grouped,
    hamming_grouping,
    hamming_tables,
    members,
)

codes_of_few_bits = st.lists(st.integers(0, 2**64 - 1), min_size=0, max_size=30)


def by_all_pairs(codes, distance):
    """Connected components by brute force: the lowest place of each."""
    labels = list(range(len(codes)))
    for i, one in enumerate(codes):
        for j, other in enumerate(codes[:i]):
            if bin(one ^ other).count("1") <= distance and labels[i] != labels[j]:
                low, high = sorted((labels[i], labels[j]))
                labels = [low if label == high else label for label in labels]
    return labels


def partition(labels):
    return {tuple(np.flatnonzero(np.asarray(labels) == label)) for label in set(labels)}


def flipped(code, bits):
    for bit in bits:
        code ^= 1 << int(bit)
    return code


@settings(max_examples=60, deadline=None)
@given(codes_of_few_bits, st.integers(0, 8), st.randoms(use_true_random=False))
def test_groups_are_those_of_all_pairs(codes, distance, random):
    near = [flipped(code, random.sample(range(64), distance)) for code in codes[:10]]
    both = [*codes, *near]
    found = hamming_grouping(np.array(both, np.uint64), distance)
    assert partition(found.labels.tolist()) == partition(by_all_pairs(both, distance))
    assert found.n_skipped == 0


@pytest.mark.parametrize("n", [200, 70_000])
@pytest.mark.parametrize("distance", [0, 1, 4, 8])
def test_codes_within_the_distance_share_a_key(n, distance):
    random = np.random.default_rng(distance)
    base = random.integers(0, 2**64, 200, dtype=np.uint64)
    bits = [random.choice(64, distance, replace=False) for _ in base]
    near = np.array([flipped(int(c), b) for c, b in zip(base, bits, strict=True)], np.uint64)
    shared = np.zeros(200, bool)
    tables = zip(
        hamming_tables(np.resize(base, n), distance),
        hamming_tables(np.resize(near, n), distance),
        strict=True,
    )
    for one, other in tables:
        shared |= one[:200] == other[:200]
        if shared.all():
            return
    pytest.fail(f"{(~shared).sum()} pairs share no key")


def test_the_order_of_codes_plays_no_part():
    random = np.random.default_rng(3)
    base = random.integers(0, 2**64, 300, dtype=np.uint64)
    codes = np.r_[base, base[:100] ^ np.uint64(0b1011)]
    order = random.permutation(len(codes))
    one = hamming_grouping(codes, 4).labels
    other = hamming_grouping(codes[order], 4).labels
    assert {frozenset(g.tolist()) for g in members(one)} == {
        frozenset(order[g].tolist()) for g in members(other)
    }
    assert len(members(one)) == 100


def test_one_code_a_hundred_thousand_times_is_one_group_at_once():
    codes = np.full(100_000, 77, np.uint64)
    found = hamming_grouping(codes, 4)
    assert found.n_compared == 0
    assert [len(group) for group in members(found.labels)] == [100_000]


def test_a_cluster_of_near_codes_is_not_compared_pair_by_pair():
    random = np.random.default_rng(0)
    near = [flipped(12345, random.choice(64, 2, replace=False)) for _ in range(3000)]
    wide = random.integers(0, 2**64, 20_000, dtype=np.uint64)
    found = hamming_grouping(np.r_[np.array(near, np.uint64), wide], 4)
    assert max(len(group) for group in members(found.labels)) == 3000
    assert found.n_compared < 100 * 23_000
    assert found.n_skipped == 0


def test_too_many_that_share_a_key_and_are_not_alike_are_counted():
    n = MOST_ALIKE + 100
    found = grouped(
        iter([np.zeros(n, np.uint64)]), np.arange(n), lambda left, right: np.zeros(len(left), bool)
    )
    left = n - 64
    assert found.n_skipped == left * (left - 1) // 2
    assert found.n_compared == sum(n - 1 - r for r in range(64))
    assert members(found.labels) == []


def test_forms_of_values_are_compared_with_values_only():
    owners = np.array([0, 1, 2, 0, 1, 2])
    asked = set()

    def near(left, right):
        asked.update(zip(left.tolist(), right.tolist(), strict=True))
        return np.zeros(len(left), bool)

    grouped(iter([np.zeros(6, np.uint64)]), owners, near)
    assert all(left < 3 for left, _ in asked)
    assert (0, 3) not in asked
    assert {(0, 1), (0, 4), (2, 3)} <= asked


def test_no_codes_and_one():
    assert len(hamming_grouping(np.zeros(0, np.uint64), 4).labels) == 0
    assert hamming_grouping(np.zeros(1, np.uint64), 4).labels.tolist() == [0]


def test_memory_of_a_hundred_thousand_codes():
    codes = np.random.default_rng(1).integers(0, 2**64, 100_000, dtype=np.uint64)
    tracemalloc.start()
    hamming_grouping(codes, 4)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200 * len(codes)
