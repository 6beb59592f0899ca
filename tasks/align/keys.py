"""Join by key: keys compared as Unicode text in one form, and held to the relation declared."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.align.matching import NOBODY, Match, Outcome, Rows
from tasks.align.spelling import AMBIGUOUS, most_alike, spelling_form
from tasks.errors import DataError
from tasks.params.align import Relation


@dataclass(frozen=True)
class KeyColumn:
    """One side of a key join.

    Attributes:
        name: The column's full name.
        values: ``(n_records,)`` keys; null where a record has none.
        places: Tells "file row n" of records, for messages.
        order: ``(n_records,)`` each record's place in its source.
    """

    name: str
    values: pa.ChunkedArray
    places: Callable[[Rows], list[str]]
    order: Rows


@dataclass(frozen=True)
class MatchedKeys:
    """What a join by key gave.

    Attributes:
        match: The partners.
        n_alike: Left records whose key and whose partner's key differ in spelling alone.
        fuzzy: ``(n_fuzzy,)`` left records that were given the key most alike.
        similarity: ``(n_fuzzy,)`` how alike it is.
    """

    match: Match
    n_alike: int = 0
    fuzzy: Rows = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    similarity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))


def match_by_key(
    left: KeyColumn,
    right: KeyColumn,
    relation: Relation,
    spelling: bool = False,
    min_similarity: float | None = None,
) -> MatchedKeys:
    """Give each left record the right record with its key.

    Where several right records share a key, which only ``one_to_many`` and ``many_to_many`` allow,
    the first in its source is taken and the others are duplicate matches.

    Args:
        left: Keys that want a partner.
        right: Keys of the partners.
        relation: How often a key may stand on either side.
        spelling: Whether keys that differ in case, width, spaces or leading zeros are one.
        min_similarity: Give a key without a partner the one most alike, from this similarity on.

    Raises:
        DataError: The keys are not related as declared.
    """
    left_codes, right_codes, keys = key_codes(left.values, right.values, spelling)
    if relation.startswith("one"):
        require_distinct(left, left_codes, relation)
    if relation.endswith("one"):
        require_distinct(right, right_codes, relation)
    exact = left_codes
    ambiguous, fuzzy = np.zeros(len(left_codes), dtype=bool), np.zeros(len(left_codes), dtype=bool)
    similarity = np.zeros(len(keys))
    if min_similarity is not None:
        becomes, similarity = fuzzy_codes(exact, right_codes, keys, relation, min_similarity)
        left_codes = np.append(becomes, NOBODY)[exact]
        ambiguous = left_codes == AMBIGUOUS
        left_codes = np.where(ambiguous, exact, left_codes)
        fuzzy = left_codes != exact

    with_key = np.flatnonzero(right_codes != NOBODY)
    last_to_first = with_key[np.argsort(-right.order[with_key], kind="stable")]
    first = np.full(len(keys) + 1, NOBODY, dtype=np.int64)  # the last slot is for "no key"
    first[right_codes[last_to_first]] = last_to_first
    partner = first[left_codes]

    left_outcome = np.where(partner != NOBODY, Outcome.MATCHED, Outcome.NO_PARTNER)
    left_outcome[left_codes == NOBODY] = Outcome.NO_KEY
    left_outcome[ambiguous] = Outcome.AMBIGUOUS_KEY
    key_is_met = np.zeros(len(keys) + 1, dtype=bool)
    key_is_met[left_codes] = True
    right_outcome = np.where(key_is_met[right_codes], Outcome.DUPLICATE_MATCH, Outcome.NO_PARTNER)
    right_outcome[right_codes == NOBODY] = Outcome.NO_KEY
    right_outcome[partner[partner != NOBODY]] = Outcome.MATCHED
    match = Match(partner, left_outcome.astype(np.int8), right_outcome.astype(np.int8))
    at = np.flatnonzero(fuzzy & match.matched)
    n_alike = 0
    if spelling:
        exactly = np.flatnonzero(match.matched & ~fuzzy)
        differ = pc.not_equal(left.values.take(exactly), right.values.take(partner[exactly]))
        n_alike = int(pc.sum(differ).as_py() or 0)
    return MatchedKeys(match, n_alike, at, similarity[exact[at]])


def key_codes(
    left: pa.ChunkedArray, right: pa.ChunkedArray, spelling: bool = False
) -> tuple[Rows, Rows, pa.Array]:
    """Number the keys of two columns alike; -1 where there is none.

    Text is compared in NFC, so that an é is an é however it was typed.

    Returns:
        Codes of either side, and the key of each code.
    """
    both = pa.chunked_array([*left.chunks, *right.chunks], type=left.type)
    if pa.types.is_string(both.type):
        both = pc.utf8_normalize(both, form="NFC")
    encoded = both.combine_chunks().dictionary_encode()
    codes = encoded.indices.fill_null(NOBODY).to_numpy(zero_copy_only=False).astype(np.int64)
    keys = encoded.dictionary
    if spelling and pa.types.is_string(keys.type):
        forms = pa.array([spelling_form(key) for key in keys.to_pylist()]).dictionary_encode()
        of_key = np.append(forms.indices.to_numpy(zero_copy_only=False).astype(np.int64), NOBODY)
        codes, keys = of_key[codes], forms.dictionary
    return codes[: len(left)], codes[len(left) :], keys


def fuzzy_codes(
    left: Rows, right: Rows, keys: pa.Array, relation: Relation, min_similarity: float
) -> tuple[Rows, NDArray[np.float64]]:
    """Say for each key which right key it stands for: itself, the one most alike, or none.

    Where a left record may not share its partner, only right keys that no left one equals are
    given away, and none of them twice.

    Returns:
        ``(n_keys,)`` the code each code becomes, or ``AMBIGUOUS``; and how alike the two are.
    """
    of_left, of_right = np.zeros(len(keys), dtype=bool), np.zeros(len(keys), dtype=bool)
    of_left[left[left != NOBODY]], of_right[right[right != NOBODY]] = True, True
    lonely = np.flatnonzero(of_left & ~of_right)
    free = np.flatnonzero(of_right & ~of_left if relation.startswith("one") else of_right)
    becomes, similarity = np.arange(len(keys)), np.ones(len(keys))
    if not len(lonely) or not len(free) or not pa.types.is_string(keys.type):
        return becomes, similarity
    found = most_alike(_composed(keys.take(lonely)), _composed(keys.take(free)), min_similarity)
    chosen = np.where(found.chosen >= 0, free[found.chosen.clip(0)], found.chosen)
    if relation.startswith("one"):
        codes, counts = np.unique(chosen[chosen >= 0], return_counts=True)
        chosen = np.where(np.isin(chosen, codes[counts > 1]), AMBIGUOUS, chosen)
    given = chosen != NOBODY
    becomes[lonely[given]], similarity[lonely] = chosen[given], found.similarity
    return becomes, similarity


def _composed(keys: pa.Array) -> list[str]:
    """Return keys with each accent in its letter, since PyArrow's NFC leaves them beside it."""
    return [unicodedata.normalize("NFC", key) for key in keys.to_pylist()]


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
    raise DataError(
        f"{side.name}: relation {relation} expects each key once, but {int(repeated.sum()):,} of "
        f"{len(np.unique(codes[present])):,} keys stand in several records (first: "
        f"'{side.values[int(rows[0])].as_py()}' in {len(rows)}: "
        f"{', '.join(side.places(rows[:3]))}); mend the source, or declare another relation"
    )
