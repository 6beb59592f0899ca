"""Find the sources before any work starts, and say what is there where one is not."""

import os
from collections.abc import Sequence
from pathlib import Path

from tasks.collect.cells import BadCell
from tasks.collect.media_files import resolve_inside
from tasks.collect.sources.archives import archive_in
from tasks.collect.sources.table_files import is_glob
from tasks.errors import SourceError, listing, nearest
from tasks.params.collect import AnySource

_WANTED = {
    "table": "file, folder or glob",
    "sensor": "file, folder or glob",
    "coco": "file or glob",
    "webdataset": "file, folder or glob",
}
"""What a source of each kind is; a folder where nothing is said."""


def require_root(root: Path) -> Path:
    """Return the folder that holds the sources.

    Raises:
        SourceError: There is no such folder.
    """
    if not root.is_dir():
        raise SourceError(
            f"{root}: no such folder; collect.root must hold the sources "
            "(`fuseline demo-data` writes the embedded data set)"
        )
    return root


def require_sources(root: Path, sources: Sequence[AnySource]) -> None:
    """Check that every source is where it is said to be.

    Raises:
        SourceError: Some are not; all of them are named.
    """
    faults = [fault for source in sources if (fault := _fault_of(root, source))]
    if faults:
        raise SourceError("\n".join(faults))


def _fault_of(root: Path, source: AnySource) -> str:
    path = root / source.path
    try:
        resolve_inside(Path(os.path.realpath(root)), source.path)
    except BadCell as bad:
        return f"source '{source.name}': {bad.reason}: {bad.detail}"
    if os.access(path, os.R_OK) and (archive := archive_in(path, source.kind)):
        return (
            f"source '{source.name}': {path} is {archive}; unpack it in collect.root, or write "
            "`kind: webdataset` where it is a tar of samples"
        )
    wanted = _WANTED.get(source.kind, "folder")
    if "glob" in wanted and (is_glob(source.path) or "{" in source.path) and not path.exists():
        return ""  # its reader says so where nothing is like it
    if not ((path.is_dir() and "folder" in wanted) or (path.is_file() and "file" in wanted)):
        parent = next(p for p in path.parents if p.is_dir())
        there = sorted(entry.name for entry in parent.iterdir() if not entry.name.startswith("."))
        beside = f"{parent} holds {listing(there)}" if there else f"{parent} is empty"
        return (
            f"source '{source.name}': there is no {wanted} {path}; {beside}."
            f"{nearest(path.name, there)}"
        )
    if not os.access(path, os.R_OK):
        return f"source '{source.name}': no permission to read {path}; grant it to this user"
    return ""
