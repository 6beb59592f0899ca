"""Collect on the embedded data set: every planted fault is found, and nothing else."""

import pytest

from tasks.samples.folders import folder_digest, manifest_faults
from tasks.samples.media import MediaStore, digest_of
from tasks.samples.quarantine import read_quarantine
from tasks.samples.tables import read_table


@pytest.fixture
def collected(digits_qa_cleaned):
    return digits_qa_cleaned


def test_every_planted_fault_is_set_aside_with_its_reason(collected):
    planted = collected.manifest.planted
    rows = read_quarantine(collected.root / "data" / "collect").to_pylist()
    missing = {row["record_id"] for row in rows if row["reason"] == "missing_file"}
    assert missing == set(planted.missing_images)
    unreadable = [row for row in rows if row["reason"] == "extra_fields"]
    assert {row["detail"].split("'")[1].split(",")[0] for row in unreadable} == set(
        planted.unreadable_rows
    )
    assert len(rows) == len(planted.missing_images) + len(planted.unreadable_rows)


def test_records_and_quarantine_make_up_every_row(collected):
    manifest, folder = collected.manifest, collected.root / "data" / "collect"
    n_aside = read_quarantine(folder)["source"].to_pylist()
    expected = {
        "questions": manifest.n_questions,
        "scans": manifest.n_scans,
        "tones": manifest.n_tones,
    }
    for source, n_rows in expected.items():
        records = read_table(folder / "records" / f"{source}.parquet")
        assert len(records) + n_aside.count(source) == n_rows


def test_media_are_stored_once_and_as_they_were(collected):
    folder = collected.root / "data" / "collect"
    store = MediaStore(folder / "media")
    scans = read_table(folder / "records" / "scans.parquet").to_pylist()
    assert scans
    for row in scans:
        assert store.read(row["image"]) == (collected.folder / row["image.path"]).read_bytes()
        assert store.suffix(row["image"]) == ".png"
    files = [*collected.folder.glob("images/*"), *collected.folder.glob("tones/*")]
    assert len(store) == len({digest_of(path.read_bytes()) for path in files})


def test_same_data_same_bytes(digits_qa, collected, tmp_path, outcome_of):
    project = digits_qa.copy_to(tmp_path)
    outcome_of("collect", project.params, project.root)
    outcome_of("clean", project.params, project.root)
    for stage in ("collect", "clean"):
        one, other = (p.root / "data" / stage for p in (project, collected))
        assert manifest_faults(one) == []
        assert folder_digest(one) == folder_digest(other)
        reports = [p.root / "reports" / f"{stage}.json" for p in (project, collected)]
        assert reports[0].read_text() == reports[1].read_text()
        assert str(tmp_path) not in reports[0].read_text()
