"""Sources and media by address, through the whole stage."""

import hashlib
import io
import json
import os

import fsspec
import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry as registered
from loopback_server import loopback_server
from PIL import Image

from tasks.__main__ import run_stage
from tasks.collect.remote.sources import expand_ranges
from tasks.errors import SourceError
from tasks.samples.media import MediaStore
from tasks.samples.tables import read_table

ROWS = b"id,text,label\n1,first,x\n2,second,y\n"


def png(colour):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, format="PNG")
    return file.getvalue()


@pytest.fixture
def server():
    with loopback_server() as running:
        yield running


@pytest.fixture
def project(tmp_path):
    (tmp_path / "raw").mkdir()
    return tmp_path


@pytest.fixture
def by_address(settings):
    """Settings for sources of a server of this machine."""

    def make(*sources, **remote):
        remote = {"allow_private_addresses": True, "total_timeout_seconds": 10.0, **remote}
        collect = {"root": "raw", "sources": sources, "remote": remote}
        return settings(*sources, collect=collect, project={"max_bad_fraction": 1.0})

    return make


@pytest.fixture
def bucket():
    """Object storage that holds its files in memory.

    fsspec's own memory file system takes the place of s3fs for ``s3://``: the real one needs a
    server and credentials, and all that our code asks of either is what fsspec promises of both.
    """
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    fsspec.register_implementation("s3", MemoryFileSystem, clobber=True)
    yield fsspec.filesystem("memory")
    MemoryFileSystem.store.clear()
    registered.pop("s3")


def written_down(project):
    return read_table(project / "data" / "collect" / "remote.parquet").to_pylist()


def test_a_table_of_a_web_server(server, project, table, by_address, outcome_of):
    url = server.file("/data/rows.csv", ROWS)
    outcome = outcome_of("collect", by_address(table(path=url)), project)
    assert [row["text"] for row in outcome.only()] == ["first", "second"]
    assert {row["file"] for row in outcome.only()} == {"rows.csv"}
    assert written_down(project) == [
        {
            "source": "rows",
            "url": url,
            "etag": '"v1"',
            "last_modified": "Thu, 01 Jan 1970 00:00:00 GMT",
            "bytes": len(ROWS),
            "sha256": hashlib.sha256(ROWS).hexdigest(),
        }
    ]
    assert (outcome.report.fetched_files, outcome.report.fetched_bytes) == (1, len(ROWS))
    assert "1 files from addresses" in outcome.report.lines()[-1]


def test_the_same_files_give_the_same_bytes(server, project, table, by_address):
    params = by_address(table(path=server.file("/rows.csv", ROWS)))
    manifests = []
    for _ in range(2):
        run_stage("collect", params, project)
        manifests.append((project / "data" / "collect" / "MANIFEST.json").read_bytes())
    assert manifests[0] == manifests[1]
    assert "remote.parquet" in json.loads(manifests[0])


def test_without_addresses_nothing_is_written_down(project, table, settings, outcome_of):
    (project / "raw" / "rows.csv").write_bytes(ROWS)
    outcome = outcome_of("collect", settings(table()), project)
    assert written_down(project) == []
    assert "addresses" not in "".join(outcome.report.lines())
    assert not (project / ".fuseline" / "remote").exists()


def test_a_changed_file_under_a_pin_stops_the_stage(server, project, table, by_address):
    url = server.file("/rows.csv", ROWS)
    with pytest.raises(SourceError, match=r"source 'rows': hash_mismatch"):
        run_stage("collect", by_address(table(path=url), sha256={url: "0" * 64}), project)


def test_missing_local_sources_are_told_before_anything_is_fetched(
    server, project, table, by_address
):
    there, missing = server.file("/rows.csv", ROWS), table(name="other", path="other.csv")
    with pytest.raises(SourceError, match=r"other\.csv"):
        run_stage("collect", by_address(table(path=there), missing), project)
    assert server.asked["/rows.csv"] == 0


def test_a_web_server_cannot_list_its_files(server, project, table, by_address):
    folder = {"kind": "folder", "name": "photos", "path": server.url("/p"), "modality": "image"}
    for source in (folder, table(path=server.url("/*.csv"))):
        with pytest.raises(SourceError, match="cannot list"):
            run_stage("collect", by_address(source), project)


