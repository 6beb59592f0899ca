"""Find the files of a source that may be one file, a folder of them or a glob."""

import os
from collections.abc import Collection
from pathlib import Path

from tasks.collect.cells import BadCell
from tasks.collect.media_files import resolve_inside
from tasks.collect.readers.unpacking import CODECS
from tasks.collect.rows import Notes
from tasks.errors import SourceError, listing

_WILD = frozenset("*?[")


def format_of(path: Path) -> str:
    """Return the ending that says how a file is written, without its dot or its compression.

    >>> format_of(Path("a/rows.CSV")), format_of(Path("rows.jsonl.gz"))
    ('csv', 'jsonl')
    """
    name = path.name.lower()
    for packed in CODECS:
        name = name.removesuffix(packed)
    return name.rpartition(".")[2] if "." in name else ""


def is_glob(written: str) -> bool:
    """Tell whether a path stands for all files that are like it."""
    return not _WILD.isdisjoint(written)


def _is_hidden(file: Path) -> bool:
    return any(part.startswith(".") for part in file.parts)


def files_of(root: Path, written: str, formats: Collection[str], notes: Notes) -> list[Path]:
    """Return the files of a source in the order of their paths.

    Args:
        root: The folder that all must lie in.
        written: A file, a folder or a glob, relative to the root.
        formats: Endings without their dots; in a folder, files with another one are counted and
            left out.
        notes: Where that count goes.

    Raises:
        SourceError: There is none, or a path leads out of the root.
    """
    path = root / written
    if path.is_dir():
        below = (Path(folder) / name for folder, _, names in os.walk(path) for name in names)
        every = [file for file in below if not _is_hidden(file.relative_to(path))]
        found = [file for file in every if format_of(file) in formats]
        notes.ignored_files += len(every) - len(found)
    elif path.exists() or not is_glob(written):
        return [path]
    else:
        found = [file for file in root.glob(written) if file.is_file()]
    if not found:
        raise SourceError(
            f"{path}: no rows; expected files ending in "
            f"{listing(f'.{name}' for name in sorted(formats))}"
        )
    real_root = Path(os.path.realpath(root))
    for file in found:
        try:
            resolve_inside(real_root, str(file))
        except BadCell as bad:
            raise SourceError(f"{file}: {bad.reason}: {bad.detail}") from None
    return sorted(found, key=lambda file: os.fsencode(file))
