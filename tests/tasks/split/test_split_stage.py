from collections import Counter, defaultdict

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.errors import DataError
from tasks.samples.membership import text_keys
from tasks.samples.schema import SampleSchema
from tasks.split.groups import Groups
from tasks.split.keys import hashed_fractions
from tasks.split.labels import SampleLabels, labels_of
from tasks.split.stratifying import apportion

quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PARTS = (0.7, 0.15, 0.15)


def many(samples_of, n=400, n_patients=80, seed=0, **more):
    """Samples of patients, each with some of three classes."""
    rng = np.random.default_rng(seed)
    target = rng.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1]).tolist()
    patient = [f"p{i:03d}" for i in rng.integers(0, n_patients, n)]
    return samples_of(target, patient=patient, **more)


@pytest.mark.parametrize("strategy", ["random", "stratified"])
def test_every_sample_is_kept_and_no_group_is_torn(splitting, samples_of, strategy):
    samples = many(samples_of)
    report = splitting.run(samples, strategy=strategy, group_by=("patient",))
    written = splitting.read()
    assert written.drop_columns(["group", "split"]).equals(samples)
    assert SampleSchema.of(written) == SampleSchema.of(samples)
    splits = defaultdict(set)
    for patient, split in zip(
        written["notes.patient"].to_pylist(), written["split"].to_pylist(), strict=True
    ):
        splits[patient].add(split)
    assert all(len(found) == 1 for found in splits.values())
    assert sum(s.n_samples for s in report.splits) == report.n_samples == 400
    assert sum(s.n_groups for s in report.splits) == report.n_groups == 80
    for split in report.splits:
        assert sum(split.classes.values()) == split.n_samples


@pytest.mark.parametrize("strategy", ["random", "stratified"])
def test_row_order_is_irrelevant(splitting, samples_of, strategy):
    samples = many(samples_of)
    settings_ = {"strategy": strategy, "group_by": ("patient",)}
    splitting.run(samples, **settings_)
    before = splitting.assignment()
    splitting.run(samples.take(np.random.default_rng(3).permutation(400)), **settings_)
    assert splitting.assignment() == before


def test_hashed_samples_keep_their_split_when_others_are_added(splitting, samples_of):
    first = many(samples_of, ids=[f"old{i}" for i in range(400)])
    splitting.run(first, group_by=("patient",))
    before = splitting.assignment()
    rng = np.random.default_rng(9)
    added = samples_of(
        ["a", "d"] * 150,
        ids=[f"new{i}" for i in range(300)],
        patient=[f"p{i:03d}" for i in rng.integers(40, 300, 300)],
    )
    splitting.run(pa.concat_tables([added, first]), group_by=("patient",))
    after = splitting.assignment()
    assert {name: after[name] for name in before} == before
    assert len(after) == 700


def test_hashed_follows_the_seed_and_the_fractions(splitting, samples_of):
    samples = many(samples_of, n=4000, n_patients=4000)
    report = splitting.run(samples, seed=1)
    first = splitting.assignment()
    for split, part in zip(report.splits, PARTS, strict=True):
        assert split.fraction == pytest.approx(part, abs=0.03)
    splitting.run(samples, seed=2)
    assert splitting.assignment() != first


def test_hashes_are_evenly_spread():
    drawn = hashed_fractions(text_keys([f"g{i}" for i in range(5000)]), "0")
    counts, _ = np.histogram(drawn, bins=10, range=(0, 1))
    assert counts.min() > 400
    assert counts.max() < 600


def shared_out(group, stratum, seed):
    names, of_sample = np.unique(text_keys(group), return_inverse=True)
    n = int(stratum.max()) + 1
    rows = np.arange(len(stratum))
    labels = SampleLabels(("y",) * n, tuple(map(str, range(n))), rows, stratum)
    return apportion(Groups(names, of_sample), labels, PARTS, f"{seed}")


@given(classes=st.lists(st.integers(0, 4), min_size=1, max_size=300), seed=st.integers(0, 2**31))
@quick
def test_single_samples_are_shared_out_to_about_one_of_the_exact_part(classes, seed):
    stratum = np.array(classes, dtype=np.int64)
    split = shared_out([f"g{i}" for i in range(len(classes))], stratum, seed)
    for c in np.unique(stratum):
        counts = np.bincount(split[stratum == c], minlength=3)
        assert np.abs(counts - np.array(PARTS) * (stratum == c).sum()).max() <= 2


@given(seed=st.integers(0, 2**31), n_groups=st.integers(60, 150))
@quick
def test_groups_of_many_samples_are_shared_out_evenly(seed, n_groups):
    rng = np.random.default_rng(seed)
    group = np.repeat([f"g{i}" for i in range(n_groups)], rng.integers(1, 12, n_groups))
    favourite = np.repeat(rng.integers(0, 3, n_groups), np.unique(group, return_counts=True)[1])
    stratum = np.where(rng.random(len(group)) < 0.6, favourite[: len(group)], 0).astype(np.int64)
    split = shared_out(group.tolist(), stratum, seed)
    assert all(len(set(split[group == g])) == 1 for g in set(group))
    fractions = np.bincount(split, minlength=3) / len(split)
    assert np.abs(fractions - PARTS).max() < 0.03
    for c in range(3):
        parts = np.bincount(split[stratum == c], minlength=3) / max(1, (stratum == c).sum())
        assert np.abs(parts - PARTS).max() < 0.1


