"""What lies on both sides of a border is found, told, and dealt with as the settings say."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from tasks.errors import DataError
from tasks.samples.schema import InputSpec, SampleSchema
from tasks.split.windows import SensorWindows, overlapping

PUBLISHED = {"strategy": "predefined", "column": "part"}


def published(samples_of, n=40, **more):
    """Samples of which every fourth is published as test."""
    part = ["test" if i % 4 == 3 else "train" for i in range(n)]
    return samples_of([("a", "b")[i // 4 % 2] for i in range(n)], part=part, **more)


def pairs_of_texts(n=40):
    """Samples 0 and 3 say the same, all others something of their own."""
    return ["same" if i in (0, 3) else f"text {i}" for i in range(n)]


def test_a_leak_names_its_samples_its_number_and_what_to_do(splitting, samples_of):
    with pytest.raises(
        DataError,
        match=r"1 sets of samples with equal inputs in several splits \(first: sample 's0' in "
        r"train and 's3' in test; 1 samples share.*split\.on_leak: drop_train",
    ):
        splitting.run(published(samples_of, text=pairs_of_texts()), **PUBLISHED)
    assert not (splitting.root / "data" / "split").exists()


def test_training_samples_that_leak_can_be_set_aside(splitting, samples_of):
    samples = published(samples_of, text=pairs_of_texts())
    report = splitting.run(samples, **PUBLISHED, on_leak="drop_train")
    assert splitting.quarantine() == {"s0": "duplicate_elsewhere"}
    assert splitting.assignment()["s3"] == "test"
    assert report.splits[2].n_samples == 10
    assert report.n_samples == 39
    assert [(leak.kind, leak.n_values, leak.n_samples) for leak in report.leaks] == [
        ("duplicates", 1, 1), ("near duplicates", 1, 1),
    ]  # fmt: skip
    assert any("set aside from the earlier split" in notice for notice in report.notices)


def test_a_leak_can_be_told_only(splitting, samples_of):
    samples = published(samples_of, text=pairs_of_texts())
    report = splitting.run(samples, **PUBLISHED, on_leak="report")
    assert report.n_samples == 40
    assert splitting.quarantine() == {}
    assert any("the test is too kind" in notice for notice in report.notices)
    assert "some torn" in report.lines()[1]


def test_near_duplicates_bind_samples_whose_other_inputs_are_equal(splitting, samples_of):
    photos = [f"{i:064x}" for i in range(40)]
    texts = ["what is it?"] * 40
    near = {"photo": [[photos[0], photos[3]]]}
    samples = published(samples_of, text=texts, photo=photos)
    with pytest.raises(DataError, match="1 sets of samples whose inputs are equal or near dup"):
        splitting.run(samples, near=near, **PUBLISHED)
    splitting.run(samples, near=near, **PUBLISHED, on_leak="drop_train")
    assert splitting.quarantine() == {"s0": "near_duplicate_elsewhere"}
    report = splitting.run(samples, near=near)
    group = dict(
        zip(*(splitting.read()[c].to_pylist() for c in ("sample_id", "group")), strict=True)
    )
    assert group["s0"] == group["s3"]
    assert report.near_duplicates == {"notes.photo": 2}
    assert report.n_groups == 39


def test_texts_are_known_by_their_digest_and_null_is_near_nothing(splitting, samples_of):
    texts = [f"text {i}" for i in range(38)] + [None, None]
    near = {"text": [["text 0", "text 1", "text 2"], ["text 9", "text 8"]]}
    photo = ["x" * 64] * 38 + ["y" * 64, "z" * 64]
    splitting.run(samples_of(["a", "b"] * 20, text=texts, photo=photo), near=near)
    groups = splitting.read()["group"].to_pylist()
    assert len({groups[0], groups[1], groups[2]}) == 1
    assert groups[8] == groups[9]
    assert len(set(groups)) == 40 - 2 - 1


def test_near_values_of_a_column_of_group_by_bind_whatever_the_other_inputs(splitting, samples_of):
    photos = [f"{i // 2:064x}" for i in range(40)]
    near = {"photo": [[photos[0], photos[20]]]}
    samples = samples_of(["a", "b"] * 20, photo=photos)
    report = splitting.run(samples, near=near, group_by=("photo",))
    groups = splitting.read()["group"].to_pylist()
    assert groups[0] == groups[1] == groups[20] == groups[21]
    assert report.n_groups == 19


@pytest.mark.parametrize("strategy", ["random", "stratified"])
def test_fifty_planted_pairs_of_near_duplicates_never_cross(splitting, samples_of, strategy):
    texts = [f"a long text about {i}" for i in range(300)]
    near = {"text": [[texts[2 * i], texts[2 * i + 1]] for i in range(50)]}
    splitting.run(samples_of(["a", "b", "c"] * 100, text=texts), near=near, strategy=strategy)
    where = splitting.assignment()
    assert all(where[f"s{2 * i}"] == where[f"s{2 * i + 1}"] for i in range(50))


def test_media_that_train_and_test_share_are_told_but_do_not_stop(splitting, samples_of):
    photos = [f"{0 if i in (0, 3) else i:064x}" for i in range(40)]
    report = splitting.run(published(samples_of, photo=photos), **PUBLISHED)
    (shared,) = report.shared_media
    assert (shared.column, shared.n_media, shared.n_samples) == ("notes.photo", 1, 1)
    assert shared.examples == ("s0", "s3")
    assert any("group by it for media that are new in test" in n for n in report.notices)


def test_nothing_on_both_sides_is_nothing_to_tell(splitting, samples_of):
    report = splitting.run(published(samples_of), **PUBLISHED)
    assert report.leaks == report.shared_media == report.target_leaks == ()
    assert "none torn" in report.lines()[1]


def test_samples_that_only_others_link_are_one_group_too(splitting, samples_of):
    patient = [str(i) for i in range(40)]
    device = [f"d{i}" for i in range(40)]
    patient[0] = patient[1] = "shared"
    device[1] = device[3] = "shared"
    samples = published(samples_of, patient=patient, device=device)
    with pytest.raises(DataError, match=r"groups that share notes\.device"):
        splitting.run(samples, **PUBLISHED, group_by=("patient", "device"))
    splitting.run(samples, **PUBLISHED, group_by=("patient", "device"), on_leak="drop_train")
    assert splitting.quarantine() == {"s0": "group_elsewhere", "s1": "group_elsewhere"}


def windows(series, start, seconds=10):
    start = np.array(start)
    _, ranks = np.unique(np.concatenate([start, start + seconds]), return_inverse=True)
    n = len(start)
    return SensorWindows("watch", np.array(series), ranks[:n], ranks[n:])


def test_windows_overlap_only_in_one_recording_and_by_more_than_a_touch():
    split = np.array([0, 2, 0, 2, 0, 1], dtype=np.int8)
    found = overlapping(windows([0, 0, 1, 0, -1, 0], [0, 5, 5, 30, 5, 40]), split)
    assert found.earlier.tolist() == [0]
    assert found.later.tolist() == [1]
    touching = overlapping(windows([0, 0], [0, 10]), np.array([0, 2], dtype=np.int8))
    assert len(touching.earlier) == 0


def test_windows_are_compared_as_by_hand():
    rng = np.random.default_rng(0)
    for _ in range(50):
        n = 30
        series, start = rng.integers(0, 3, n), rng.integers(0, 120, n)
        split = rng.integers(0, 3, n).astype(np.int8)
        length = int(rng.integers(1, 20))
        own = windows(series, start, length)
        by_hand = sorted(
            {
                i
                for i in range(n)
                for j in range(n)
                if series[i] == series[j]
                and split[i] < split[j]
                and start[i] < start[j] + length
                and start[j] < start[i] + length
            }
        )
        found = overlapping(own, split)
        assert found.earlier.tolist() == by_hand
        assert all(split[i] < split[j] for i, j in zip(found.earlier, found.later, strict=True))


def sensed(samples_of, every_seconds):
    """One recording of windows of ten seconds."""
    n = 100
    begin = datetime(2024, 5, 1, tzinfo=UTC)
    start = [begin + timedelta(seconds=i * every_seconds) for i in range(n)]
    kind = pa.timestamp("us", "UTC")
    table = samples_of(["a", "b"] * 50)
    for name, values in {
        "watch.series": pa.array(["one"] * n),
        "watch.start": pa.array(start, kind),
        "watch.time": pa.array([s + timedelta(seconds=10) for s in start], kind),
        "watch.window": pa.array([f"{i:064x}" for i in range(n)]),
    }.items():
        table = table.append_column(name, values)
    window = InputSpec(
        name="watch", modality="timeseries", column="watch.window", channels=("x",), rate_hz=10.0,
        n_steps=100,
    )  # fmt: skip
    schema = SampleSchema.of(table)
    return schema.model_copy(update={"inputs": (*schema.inputs, window)}).attach(table)


def test_windows_that_overlap_across_a_border_stop_the_stage(splitting, samples_of):
    with pytest.raises(
        DataError,
        match=r"windows of 'watch' that overlap one of another split.*group_by, as in "
        r"\[watch\.series\]",
    ):
        splitting.run(sensed(samples_of, every_seconds=5))
    report = splitting.run(sensed(samples_of, every_seconds=10))
    assert report.leaks == ()
    splitting.run(sensed(samples_of, every_seconds=5), on_leak="drop_train")
    aside = splitting.quarantine()
    assert set(aside.values()) == {"window_elsewhere"}
    where = splitting.assignment()
    for i in range(99):
        pair = [where.get(f"s{i}"), where.get(f"s{i + 1}")]
        assert None in pair or pair[0] == pair[1]


def test_a_gap_of_a_window_keeps_windows_of_a_split_by_time_apart(splitting, samples_of):
    chosen = {"strategy": "by_time", "time_column": "watch.time"}
    samples = sensed(samples_of, every_seconds=5)
    with pytest.raises(DataError, match=r"gap_seconds"):
        splitting.run(samples, **chosen)
    report = splitting.run(samples, **chosen, gap_seconds=10.0)
    assert report.leaks == ()


def test_a_missing_table_of_near_duplicates_stops_the_stage(splitting, samples_of):
    from tasks.samples.folders import write_manifest
    from tasks.split.near_duplicates import read_near_duplicates

    (splitting.root / "data" / "clean").mkdir(parents=True)
    write_manifest(splitting.root / "data" / "clean")
    with pytest.raises(DataError, match=r"near_duplicates\.parquet: no such table; run the stage"):
        read_near_duplicates(splitting.root / "data" / "clean", frozenset())


def test_the_page_shows_leaks_sizes_and_escapes_names(splitting, samples_of):
    nasty = "<script>alert(1)</script>"
    target = [(nasty, "b")[i // 4 % 2] for i in range(40)]
    part = ["test" if i % 4 == 3 else "train" for i in range(40)]
    samples = samples_of(target, part=part, text=pairs_of_texts())
    splitting.run(samples, **PUBLISHED, on_leak="drop_train")
    page = (splitting.root / "reports" / "split.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    for words in ("On both sides of a border", "duplicate_elsewhere", "Classes by split", "Groups"):
        assert words in page
    assert len(page) < 200_000
