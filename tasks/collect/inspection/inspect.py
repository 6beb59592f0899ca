"""Guess how a file, a folder or a glob could be declared, as settings to check and paste.

A run guesses nothing: what this finds is written down by a person, or it has no effect.
"""

import csv
import json
import os
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path, PurePosixPath
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.collect.inspection.alignments import Alignment, guess_alignment
from tasks.collect.inspection.columns import (
    AUDIO_ENDINGS,
    IMAGE_ENDINGS,
    ColumnGuess,
    guess_column,
    numbers_in,
)
from tasks.collect.inspection.guesses import Declared, name_for
from tasks.collect.readers.excel import header_of_workbook
from tasks.collect.readers.lines import open_text
from tasks.collect.rows import Notes, table_formats
from tasks.collect.sources.sensor import series_names
from tasks.collect.sources.table import reader_of
from tasks.collect.sources.table_files import format_of, is_glob
from tasks.errors import SourceError
from tasks.params.collect import ColumnType, TableSource

ROWS = 100_000
"""Rows of each table that are looked at, where nothing else is asked for."""

MAX_FILES = 200_000
MAX_JSON_BYTES = 64 * 2**20
FEW_FILES = 20
"""Files of a group whose headers are compared."""

LONGEST_STEP_SECONDS = 10.0
"""Readings further apart than this are rows of a table, not of a sensor."""

_DELIMITERS = (",", ";", "\t", "|")
_IGNORED = frozenset(("LICENSE.txt", "README.md", "SOURCE.md", "README.txt"))
_TABLES = frozenset(("csv", "tsv", "jsonl", "ndjson", "parquet", "xlsx"))


@dataclass(frozen=True)
class Inspection:
    """What a place seems to hold.

    Attributes:
        root: What ``collect.root`` would be.
        sources: The sources that were found.
        alignment: How they could be put together; None where there is nothing to learn.
        remarks: What could not be read or told.
        n_rows: Rows of each table that were looked at, at most.
    """

    root: Path
    sources: tuple[Declared, ...]
    alignment: Alignment | None
    remarks: tuple[str, ...]
    n_rows: int


@dataclass
class _Found:
    """The files below a root, and what was understood of them."""

    root: Path
    n_rows: int
    files: list[Path]
    sources: list[Declared] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    taken: set[Path] = field(default_factory=set)

    def left(self) -> list[Path]:
        return [path for path in self.files if path not in self.taken]

    def name(self, wanted: str) -> str:
        return name_for(wanted, [source.name for source in self.sources])


def inspect(path: Path, n_rows: int = ROWS) -> Inspection:
    """Look at a file, a folder or a glob.

    Raises:
        SourceError: There is nothing, or nothing that could be a source.
    """
    root, files = _files_at(path)
    found = _Found(root, n_rows, files)
    for guess in (_hub_data_sets, _voc, _coco, _archives, _folders_with_metadata, _tables, _media):
        guess(found)
    if not found.sources:
        said = "; ".join(found.remarks) or f"{len(files):,} files, none of a known kind"
        raise SourceError(f"{path}: found nothing that could be a source ({said})")
    return Inspection(
        root=root,
        sources=tuple(found.sources),
        alignment=guess_alignment(found.sources),
        remarks=tuple(found.remarks),
        n_rows=n_rows,
    )


def _files_at(path: Path) -> tuple[Path, list[Path]]:
    if path.is_dir():
        return path, list(islice(_files_below(path), MAX_FILES))
    if path.is_file():
        return path.parent, [path]
    if is_glob(path.name):
        folder = path.parent
        while is_glob(folder.name):
            folder = folder.parent
        pattern = path.relative_to(folder).as_posix()
        return folder, sorted(file for file in folder.glob(pattern) if file.is_file())
    raise SourceError(f"{path}: there is no such file or folder")


def _files_below(folder: Path) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and name not in _IGNORED:
                yield Path(here) / name


# Layouts that say themselves what they are.


