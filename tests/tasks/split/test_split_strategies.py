from collections import defaultdict
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.errors import DataError
from tasks.params.split import SplitFractions, SplitParams
from tasks.samples.membership import membership, text_keys
from tasks.samples.schema import SampleSchema
from tasks.split.groups import Groups, find_groups
from tasks.split.keys import hashed_fractions
from tasks.split.labels import labels_of
from tasks.split.strategies import Splittable, strategies
from tasks.split.stratifying import apportion
from tasks.split.time_order import split_by_time

quick = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
PARTS = np.array([0.7, 0.15, 0.15])


def many(samples_of, n=400, n_patients=80, seed=0, prefix="s", **more):
    rng = np.random.default_rng(seed)
    target = rng.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1]).tolist()
    patient = [f"{prefix}p{i:03d}" for i in rng.integers(0, n_patients, n)]
    ids = [f"{prefix}{i}" for i in range(n)]
    at = pa.array([BEGIN + timedelta(hours=int(h)) for h in rng.integers(0, 900, n)])
    tags = [";".join(rng.choice(["x", "y", "z"], rng.integers(0, 3), replace=False))
            for _ in range(n)]  # fmt: skip
    return samples_of(
        target, ids=ids, patient=patient, at=at.cast(pa.timestamp("us", "UTC")), tags=tags, **more
    )


EVERY = [
    {"strategy": "random"},
    {"strategy": "grouped", "group_by": ("patient",)},
    {"strategy": "stratified", "group_by": ("patient",)},
    {"strategy": "stratified", "stratify_by": ("tags", "y")},
    {"strategy": "by_time", "time_column": "at", "gap_seconds": 7200.0},
    {"strategy": "k_fold", "fold": 2, "group_by": ("patient",)},
    {"strategy": "k_fold", "stratify_by": ("y",)},
    {"strategy": "nested", "inner_fold": 1, "group_by": ("patient",)},
    {"strategy": "nested", "stratify_by": ("y",), "few_shot_per_class": 5},
    {"strategy": "predefined", "column": "part", "on_leak": "drop_train", "group_by": ("patient",)},
]
NAMES = [" ".join(str(v) for v in each.values()) for each in EVERY]


def with_part(table):
    """Add a published split, and the target under its own name."""
    part = np.where(np.arange(len(table)) % 5 == 0, "test", "train")
    rng = np.random.default_rng(1)
    table = table.append_column("notes.part", pa.array(rng.permutation(part).tolist()))
    return table.append_column("notes.y", table["target"])


@pytest.mark.parametrize("chosen", EVERY, ids=NAMES)
def test_nothing_is_lost_and_no_group_is_torn(splitting, samples_of, chosen):
    samples = with_part(many(samples_of))
    report = splitting.run(samples, **chosen)
    kept, unused = splitting.read(), splitting.read("unused")
    aside = splitting.quarantine()
    names = [*kept["sample_id"].to_pylist(), *unused["sample_id"].to_pylist(), *aside]
    assert sorted(names) == sorted(samples["sample_id"].to_pylist())
    assert (report.n_samples, report.n_unused, report.n_quarantined) == (
        len(kept), len(unused), len(aside),
    )  # fmt: skip
    assert sum(report.quarantine_reasons.values()) == len(aside)
    where = defaultdict(set)
    column = "notes.patient" if chosen.get("group_by") else "sample_id"
    for name, split in zip(kept[column].to_pylist(), kept["split"].to_pylist(), strict=True):
        where[name].add(split)
    assert all(len(found) == 1 for found in where.values())
    order = {name: i for i, name in enumerate(samples["sample_id"].to_pylist())}
    rows = [order[name] for name in kept["sample_id"].to_pylist()]
    assert rows == sorted(rows)
    assert kept.select(samples.column_names).equals(samples.take(rows))
    assert SampleSchema.of(kept) == SampleSchema.of(unused) == SampleSchema.of(samples)


@pytest.mark.parametrize("chosen", EVERY, ids=NAMES)
def test_row_order_is_irrelevant_to_every_strategy(splitting, samples_of, chosen):
    samples = with_part(many(samples_of))
    splitting.run(samples, **chosen)
    before, aside = splitting.assignment(), splitting.quarantine()
    shuffled = samples.take(np.random.default_rng(3).permutation(400))
    splitting.run(shuffled, **chosen)
    assert splitting.assignment() == before
    assert splitting.quarantine() == aside


