"""Sources of kind ``folder``: one record a file, labelled by the folder it lies in."""

import os
from collections.abc import Iterator
from pathlib import Path

from tasks.collect.cells import BadCell
from tasks.collect.media_files import read_regular_file, resolve_inside
from tasks.collect.rows import Fault, Notes, RawRow, source_kinds
from tasks.errors import SourceError
from tasks.params.collect import AnySource, FolderSource

_LEFT_BY_SYSTEMS = frozenset({"Thumbs.db", "desktop.ini"})


@source_kinds.register("folder")
def read_folder(source: AnySource, root: Path, notes: Notes) -> Iterator[RawRow]:
    """Read a folder's files in the order of their paths; hidden ones are left out and counted.

    Raises:
        SourceError: There is no file.
    """
    assert isinstance(source, FolderSource)
    base, real_root = root / source.path, Path(os.path.realpath(root))
    n_files = 0
    for path in _files_below(base, notes):
        n_files += 1
        name = path.relative_to(root).as_posix()
        label = path.parent.name if path.parent != base else None
        if source.modality != "text":
            yield RawRow(name, 0, (name, label, path.stem), name, name=name)
            continue
        try:
            content = read_regular_file(resolve_inside(real_root, name), name)
        except BadCell as bad:
            yield RawRow(name, 0, (), name, Fault(bad.reason, bad.detail, "file"), name)
            continue
        text = _text_of(content)
        cells = () if isinstance(text, Fault) else (text, label, path.stem)
        fault = text if isinstance(text, Fault) else None
        yield RawRow(name, 0, cells, content, fault, name)
    if n_files == 0:
        raise SourceError(f"{base}: no rows; expected a folder with one file at least")


def _files_below(base: Path, notes: Notes) -> list[Path]:
    """List all entries that are no folders; a link to a folder is listed, and not followed."""
    found: list[Path] = []
    for folder, folders, files in os.walk(base):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        hidden = [name for name in folders if name.startswith(".")]
        folders[:] = [name for name in folders if name not in (*links, *hidden)]
        for name in (*files, *links):
            if name.startswith(".") or name in _LEFT_BY_SYSTEMS:
                notes.ignored_files += 1
            else:
                found.append(Path(folder) / name)
    return sorted(found, key=lambda path: os.fsencode(path))


def _text_of(content: bytes) -> str | Fault:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        detail = f"byte {fault.start + 1} is not utf-8; save it as UTF-8"
        return Fault("bad_encoding", detail, "file")
    return Fault("nul_byte", "a NUL in the text", "file") if "\0" in text else text
