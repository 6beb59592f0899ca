"""Sources of kind ``huggingface``: data sets of the hub, saved to disk, or folders of Parquet.

They are read as the Arrow tables that they are, a batch at a time: no script of a data set runs,
nothing is unpickled, and images and recordings are taken as the bytes they were stored as.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.collect.cells import BadCell
from tasks.collect.media_files import read_regular_file, resolve_inside
from tasks.collect.rows import Cell, Fault, Medium, Notes, RawRow, source_kinds
from tasks.collect.sources.huggingface_parts import part_of_file
from tasks.errors import SourceError, listing, nearest
from tasks.params.collect import AnySource, ColumnType, HuggingfaceSource
from tasks.samples.media import digest_of
from tasks.samples.records import MEDIA_TYPES
from tasks.samples.tables import BATCH_ROWS

if TYPE_CHECKING:
    from datasets import Dataset, Features

HUB_SPLIT = "hub_split"
MEDIA_BATCH_ROWS = 64
_MAGIC = {
    b"\x89PNG": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"GIF8": ".gif",
    b"BM": ".bmp",
    b"fLaC": ".flac",
    b"OggS": ".ogg",
    b"ID3": ".mp3",
}

Read = Callable[[pa.Array], Sequence["Cell | Fault"]]


@dataclass(frozen=True)
class Part:
    """A part of a data set, such as its training rows.

    Attributes:
        name: Such as ``train``; "" where the data set has no parts.
        file: What stands for it in the tables of records.
        features: What the data set says of its columns.
        batches: Yields batches of the columns that are asked for, of so many rows.
    """

    name: str
    file: str
    features: "Features"
    batches: Callable[[list[str], int], Iterator[pa.Table | pa.RecordBatch]]


@source_kinds.register("huggingface")
def read_huggingface(source: AnySource, root: Path, notes: Notes) -> Iterator[RawRow]:
    """Read the parts of a data set one after the other.

    Raises:
        SourceError: It is not there, lacks a part or a column, or a column holds lists or objects.
    """
    assert isinstance(source, HuggingfaceSource)
    from datasets import disable_progress_bars

    disable_progress_bars()
    parts, media_roots = (
        (_hub_parts(source), _hub_caches()) if source.dataset else (_disk_parts(source, root), ())
    )
    n_rows = 0
    for part in _chosen(source, parts):
        for row in _rows(source, part, media_roots, notes):
            n_rows += 1
            yield row
    if n_rows == 0:
        raise SourceError(f"source '{source.name}': no rows; expected one at least")


def _chosen(source: HuggingfaceSource, parts: Sequence[Part]) -> Sequence[Part]:
    if source.split is None:
        return parts
    names = [part.name for part in parts]
    if source.split not in names:
        raise SourceError(
            f"source '{source.name}': no split '{source.split}'; there are {listing(names)}."
            f"{nearest(source.split, names)}"
        )
    return [part for part in parts if part.name == source.split]


def _rows(
    source: HuggingfaceSource, part: Part, media_roots: Sequence[Path], notes: Notes
) -> Iterator[RawRow]:
    where = f"source '{source.name}', {part.file}"
    own = HUB_SPLIT in part.features
    there = [name for name in source.columns if name != HUB_SPLIT or own]
    if missing := [name for name in there if name not in part.features]:
        raise SourceError(
            f"{where}: missing column '{missing[0]}' (found {listing(part.features)})."
            f"{nearest(missing[0], list(part.features))}"
        )
    notes.saw_unused(name for name in part.features if name not in source.columns)
    reads = {
        name: _reader_of(where, name, part.features[name], source.columns[name], media_roots)
        for name in there
    }
    has_media = any(kind in MEDIA_TYPES for kind in source.columns.values())
    row = 0
    for batch in part.batches(there, MEDIA_BATCH_ROWS if has_media else BATCH_ROWS):
        columns = {name: read(_whole(batch, name)) for name, read in reads.items()}
        if not own:
            columns[HUB_SPLIT] = [part.name or None] * batch.num_rows
        for found in zip(*(columns[name] for name in source.columns), strict=True):
            row += 1
            yield _raw_row(part.file, row, list(source.columns), found)


def _whole(batch: pa.Table | pa.RecordBatch, name: str) -> pa.Array:
    column = batch.column(name)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _raw_row(file: str, row: int, names: Sequence[str], found: Sequence["Cell | Fault"]) -> RawRow:
    fault = None
    for name, cell in zip(names, found, strict=True):
        if isinstance(cell, Fault):
            fault = cell._replace(column=name)
            break
        if isinstance(cell, str) and "\0" in cell:
            fault = Fault("nul_byte", "a NUL in the text", name)
            break
    cells = [None if isinstance(cell, Fault) else cell for cell in found]
    raw = "\x1f".join(c.written if isinstance(c, Medium) else c or "" for c in cells)
    return RawRow(file, row, cells if fault is None else (), raw, fault)


def _reader_of(
    where: str, name: str, feature: Any, kind: ColumnType, media_roots: Sequence[Path]
) -> Read:
    """Return how a column is understood, by what the data set says it holds."""
    from datasets import Audio, ClassLabel, Image, Value

    if isinstance(feature, Image | Audio) or _holds_bytes(feature):
        declared = {Image: "image", Audio: "audio"}.get(type(feature), kind)
        if kind not in MEDIA_TYPES or kind != declared:
            raise SourceError(
                f"{where}: column '{name}' holds {declared} files, but is declared as {kind}; "
                f"write `{name}: {declared}`"
            )
        return lambda column: [_medium(value, media_roots) for value in column.to_pylist()]
    if isinstance(feature, ClassLabel):
        return lambda column: _names_of(column, feature.names)
    if not isinstance(feature, Value):
        raise SourceError(
            f"{where}: column '{name}' is a {type(feature).__name__}; expected one value a row; "
            "map it to plain columns first, or leave it out"
        )
    return lambda column: _texts(where, name, column, kind)


def _holds_bytes(feature: Any) -> bool:
    """Tell whether a column is stored as media are, without saying of which kind."""
    from datasets import Value

    if isinstance(feature, Value):
        return feature.dtype in ("binary", "large_binary")
    return isinstance(feature, dict) and set(feature) == {"bytes", "path"}


def _medium(value: Any, roots: Sequence[Path]) -> "Cell | Fault":
    """Return a stored medium: its bytes, or the file that it names."""
    if value is None:
        return None
    content, path = (value, None) if isinstance(value, bytes) else (value["bytes"], value["path"])
    if content is None and path is None:
        return None
    path = path or ""
    if content is None:
        if not roots:
            return str(path)  # a file of this disk, which is collected as any other
        try:
            content = _read_within(roots, path)
        except BadCell as bad:
            return Fault(bad.reason, bad.detail)
    name = PurePosixPath(PureWindowsPath(path).as_posix())
    suffix = name.suffix.lower() or _suffix_of(content)
    stem = f"{name.stem}-" if name.stem else ""
    return Medium(f"{stem}{digest_of(content)[:16]}{suffix}", content, suffix)


def _read_within(roots: Sequence[Path], path: str) -> bytes:
    inside = [root for root in roots if Path(path).resolve().is_relative_to(root.resolve())]
    root = inside[0] if inside else roots[0]
    return read_regular_file(resolve_inside(root.resolve(), path), path)


def _suffix_of(content: bytes) -> str:
    if content[:4] == b"RIFF":
        return ".webp" if content[8:12] == b"WEBP" else ".wav"
    return next((suffix for magic, suffix in _MAGIC.items() if content.startswith(magic)), "")


def _names_of(column: pa.Array, names: Sequence[str]) -> Sequence["Cell | Fault"]:
    n_names = len(names)
    return [
        None
        if at is None or at == -1
        else names[at]
        if 0 <= at < n_names
        else Fault("bad_class", f"class {at} of {n_names}")
        for at in column.to_pylist()
    ]


def _texts(where: str, name: str, column: pa.Array, kind: ColumnType) -> Sequence["Cell | Fault"]:
    """Return single values as the text that a person would write for them."""
    held = column.type
    if pa.types.is_dictionary(held):
        column, held = column.dictionary_decode(), held.value_type
    if pa.types.is_boolean(held) or pa.types.is_integer(held):
        column, held = pc.cast(column, pa.string()), pa.string()
    if pa.types.is_timestamp(held):
        column = pc.cast(column, pa.timestamp("us", held.tz), safe=False)
    if pa.types.is_timestamp(held) or pa.types.is_date(held):
        return [None if value is None else value.isoformat() for value in column.to_pylist()]
    if pa.types.is_floating(held) or pa.types.is_decimal(held):
        return [None if value is None else str(value) for value in column.to_pylist()]
    if pa.types.is_null(held) or pa.types.is_string(held) or pa.types.is_large_string(held):
        return list(column.to_pylist())
    raise SourceError(
        f"{where}: column '{name}' is of type {held}, declared as {kind}; expected text, numbers "
        "or times"
    )


def _disk_parts(source: HuggingfaceSource, root: Path) -> list[Part]:
    """Find the parts of a data set under ``collect.root``."""
    folder = root / source.path
    if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
        return _saved_parts(source, folder)
    files = sorted(folder.rglob("*.parquet"))
    if not files:
        raise SourceError(
            f"{folder}: no data set; expected what save_to_disk writes (state.json or "
            "dataset_dict.json), or Parquet files"
        )
    return [_parquet_part(file, folder, root) for file in files]


def _saved_parts(source: HuggingfaceSource, folder: Path) -> list[Part]:
    from datasets import DatasetDict, load_from_disk

    _require_names_inside(folder)
    try:
        found = load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowInvalid) as fault:
        raise SourceError(
            f"{folder}: not a whole data set ({_first_line(fault)}); save it again"
        ) from None
    if isinstance(found, DatasetDict):
        return [
            _dataset_part(str(name), f"{source.path}/{name}", part) for name, part in found.items()
        ]
    return [_dataset_part(str(found.split or ""), source.path, found)]


def _require_names_inside(folder: Path) -> None:
    """Check that the lists of a saved data set name nothing outside of its folder.

    Raises:
        SourceError: One does, or cannot be read.
    """
    parts = [folder]
    try:
        if (folder / "dataset_dict.json").is_file():
            names = json.loads((folder / "dataset_dict.json").read_text("utf-8"))["splits"]
            _require_plain(folder, names)
            parts = [folder / name for name in names]
        for part in parts:
            state = json.loads((part / "state.json").read_text("utf-8"))
            _require_plain(part, [file["filename"] for file in state["_data_files"]])
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise SourceError(
            f"{folder}: not a whole data set ({_first_line(fault)}); save it again"
        ) from None


def _require_plain(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        if PurePosixPath(name).name != name or "\\" in name or name == "..":
            raise SourceError(
                f"{folder}: path_outside_root: it names '{name}', which leads out of its folder"
            )


def _dataset_part(name: str, file: str, dataset: "Dataset") -> Part:
    def batches(columns: list[str], rows: int) -> Iterator[pa.Table]:
        if columns:
            chosen = dataset.select_columns(columns).with_format("arrow")
            yield from chosen.iter(batch_size=rows)
        else:
            yield pa.table({}).slice(0, 0)

    return Part(name, file, dataset.features, batches)


def _parquet_part(path: Path, folder: Path, root: Path) -> Part:
    from datasets import Features

    file = path.relative_to(root).as_posix()
    damaged = f"{path}: not a whole Parquet file ({{}}); write it again"
    try:
        features = Features.from_arrow_schema(pq.read_schema(path))
    except (OSError, pa.ArrowInvalid) as fault:
        raise SourceError(damaged.format(_first_line(fault))) from None

    def batches(columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        try:
            with pq.ParquetFile(
                path, memory_map=True, pre_buffer=False, page_checksum_verification=True
            ) as table:
                yield from table.iter_batches(batch_size=rows, columns=columns)
        except (OSError, pa.ArrowInvalid) as fault:
            raise SourceError(damaged.format(_first_line(fault))) from None

    return Part(part_of_file(path.relative_to(folder)), file, features, batches)


def _hub_parts(source: HuggingfaceSource) -> list[Part]:
    """Download a data set of the hub, or find it in the cache of the datasets library."""
    from datasets import Dataset, load_dataset

    assert source.dataset is not None
    named = f"{source.dataset}@{source.revision}"
    try:
        found: Mapping[str, Dataset] | Dataset = load_dataset(
            source.dataset, name=source.config, revision=source.revision, split=source.split
        )
    except (OSError, ValueError, RuntimeError) as fault:
        raise SourceError(
            f"source '{source.name}': the data set {named} cannot be had "
            f"({type(fault).__name__}: {_first_line(fault)}); check its name, revision and config, "
            "and the network; HF_HUB_OFFLINE and HF_DATASETS_OFFLINE allow only what is cached, "
            "and HF_TOKEN opens what is not public"
        ) from None
    if isinstance(found, Dataset):
        return [_dataset_part(source.split or "", f"{named}/{source.split or ''}", found)]
    return [_dataset_part(str(name), f"{named}/{name}", part) for name, part in found.items()]


def _hub_caches() -> tuple[Path, ...]:
    """Return where the files lie that data sets of the hub may name."""
    from datasets import config
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE), Path(config.DOWNLOADED_DATASETS_PATH)


def _first_line(fault: BaseException) -> str:
    return (str(fault).splitlines() or [type(fault).__name__])[0][:200]
