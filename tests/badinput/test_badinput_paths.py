"""Paths that records name: none leads out of the root, none hangs, each is accounted for."""

import os
import socket

import pytest

from tasks.errors import SourceError
from tasks.samples.media import MediaStore

INSIDE, OUTSIDE = b"inside the root", b"a secret outside of it"


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "raw"
    (root / "media").mkdir(parents=True)
    (root / "media" / "a.png").write_bytes(INSIDE)
    (tmp_path / "secret.png").write_bytes(OUTSIDE)
    return tmp_path


@pytest.fixture
def collect(project, settings, outcome_of):
    def run(*paths):
        rows = "".join('"' + path.replace('"', '""') + '"\n' for path in paths)
        content = ("image\n" + rows).encode("utf-8", "surrogateescape")
        (project / "raw" / "rows.csv").write_bytes(content)
        columns = {"image": "image"}
        source = {"kind": "table", "name": "rows", "path": "rows.csv", "columns": columns}
        params = settings(source, project={"max_bad_fraction": 1.0})
        outcome = outcome_of("collect", params, project)
        store = MediaStore(project / "data" / "collect" / "media")
        assert all(store.read(digest) != OUTSIDE for digest in store)
        return outcome

    return run


@pytest.mark.parametrize(
    "path",
    [
        "../secret.png",
        "media/../../secret.png",
        "..\\secret.png",
        "C:\\secret.png",
        "/etc/passwd",
        "//etc/passwd",
        "..",
    ],
)
def test_121_paths_that_lead_out(collect, path):
    assert collect(path).reasons == {"path_outside_root": 1}


@pytest.mark.parametrize("path", ["~/.profile", "$HOME/.profile", "media/b.png", "x" * 300])
def test_121_124_files_that_are_not_there(collect, path):
    assert collect(path).reasons == {"missing_file": 1}


def test_121_an_absolute_path_inside_the_root_is_fine(collect, project):
    outcome = collect(str(project / "raw" / "media" / "a.png"), "media/../media/a.png")
    assert len(outcome.only()) == 2
    assert outcome.report.media_files == 1


def test_122_a_link_out_of_the_root_is_not_followed(collect, project):
    (project / "raw" / "link.png").symlink_to(project / "secret.png")
    (project / "raw" / "folder").symlink_to(project)
    assert collect("link.png", "folder/secret.png").reasons == {"path_outside_root": 2}


def test_122_a_link_within_the_root_is_followed(collect, project):
    (project / "raw" / "link.png").symlink_to(project / "raw" / "media" / "a.png")
    assert len(collect("link.png", "media/a.png").only()) == 2


def test_123_what_is_no_plain_file(collect, project):
    root = project / "raw"
    (root / "folder.png").mkdir()
    (root / "loop.png").symlink_to(root / "loop.png")
    os.mkfifo(root / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(root, os.O_RDONLY)  # a socket's own path may not be long
        try:
            listener.bind(f"/proc/self/fd/{here}/socket.png")
        finally:
            os.close(here)
        outcome = collect("folder.png", "loop.png", "pipe.png", "socket.png")
    assert outcome.reasons == {"not_a_regular_file": 4}


def test_121_a_nul_in_a_path(collect):
    assert collect("media/a.png\0.txt").reasons == {"nul_byte": 1}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_126_a_file_without_permission(collect, project):
    (project / "raw" / "media" / "a.png").chmod(0)
    assert collect("media/a.png").reasons == {"unreadable_file": 1}


def test_a_huge_file_is_not_read(collect, project):
    with (project / "raw" / "huge.png").open("wb") as file:
        file.truncate(2**40)
    assert collect("huge.png", "media/a.png").reasons == {"too_large": 1}


def test_121_a_source_outside_of_the_root(project, settings, table, outcome_of):
    (project / "rows.csv").write_text("id,text,label\n1,a,x\n")
    with pytest.raises(SourceError, match="path_outside_root"):
        outcome_of("collect", settings(table(path="../rows.csv")), project)


def test_a_root_that_is_not_there(tmp_path, settings, table, outcome_of):
    with pytest.raises(SourceError, match="no such folder"):
        outcome_of("collect", settings(table()), tmp_path)