@pytest.mark.parametrize("chosen", EVERY[::3], ids=NAMES[::3])
def test_the_same_seed_gives_the_same_bytes(splitting, samples_of, chosen):
    samples = with_part(many(samples_of))

    def written():
        splitting.run(samples, **chosen)
        folder = splitting.root / "data" / "split"
        page = (splitting.root / "reports" / "split.html").read_bytes()
        return {path.name: path.read_bytes() for path in folder.iterdir()} | {"page": page}

    first = written()
    assert len(first) == 5
    assert written() == first


@given(seed=st.integers(0, 10**6), n=st.integers(60, 120), added=st.integers(1, 200))
@quick
def test_samples_that_are_added_move_no_other(samples_of, keys_from, seed, n, added):
    first = many(samples_of, n=n, n_patients=40, seed=seed)
    rng = np.random.default_rng(seed + 1)
    more = many(samples_of, n=added, n_patients=70, seed=seed + 1, prefix="new")
    # Some of the new ones are of patients that are there already.
    patients = [p.removeprefix("new") if rng.random() < 0.5 else p
                for p in more["notes.patient"].to_pylist()]  # fmt: skip
    patients = [p if p.startswith("new") else f"s{p}" for p in patients]
    at = more.column_names.index("notes.patient")
    more = more.set_column(at, "notes.patient", pa.array(patients))
    both = pa.concat_tables([more, first])
    for chosen in (
        SplitParams(strategy="random"),
        SplitParams(strategy="grouped", group_by=("notes.patient",)),
        SplitParams(strategy="k_fold", group_by=("notes.patient",), folds=4),
        SplitParams(strategy="nested", group_by=("notes.patient",), folds=3, inner_folds=2),
    ):
        before, after = (assigned(keys_from, table, chosen) for table in (first, both))
        assert {name: after[name] for name in before} == before
        assert len(after) == n + added


def assigned(keys_from, samples, params):
    """Return split and folds of each sample by its name."""
    groups = find_groups(keys_from(samples, list(params.group_by)), params.group_by)
    made = strategies.get(params.strategy)(Splittable(groups, labels_of([])), params, 7)
    folds = [f.tolist() for f in (made.fold, made.inner_fold) if f is not None]
    where = zip(made.split, *folds, strict=True)
    return dict(zip(samples["sample_id"].to_pylist(), where, strict=True))


def test_stratified_moves_few_samples_when_others_are_added(splitting, samples_of):
    first = many(samples_of, n=1000, n_patients=300)
    chosen = {"strategy": "stratified", "group_by": ("patient",)}
    splitting.run(first, **chosen)
    before = splitting.assignment()
    more = many(samples_of, n=100, n_patients=30, seed=5, prefix="new")
    splitting.run(pa.concat_tables([first, more]), **chosen)
    after = splitting.assignment()
    moved = sum(after[name] != split for name, split in before.items())
    assert moved < 150  # of 1,000; a fresh draw would move nearly half


def test_every_sample_is_tested_in_just_one_fold(splitting, samples_of):
    samples = many(samples_of)
    tested, validated = defaultdict(int), defaultdict(int)
    for fold in range(4):
        splitting.run(samples, strategy="k_fold", folds=4, fold=fold, group_by=("patient",))
        kept = splitting.read()
        for row in kept.select(["sample_id", "split", "fold"]).to_pylist():
            tested[row["sample_id"]] += row["split"] == "test"
            validated[row["sample_id"]] += row["split"] == "validation"
            expected = {fold: "test", (fold + 1) % 4: "validation"}.get(row["fold"], "train")
            assert row["split"] == expected
    assert set(tested.values()) == set(validated.values()) == {1}
    assert len(tested) == 400


def test_inner_folds_share_out_what_is_not_test(splitting, samples_of):
    samples = many(samples_of)
    validated = defaultdict(int)
    for inner in range(3):
        report = splitting.run(
            samples, strategy="nested", folds=4, fold=1, inner_folds=3, inner_fold=inner,
            group_by=("patient",),
        )  # fmt: skip
        assert (report.fold, report.inner_fold) == (1, inner)
        for row in splitting.read().to_pylist():
            assert (row["inner_fold"] is None) == (row["split"] == "test") == (row["fold"] == 1)
            validated[row["sample_id"]] += row["split"] == "validation"
    assert sorted(set(validated.values())) == [0, 1]


