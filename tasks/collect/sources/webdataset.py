"""Sources of kind ``webdataset``: tar archives, one record for the members that share a key."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tasks.collect.identity import content_digest
from tasks.collect.media_files import MAX_MEDIUM_BYTES
from tasks.collect.remote.sources import expand_ranges
from tasks.collect.rows import Cell, Fault, Medium, Notes, RawRow, excerpt, source_kinds
from tasks.collect.sources.table_files import files_of
from tasks.collect.sources.webdataset_archives import ArchiveFault, Member, members_of
from tasks.errors import SourceError, listing, nearest
from tasks.params.collect import AnySource, WebdatasetSource
from tasks.samples.records import MEDIA_TYPES

MAX_TEXT_BYTES = 16 * 2**20
_ENDINGS = ("tar", "tgz")
_MAX_DIGITS = 1000
_MOST_ENDINGS = 100


@dataclass
class _Sample:
    """The members of one key, as far as they have come."""

    key: str
    contents: dict[str, bytes] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    fault: Fault | None = None

    def fail(self, fault: Fault) -> None:
        """Remember the first thing that is wrong."""
        self.fault = self.fault or fault


@source_kinds.register("webdataset")
def read_webdataset(source: AnySource, root: Path, notes: Notes) -> Iterator[RawRow]:
    """Read archives in the order of their names, and samples in the order they stand there.

    Members of one sample stand together, as WebDataset wants it. A member that is unsafe sets only
    itself aside; one that is broken, too large or there twice sets its sample aside. Where an
    archive breaks off, its last sample is set aside, which may lack members.

    Raises:
        SourceError: There is no sample, a declared ending is in none of them, or a file is no tar.
    """
    assert isinstance(source, WebdatasetSource)
    reading = _Reading(source, notes)
    for path in _archives(source, root, notes):
        yield from reading.rows_of(path, path.relative_to(root).as_posix())
    reading.require_all_endings(root / source.path)


def _archives(source: WebdatasetSource, root: Path, notes: Notes) -> list[Path]:
    written = expand_ranges(source.path)
    return [path for one in written for path in files_of(root, one, _ENDINGS, notes)]


class _Reading:
    """One pass over all archives of a source."""

    def __init__(self, source: WebdatasetSource, notes: Notes) -> None:
        self._columns, self._notes = source.columns, notes
        self._wanted = {_ending_of(column) for column in source.columns}
        self._endings: dict[str, None] = {}
        self._seen = np.zeros(0, np.uint64)
        self._n_rows = 0

    def rows_of(self, path: Path, file: str) -> Iterator[RawRow]:
        """Yield the samples of one archive, and what had to be left out of it."""
        row, there = 0, set[int]()
        for sample in self._samples(path):
            row += 1
            digest = content_digest((sample.key,))
            if digest in there and sample.fault is None:
                detail = (
                    f"{excerpt(sample.key)} stands in the archive twice; pack it sorted by name"
                )
                sample.fail(Fault("scattered_sample", detail))
            repeated = digest in there or self._is_of_another(digest)
            name = f"{file}/{sample.key}" if repeated else sample.key
            there.add(digest)
            yield self._row(file, row, sample, name)
        fresh = np.fromiter(there, np.uint64, len(there))
        self._seen = np.union1d(self._seen, fresh)
        self._n_rows += row

    def require_all_endings(self, path: Path) -> None:
        """Check that there were samples, and each declared ending in one of them.

        Raises:
            SourceError: There were none.
        """
        if self._n_rows == 0:
            raise SourceError(f"{path}: no rows; expected an archive with one file at least")
        missing = self._wanted - self._endings.keys()
        if missing and len(self._endings) < _MOST_ENDINGS:
            column = min(missing)
            raise SourceError(
                f"{path}: no member ends in '.{column}' (found endings: "
                f"{listing(self._endings)}).{nearest(column, self._endings)}"
            )
        self._notes.saw_unused(name for name in self._endings if name not in self._wanted)

    def _samples(self, path: Path) -> Iterator[_Sample]:
        sample: _Sample | None = None
        try:
            for member in members_of(path):
                if member.unsafe:
                    alone = _Sample(_storable(member.name) or "?", names=[member.name])
                    alone.fail(Fault("unsafe_member", f"{excerpt(member.name)} {member.unsafe}"))
                    yield alone
                    continue
                key, ending = key_and_ending(member.name)
                if not key or "/." in f"/{member.name}":
                    self._notes.ignored_files += 1
                    continue
                if sample is not None and sample.key != key:
                    yield sample
                    sample = None
                sample = sample or _Sample(key)
                self._take(sample, member, ending)
        except ArchiveFault as fault:
            broken = sample or _Sample(path.name)
            broken.fault = Fault(fault.reason, f"{path.name}: {fault.detail}")
            yield broken
        else:
            if sample is not None:
                yield sample

    def _take(self, sample: _Sample, member: Member, ending: str) -> None:
        if len(self._endings) < _MOST_ENDINGS or ending in self._wanted:
            self._endings.setdefault(ending)
        sample.names.append(member.name)
        if ending not in self._wanted:
            return
        most = MAX_MEDIUM_BYTES if self._is_medium(ending) else MAX_TEXT_BYTES
        if member.n_bytes > most:
            detail = f"{excerpt(member.name)}: {member.n_bytes:,} bytes, more than {most:,}"
            sample.fail(Fault("too_large", detail))
        elif ending in sample.contents:
            detail = f"{excerpt(member.name)} is in the archive twice"
            sample.fail(Fault("duplicate_member", detail))
        elif sample.fault is None:
            sample.contents[ending] = member.read()

    def _is_of_another(self, digest: int) -> bool:
        """Tell whether an archive before this one has a sample of that key."""
        at = int(np.searchsorted(self._seen, np.uint64(digest)))
        return at < len(self._seen) and int(self._seen[at]) == digest

    def _is_medium(self, ending: str) -> bool:
        return self._columns.get(ending) in MEDIA_TYPES

    def _row(self, file: str, row: int, sample: _Sample, name: str) -> RawRow:
        raw = "\x1f".join(sample.names)
        fault, cells = sample.fault, list[Cell]()
        if fault is None:
            try:
                cells = self._cells(file, sample)
            except _BadMember as bad:
                fault = bad.fault
        return RawRow(file, row, cells if fault is None else (), raw, fault, name)

    def _cells(self, file: str, sample: _Sample) -> list[Cell]:
        cells: list[Cell] = []
        record: Mapping[str, Any] | None = None
        for column, kind in self._columns.items():
            ending = _ending_of(column)
            content = sample.contents.get(ending)
            if content is None:
                cells.append(None)
            elif kind in MEDIA_TYPES:
                suffix = f".{ending.rpartition('.')[2]}"
                cells.append(Medium(f"{file}/{sample.key}.{ending}", content, suffix))
            elif column != ending:
                if record is None:
                    record = _json_object(content, ending)
                cells.append(_scalar(record.get(column.removeprefix(f"{ending}.")), column))
            else:
                cells.append(_text(content, column).rstrip("\r\n"))
        return cells


class _BadMember(Exception):  # noqa: N818  (a verdict on a member, not a fault of the program)
    def __init__(self, reason: str, detail: str, column: str) -> None:
        self.fault = Fault(reason, detail, column)
        super().__init__(detail)


def key_and_ending(name: str) -> tuple[str, str]:
    """Part a member's name at the first dot after its folders.

    >>> key_and_ending("train/0007.seg.PNG"), key_and_ending("README")
    (('train/0007', 'seg.png'), ('README', ''))
    """
    folder, slash, last = name.rpartition("/")
    stem, _, ending = last.partition(".")
    return f"{folder}{slash}{stem}" if stem else "", ending.lower()


def _storable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def _ending_of(column: str) -> str:
    """Return the ending of the member that holds a column; one of several keys of a JSON member."""
    return "json" if column.startswith("json.") else column


def _text(content: bytes, column: str) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise _BadMember(
            "bad_encoding", f"byte {fault.start + 1} is not utf-8; save it as UTF-8", column
        ) from None
    if "\0" in text:
        raise _BadMember("nul_byte", excerpt(text), column)
    return text


def _json_object(content: bytes, column: str) -> Mapping[str, Any]:
    text = _text(content, column)
    try:
        record = json.loads(text, parse_int=_digits, parse_float=_digits, parse_constant=_digits)
    except RecursionError:
        raise _BadMember("json_limits", "values nested too deeply", column) from None
    except json.JSONDecodeError as fault:
        raise _BadMember(
            "bad_json", f"{fault.msg} at character {fault.pos + 1}: {excerpt(text)}", column
        ) from None
    if not isinstance(record, dict):
        raise _BadMember("bad_json", f"expected an object, found {excerpt(text)}", column)
    return record


def _digits(literal: str) -> str:
    if len(literal) > _MAX_DIGITS:
        raise _BadMember("json_limits", f"a number of {len(literal):,} digits", "json")
    return literal


def _scalar(value: Any, column: str) -> str | None:
    """Return a JSON value as text: numbers as they are written, truth values in lower case."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is not None and not isinstance(value, str):
        raise _BadMember(
            "not_a_scalar", f"expected one value, found {type(value).__name__}", column
        )
    if value is not None and "\0" in value:
        raise _BadMember("nul_byte", excerpt(value), column)
    return value
