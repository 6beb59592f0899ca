"""Readings of sensors: whole blocks and single rows say the same, and no reading is lost."""

import gzip
import os
from datetime import UTC, datetime
from pathlib import Path

import hypothesis.strategies as st
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from tasks.collect.sources import sensor
from tasks.errors import SourceError

SHARED = Path(os.environ.get("FUSELINE_SHARED", Path(__file__).parents[4] / "shared"))
HEADER = "t,x,y,label\n"


@pytest.fixture
def collect(tmp_path, settings, outcome_of):
    def run(files, path="s.csv", max_bad_fraction=1.0, **more):
        for name, content in files.items():
            file = tmp_path / "raw" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        values = {"x": "number", "y": "number", "label": "category"}
        source = {"kind": "sensor", "name": "watch", "path": path, "time": "t", "values": values}
        params = settings(source | more, project={"max_bad_fraction": max_bad_fraction})
        return outcome_of("collect", params, tmp_path)

    return run


def micros(row):
    return round(row["time"].timestamp() * 1_000_000)


def test_a_reading_is_named_by_its_recording_and_row(collect):
    outcome = collect({"s.csv": HEADER + "1000,1.5,,walk\n2000,-2,3e2,\n"}, time_unit="ms")
    first, second = outcome.only()
    assert (first["record_id"], first["series"], first["row"]) == ("s:1", "s", 1)
    assert (first["x"], first["y"], first["label"]) == (1.5, None, "walk")
    assert first["time"] == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert (second["y"], second["label"]) == (300.0, None)
    (source,) = outcome.report.sources
    assert source.nulls == {"time": 0, "series": 0, "x": 0, "y": 1, "label": 1}


def test_files_of_a_folder_or_glob_are_recordings(collect):
    rows = HEADER + "1,1,1,a\n"
    files = {"w/b.csv": rows, "w/a.csv": rows, "w/notes.txt": "no table", "p/c.csv": rows}
    folder = collect(files, path="w", time_unit="s")
    assert [row["record_id"] for row in folder.only()] == ["a:1", "b:1"]
    assert folder.report.sources[0].ignored_files == 1
    everywhere = collect(files, path="*/*.csv", time_unit="s")
    assert [row["series"] for row in everywhere.only()] == ["c", "a", "b"]


def test_two_files_of_one_name_are_told_apart_by_their_folder(collect):
    rows = HEADER + "1,1,1,a\n"
    outcome = collect({"d/w/s1.csv": rows, "d/p/s1.csv": rows}, path="d", time_unit="s")
    assert [row["series"] for row in outcome.only()] == ["p/s1", "w/s1"]
    with pytest.raises(SourceError, match="two files would be the recording 's1'"):
        collect({"e/s1.csv": rows, "e/s1.tsv": rows.replace(",", "\t")}, path="e", time_unit="s")


def test_a_column_may_name_the_recording(collect):
    rows = "t,x,y,label,who\n1,1,1,a,anna\n2,1,1,a,\n3,1,1,a,bert\n"
    one = collect({"s.csv": rows}, time_unit="s", series="who")
    assert [row["record_id"] for row in one.only()] == ["anna:1", "bert:3"]
    assert [(r["row"], r["column"], r["reason"]) for r in one.quarantine] == [
        (2, "who", "null_series")
    ]
    two = collect({"d/a.csv": rows, "d/b.csv": rows}, "d", time_unit="s", series="who")
    assert len({row["record_id"] for row in two.only()}) == 4


def test_faults_have_their_place_and_cost_only_their_rows(collect, monkeypatch):
    monkeypatch.setattr(sensor, "FEW_LINES", 2)
    monkeypatch.setattr(sensor, "BLOCK_CHARACTERS", 64)
    lines = [f"{i},{i},0,a" for i in range(1, 101)]
    lines[9], lines[29], lines[49] = "10,nan,0,a", "thirty,30,0,a", "50,1"
    lines[69], lines[89] = ",70,0,a", "90,many,0,a"
    outcome = collect({"s.csv": HEADER + "\n".join(lines)}, time_unit="s")
    told = [(r["file"], r["row"], r["column"], r["reason"]) for r in outcome.quarantine]
    assert told == [
        ("s.csv", 10, "x", "non_finite"),
        ("s.csv", 30, "t", "bad_time"),
        ("s.csv", 50, "", "missing_fields"),
        ("s.csv", 70, "t", "null_time"),
        ("s.csv", 90, "x", "not_a_number"),
    ]
    assert [row["row"] for row in outcome.only()] == [
        i for i in range(1, 101) if i not in {10, 30, 50, 70, 90}
    ]
    assert all(row["x"] == row["row"] for row in outcome.only())


@pytest.mark.parametrize(
    ("unit", "written", "expected"),
    [
        ("s", "46408.547498", 46_408_547_498),
        ("s", "1657533977.8132569", 1_657_533_977_813_256),
        ("ms", "1657533977813", 1_657_533_977_813_000),
        ("us", "-1", -1),
        ("ns", "1657533977813256999", 1_657_533_977_813_256),
        ("iso", "2022-07-11T10:06:17.813256Z", 1_657_533_977_813_256),
        ("iso", "2022-07-11 12:06:17.813256+02:00", 1_657_533_977_813_256),
        ("iso", "2022-07-11 10:06:17", 1_657_533_977_000_000),
    ],
)
def test_times_are_exact(collect, unit, written, expected):
    outcome = collect({"s.csv": HEADER + f"{written},1,1,a\n"}, time_unit=unit)
    assert [micros(row) for row in outcome.only()] == [expected]


