"""Lines of a text file, decoded strictly: a byte that does not fit stops, with its place."""

import codecs
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, TextIO

from tasks.collect.readers.unpacking import open_unpacked
from tasks.errors import SourceError

MAX_LINE_CHARACTERS = 64 * 2**20
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@contextmanager
def open_text(path: Path, encoding: str, newline: str) -> Iterator[TextIO]:
    """Open a text file, unpacked where it is compressed; a byte order mark is left out.

    Args:
        path: The file.
        encoding: How it was written; it is never guessed.
        newline: As for ``open``: "" ends lines at every kind of line end.

    Raises:
        SourceError: The file is not in that encoding, or may not be read.
    """
    try:
        encoding = _checked_encoding(path, encoding)
        with (
            open_unpacked(path) as content,
            io.TextIOWrapper(content, encoding, errors="strict", newline=newline) as text,
        ):
            yield text
    except UnicodeDecodeError as fault:
        _raise_misfit(path, encoding, fault)
    except PermissionError:
        raise SourceError(f"{path}: no permission to read it; grant it to this user") from None


def read_lines(path: Path, encoding: str, newline: str) -> Iterator[str]:
    """Yield the lines of a file with their ends.

    Raises:
        SourceError: As :func:`open_text`, or a line is longer than any row should be.
    """
    with open_text(path, encoding, newline) as text:
        number = 0
        while line := text.readline(MAX_LINE_CHARACTERS):
            number += 1
            if len(line) == MAX_LINE_CHARACTERS and not line.endswith(("\n", "\r")):
                raise too_long(path, number)
            yield line


def too_long(path: Path, number: int) -> SourceError:
    """Word the fault of a line without an end."""
    return SourceError(
        f"{path}:{number}: the line is longer than {MAX_LINE_CHARACTERS:,} characters; expected "
        "one row a line"
    )


def _checked_encoding(path: Path, encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
        "".encode(encoding)
    except LookupError:
        raise SourceError(
            f"{path}: the declared encoding '{encoding}' is not known; "
            "write one such as utf-8, utf-16 or latin-1"
        ) from None
    with open_unpacked(path) as file:
        head = file.read(4)
    if name == "utf-8":
        if head.startswith(_UTF16_MARKS):
            raise SourceError(
                f"{path}: expected UTF-8, but it looks like UTF-16; save it as UTF-8, "
                "or declare `encoding: utf-16`"
            )
        return "utf-8-sig"
    return encoding


def _raise_misfit(path: Path, encoding: str, fault: UnicodeDecodeError) -> NoReturn:
    """Find the line and the byte that do not fit, which the decoder of a stream cannot say."""
    declared = "utf-8" if encoding == "utf-8-sig" else encoding
    remedy = "save it in that encoding, or declare the one it has (such as `encoding: latin-1`)"
    by_line = "\n".encode(declared) == b"\n"  # not so in UTF-16, whose lines end in other bytes
    with open_unpacked(path) as file:
        for number, line in enumerate(file if by_line else (), 1):
            try:
                line.decode(declared)
            except UnicodeDecodeError as misfit:
                raise SourceError(
                    f"{path}:{number}: byte {misfit.start + 1} of the line "
                    f"(0x{line[misfit.start]:02x}) is not {declared}; {remedy}"
                ) from None
    raise SourceError(f"{path}: not {declared} ({fault.reason}); {remedy}") from None
