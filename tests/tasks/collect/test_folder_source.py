"""A folder of files: labels from folders, names from paths."""

import pytest

from tasks.errors import SourceError

PNG = b"\x89PNG any bytes: collect does not decode"


@pytest.fixture
def collect(tmp_path, settings, outcome_of):
    def run(files, modality="image", **more):
        base = tmp_path / "raw" / "photos"
        base.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (base / name).parent.mkdir(parents=True, exist_ok=True)
            (base / name).write_bytes(content)
        source = {"kind": "folder", "name": "photos", "path": "photos", "modality": modality}
        params = settings(source | more, project={"max_bad_fraction": 1.0})
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


def test_nested_folders_label_by_the_last_or_by_all(collect):
    files = {"train/animal/cat/a.png": PNG, "b.png": PNG}
    told = [(row["label"], row["top"]) for row in collect(files).only()]
    assert told == [(None, None), ("cat", "train")]
    told = [row["label"] for row in collect(files, label_from="path").only()]
    assert told == [None, "train/animal/cat"]


def test_patterns_take_one_kind_of_file_and_the_others_are_counted(collect):
    files = {"a.png": PNG, "a.wav": b"RIFF", "sub/b.png": PNG, "README.md": b"words"}
    outcome = collect(files, patterns=("*.png",))
    assert [row["stem"] for row in outcome.only()] == ["a", "b"]
    told = {"files in its folder that no pattern lists": 2}
    assert outcome.report.sources[0].notes == told
    assert [row["stem"] for row in collect(files, patterns=("sub/*",)).only()] == ["b"]
    with pytest.raises(SourceError, match=r"one file like '\*\.jpg' at least"):
        collect(files, patterns=("*.jpg",))


METADATA = {
    "path": "metadata.csv",
    "columns": {"caption": "text", "size": "number", "kinds": "labels"},
}


def test_metadata_join_in_and_nothing_is_left_over_in_silence(collect):
    table = (
        "caption,file_name,size,kinds\n"
        "a cat,cat/a.png,3,b;a\n"
        ",b.png,,\n"
        "lost,gone.png,1,\n"
        "twice,c.png,1,\n"
        "twice,./c.png,2,\n"
        "odd,d.png,many,\n"
        "nothing,,1,\n"
        "short\n"
    )
    files = {f"{name}.png": PNG for name in ("cat/a", "b", "c", "d", "e")}
    outcome = collect({**files, "metadata.csv": table.encode()}, metadata=METADATA)
    told = {row["stem"]: (row["caption"], row["size"], row["kinds"]) for row in outcome.only()}
    assert told == {"a": ("a cat", 3.0, "a;b"), "b": (None, None, None)}
    places = {(row["file"], row["row"]): row["reason"] for row in outcome.quarantine}
    assert places == {
        ("photos/c.png", 0): "conflicting_metadata",
        ("photos/d.png", 0): "not_a_number",
        ("photos/e.png", 0): "no_metadata",
        ("photos/metadata.csv", 3): "missing_file",
        ("photos/metadata.csv", 7): "null_id",
        ("photos/metadata.csv", 8): "missing_fields",
    }


def test_metadata_may_bring_the_label(collect):
    lines = b'{"file": "x/a.png", "label": "dog"}\n'
    metadata = {"path": "m.jsonl", "columns": {"label": "category"}, "file_column": "file"}
    (row,) = collect({"x/a.png": PNG, "m.jsonl": lines}, metadata=metadata).only()
    assert row["label"] == "dog"


def test_metadata_of_texts(collect):
    metadata = {"path": "m.csv", "columns": {"label": "category"}}
    files = {"a.txt": b"hello", "m.csv": b"file_name,label\na.txt,greeting\n"}
    (row,) = collect(files, "text", metadata=metadata).only()
    assert (row["file"], row["label"]) == ("hello", "greeting")


def test_metadata_that_are_not_there(collect):
    with pytest.raises(SourceError, match=r"there is no file .*metadata\.csv"):
        collect({"a.png": PNG}, metadata=METADATA)
    with pytest.raises(SourceError, match=r"missing columns 'file_name', 'size', 'kinds'"):
        collect({"a.png": PNG, "metadata.csv": b"caption\na\n"}, metadata=METADATA)
