"""Fixtures of the clean stage: a few rows and media, cleaned."""

from pathlib import Path

import pytest

from tasks.samples.tables import read_table


@pytest.fixture
def clean(tmp_path, settings, table, outcome_of):
    """Collect and clean a table of a few rows, and the media that it names."""

    def run(text, media=None, max_bad_fraction=1.0, limits=None, **more):
        root = tmp_path / "raw"
        root.mkdir(exist_ok=True)
        (root / "rows.csv").write_text(text, encoding="utf-8")
        for name, content in (media or {}).items():
            (root / name).write_bytes(content)
        project = {"max_bad_fraction": max_bad_fraction}
        params = settings(table(**more), project=project, clean=limits or {})
        outcome_of("collect", params, tmp_path)
        return outcome_of("clean", params, tmp_path)

    return run


@pytest.fixture
def clean_sensor(tmp_path, settings, outcome_of):
    """Collect and clean a sensor's readings, one recording for each file."""

    def run(recordings, values=("x",), limits=None, max_bad_fraction=1.0):
        folder = tmp_path / "raw" / "watch"
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in recordings.items():
            lines = [",".join(("t", *values)), *(",".join(map(str, row)) for row in rows)]
            (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        source = {
            "kind": "sensor",
            "name": "watch",
            "path": "watch",
            "time": "t",
            "time_unit": "s",
            "values": dict.fromkeys(values, "number"),
        }
        params = settings(
            source, project={"max_bad_fraction": max_bad_fraction}, clean=limits or {}
        )
        outcome_of("collect", params, tmp_path)
        return outcome_of("clean", params, tmp_path)

    return run


@pytest.fixture
def flags(tmp_path):
    """Read the flags of the stage that ran."""

    def read(flag=None):
        rows = read_table(Path(tmp_path) / "data" / "clean" / "flags.parquet").to_pylist()
        return [row for row in rows if flag in (None, row["flag"])]

    return read
