"""Tar archives of samples: members of one key are one record."""

import io
import json
import tarfile
import tracemalloc

import pytest

from tasks.errors import SourceError
from tasks.samples.media import MediaStore

COLUMNS = {
    "jpg": "image",
    "txt": "text",
    "cls": "category",
    "json.caption": "text",
    "json.size": "number",
    "wav": "audio",
}


def write_tar(path, members, mode="w"):
    """Write an archive; a member is a name and bytes, or a TarInfo."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            entry = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def sample(key, **members):
    return [(f"{key}.{ending}", content) for ending, content in members.items()]


def whole(key, number=0):
    note = json.dumps({"caption": f"c{number}", "size": 1.5, "more": [1, 2]}).encode()
    return sample(
        key, jpg=b"jpg%d" % number, txt=b"hello\n", cls=b"3\n", json=note, wav=b"wav%d" % number
    )


@pytest.fixture
def collect(tmp_path, settings, outcome_of):
    def run(path="s.tar", columns=COLUMNS, **more):
        source = {"kind": "webdataset", "name": "w", "path": path, "columns": columns, **more}
        return outcome_of("collect", settings(source, project={"max_bad_fraction": 1.0}), tmp_path)

    return run


def test_members_of_one_key_are_one_record(tmp_path, collect):
    write_tar(tmp_path / "raw/s.tar", [*whole("./a/1", 1), *whole("a/2.5", 2)[:0], *whole("b", 3)])
    outcome = collect()
    first, second = outcome.only()
    assert (first["record_id"], second["record_id"]) == ("a/1", "b")
    assert (first["txt"], first["cls"], first["json.caption"]) == ("hello", "3", "c1")
    assert first["json.size"] == 1.5
    assert first["jpg.path"] == "s.tar/a/1.jpg"
    store = MediaStore(tmp_path / "data/collect/media")
    assert store.read(first["jpg"]) == b"jpg1"
    assert store.read(second["wav"]) == b"wav3"
    assert store.suffix(second["wav"]) == ".wav"


def test_what_a_sample_lacks_is_null(tmp_path, collect):
    write_tar(tmp_path / "raw/s.tar", [*whole("a"), *sample("b", txt=b"alone"), ("c.xyz", b"")])
    outcome = collect()
    _, second, third = outcome.only()
    assert second["txt"] == "alone"
    assert {second[name] for name in COLUMNS if name != "txt"} == {None}
    assert {third[name] for name in COLUMNS} == {None}
    assert outcome.report.sources[0].unused_columns == ("xyz",)


def test_archives_are_read_by_name_and_repeated_keys_get_it(tmp_path, collect):
    write_tar(tmp_path / "raw/s-1.tar.gz", [*whole("a", 2), *whole("b", 3)], "w:gz")
    write_tar(tmp_path / "raw/s-0.tar", whole("a", 1))
    write_tar(tmp_path / "raw/s-2.tgz", whole("a", 4), "w:gz")
    expected = [("a", "c1"), ("s-1.tar.gz/a", "c2"), ("b", "c3"), ("s-2.tgz/a", "c4")]
    for path in ("s-*.t*gz", ".", "s-*"):
        found = [(row["record_id"], row["json.caption"]) for row in collect(path).only()]
        if path == "s-*.t*gz":
            assert found == [("a", "c2"), ("b", "c3"), ("s-2.tgz/a", "c4")]
        else:
            assert found == expected
    (tmp_path / "raw/s-1.tar.gz").rename(tmp_path / "raw/s-1.tar")
    assert len(collect("s-{0..1}.tar").only()) == 3


def test_a_compressed_archive_is_known_by_its_bytes(tmp_path, collect):
    write_tar(tmp_path / "raw/s.tar", whole("a"), "w:gz")
    assert len(collect().only()) == 1


def test_endings_are_told_apart_as_a_whole(tmp_path, collect):
    write_tar(tmp_path / "raw/s.tar", [("a.JPG", b"1"), ("a.seg.png", b"2"), ("a.png", b"3")])
    outcome = collect(columns={"jpg": "image", "seg.png": "image"})
    (row,) = outcome.only()
    assert row["seg.png.path"] == "s.tar/a.seg.png"
    assert outcome.report.sources[0].unused_columns == ("png",)


def test_text_that_cannot_be_read(tmp_path, collect):
    bad = {"a": b"\xff", "b": b"x\0y", "c": b"fine"}
    members = [(f"{key}.txt", content) for key, content in bad.items()]
    write_tar(tmp_path / "raw/s.tar", members)
    outcome = collect(columns={"txt": "text"})
    assert outcome.reasons == {"bad_encoding": 1, "nul_byte": 1}
    assert outcome.only()[0]["record_id"] == "c"


@pytest.mark.parametrize(
    ("note", "reason"),
    [
        (b"{", "bad_json"),
        (b"[1]", "bad_json"),
        (b'{"caption": [1]}', "not_a_scalar"),
        (b"[" * 100_000, "json_limits"),
        (b'{"caption": ' + b"9" * 2000 + b"}", "json_limits"),
    ],
)
def test_notes_that_cannot_be_read(tmp_path, collect, note, reason):
    fine = b'{"caption": 1.50}'
    write_tar(tmp_path / "raw/s.tar", [("a.json", note), ("b.json", fine)])
    outcome = collect(columns={"json.caption": "text"})
    assert outcome.reasons == {reason: 1}
    assert outcome.only()[0]["json.caption"] == "1.50"


def test_an_ending_that_no_sample_has(tmp_path, collect):
    write_tar(tmp_path / "raw/s.tar", [("a.jpeg", b"1")])
    with pytest.raises(SourceError, match=r"no member ends in '\.jpg'.*Did you mean 'jpeg'"):
        collect(columns={"jpg": "image"})


def test_hidden_members_are_left_out_and_counted(tmp_path, collect):
    write_tar(tmp_path / "raw/s.tar", [("._a.txt", b"x"), (".git/a.txt", b"x"), ("a.txt", b"y")])
    outcome = collect(columns={"txt": "text"})
    assert [row["txt"] for row in outcome.only()] == ["y"]
    assert outcome.report.sources[0].ignored_files == 2


def test_order_and_bytes_are_always_the_same(tmp_path, collect):
    write_tar(tmp_path / "raw/s-0.tar", whole("a", 1))
    write_tar(tmp_path / "raw/s-1.tar", whole("b", 2))
    manifests = []
    for _ in range(2):
        collect("s-*.tar")
        manifests.append((tmp_path / "data/collect/MANIFEST.json").read_bytes())
    assert manifests[0] == manifests[1]


def test_members_stream(tmp_path, collect):
    """Thirty megabytes of members nobody asked for are passed over."""
    big = bytes(1_000_000)
    members = [(f"{n}.bin", big) for n in range(30)] + [("30.txt", b"x")]
    write_tar(tmp_path / "raw/s.tar", members)
    tracemalloc.start()
    outcome = collect(columns={"txt": "text"})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(outcome.only()) == 31
    assert peak < 10_000_000