def _hub_data_sets(found: _Found) -> None:
    for path in found.left():
        if path.name not in ("dataset_dict.json", "state.json") or path in found.taken:
            continue
        folder = path.parent
        if path.name == "state.json" and (folder.parent / "dataset_dict.json").is_file():
            continue
        infos = sorted(folder.rglob("dataset_info.json"))
        features = _json(infos[0]).get("features") if infos else None
        found.taken |= {file for file in found.files if file.is_relative_to(folder)}
        if not isinstance(features, dict):
            found.remarks.append(f"{folder}: a saved data set whose features are not written down")
            continue
        columns = [_feature(name, said) for name, said in features.items()]
        if path.name == "dataset_dict.json":
            columns.append(_told("hub_split", "category", "the part that a record is of"))
        wanted = found.name(folder.name if folder != found.root else found.root.resolve().name)
        place = {"path": folder.relative_to(found.root).as_posix()}
        found.sources.append(Declared(wanted, "huggingface", place, columns))


def _feature(name: str, said: Any) -> ColumnGuess:
    kind = said.get("_type") if isinstance(said, dict) else "list"
    written = str(said.get("dtype", "")) if isinstance(said, dict) else ""
    if kind in ("Image", "Audio"):
        return _told(name, "image" if kind == "Image" else "audio", f"a feature of type {kind}")
    if kind == "ClassLabel":
        return _told(name, "category", "a feature of type ClassLabel")
    if kind == "Value" and "string" in written:
        return _told(name, "text", "a feature of type string")
    if kind == "Value" and written.startswith(("int", "uint", "float")):
        return _told(name, "number", f"a feature of type {written}")
    return _told(name, None, f"a feature of type {kind} {written}".rstrip())


def _told(name: str, kind: ColumnType | None, why: str) -> ColumnGuess:
    return ColumnGuess(name, kind, why, 0, 0, 0, (), as_input=kind is not None)


def _voc(found: _Found) -> None:
    for folder in sorted({p.parent for p in found.left() if p.suffix == ".xml"}):
        base = folder.parent
        images = [d for d in ("JPEGImages", "images", "Images") if (base / d).is_dir()]
        if not images or not base.is_relative_to(found.root):
            continue
        place = {"path": base.relative_to(found.root).as_posix()}
        place |= {"annotations": folder.name} if folder.name != "Annotations" else {}
        place |= {"images": images[0]} if images[0] != "JPEGImages" else {}
        wanted = found.name(base.name if base != found.root else found.root.resolve().name)
        sets = sorted((base / "ImageSets").rglob("*.txt"))
        found.sources.append(Declared(wanted, "voc", place, _box_columns(bool(sets))))
        inside = [file for file in found.files if file.is_relative_to(base)]
        found.taken |= {f for f in inside if f.parent in (folder, base / images[0])} | set(sets)


def _coco(found: _Found) -> None:
    for path in found.left():
        if path.suffix != ".json" or path.stat().st_size > MAX_JSON_BYTES:
            continue
        told = _json(path)
        lists = [told.get(key) for key in ("images", "annotations", "categories")]
        if not all(isinstance(each, list) and each for each in lists):
            continue
        found.taken.add(path)
        first = str(told["images"][0].get("file_name", ""))
        folders = {file.parent for file in found.files if file.name == PurePosixPath(first).name}
        place = {"path": path.relative_to(found.root).as_posix()}
        for folder in sorted(folders):
            images = folder.relative_to(found.root).as_posix()
            if images != ".":
                place["images"] = images
            found.taken |= {file for file in found.files if file.parent == folder}
            break
        found.sources.append(Declared(found.name(path.stem), "coco", place, _box_columns(False)))


def _box_columns(has_sets: bool) -> list[ColumnGuess]:
    more = [_told("set", "category", "ImageSets lists the images of each")] if has_sets else []
    return [
        _told("image", "image", "the box's own pixels"),
        _told("label", "category", "what the box shows"),
        *more,
    ]


def _archives(found: _Found) -> None:
    archives = [p for p in found.left() if p.name.lower().endswith((".tar", ".tar.gz", ".tgz"))]
    for folder in sorted({path.parent for path in archives}):
        here = [path for path in archives if path.parent == folder]
        found.taken |= set(here)
        endings = _member_endings(here[0], found.remarks)
        kinds = {ending: _ending_kind(ending) for ending in endings}
        columns = [_told(e, kind, f"members ending in .{e}") for e, kind in kinds.items()]
        if not any(kinds.values()):
            continue
        single = here[0].relative_to(found.root)
        every = (single.parent / f"*{''.join(single.suffixes[-1:])}").as_posix()
        place = {"path": single.as_posix() if len(here) == 1 else every}
        wanted = found.name(folder.name if folder != found.root else here[0].stem)
        found.sources.append(Declared(wanted, "webdataset", place, columns))