def test_stratified_gives_each_split_each_class(splitting, samples_of):
    report = splitting.run(many(samples_of), strategy="stratified", group_by=("patient",))
    assert report.largest_class_deviation < 0.03
    assert report.notices == ()
    for split, part in zip(report.splits, PARTS, strict=True):
        assert split.fraction == pytest.approx(part, abs=0.02)


def test_numbers_are_stratified_by_their_size(splitting, samples_of):
    values = np.random.default_rng(1).lognormal(size=300).tolist()
    report = splitting.run(samples_of(values), strategy="stratified")
    medians = [split.target_quartiles[2] for split in report.splits]
    assert max(medians) - min(medians) < 0.15
    assert report.largest_class_deviation is None


def test_few_distinct_numbers_make_few_strata():
    labels = labels_of([("n.y", pa.chunked_array([[1.0, 2.0, 1.0, 2.0, 2.0]]), False)])
    assert labels.names == ("1 to 1", "2 to 2")
    assert labels.labels.tolist() == [0, 1, 0, 1, 1]


def official(samples_of, *names, n=40, **more):
    part = [names[i % len(names)] for i in range(n)]
    return samples_of([("a", "b")[i // 2 % 2] for i in range(n)], part=part, **more)


def test_predefined_splits_are_taken_whatever_their_spelling(splitting, samples_of):
    samples = official(samples_of, "Train", "TEST", "val", "train")
    splitting.run(samples, strategy="predefined", column="part")
    written = splitting.read()
    expected = {"Train": "train", "train": "train", "TEST": "test", "val": "validation"}
    assert written["split"].to_pylist() == [
        expected[name] for name in written["notes.part"].to_pylist()
    ]


def test_validation_is_cut_from_train_by_whole_groups(splitting, samples_of):
    patient = [f"{'t' if i % 4 else 'e'}{i // 8}" for i in range(200)]
    part = ["train" if p.startswith("t") else "test" for p in patient]
    samples = samples_of(["a", "b", "b"] * 66 + ["a", "a"], patient=patient, part=part)
    report = splitting.run(
        samples, strategy="predefined", column="part", group_by=("patient",),
        validation_fraction=0.2,
    )  # fmt: skip
    written = splitting.read().to_pylist()
    assert all((row["split"] == "test") == (row["notes.part"] == "test") for row in written)
    train, validation, test = report.splits
    assert test.n_samples == 50
    assert validation.n_samples == pytest.approx(30, abs=3)
    assert train.wanted_fraction is None
    of_patient = defaultdict(set)
    for row in written:
        of_patient[row["notes.patient"]].add(row["split"])
    assert all(len(found) == 1 for found in of_patient.values())


def test_an_unknown_predefined_value_is_listed(splitting, samples_of):
    samples = official(samples_of, "train", "holdout", None, "test")
    with pytest.raises(
        DataError, match=r"20 of 40 samples have '\(no value\)', 'holdout'; found were 'test', 'tr"
    ):
        splitting.run(samples, strategy="predefined", column="part")


def test_a_group_in_two_predefined_splits_is_never_moved(splitting, samples_of):
    samples = official(
        samples_of, "train", "test", patient=["shared", "shared", *map(str, range(38))]
    )
    with pytest.raises(
        DataError, match=r"1 groups that share notes\.patient .*'s0' in train and 's1' in test"
    ):
        splitting.run(samples, strategy="predefined", column="part", group_by=("patient",))


def test_equal_inputs_in_train_and_test_are_a_leak_too(splitting, samples_of):
    texts = ["same", "same", *map(str, range(38))]
    with pytest.raises(
        DataError, match=r"1 sets of samples with equal inputs in several splits .*drop_train"
    ):
        splitting.run(
            official(samples_of, "train", "test", text=texts), strategy="predefined", column="part"
        )


def test_an_exact_duplicate_never_crosses(splitting, samples_of):
    texts = [f"t{i // 4}" for i in range(400)]
    samples = many(samples_of, text=texts)
    splitting.run(samples)
    written = splitting.read()
    pairs = set(zip(texts, written["split"].to_pylist(), strict=True))
    assert len(pairs) == 100
    assert len(Counter(text for text, _ in pairs)) == 100


def test_an_empty_split_stops_the_stage(splitting, samples_of):
    samples = samples_of(["a", "b"] * 20, patient=["one"] * 40)
    with pytest.raises(
        DataError, match=r"validation and test got none of 40 samples in 1 groups .*group_by finer$"
    ):
        splitting.run(samples, group_by=("patient",), strategy="stratified")
    assert not (splitting.root / "data" / "split").exists()


@pytest.mark.parametrize("target", [["a"] * 40, [1.5] * 40])
def test_one_class_stops_the_stage(splitting, samples_of, target):
    with pytest.raises(DataError, match="expected several targets"):
        splitting.run(samples_of(target), strategy="stratified")


def test_classes_that_train_never_sees_are_noticed(splitting, samples_of):
    part = ["train"] * 30 + ["test"] * 10
    target = ["a", "b"] * 15 + ["a", "c"] * 5
    report = splitting.run(samples_of(target, part=part), strategy="predefined", column="part")
    assert "never trained on, yet in other splits: 'c'" in report.notices
    assert "not in test, so their quality is not measured: 'b'" in report.notices
