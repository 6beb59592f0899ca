"""Find near duplicates in all columns of all sources, and write which belong together.

Images are compared across all image columns, recordings across all audio columns, and texts within
their column. What stands beside a value plays no part: one image with two captions is one image.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.clean.media import MediaKind
from tasks.clean.near_duplicates.audio import group_recordings
from tasks.clean.near_duplicates.grouping import Grouping, Places
from tasks.clean.near_duplicates.images import group_images
from tasks.clean.near_duplicates.sketches import SketchBook
from tasks.clean.near_duplicates.texts import TextBook, plain, text_ids
from tasks.params.clean import NearDuplicateParams
from tasks.params.collect import AnySource
from tasks.samples.progress import Advance, progress
from tasks.samples.tables import iter_batches, write_table

NEAR_DUPLICATES = "near_duplicates.parquet"
SCHEMA = pa.schema([("column", pa.string()), ("value", pa.string()), ("near_group", pa.string())])
NOT_COMPARED = "not_compared"
"""Metadata of the table: by column, pairs that may be alike and were not compared."""

NAME_CHARACTERS = 16
BYTES_AT_ONCE = 4 * 2**20
MAX_EXAMPLES, MAX_SHOWN, MAX_SHOWN_CHARACTERS = 6, 4, 400


class Member(NamedTuple):
    """A value that is in a group: a row of the table of near duplicates."""

    column: str
    value: str
    near_group: str


class Compared(NamedTuple):
    """What comparing some columns with one another found.

    Attributes:
        modality: ``image``, ``audio`` or ``text``.
        columns: Full names of the columns.
        n_values: Distinct values that were compared.
        n_skipped: Pairs that may be alike and were not compared, since too many may be.
        members: Values that are in a group.
        texts: Some of the texts that are in the largest groups, by their SHA-256.
    """

    modality: str
    columns: tuple[str, ...]
    n_values: int
    n_skipped: int
    members: tuple[Member, ...]
    texts: Mapping[str, str] = MappingProxyType({})


def find_near_duplicates(
    sources: Sequence[AnySource],
    folder: Path,
    sketches: Mapping[MediaKind, SketchBook],
    params: NearDuplicateParams,
) -> list[Compared]:
    """Group the near duplicates among the kept records, and write ``near_duplicates.parquet``.

    Args:
        sources: All sources.
        folder: What clean writes; it holds the kept records.
        sketches: Small pictures of the images and recordings that were decoded.
        params: What is compared, and when it is alike.
    """
    found = []
    tables = {source.name: folder / "records" / f"{source.name}.parquet" for source in sources}
    with progress("comparing values") as advance:
        kinds: tuple[tuple[MediaKind, str], ...] = (
            ("image", params.images),
            ("audio", params.audio),
        )
        for modality, setting in kinds:
            columns = columns_of(sources, tables, modality)
            if columns and setting == "group":
                found.append(
                    _compared_media(modality, columns, sketches[modality], params, advance)
                )
        for column in columns_of(sources, tables, "text"):
            if params.texts == "group":
                found.append(_compared_texts(column, folder, params.text_similarity, advance))
    members = sorted(member for compared in found for member in compared.members)
    rows = [list(values) for values in zip(*members, strict=True)] or [[]] * len(SCHEMA)
    table = pa.table([pa.array(row, pa.string()) for row in rows], schema=SCHEMA)
    left = {column: c.n_skipped for c in found for column in c.columns if c.n_skipped}
    write_table(
        table.replace_schema_metadata({NOT_COMPARED: json.dumps(left, sort_keys=True)}),
        folder / NEAR_DUPLICATES,
    )
    return found


class Column(NamedTuple):
    """A column of a table, by its full name and by its own."""

    full_name: str
    name: str
    table: Path

    def values(self) -> Iterator[pa.Array]:
        """Yield the distinct values of each batch of the table, but nulls."""
        for batch in iter_batches(self.table, [self.name]):
            values = batch.column(0)
            parts = max(1, -(-values.nbytes // BYTES_AT_ONCE))
            rows = -(-len(values) // parts) or 1
            for start in range(0, len(values), rows):
                yield values.slice(start, rows).drop_null().unique()


def columns_of(sources: Iterable[AnySource], tables: Mapping[str, Path], kind: str) -> list[Column]:
    """Return the columns of one type."""
    return [
        Column(f"{source.name}.{name}", name, tables[source.name])
        for source in sources
        for name, type_ in source.columns.items()
        if type_ == kind
    ]


def _compared_media(
    modality: str,
    columns: Sequence[Column],
    book: SketchBook,
    params: NearDuplicateParams,
    advance: Advance,
) -> Compared:
    digests = book.digests()
    order = np.argsort(_prefixes(digests), kind="stable")
    sorted_prefixes = _prefixes(digests)[order]
    used: dict[str, Places] = {}
    for column in columns:
        used[column.full_name] = _places_of(column, sorted_prefixes, advance)
    ranks = np.unique(np.concatenate(list(used.values())))
    places = order[ranks]

    def of(wanted: Places) -> NDArray[np.void]:
        return book.read(places[wanted])

    if modality == "image":
        grouping = group_images(len(places), of, params.image_distance_bits, params.symmetries)
    else:
        grouping = group_recordings(len(places), of)
    grouped = in_groups(grouping.labels)
    found = []
    for name, column_ranks in used.items():
        at = np.searchsorted(ranks, column_ranks)
        for one in at[grouped[at]].tolist():
            digest = bytes(digests[places[one]]).hex()
            found.append((name, digest, int(grouping.labels[one])))
    return _described(modality, list(used), len(places), grouping, found)


def _places_of(column: Column, sorted_prefixes: NDArray[np.uint64], advance: Advance) -> Places:
    """Return the rank of each medium of a column among all digests; each once, in order."""
    prefixes = [np.zeros(0, np.uint64)]
    for values in column.values():
        raw = b"".join(bytes.fromhex(value[:16]) for value in values.to_pylist())
        prefixes.append(np.frombuffer(raw, ">u8").astype(np.uint64))
        advance(len(values))
    return np.searchsorted(sorted_prefixes, np.unique(np.concatenate(prefixes)))


def _prefixes(digests: NDArray[np.void]) -> NDArray[np.uint64]:
    """Return the first 64 bits of each digest: enough to tell media apart."""
    return digests.view(">u8")[:: digests.dtype.itemsize // 8].astype(np.uint64)


def _compared_texts(column: Column, folder: Path, similarity: float, advance: Advance) -> Compared:
    book = TextBook(folder)
    values, forms = SortedSet(), SortedSet()
    form_of: list[NDArray[np.uint64]] = [np.zeros(0, np.uint64)]
    value_ids: list[NDArray[np.uint64]] = [np.zeros(0, np.uint64)]
    for batch in column.values():
        ids = text_ids(batch)
        new = values.add(ids)
        texts = plain(batch.filter(pa.array(new)))
        text_forms = text_ids(texts)
        _, first = np.unique(text_forms, return_index=True)
        first = first[forms.add(text_forms[first])]
        book.add(texts.take(pa.array(first)), text_forms[first])
        value_ids.append(ids[new])
        form_of.append(text_forms)
        advance(len(batch))
    del values, forms
    grouping = book.group(similarity)
    order = np.argsort(book.ids)
    places = order[np.searchsorted(book.ids[order], np.concatenate(form_of))]
    book.close()
    labels = grouping.labels[places]
    grouped = in_groups(labels)
    ids = np.concatenate(value_ids)[grouped]
    by_id = np.argsort(ids)
    label_of = dict(zip(ids.tolist(), labels[grouped].tolist(), strict=True))
    found, texts = _grouped_texts(column, ids[by_id], label_of)
    compared = _described("text", [column.full_name], len(labels), grouping, found)
    return compared._replace(texts=texts)


def _grouped_texts(
    column: Column, ids: NDArray[np.uint64], label_of: dict[int, int]
) -> tuple[list[tuple[str, str, int]], dict[str, str]]:
    """Read the table again for the SHA-256 of each text in a group, and some texts to show."""
    shown = Counter({label: 0 for label, _ in Counter(label_of.values()).most_common(MAX_EXAMPLES)})
    found, texts = [], {}
    for batch in column.values() if label_of else ():
        batch_ids = text_ids(batch)
        for at in np.flatnonzero(np.isin(batch_ids, ids)).tolist():
            label = label_of.pop(int(batch_ids[at]), None)
            if label is None:
                continue
            text = batch[at].as_py()
            digest = sha256(text.encode()).hexdigest()
            found.append((column.full_name, digest, label))
            if label in shown and shown[label] < MAX_SHOWN:
                shown[label] += 1
                texts[digest] = text[:MAX_SHOWN_CHARACTERS]
    return found, texts


class SortedSet:
    """Hashes that were seen, in eight bytes each."""

    def __init__(self) -> None:
        self._runs: list[NDArray[np.uint64]] = []

    def add(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Remember hashes, which differ from one another, and tell which are new."""
        new = np.ones(len(hashes), bool)
        for run in self._runs:
            at = np.minimum(np.searchsorted(run, hashes), len(run) - 1)
            new &= run[at] != hashes
        if new.any():
            self._runs.append(np.sort(hashes[new]))
        while len(self._runs) > 1 and len(self._runs[-1]) * 2 > len(self._runs[-2]):
            last = self._runs.pop()
            self._runs[-1] = np.sort(np.concatenate([self._runs[-1], last]))
        return new


def in_groups(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which labels are there more than once.

    >>> in_groups(np.array([0, 1, 0])).tolist()
    [True, False, True]
    """
    _, which, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return np.asarray(counts[which] > 1)


def _described(
    modality: str,
    columns: Sequence[str],
    n_values: int,
    grouping: Grouping,
    found: Sequence[tuple[str, str, int]],
) -> Compared:
    """Name each group by its smallest value, so that other values never change its name."""
    smallest: dict[int, str] = {}
    for _, value, label in found:
        smallest[label] = min(value, smallest.get(label, value))
    members = tuple(
        Member(column, value, smallest[label][:NAME_CHARACTERS]) for column, value, label in found
    )
    return Compared(modality, tuple(columns), n_values, grouping.n_skipped, members)
