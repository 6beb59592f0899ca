"""Archives that are unsafe, broken or absurd: nothing lands outside, nothing fills memory."""

import gzip
import io
import tarfile
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as configured
from hypothesis import strategies as st

from tasks.collect.rows import Notes
from tasks.collect.sources.webdataset import read_webdataset
from tasks.errors import SourceError
from tasks.params.collect import WebdatasetSource
from tasks.samples.media import MediaStore


def entry_of(name, kind=tarfile.REGTYPE, target=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def packed(members, mode="w"):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in members:
            entry = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


GOOD = [("a.txt", b"one"), ("b.txt", b"two")]


@pytest.fixture
def collect(tmp_path, settings, outcome_of):
    def run(content, name="s.tar", columns=None):
        (tmp_path / "raw").mkdir(exist_ok=True)
        (tmp_path / "raw" / name).write_bytes(content)
        columns = columns or {"txt": "text"}
        source = {"kind": "webdataset", "name": "w", "path": name, "columns": columns}
        before = {path for path in tmp_path.parent.rglob("*") if "data" not in path.parts}
        params = settings(source, project={"max_bad_fraction": 1.0})
        outcome = outcome_of("collect", params, tmp_path)
        after = {path for path in tmp_path.parent.rglob("*") if "data" not in path.parts}
        assert after - before <= {tmp_path / "reports", tmp_path / "reports" / "collect.json"}
        return outcome

    return run


UNSAFE = {
    "up": entry_of("../evil.txt"),
    "up_inside": entry_of("a/../../evil.txt"),
    "absolute": entry_of("/tmp/evil.txt"),
    "windows": entry_of("..\\evil.txt"),
    "drive": entry_of("C:\\evil.txt"),
    "link": entry_of("evil.txt", tarfile.SYMTYPE, "/etc/passwd"),
    "hard_link": entry_of("evil.txt", tarfile.LNKTYPE, "../../etc/passwd"),
    "device": entry_of("evil.txt", tarfile.CHRTYPE),
    "disk": entry_of("evil.txt", tarfile.BLKTYPE),
    "pipe": entry_of("evil.txt", tarfile.FIFOTYPE),
    "newline": entry_of("ev\nil.txt"),
}


@pytest.mark.parametrize("entry", UNSAFE.values(), ids=UNSAFE)
def test_129_unsafe_members(collect, entry):
    outcome = collect(packed([GOOD[0], (entry, b""), GOOD[1]]))
    assert outcome.reasons == {"unsafe_member": 1}
    assert [row["txt"] for row in outcome.only()] == ["one", "two"]
    assert outcome.quarantine[0]["file"] == "s.tar"


def test_129_a_member_that_is_there_twice(collect):
    outcome = collect(packed([("a.txt", b"1"), ("a.txt", b"2"), ("b.txt", b"3")]))
    assert outcome.reasons == {"duplicate_member": 1}
    assert [row["txt"] for row in outcome.only()] == ["3"]


def test_129_samples_whose_members_lie_apart(collect):
    apart = [("a.txt", b"1"), ("b.txt", b"2"), ("a.cls", b"x"), ("b.cls", b"y")]
    outcome = collect(packed(apart), columns={"txt": "text", "cls": "category"})
    assert outcome.reasons == {"scattered_sample": 2}
    assert "sorted by name" in outcome.quarantine[0]["detail"]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("part", [0.3, 0.5, 0.7, 0.9])
def test_130_an_archive_that_was_cut_off(collect, mode, part):
    members = [(f"{n:03}.txt", bytes(range(65, 90)) * (60 + n)) for n in range(20)]
    content = packed(members, mode)
    if mode == "w":
        content = content.rstrip(b"\0")
    outcome = collect(content[: int(len(content) * part)])
    assert outcome.reasons == {"truncated_archive": 1}
    (aside,) = outcome.quarantine
    assert "s.tar" in aside["detail"]
    assert len(outcome.only()) < 20


def test_130_an_archive_cut_off_between_members(collect):
    content = packed(GOOD)[: 4 * 512]  # two members, each a header and a block; no end mark
    outcome = collect(content)
    assert outcome.reasons == {"truncated_archive": 1}
    assert [row["txt"] for row in outcome.only()] == ["one"]


def test_130_a_damaged_header(collect):
    content = bytearray(packed([*GOOD, ("c.txt", b"three")]))
    content[4 * 512 + 10] ^= 0xFF
    outcome = collect(bytes(content))
    assert outcome.reasons == {"damaged_archive": 1}
    assert len(outcome.only()) == 1


def test_130_a_bomb(collect):
    """A gigabyte of zeros in a megabyte, as a member that nobody asked for."""
    entry = entry_of("zeros.bin")
    entry.size = 2**30
    file = io.BytesIO()
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as archive:
        archive.write(packed([GOOD[0]])[:1024])
        archive.write(entry.tobuf())
        for _ in range(120):
            archive.write(bytes(2**20))
    tracemalloc.start()
    outcome = collect(file.getvalue())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert outcome.reasons == {"archive_bomb": 1}
    assert peak < 30_000_000


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_130_a_name_of_a_gigabyte(collect, kind):
    entry = entry_of("long", kind)
    entry.size = 2**30
    content = packed([GOOD[0]])[:1024] + entry.tobuf(tarfile.GNU_FORMAT) + bytes(4096)
    assert collect(content).reasons == {"damaged_archive": 1}


def test_130_a_member_of_a_terabyte(collect):
    entry = entry_of("b.txt")
    entry.size = 2**40
    content = packed([GOOD[0]])[:1024] + entry.tobuf(tarfile.GNU_FORMAT) + bytes(4096)
    outcome = collect(content)
    assert set(outcome.reasons) == {"truncated_archive"}
    assert [row["txt"] for row in outcome.only()] == ["one"]


def test_130_a_negative_size(collect):
    entry = entry_of("b.txt")
    header = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = (2**96 - 2048).to_bytes(12, "big")
    header[148:156] = b" " * 8
    header[148:155] = b"%06o\0" % sum(header)
    outcome = collect(packed([GOOD[0]])[:1024] + bytes(header) + bytes(4096))
    assert outcome.reasons == {"damaged_archive": 1}


def test_131_an_archive_in_an_archive_is_a_file_like_any_other(tmp_path, collect):
    inner = packed([("../evil.txt", b"x")])
    outcome = collect(packed([("a.wav", inner)]), columns={"wav": "audio"})
    store = MediaStore(tmp_path / "data/collect/media")
    assert store.read(outcome.only()[0]["wav"]) == inner


@pytest.mark.parametrize("content", [b"", b"id,text\n1,a\n", b"\x1f\x8b", gzip.compress(b"text")])
def test_131_what_is_no_tar(collect, content):
    with pytest.raises(SourceError, match="not a tar archive"):
        collect(content)


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("../evil.txt", "x")
        archive.writestr("rows.csv", "id,text,label\n1,a,x\n")
    return file.getvalue()


def test_128_a_zip_where_a_tar_is_expected(collect):
    with pytest.raises(SourceError, match="ZIP archive"):
        collect(zipped())


@pytest.mark.parametrize("name", ["rows.zip", "rows.csv", "rows.7z", "rows"])
@pytest.mark.parametrize("kind", ["table", "folder", "webdataset"])
def test_128_archives_as_sources_are_refused(tmp_path, settings, table, outcome_of, name, kind):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / name).write_bytes(zipped())
    source = {
        "table": table(path=name),
        "folder": {"kind": "folder", "name": "rows", "path": name, "modality": "text"},
        "webdataset": {
            "kind": "webdataset",
            "name": "rows",
            "path": name,
            "columns": {"txt": "text"},
        },
    }[kind]
    with pytest.raises(SourceError, match="unpack it"):
        outcome_of("collect", settings(source), tmp_path)
    assert not list(tmp_path.rglob("evil.txt"))


@given(
    mode=st.sampled_from(["w", "w:gz"]),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4),
    kept=st.floats(0.05, 1),
)
@configured(max_examples=80, deadline=None)
def test_130_any_damage_is_told(mode, changes, kept):
    """Whatever happens to an archive, it is either refused, or each of its rows has its verdict."""
    content = bytearray(packed([(f"{n}.txt", b"text") for n in range(4)], mode))
    del content[max(1, int(len(content) * kept)) :]
    for place, value in changes:
        content[int(place * (len(content) - 1))] = value
    source = WebdatasetSource(kind="webdataset", name="w", path="s.tar", columns={"txt": "text"})
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "s.tar").write_bytes(content)
        try:
            rows = list(read_webdataset(source, Path(folder), Notes()))
        except SourceError:
            return
    assert all((row.fault is None) == bool(row.cells) for row in rows)
    whole = [row.name for row in rows if row.fault is None]
    assert len(set(whole)) == len(whole)


def test_129_a_name_that_is_no_text(collect):
    content = packed([(entry_of("\udcff.txt"), b"x"), GOOD[0]])
    outcome = collect(content)
    assert outcome.reasons == {"unsafe_member": 1}
    assert outcome.quarantine[0]["record_id"] == "\\udcff.txt"