def test_local_times_are_put_into_their_zone(collect):
    rows = HEADER + "2024-03-31T01:59,1,1,a\n2024-03-31T02:30,1,1,a\n2024-03-31T03:00,1,1,a\n"
    outcome = collect({"s.csv": rows}, time_zone="Europe/Berlin")
    assert outcome.reasons == {"dst_gap": 1}
    one, other = outcome.only()
    assert micros(other) - micros(one) == 60_000_000


def test_quotes_blank_lines_and_any_line_end(collect):
    rows = '"t","x","y","label"\r\n"1","1","0","a, b"\r\n\r\n2,2,0,"c\nd"\r\n3,3,0,e\r\n4,4,0,"f'
    outcome = collect({"s.csv": rows + '"\n'}, time_unit="s")
    assert [row["label"] for row in outcome.only()] == ["a, b", "c\nd", "e", "f"]
    assert outcome.report.sources[0].blank_lines == 1


def test_latin_1_compressed_and_other_formats(collect, tmp_path):
    rows = "1,1,1,caf\u00e9\n"
    packed = gzip.compress((HEADER + rows).encode("latin-1"))
    outcome = collect({"s.csv.gz": packed}, "s.csv.gz", time_unit="s", encoding="latin-1")
    assert [(row["series"], row["label"]) for row in outcome.only()] == [("s", "caf\u00e9")]
    line = '{"t": 1.5, "x": 1, "y": null, "label": "a"}\n'
    (row,) = collect({"s.jsonl": line}, "s.jsonl", time_unit="s").only()
    assert (micros(row), row["x"], row["y"]) == (1_500_000, 1.0, None)


def test_parquet_readings(collect, tmp_path):
    moments = pa.array([0, 1_500_000_999, None], pa.timestamp("ns"))
    (tmp_path / "raw").mkdir()
    columns = {"t": moments, "x": [1, 2, 3], "y": [0.5, None, 1.0], "label": ["a", "b", "a"]}
    pq.write_table(pa.table(columns), tmp_path / "raw" / "s.parquet")
    outcome = collect({}, "s.parquet")
    assert [micros(row) for row in outcome.only()] == [0, 1_500_000]
    assert [(r["row"], r["reason"]) for r in outcome.quarantine] == [(3, "null_time")]
    columns["y"] = pa.array([0.5, float("inf"), 1.0])
    columns["t"] = pa.array([1.25, 2.5, 3.75])
    pq.write_table(pa.table(columns), tmp_path / "raw" / "s.parquet")
    outcome = collect({}, "s.parquet", time_unit="s")
    assert [micros(row) for row in outcome.only()] == [1_250_000, 3_750_000]
    assert [(r["row"], r["column"]) for r in outcome.quarantine] == [(2, "y")]


def test_all_missing_columns_are_named(collect):
    with pytest.raises(SourceError, match=r"missing columns 't', 'y'"):
        collect({"s.csv": "x,label\n1,a\n"}, time_unit="s")
    rows = {"d/a.csv": HEADER + "1,1,1,a\n", "d/b.csv": "t,x,y,label,z\n1,1,1,a,1\n"}
    with pytest.raises(SourceError, match=r"b\.csv: its columns are not those of .*a\.csv"):
        collect(rows, "d", time_unit="s")


cells = st.one_of(
    st.floats(-1e6, 1e6).map(repr),
    st.sampled_from(["", " 1.5", "+2", "nan", "1e400", "x", '"3"', '"4"5', "1_0", "1,2", "\0"]),
)


@given(rows=st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=12))
@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_by_the_block_or_by_the_row_is_the_same(collect, monkeypatch, rows):
    text = HEADER + "".join(f"{t},{x},{y},a\n" for t, x, y in rows)
    with monkeypatch.context() as patched:
        patched.setattr(sensor, "FEW_LINES", 1)
        blocks = collect({"s.csv": text}, time_unit="s")
    with monkeypatch.context() as patched:
        patched.setattr(sensor._Shape, "columns_of", lambda *_: None)
        single = collect({"s.csv": text}, time_unit="s")
    assert blocks.records == single.records
    assert blocks.quarantine == single.quarantine
    assert blocks.report == single.report


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data sets are not here")
def test_readings_of_a_watch(collect, settings, outcome_of, tmp_path):
    channels = {f"{axis}_{kind}": "number" for kind in ("acc", "gyro") for axis in "xyz"}
    source = {
        "kind": "sensor",
        "name": "watch",
        "path": "watch/*.csv",
        "time": "timestamp",
        "time_unit": "ms",
        "values": {**channels, "label": "category"},
    }
    params = settings(source)
    root = str(SHARED / "data" / "phone_watch_har")
    collected = params.model_copy(
        update={"collect": params.collect.model_copy(update={"root": root})}
    )
    outcome = outcome_of("collect", collected, tmp_path)
    assert len(outcome.only()) == 81_547
    assert len({row["series"] for row in outcome.only()}) == 69
    assert outcome.report.sources[0].nulls["label"] == 0