def test_stratified_folds_hold_each_class_alike(splitting, samples_of):
    samples = with_part(many(samples_of, n=1000))
    splitting.run(samples, strategy="k_fold", folds=5, stratify_by=("y",))
    kept = splitting.read()
    codes = np.unique(kept["target"].to_pylist(), return_inverse=True)[1]
    folds = kept["fold"].to_numpy()
    counts = np.stack([np.bincount(codes[folds == f], minlength=3) for f in range(5)])
    assert (counts.max(axis=0) - counts.min(axis=0)).max() <= 2


def test_several_labels_are_shared_out_alike(splitting, samples_of):
    rng = np.random.default_rng(0)
    frequency = np.geomspace(0.3, 0.003, 20)
    has = rng.random((3000, 20)) < frequency
    tags = [";".join(f"t{i}" for i in np.flatnonzero(row)) or None for row in has]
    samples = samples_of(["a", "b"] * 1500, tags=tags)
    stratified = splitting.run(samples, strategy="stratified", stratify_by=("tags",))
    random = splitting.run(samples, strategy="nested", folds=7, inner_folds=6, stratify_by=())
    assert len(stratified.labels) == 21  # with that of no tag at all
    assert stratified.mean_label_deviation < 0.01
    assert random.mean_label_deviation is not None
    names = text_keys(samples["sample_id"].to_pylist())
    labels = labels_of([("notes.tags", samples["notes.tags"], True)])
    by_hash = np.searchsorted(np.cumsum(PARTS)[:-1], hashed_fractions(names, "0"))
    rare = labels.labels[np.isin(labels.labels, np.flatnonzero(np.bincount(labels.labels) < 40))]
    assert len(rare) > 0
    groups = Groups(*np.unique(names, return_inverse=True))
    shared = apportion(groups, labels, PARTS, "0")
    assert relative(labels, shared) < 0.12 < 0.2 < relative(labels, by_hash)


def relative(labels, split):
    """How far the rare labels are from their part, as a part of that part, on average."""
    n = np.bincount(labels.labels)
    rare = np.flatnonzero((n < 40) & (n >= 7))
    counts = np.array(
        [np.bincount(split[labels.rows[labels.labels == i]], minlength=3) for i in rare]
    )
    return np.abs(counts / (n[rare, None] * PARTS) - 1).mean()


def test_train_comes_before_validation_and_that_before_test(splitting, samples_of):
    samples = many(samples_of)
    report = splitting.run(samples, strategy="by_time", time_column="at")
    train, validation, test = report.splits
    assert train.last_time < validation.first_time
    assert validation.last_time < test.first_time
    for split, part in zip(report.splits, PARTS, strict=True):
        assert split.fraction == pytest.approx(part, abs=0.01)


