"""Sources of kind ``folder``: one record a file, labelled by the folder it lies in."""

import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from tasks.collect.cells import BadCell
from tasks.collect.media_files import read_regular_file, resolve_inside
from tasks.collect.rows import Cell, Fault, Notes, RawRow, source_kinds
from tasks.collect.sources.folder_metadata import read_metadata
from tasks.errors import SourceError, listing
from tasks.params.collect import AnySource, FolderSource

_LEFT_BY_SYSTEMS = frozenset({"Thumbs.db", "desktop.ini"})


@source_kinds.register("folder")
def read_folder(source: AnySource, root: Path, notes: Notes) -> Iterator[RawRow]:
    """Read a folder's files in the order of their paths, and what its metadata say of each.

    Hidden files, and those that no pattern lists, are left out and counted.

    Raises:
        SourceError: There is no file, or the metadata cannot be read.
    """
    assert isinstance(source, FolderSource)
    base, real_root = root / source.path, Path(os.path.realpath(root))
    metadata = read_metadata(source, root, notes) if source.metadata else None
    files = _listed(source, base, _files_below(base, notes), notes)
    for path in files:
        name = path.relative_to(root).as_posix()
        more = metadata.of(path) if metadata else ()
        if isinstance(more, Fault):
            yield RawRow(name, 0, (), name, more, name)
        elif source.modality != "text":
            yield RawRow(name, 0, _cells(source, base, path, name, more), name, name=name)
        else:
            yield _text_row(source, base, path, real_root, name, more)
    if metadata:
        yield from metadata.unused_rows()
    if not files:
        like = f" like {listing(source.patterns)}" if source.patterns else ""
        raise SourceError(f"{base}: no rows; expected a folder with one file{like} at least")


def _text_row(
    source: FolderSource, base: Path, path: Path, real_root: Path, name: str, more: Sequence[Cell]
) -> RawRow:
    try:
        content = read_regular_file(resolve_inside(real_root, name), name)
    except BadCell as bad:
        return RawRow(name, 0, (), name, Fault(bad.reason, bad.detail, "file"), name)
    text = _text_of(content)
    if isinstance(text, Fault):
        return RawRow(name, 0, (), content, text, name)
    return RawRow(name, 0, _cells(source, base, path, text, more), content, name=name)


def _cells(
    source: FolderSource, base: Path, path: Path, file: str, more: Sequence[Cell]
) -> tuple[Cell, ...]:
    """Return the cells of a file: the folder's own, then those of the metadata."""
    folders = path.relative_to(base).parts[:-1]
    label = "/".join(folders) if source.label_from == "path" else folders[-1] if folders else ""
    own: dict[str, Cell] = {
        "file": file,
        "label": label or None,
        "stem": path.stem,
        "top": folders[0] if folders else None,
    }
    if source.metadata:
        own |= dict(zip(source.metadata.columns, more, strict=True))
    return tuple(own.values())


def _listed(source: FolderSource, base: Path, files: list[Path], notes: Notes) -> list[Path]:
    """Leave out the metadata, and what is like none of the patterns."""
    metadata = base / source.metadata.path if source.metadata else None
    files = [path for path in files if path != metadata]
    if not source.patterns:
        return files
    listed = [path for path in files if _is_like(path.relative_to(base), source.patterns)]
    notes.counts["files in its folder that no pattern lists"] += len(files) - len(listed)
    notes.counts = +notes.counts
    return listed


def _is_like(path: Path, patterns: Sequence[str]) -> bool:
    """Compare the name with patterns of a name, and the whole path with those of a path."""
    whole = PurePosixPath(path).as_posix()
    return any(fnmatchcase(whole if "/" in p else path.name, p) for p in patterns)


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
