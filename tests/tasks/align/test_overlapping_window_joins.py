"""Windows that are joined to other records are told apart by recording and time, down to split."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tasks.__main__ import run_stage
from tasks.align.segments import window_starts
from tasks.errors import DataError
from tasks.params import Params
from tasks.samples.tables import read_table


def _project(root: Path, settings: Callable[..., Params], seconds: float) -> Params:
    """Write events half a second apart, and a sensor with 20 readings a second."""
    raw = root / "raw"
    raw.mkdir()
    events = [f"e{i},{1 + 0.5 * i},{'ab'[i % 2]},walk {i}" for i in range(40)]
    (raw / "events.csv").write_text("\n".join(["id,at,label,text", *events]) + "\n")
    readings = [f"{i / 20},{np.sin(i / 3):.4f}" for i in range(500)]
    (raw / "wrist.csv").write_text("\n".join(["t,x", *readings]) + "\n")
    columns = {"id": "key", "at": "time", "label": "category", "text": "text"}
    join = {"on": "window", "right": "wrist", "left_on": "at", "seconds": seconds}
    join |= {"rate_hz": 10.0, "tolerance_seconds": 0.2}
    return settings(
        {"kind": "table", "name": "events", "path": "events.csv", "id": "id", "time_unit": "s",
         "columns": columns},
        {"kind": "sensor", "name": "wrist", "path": "wrist.csv", "time": "t", "time_unit": "s",
         "values": {"x": "number"}},
        align={"base": "events", "joins": (join,), "inputs": ("text", "wrist"),
               "target": "label"},
    )  # fmt: skip


def test_windows_that_share_readings_across_splits_stop_the_stage(
    tmp_path: Path, settings: Callable[..., Params]
) -> None:
    params = _project(tmp_path, settings, seconds=1.0)
    for stage in ("collect", "clean", "align"):
        run_stage(stage, params, tmp_path)
    samples = read_table(tmp_path / "data" / "align" / "samples.parquet")
    length = samples["wrist.time"].to_numpy() - samples["wrist.start"].to_numpy()
    assert set(length.astype("timedelta64[ms]").astype(int).tolist()) == {1000}
    assert len(samples["wrist.series"].unique()) == 1
    with pytest.raises(DataError, match="overlap"):
        run_stage("split", params, tmp_path)


def test_windows_that_do_not_overlap_are_split(
    tmp_path: Path, settings: Callable[..., Params]
) -> None:
    params = _project(tmp_path, settings, seconds=0.5)
    for stage in ("collect", "clean", "align", "split"):
        run_stage(stage, params, tmp_path)
    assert read_table(tmp_path / "data" / "split" / "samples.parquet").num_rows == 40


@pytest.mark.parametrize("every", [1, 3, 7, 50])
def test_windows_start_where_a_reading_lies_in_them(every: int) -> None:
    rng = np.random.default_rng(0)
    times = np.sort(rng.integers(0, 2000, 60)) + 5
    length, reach = 50, 40
    expected = [
        times[0] + start
        for start in range(0, int(times[-1] - times[0]) + 1, every)
        if start + reach <= times[-1] - times[0]
        and ((times >= times[0] + start) & (times < times[0] + start + length)).any()
    ]
    assert window_starts(times, every, length, reach).tolist() == expected