def _member_endings(archive: Path, remarks: list[str]) -> list[str]:
    try:
        with tarfile.open(archive) as members:
            names = [member.name for member in islice(members, 200) if member.isfile()]
    except (tarfile.TarError, OSError, EOFError) as fault:
        remarks.append(f"{archive}: not a readable archive ({fault})")
        return []
    return list(dict.fromkeys(PurePosixPath(n).name.partition(".")[2] for n in names if "." in n))


def _ending_kind(ending: str) -> ColumnType | None:
    known: dict[str, ColumnType] = {"txt": "text", "cls": "category"}
    if f".{ending}" in IMAGE_ENDINGS:
        return "image"
    return "audio" if f".{ending}" in AUDIO_ENDINGS else known.get(ending)


def _json(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_bytes())
    except (ValueError, OSError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


# Tables, and recordings of sensors.


@dataclass(frozen=True)
class _Table:
    """A table, or several of one shape: where it lies, and how it is written."""

    path: str
    files: tuple[Path, ...]
    header: tuple[str, ...]
    written: dict[str, str]


def _tables(found: _Found) -> None:
    files = [p for p in found.left() if format_of(p) in _TABLES & set(table_formats)]
    by_place: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for path in files:
        by_place[path.parent, format_of(path)].append(path)
    for (folder, _), group in sorted(by_place.items()):
        for table in _grouped(found, folder, group):
            columns = _columns_of(found, table)
            if columns is not None:
                found.sources.append(_source_of(found, table, columns))
    found.taken |= set(files)


def _grouped(found: _Found, folder: Path, group: list[Path]) -> Iterator[_Table]:
    """Yield the tables of a folder: one, where its files are all of one shape."""
    heads = {path: head for path in group[:FEW_FILES] if (head := _header(path, found.remarks))}
    alike = len({head for head, _ in heads.values()}) == 1 and len(heads) == len(group[:FEW_FILES])
    endings = {"".join(path.suffixes[-2:]) if path.suffix in (".gz", ".zst") else path.suffix
               for path in group}  # fmt: skip
    if len(group) > 1 and alike and len(endings) == 1:
        header, written = next(iter(heads.values()))
        pattern = (folder.relative_to(found.root) / f"*{endings.pop()}").as_posix()
        yield _Table(pattern, tuple(group), header, dict(written))
        return
    for path in group:
        head = heads.get(path) or _header(path, found.remarks)
        if head:
            name = path.relative_to(found.root).as_posix()
            yield _Table(name, (path,), head[0], dict(head[1]))


def _header(
    path: Path, remarks: list[str]
) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]] | None:
    """Return the names of a table's columns and how it is written; None where it is unreadable."""
    try:
        match format_of(path):
            case "csv" | "tsv":
                return _delimited_header(path)
            case "parquet":
                schema = pq.read_schema(path)
                return tuple(f.name for f in schema if not pa.types.is_nested(f.type)), ()
            case "xlsx":
                return header_of_workbook(path)
            case _:
                return _keys(path), ()
    except (SourceError, pa.ArrowInvalid, OSError) as fault:
        remarks.append(f"{path}: not read ({fault})")
        return None


def _delimited_header(path: Path) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]] | None:
    encoding = "utf-8"
    try:
        line = _first_line(path, encoding)
    except SourceError as fault:
        if "is not utf-8" not in str(fault) and "UTF-16" not in str(fault):
            raise
        encoding = "utf-16" if "UTF-16" in str(fault) else "latin-1"
        line = _first_line(path, encoding)
    usual = "\t" if format_of(path) == "tsv" else ","
    found = max(_DELIMITERS, key=lambda mark: (len(_parted(line, mark)), mark == usual))
    header = tuple(name for name in _parted(line, found) if name)
    written = [("delimiter", found)] if found != usual else []
    written += [("encoding", encoding)] if encoding != "utf-8" else []
    return (header, tuple(written)) if header else None


def _first_line(path: Path, encoding: str) -> str:
    with open_text(path, encoding, newline="") as text:
        return next((line for line in islice(text, 1000) if line.strip()), "")


