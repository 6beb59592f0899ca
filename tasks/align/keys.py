"""Join by key: keys compared as Unicode text in one form, and held to the relation declared."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.align.matching import NOBODY, Match, Outcome, Rows
from tasks.errors import DataError
from tasks.params.align import Relation


@dataclass(frozen=True)
class KeyColumn:
    """One side of a key join.

    Attributes:
        name: The column's full name.
        values: ``(n_records,)`` keys; null where a record has none.
        places: ``(n_records,)`` "file row n" of each record, for messages.
        order: ``(n_records,)`` each record's place in its source.
    """

    name: str
    values: pa.ChunkedArray
    places: pa.Table
    order: Rows


def match_by_key(left: KeyColumn, right: KeyColumn, relation: Relation) -> Match:
    """Give each left record the right record with its key.

    Where several right records share a key, which only ``one_to_many`` and ``many_to_many`` allow,
    the first in its source is taken and the others are duplicate matches.

    Raises:
        DataError: The keys are not related as declared.
    """
    left_codes, right_codes = key_codes(left.values, right.values)
    if relation.startswith("one"):
        require_distinct(left, left_codes, relation)
    if relation.endswith("one"):
        require_distinct(right, right_codes, relation)

    with_key = np.flatnonzero(right_codes != NOBODY)
    last_to_first = with_key[np.argsort(-right.order[with_key], kind="stable")]
    n_codes = int(max(left_codes.max(initial=-1), right_codes.max(initial=-1))) + 1
    first = np.full(n_codes + 1, NOBODY, dtype=np.int64)  # the last slot is for "no key"
    first[right_codes[last_to_first]] = last_to_first
    partner = first[left_codes]

    left_outcome = np.where(partner != NOBODY, Outcome.MATCHED, Outcome.NO_PARTNER)
    left_outcome[left_codes == NOBODY] = Outcome.NO_KEY
    key_is_met = np.zeros(n_codes + 1, dtype=bool)
    key_is_met[left_codes] = True
    right_outcome = np.where(key_is_met[right_codes], Outcome.DUPLICATE_MATCH, Outcome.NO_PARTNER)
    right_outcome[right_codes == NOBODY] = Outcome.NO_KEY
    right_outcome[partner[partner != NOBODY]] = Outcome.MATCHED
    return Match(partner, left_outcome.astype(np.int8), right_outcome.astype(np.int8))


def key_codes(left: pa.ChunkedArray, right: pa.ChunkedArray) -> tuple[Rows, Rows]:
    """Number the keys of two columns alike; -1 where there is none.

    Text is compared in NFC, so that an é is an é however it was typed.
    """
    both = pa.chunked_array([*left.chunks, *right.chunks], type=left.type)
    if pa.types.is_string(both.type):
        both = pc.utf8_normalize(both, form="NFC")
    codes = both.combine_chunks().dictionary_encode().indices.fill_null(NOBODY)
    codes = codes.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes[: len(left)], codes[len(left) :]


def require_distinct(side: KeyColumn, codes: Rows, relation: Relation) -> None:
    """Fail where a key that must name one record names several.

    Raises:
        DataError: With how many keys are at fault, and the first of them with its rows.
    """
    present = np.flatnonzero(codes != NOBODY)
    n_records = np.bincount(codes[present]) if len(present) else np.zeros(0, dtype=np.int64)
    repeated = n_records > 1
    if not repeated.any():
        return
    in_order = present[np.argsort(side.order[present], kind="stable")]
    at_fault = in_order[repeated[codes[in_order]]]
    rows = at_fault[codes[at_fault] == codes[at_fault[0]]]
    named = ", ".join(
        f"{place['file']} row {place['row']}" for place in side.places.take(rows[:3]).to_pylist()
    )
    raise DataError(
        f"{side.name}: relation {relation} expects each key once, but {int(repeated.sum()):,} of "
        f"{len(np.unique(codes[present])):,} keys stand in several records (first: "
        f"'{side.values[int(rows[0])].as_py()}' in {len(rows)}: {named}); "
        "mend the source, or declare another relation"
    )