MEDIA = {"text": "text", "label": "category", "image": "image"}


def test_media_by_address(server, project, table, by_address, outcome_of):
    server.file("/media/red one.png".replace(" ", "%20"), png((255, 0, 0)))
    server.file("/media/blue.png?key=hush", png((0, 0, 255)))
    server.answers["/media/slow.png"] = lambda r: r.plain(404, b"")
    whole = server.url("/media/blue.png?key=hush")
    cells = ["red one.png", whole, "slow.png", "../x.png", "https://example.org/y.png", "", whole]
    rows = "".join(f"t{i},x,{cell}\n" for i, cell in enumerate(cells))
    (project / "raw" / "rows.csv").write_text("text,label,image\n" + rows)
    source = table(columns=MEDIA, media_base=server.url("/media"))
    outcome = outcome_of("collect", by_address(source), project)
    assert outcome.reasons == {
        "missing_file": 1,
        "path_outside_root": 1,
        "address_not_allowed": 1,
    }
    by_text = {row["text"]: row for row in outcome.only()}
    assert sorted(by_text) == ["t0", "t1", "t5", "t6"]
    store = MediaStore(project / "data" / "collect" / "media")
    assert store.read(by_text["t0"]["image"]) == png((255, 0, 0))
    assert store.read(by_text["t1"]["image"]) == png((0, 0, 255))
    assert by_text["t5"]["image"] is None
    assert by_text["t1"]["image.path"].endswith("/media/blue.png?…")
    assert [row["url"].rpartition("/")[2] for row in written_down(project)] == [
        "red%20one.png",
        "blue.png?…",
    ]
    written = b"".join(p.read_bytes() for p in project.rglob("data/**/*.parquet"))
    assert b"hush" not in written


def test_addresses_in_cells_need_a_setting(server, project, table, by_address, outcome_of):
    url = server.file("/a.png", png((1, 2, 3)))
    (project / "raw" / "rows.csv").write_text(f"text,label,image\na,x,{url}\n")
    outcome = outcome_of("collect", by_address(table(columns=MEDIA)), project)
    assert outcome.reasons == {"missing_file": 1}
    assert server.asked["/a.png"] == 0


def test_a_base_that_only_begins_alike(server, project, table, by_address, outcome_of):
    (project / "raw" / "rows.csv").write_text(
        "text,label,image\na,x,http://127.0.0.1.example.org/a.png\n"
    )
    source = table(columns=MEDIA, media_base="http://127.0.0.1")
    outcome = outcome_of("collect", by_address(source), project)
    assert outcome.reasons == {"address_not_allowed": 1}


def test_object_storage_by_file_pattern_and_prefix(bucket, project, table, settings, outcome_of):
    bucket.pipe({"/b/t/one.csv": ROWS, "/b/t/two.csv": ROWS.replace(b"1,", b"3,")})
    bucket.pipe({"/b/photos/cat/1.png": png((9, 9, 9)), "/b/photos/dog/2.png": png((8, 8, 8))})
    params = settings(
        table(name="single", path="s3://b/t/one.csv"),
        table(name="several", path="s3://b/t/*.csv"),
        {"kind": "folder", "name": "photos", "path": "s3://b/photos", "modality": "image"},
    )
    outcome = outcome_of("collect", params, project)
    assert len(outcome.records["single"]) == 2
    assert {row["file"] for row in outcome.records["several"]} == {"one.csv", "two.csv"}
    assert [row["label"] for row in outcome.records["photos"]] == ["cat", "dog"]
    assert [row["url"] for row in written_down(project)] == [
        "s3://b/t/one.csv",
        "s3://b/t/one.csv",
        "s3://b/t/two.csv",
        "s3://b/photos/cat/1.png",
        "s3://b/photos/dog/2.png",
    ]


def test_a_file_that_left_the_storage_leaves_the_records(bucket, project, table, settings):
    bucket.pipe({"/b/t/one.csv": ROWS, "/b/t/two.csv": ROWS})
    params = settings(table(path="s3://b/t/*.csv"))
    run_stage("collect", params, project)
    bucket.rm("/b/t/two.csv")
    assert run_stage("collect", params, project).sources[0].collected == 2