def _parted(line: str, delimiter: str) -> list[str]:
    return next(iter(csv.reader([line], delimiter=delimiter)), [])


def _keys(path: Path) -> tuple[str, ...]:
    keys: dict[str, None] = {}
    with open_text(path, "utf-8", newline="\n") as text:
        for line in islice(text, 1000):
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                keys.update((k, None) for k, v in record.items() if not isinstance(v, dict | list))
    return tuple(keys)


def _columns_of(found: _Found, table: _Table) -> list[ColumnGuess] | None:
    """Guess the columns of a table from the first rows of its first file."""
    path, names = table.files[0], tuple(dict.fromkeys(table.header))
    source = TableSource.model_validate(
        {
            "kind": "table",
            "name": "looked_at",
            "path": path.name,
            "columns": {name: "text" for name in names if table.header.count(name) == 1},
            **table.written,
        }
    )
    reader = reader_of(path)(source, path, path.name, Notes())
    try:
        rows = [row.cells for row in islice(reader, found.n_rows) if row.fault is None]
    except SourceError as fault:
        found.remarks.append(str(fault))
        return None
    cells = list(zip(*rows, strict=True)) or [()] * len(source.columns)

    def is_file(written: str) -> bool:
        return "\0" not in written and len(written) < 1000 and (found.root / written).is_file()

    return [
        guess_column(name, [c if isinstance(c, str) else None for c in column], is_file)
        for name, column in zip(source.columns, cells, strict=True)
    ]


def _source_of(found: _Found, table: _Table, columns: list[ColumnGuess]) -> Declared:
    place: dict[str, Any] = {"path": table.path}
    folder = PurePosixPath(table.path).parent.name
    file = table.files[0]
    stem = file.name.partition(".")[0] if len(table.files) == 1 else folder or found.root.name
    times = [column for column in columns if column.kind == "time"]
    series = _readings_of(found, table, columns)
    if series is not None:
        place |= {"time": times[0].name}
        place |= {} if times[0].time_unit == "iso" else {"time_unit": times[0].time_unit}
        named = ColumnGuess(
            "series", "key", "the name of the file", 0, 0, len(series.names), series.names[:3],
            values=frozenset(series.names),
        )  # fmt: skip
        kept = [c for c in columns if c is not times[0]]
        return Declared(
            found.name(stem), "sensor", place | table.written, [*kept, named], series.rate_hz
        )
    units = {column.time_unit for column in times} - {"iso"}
    place |= {"time_unit": units.pop()} if len(units) == 1 else {}
    ids = [c for c in columns if c.kind == "key" and c.is_unique]
    if ids and "id" in ids[0].name.lower() and len(table.files) == 1:
        place["id"] = ids[0].name
    return Declared(found.name(stem), "table", place | table.written, columns)


@dataclass(frozen=True)
class _Series:
    names: tuple[str, ...]
    rate_hz: float


def _readings_of(found: _Found, table: _Table, columns: list[ColumnGuess]) -> _Series | None:
    """Return the recordings, where rows are readings of a sensor: close together, in order."""
    times = [column for column in columns if column.kind == "time"]
    others = {column.kind for column in columns if column.kind not in ("time", None)}
    if len(times) != 1 or "number" not in others or not others <= {"number", "category"}:
        return None
    name = times[0].name
    source = TableSource(
        kind="table", name="looked_at", path=table.path, columns={name: "text"}, **table.written  # type: ignore[arg-type]
    )  # fmt: skip
    path = table.files[0]
    reader = reader_of(path)(source, path, path.name, Notes())
    cells = [row.cells[0] for row in islice(reader, found.n_rows) if not row.fault]
    seconds = _seconds([c for c in cells if isinstance(c, str) and c], times[0])
    steps = [later - earlier for earlier, later in pairwise(seconds)]
    forward = [step for step in steps if step > 0]
    in_order = sum(step >= 0 for step in steps) >= 0.95 * len(steps)
    if len(steps) < 19 or not forward or not in_order or median(forward) > LONGEST_STEP_SECONDS:
        return None
    return _Series(tuple(series_names(table.files)), len(forward) / sum(forward))