def test_samples_of_one_time_stay_together(splitting, samples_of):
    at = pa.array([BEGIN + timedelta(days=i // 10) for i in range(200)]).cast(
        pa.timestamp("us", "UTC")
    )
    splitting.run(samples_of(["a", "b"] * 100, at=at), strategy="by_time", time_column="at")
    pairs = set(zip(at.to_pylist(), splitting.read()["split"].to_pylist(), strict=True))
    assert len(pairs) == 20


def test_a_group_goes_to_the_split_of_its_last_sample(splitting, samples_of):
    at = pa.array([BEGIN + timedelta(hours=i) for i in range(100)]).cast(pa.timestamp("us", "UTC"))
    patient = ["returns" if i in (3, 95) else f"p{i}" for i in range(100)]
    samples = samples_of(["a", "b"] * 50, at=at, patient=patient)
    report = splitting.run(samples, strategy="by_time", time_column="at", group_by=("patient",))
    assert splitting.assignment()["s3"] == splitting.assignment()["s95"] == "test"
    assert any("1 groups began before the split that they are in" in n for n in report.notices)


def test_a_gap_keeps_samples_apart_in_time(splitting, samples_of):
    at = pa.array([BEGIN + timedelta(hours=i) for i in range(100)]).cast(pa.timestamp("us", "UTC"))
    report = splitting.run(
        samples_of(["a", "b"] * 50, at=at), strategy="by_time", time_column="at",
        gap_seconds=3 * 3600.0,
    )  # fmt: skip
    assert report.quarantine_reasons == {"in_time_gap": 4}  # two hours before either border
    begin = [datetime.fromisoformat(s.first_time) for s in report.splits]
    end = [datetime.fromisoformat(s.last_time) for s in report.splits]
    assert begin[1] - end[0] == begin[2] - end[1] == timedelta(hours=3)


def test_samples_without_a_time_follow_their_group_or_are_set_aside(splitting, samples_of):
    times = [BEGIN + timedelta(hours=i) for i in range(100)]
    times[10] = times[20] = None
    at = pa.array(times, pa.timestamp("us", "UTC"))
    patient = ["late" if i in (10, 99) else f"p{i}" for i in range(100)]
    samples = samples_of(["a", "b"] * 50, at=at, patient=patient)
    splitting.run(samples, strategy="by_time", time_column="at", group_by=("patient",))
    assert splitting.assignment()["s10"] == "test"
    assert splitting.quarantine() == {"s20": "no_time"}


@given(
    ends=st.lists(st.integers(0, 30), min_size=3, max_size=60),
    gap=st.sampled_from([0.0, 2e-6, 5e-6]),
)
@quick
def test_nothing_that_trains_ends_after_what_follows_begins(ends, gap):
    times = np.array(ends, dtype=np.int64)
    names = np.arange(1, len(ends) + 1).astype(np.uint64)
    groups = Groups(names, np.arange(len(ends)).astype(np.int32))
    made = split_by_time(times, groups, SplitFractions(), gap)
    for earlier in range(2):
        before, after = times[made.split == earlier], times[made.split > earlier]
        if len(before) and len(after):
            assert before.max() < after.min()
            assert before.max() <= after.min() - gap * 1e6
    assert (made.split >= 0).sum() + (made.reason > 0).sum() == len(ends)


def test_few_shots_of_each_class_train_and_the_rest_is_unused(splitting, samples_of):
    samples = many(samples_of)
    whole = splitting.run(samples, strategy="stratified")
    before = splitting.assignment()
    report = splitting.run(samples, strategy="stratified", few_shot_per_class=8)
    assert report.splits[0].classes == {"a": 8, "b": 8, "c": 8}
    assert report.splits[1:] == tuple(
        s.model_copy(update={"fraction": t.fraction, "wanted_fraction": None})
        for s, t in zip(whole.splits[1:], report.splits[1:], strict=True)
    )
    unused = splitting.read("unused")["sample_id"].to_pylist()
    assert report.n_unused == len(unused) == whole.splits[0].n_samples - 24
    assert {before[name] for name in unused} == {"train"}
    fewer = set(splitting.assignment())
    splitting.run(samples, strategy="stratified", few_shot_per_class=9)
    assert fewer < set(splitting.assignment())


def test_the_training_samples_are_named_by_a_digest(splitting, samples_of):
    report = splitting.run(many(samples_of))
    kept = splitting.read()
    train = kept.filter(pa.compute.equal(kept["split"], "train"))
    assert report.train_digest == membership(train["sample_id"])
    assert report.splits[0].n_samples == len(train)
    assert report.train_digest != membership(kept["sample_id"])


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({"strategy": "grouped"}, "needs 'group_by'"),
        ({"strategy": "by_time"}, "needs 'time_column'"),
        ({"strategy": "predefined"}, "needs 'column'"),
        ({"strategy": "k_fold", "folds": 3, "fold": 3}, "fold 3 is none of 3 folds, 0 to 2"),
        ({"strategy": "nested", "inner_fold": 4}, "inner_fold 4 is none of 4 inner folds"),
        ({"strategy": "random", "gap_seconds": 1.0}, "gap_seconds is for strategy 'by_time'"),
        ({"strategy": "randon"}, "'random'"),
    ],
)
def test_settings_that_do_not_fit_are_told(chosen, told):
    with pytest.raises(ValidationError, match=told):
        SplitParams.model_validate(chosen)


@pytest.mark.parametrize("on", ["random", "stratified"])
def test_the_advice_fits_the_situation(splitting, samples_of, on):
    patient = ["big" if i < 150 else f"p{i}" for i in range(200)]
    samples = samples_of(["a", "b"] * 100, patient=patient)
    if on == "random":
        report = splitting.run(samples_of(["a", "b"] * 15), seed=3)
        assert any("strategy stratified is exact" in n for n in report.notices)
        return
    report = splitting.run(samples, strategy=on, group_by=("patient",))
    notices = " ".join(report.notices)
    assert "large groups allow no better; make split.group_by finer" in notices
    assert "strategy stratified" not in notices


def test_an_empty_split_by_time_says_what_helps(splitting, samples_of):
    at = pa.array([BEGIN] * 40).cast(pa.timestamp("us", "UTC"))
    with pytest.raises(DataError, match="add data of other times"):
        splitting.run(samples_of(["a", "b"] * 20, at=at), strategy="by_time", time_column="at")