def test_large_objects_come_in_ranges(bucket, project, settings):
    body = os.urandom(9 * 2**20)
    bucket.pipe({"/b/p/a.bin": body})
    source = {"kind": "folder", "name": "blobs", "path": "s3://b/p/", "modality": "audio"}
    run_stage("collect", settings(source), project)
    assert written_down(project)[0]["sha256"] == hashlib.sha256(body).hexdigest()


def test_media_in_object_storage(bucket, project, table, settings, outcome_of):
    bucket.pipe({"/b/t/rows.csv": b"text,label,image\na,x,1.png\nb,y,2.png\n"})
    bucket.pipe({"/b/images/1.png": png((1, 1, 1))})
    source = table(path="s3://b/t/rows.csv", columns=MEDIA, media_base="s3://b/images/")
    params = settings(source, project={"max_bad_fraction": 1.0})
    assert outcome_of("collect", params, project).reasons == {"missing_file": 1}


def test_nothing_at_an_address(bucket, project, table, settings):
    with pytest.raises(SourceError, match=r"missing_file: s3://b/rows\.csv"):
        run_stage("collect", settings(table(path="s3://b/rows.csv")), project)
    with pytest.raises(SourceError, match="no file at"):
        run_stage("collect", settings(table(path="s3://b/*.csv")), project)


def test_a_key_that_leads_out_is_refused(bucket, project, table, settings):
    MemoryFileSystem.store.clear()
    bucket.pipe({"/b/t/ok.csv": ROWS})
    odd = MemoryFileSystem.store["/b/t/ok.csv"]
    MemoryFileSystem.store["/b/t/../../out.csv"] = odd
    source = {"kind": "folder", "name": "f", "path": "s3://b/t", "modality": "text"}
    with pytest.raises(SourceError, match="path_outside_root"):
        run_stage("collect", settings(source), project)


def test_a_library_that_is_not_installed_is_named(project, table, settings):
    if "gcsfs" in fsspec.available_protocols():
        pytest.skip("gcsfs is installed")
    with pytest.raises(SourceError, match=r"pip install 'fuseline\[gs\]'"):
        run_stage("collect", settings(table(path="gs://b/rows.csv")), project)


@pytest.mark.parametrize(
    ("collect", "told"),
    [
        ({"root": "s3://b"}, "root is an address"),
        ({"media_base": "photos"}, "no address"),
        ({"path": "https://me:pw@example.org/rows.csv"}, "credentials come from the environment"),
    ],
)
def test_settings_that_are_refused(settings, table, collect, told):
    source = table(**{key: value for key, value in collect.items() if key != "root"})
    root = collect.get("root", "raw")
    with pytest.raises(ValueError, match=told):
        settings(source, collect={"root": root, "sources": (source,)})


def test_ranges_in_braces():
    assert expand_ranges("a-{8..10}") == ["a-8", "a-9", "a-10"]
    assert expand_ranges("a") == ["a"]
    assert expand_ranges("{x}") == ["{x}"]
    with pytest.raises(SourceError, match="more than"):
        expand_ranges("{0..9999}-{0..9999}")


def test_shards_of_a_web_server(server, project, by_address, outcome_of):
    import tarfile

    for number in range(3):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as archive:
            entry = tarfile.TarInfo(f"{number}.txt")
            entry.size = 2
            archive.addfile(entry, io.BytesIO(b"hi"))
        server.file(f"/s/part-{number}.tar", file.getvalue())
    source = {
        "kind": "webdataset",
        "name": "w",
        "path": server.url("/s/part-{0..2}.tar"),
        "columns": {"txt": "text"},
    }
    outcome = outcome_of("collect", by_address(source), project)
    assert [(row["record_id"], row["file"]) for row in outcome.only()] == [
        (str(n), f"part-{n}.tar") for n in range(3)
    ]


def test_the_table_of_fetched_files_is_typed(project, table, settings):
    (project / "raw" / "rows.csv").write_bytes(ROWS)
    run_stage("collect", settings(table()), project)
    schema = read_table(project / "data" / "collect" / "remote.parquet").schema
    assert schema.field("bytes").type == pa.int64()