def _seconds(cells: Sequence[str], time: ColumnGuess) -> list[float]:
    from datetime import datetime

    if time.time_unit == "iso":
        return [datetime.fromisoformat(cell.strip()).timestamp() for cell in cells]
    per_second = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[time.time_unit]
    return [number / per_second for number in numbers_in(cells) or []]


# Media that no table names.


def _folders_with_metadata(found: _Found) -> None:
    for table in found.left():
        if format_of(table) not in _TABLES or not table.stem.lower().startswith("metadata"):
            continue
        head = _header(table, found.remarks)
        if not head or "file_name" not in head[0]:
            continue
        columns = _columns_of(found, _Table(table.name, (table,), head[0], dict(head[1])))
        folder = table.parent
        below = [file for file in found.left() if file.is_relative_to(folder) and file != table]
        modality = _modality(below)
        if columns is None or modality is None:
            continue
        found.taken |= {table, *below}
        untyped = (None, "image", "audio")
        kept = [c for c in columns if c.name != "file_name" and c.kind not in untyped]
        own = _folder_columns(folder, below, modality)
        wanted = found.name(folder.name if folder != found.root else found.root.resolve().name)
        place: dict[str, Any] = {"path": folder.relative_to(found.root).as_posix()}
        place |= {"modality": modality}
        names = {column.name for column in kept}
        found.sources.append(
            Declared(
                wanted, "folder", place, [*(c for c in own if c.name not in names), *kept],
                metadata=table.name, metadata_columns=tuple(kept),
            )
        )  # fmt: skip


def _media(found: _Found) -> None:
    listed = {
        PurePosixPath(value).parts[0]
        for source in found.sources
        for column in source.columns
        if column.kind in ("image", "audio")
        for value in column.values
    }
    media = [
        path
        for path in found.left()
        if path.suffix.lower() in IMAGE_ENDINGS | AUDIO_ENDINGS
        and path.relative_to(found.root).parts[0] not in listed
    ]
    tops: dict[str, list[Path]] = defaultdict(list)
    for path in media:
        parts = path.relative_to(found.root).parts
        tops[parts[0] if len(parts) > 1 else "."].append(path)
    if len(tops) > 1 and len({_modality(files) for files in tops.values()}) == 1 and not listed:
        tops = {".": media}
    for top, files in sorted(tops.items()):
        for modality, endings in (("image", IMAGE_ENDINGS), ("audio", AUDIO_ENDINGS)):
            own = [path for path in files if path.suffix.lower() in endings]
            if not own:
                continue
            place: dict[str, Any] = {"path": top, "modality": modality}
            if len(own) < sum(path.is_relative_to(found.root / top) for path in found.files):
                place["patterns"] = sorted({f"*{path.suffix}" for path in own})
            columns = _folder_columns(found.root / top, own, modality)
            wanted = found.name(top if top != "." else found.root.resolve().name)
            found.sources.append(Declared(wanted, "folder", place, columns))


def _modality(files: Sequence[Path]) -> str | None:
    kinds = Counter(
        "image" if path.suffix.lower() in IMAGE_ENDINGS else "audio"
        for path in files
        if path.suffix.lower() in IMAGE_ENDINGS | AUDIO_ENDINGS
    )
    return kinds.most_common(1)[0][0] if kinds else None


def _folder_columns(folder: Path, files: Sequence[Path], modality: str) -> list[ColumnGuess]:
    kind: ColumnType = "image" if modality == "image" else "audio"
    labels = [p.parent.name if p.parent != folder else None for p in files]
    tops = [p.relative_to(folder).parts[0] if p.parent != folder else None for p in files]
    label = guess_column("label", labels, lambda _: False)
    top = guess_column("top", tops, lambda _: False)
    stem = guess_column("stem", [path.stem for path in files], lambda _: False)
    return [
        ColumnGuess("file", kind, f"{len(files):,} files", len(files), 0, len(files), ()),
        _as(label, "category", "the folder that a file lies in"),
        _as(stem, "key", "the file's name without its ending"),
        _as(top, "category", "the first folder on the way to a file"),
    ]


def _as(guess: ColumnGuess, kind: ColumnType, why: str) -> ColumnGuess:
    from dataclasses import replace

    as_input = False  # where a file lies is known of the data, not of what will be asked for
    return replace(guess, kind=kind, why=why, as_input=as_input)
