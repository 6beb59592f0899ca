"""A first pass over the samples: what must be known of the training rows before any is copied.

Of each training row only its hash, its class and the set of its inputs are kept, so that a table
of any length is surveyed in little memory. Nothing kept here depends on the order of rows.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.samples.schema import SAMPLE_ID, SPLIT, TARGET, SampleSchema, TargetKind
from tasks.samples.tables import ROW_GROUP_ROWS, iter_batches

N_DONORS = 4096
_LIKE_A_COPY = re.compile(r"(.+)~(\d+)", re.DOTALL)


@dataclass(frozen=True)
class Survey:
    """What there is in the training rows, in their order.

    Attributes:
        n_rows: Rows of all splits.
        target_kind: What is predicted.
        hashes: ``(n_train,)`` hashes of the samples' ids.
        classes: ``(n_train,)`` index of each row's class in ``class_names``; 0 where it has none.
        class_names: The classes; () where the target is no category.
        patterns: ``(n_train,)`` index of each row's inputs in ``pattern_names``.
        pattern_names: Sets of inputs, such as ``question+image``.
        donors: Of each tabular column, the values of the training rows with the smallest hashes, in
            the order of those: what spreads are estimated from and values are swapped with.
        like_copies: Ids of any split that look like that of a copy: parent, number, id.
    """

    n_rows: int
    target_kind: TargetKind
    hashes: NDArray[np.uint64]
    classes: NDArray[np.int64]
    class_names: tuple[str, ...]
    patterns: NDArray[np.int64]
    pattern_names: tuple[str, ...]
    donors: pa.Table
    like_copies: tuple[tuple[str, int, str], ...]

    @property
    def n_train(self) -> int:
        """How many training rows there are."""
        return len(self.hashes)


def survey_samples(path: Path, schema: SampleSchema) -> Survey:
    """Read the columns that matter, a batch at a time."""
    tabular = [c.name for spec in schema.inputs for c in spec.columns]
    single = [spec.column for spec in schema.inputs if spec.column]
    columns = list(dict.fromkeys([SAMPLE_ID, TARGET, SPLIT, *single, *tabular]))
    of_class: dict[str, int] = {}
    of_pattern: dict[str, int] = {}
    hashes, classes, patterns = [], [], []
    like_copies: list[tuple[str, int, str]] = []
    donors: pa.Table | None = None
    n_rows = 0
    for batch in iter_batches(path, columns, rows=ROW_GROUP_ROWS):
        n_rows += batch.num_rows
        like_copies += _like_copies(batch[SAMPLE_ID])
        train = batch.filter(pc.equal(batch[SPLIT], "train"))
        hashed = hashes_of(train[SAMPLE_ID].to_pylist())
        hashes.append(hashed)
        patterns.append(_numbered(_patterns(schema, train), of_pattern))
        if schema.target_kind == "category":
            classes.append(_numbered(train[TARGET], of_class))
        donors = _fewest(donors, pa.Table.from_batches([train]).select(tabular), hashed)
    n_train = sum(map(len, hashes))
    return Survey(
        n_rows=n_rows,
        target_kind=schema.target_kind,
        hashes=np.concatenate([np.empty(0, np.uint64), *hashes]),
        classes=np.concatenate([np.empty(0, np.int64), *classes])
        if schema.target_kind == "category"
        else np.zeros(n_train, np.int64),
        class_names=tuple(of_class),
        patterns=np.concatenate([np.empty(0, np.int64), *patterns]),
        pattern_names=tuple(of_pattern),
        donors=pa.table({}) if donors is None else donors.select(tabular),
        like_copies=tuple(like_copies),
    )


def hashes_of(ids: Sequence[str]) -> NDArray[np.uint64]:
    """Return a number for each id that depends on it alone."""
    digests = b"".join(hashlib.sha256(name.encode()).digest()[:8] for name in ids)
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)


def _like_copies(ids: pa.Array) -> list[tuple[str, int, str]]:
    found = ids.filter(pc.match_substring_regex(ids, r"~\d+$")).to_pylist()
    matches = [(name, _LIKE_A_COPY.fullmatch(name)) for name in found]
    return [(m.group(1), int(m.group(2)), name) for name, m in matches if m]


def _numbered(values: pa.Array, known: dict[str, int]) -> NDArray[np.int64]:
    """Return the number of each value; a new one gets the next."""
    encoded = values.dictionary_encode()
    numbers = np.asarray(
        [known.setdefault(v, len(known)) for v in encoded.dictionary.to_pylist()], dtype=np.int64
    )
    found: NDArray[np.int64] = numbers[encoded.indices.to_numpy(zero_copy_only=False)]
    return found


def _patterns(schema: SampleSchema, rows: pa.RecordBatch) -> pa.Array:
    """Name the inputs that each sample has."""
    code = np.zeros(rows.num_rows, dtype=np.int64)
    for i, spec in enumerate(schema.inputs):
        names = [c.name for c in spec.columns] or [spec.column]
        there = np.logical_or.reduce(
            [rows[name].is_valid().to_numpy(zero_copy_only=False) for name in names]
        )
        code |= there.astype(np.int64) << i
    distinct, which = np.unique(code, return_inverse=True)
    names = [
        "+".join(s.name for i, s in enumerate(schema.inputs) if bits >> i & 1) or "none"
        for bits in distinct.tolist()
    ]
    return pa.array(names, pa.string()).take(pa.array(which.ravel()))


_HASH = "\x00hash"


def _fewest(kept: pa.Table | None, rows: pa.Table, hashes: NDArray[np.uint64]) -> pa.Table:
    """Keep the rows with the smallest hashes, sorted by them."""
    rows = rows.append_column(_HASH, pa.array(hashes))
    together = rows if kept is None else pa.concat_tables([kept, rows])
    order = np.argsort(together[_HASH].to_numpy(), kind="stable")[:N_DONORS]
    return together.take(pa.array(order))


def labelled_counts(
    codes: NDArray[np.int64],
    names: Sequence[str],
    weights: NDArray[np.int64] | None = None,
    most: int = 200,
) -> dict[str, int]:
    """Add up weights by name, the largest sum first."""
    sums = np.bincount(codes, weights, minlength=len(names)).astype(np.int64)
    found: Mapping[str, int] = dict(zip(names, sums.tolist(), strict=False))
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0]))[:most])
