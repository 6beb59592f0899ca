"""A folder of files: labels from folders, names from paths."""

import pytest

from tasks.errors import SourceError

PNG = b"\x89PNG any bytes: collect does not decode"


@pytest.fixture
def collect(tmp_path, settings, outcome_of):
    def run(files, modality="image"):
        base = tmp_path / "raw" / "photos"
        base.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (base / name).parent.mkdir(parents=True, exist_ok=True)
            (base / name).write_bytes(content)
        source = {"kind": "folder", "name": "photos", "path": "photos", "modality": modality}
        params = settings(source, project={"max_bad_fraction": 1.0})
        return outcome_of("collect", params, tmp_path)

    return run


def test_label_is_the_folder_and_stem_the_name(collect):
    outcome = collect({"dog/b.jpg": PNG, "cat/a.png": PNG, "c.png": PNG, ".hidden": b""})
    told = [(r["record_id"], r["label"], r["stem"], r["row"]) for r in outcome.only()]
    assert told == [
        ("photos/c.png", None, "c", 0),
        ("photos/cat/a.png", "cat", "a", 0),
        ("photos/dog/b.jpg", "dog", "b", 0),
    ]
    assert {row["file.path"] for row in outcome.only()} == {name for name, *_ in told}
    assert outcome.only()[0]["source_file"] == "photos/c.png"
    assert outcome.report.media_files == 1
    assert outcome.report.sources[0].ignored_files == 1


def test_text_files_are_read(collect):
    files = {"good/a.txt": "caf\u00e9".encode(), "bad/b.txt": b"caf\xe9", "bad/c.txt": b"a\0b"}
    outcome = collect(files, "text")
    assert [row["file"] for row in outcome.only()] == ["caf\u00e9"]
    assert outcome.reasons == {"bad_encoding": 1, "nul_byte": 1}


def test_links_out_of_the_root_are_not_followed(collect, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(PNG)
    base = tmp_path / "raw" / "photos"
    base.mkdir(parents=True)
    (base / "folder").symlink_to(outside)
    (base / "file.png").symlink_to(outside / "secret.png")
    outcome = collect({"a.png": PNG + b"of our own"})
    assert [row["record_id"] for row in outcome.only()] == ["photos/a.png"]
    assert outcome.reasons == {"path_outside_root": 2}
    assert outcome.report.media_files == 1


def test_an_empty_folder_stops(collect):
    with pytest.raises(SourceError, match="no rows"):
        collect({".DS_Store": b""})
