"""Find texts that say nearly the same: a word changed, a line added, other case or spaces.

A text is the set of its words and pairs of neighbouring words. Two texts are near where these sets
overlap: where what they share is at least, say, 0.8 of what either has (their Jaccard similarity).
MinHash signatures, cut into bands, say which pairs to compare; the sets decide.
"""

import mmap
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from tasks.clean.near_duplicates.grouping import Grouping, Places, grouped

N_BANDS, BAND_ROWS = 20, 5
N_BINS = N_BANDS * BAND_ROWS
MOST_SHINGLES = 256
"""Of a longer text, the lowest so many hashes stand for all: a fair sample of them."""

MIN_WORDS, MIN_CHARACTERS = 3, 20
"""Shorter texts are near only those that are the same but for case and spaces: a word more or less
is another question."""

_HASH_BITS = np.uint64(48)
_HASH_MASK = np.uint64(2**48 - 1)
_EMPTY = np.uint64(2**64 - 1)
_PROBES = 64
_PAIRS_AT_ONCE = 1024
_MOST_ALIKE = 128
"""Texts of one key that are all compared: more of them share only a few common words."""

_UNSPACED = r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}])"


class Shingles(NamedTuple):
    """The sets of some texts.

    Attributes:
        hashes: The hashes (48 bits) of all sets, one text after the other. A hash that is there
            twice counts once; sorting out such is left to those who need it.
        sizes: ``(n_texts,)`` how many there are of each set.
    """

    hashes: NDArray[np.uint64]
    sizes: NDArray[np.int64]


def plain(texts: pa.Array) -> pa.Array:
    r"""Return texts in one form: NFC, case folded, single spaces, none around.

    >>> plain(pa.array(["  Is it\n EVEN? "])).to_pylist()
    ['is it even?']
    """
    if pc.all(pc.string_is_ascii(texts), min_count=0).as_py():
        words = pc.ascii_split_whitespace(pc.ascii_trim_whitespace(pc.ascii_lower(texts)))
    else:
        folded = pa.array(
            [unicodedata.normalize("NFC", text.casefold()) for text in texts.to_pylist()],
            pa.string(),
        )
        words = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(folded))
    return pc.binary_join(words, " ")


def text_ids(texts: pa.Array) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each text."""
    contents = texts.cast(pa.binary()).to_pylist()
    return np.array([xxhash.xxh3_64_intdigest(content) for content in contents], np.uint64)


def shingles(texts: pa.Array) -> Shingles:
    """Return the set of words and pairs of words of each plain text, as hashes.

    Characters of scripts without spaces count as words. A text too short to be near another has an
    empty set.
    """
    if not pc.all(pc.string_is_ascii(texts), min_count=0).as_py():
        texts = pc.replace_substring_regex(texts, _UNSPACED, r" \1 ")
    words = pc.split_pattern(texts, " ")
    offsets = words.offsets.to_numpy().astype(np.int64)
    flat = words.flatten()
    # Spaces beside a character that is a word of its own give empty words.
    whole = pc.not_equal(flat, "").to_numpy(zero_copy_only=False)
    owner = np.repeat(np.arange(len(texts)), np.diff(offsets))[whole]
    hashes = _word_hashes(flat.filter(pa.array(whole)))
    n_words = np.bincount(owner, minlength=len(texts))
    long = (n_words >= MIN_WORDS) & (pc.utf8_length(texts).to_numpy() >= MIN_CHARACTERS)
    hashes, owner = hashes[long[owner]], owner[long[owner]]
    both = np.empty((len(hashes), 2), np.uint64)
    both[:, 0] = hashes
    both[:-1, 1] = _mixed(hashes[:-1] * np.uint64(0x9E3779B97F4A7C15) + hashes[1:])
    paired = np.ones((len(hashes), 2), bool)
    paired[:, 1] = np.r_[owner[1:] == owner[:-1], False][: len(hashes)]
    sizes = np.where(long, 2 * n_words - 1, 0)
    return _without_most_of_long(Shingles(both[paired] >> (np.uint64(64) - _HASH_BITS), sizes))


def _word_hashes(words: pa.Array) -> NDArray[np.uint64]:
    """Hash each distinct word once."""
    encoded = words.dictionary_encode()
    return np.asarray(text_ids(encoded.dictionary)[encoded.indices.to_numpy()])


def _without_most_of_long(sets: Shingles) -> Shingles:
    """Keep the lowest 256 different hashes of each set that has more."""
    if sets.sizes.max(initial=0) <= MOST_SHINGLES:
        return sets
    owner = np.repeat(np.arange(len(sets.sizes)), sets.sizes)
    many = (sets.sizes > MOST_SHINGLES)[owner]
    both = _distinct(owner[many], sets.hashes[many])
    of_many = (both >> _HASH_BITS).astype(np.int64)
    first = np.searchsorted(of_many, of_many)
    lowest = np.arange(len(both)) - first < MOST_SHINGLES
    owners = np.r_[owner[~many], of_many[lowest]]
    order = np.argsort(owners, kind="stable")
    hashes = np.r_[sets.hashes[~many], both[lowest] & _HASH_MASK][order]
    return Shingles(hashes, np.bincount(owners, minlength=len(sets.sizes)))


def _distinct(owner: Places, hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return each hash once, in rising order, with its owner before it."""
    both = np.sort(owner.astype(np.uint64) << _HASH_BITS | hashes)
    return np.asarray(both[np.r_[True, both[1:] != both[:-1]][: len(both)]])


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit numbers, each in its own way (the finaliser of MurmurHash3)."""
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return x ^ (x >> np.uint64(33))


def band_keys(sets: Shingles) -> NDArray[np.uint64]:
    """Return ``(20, n_texts)`` keys; sets that overlap widely share at least one.

    Each hash falls into one of 100 bins, whose lowest hash stands for the set. A bin without one
    borrows from another, the same for each text. Five bins make a key.

    Source:
        Broder 1997, "On the resemblance and containment of documents"; Shrivastava 2017, "Optimal
        densification for fast and accurate minwise hashing" (one permutation, borrowed bins).
    """
    n_texts = len(sets.sizes)
    owner = np.repeat(np.arange(n_texts), sets.sizes)
    scrambled = _mixed(sets.hashes ^ np.uint64(0x5851F42D4C957F2D))
    bins = ((scrambled >> np.uint64(32)) * np.uint64(N_BINS) >> np.uint64(32)).astype(np.int64)
    flat = np.full(n_texts * N_BINS, _EMPTY)
    np.minimum.at(flat, owner * N_BINS + bins, scrambled * np.uint64(0x2545F4914F6CDD1D))
    lowest = flat.reshape(n_texts, N_BINS)
    _borrow(lowest)
    rows = lowest.reshape(n_texts, N_BANDS, BAND_ROWS)
    keys = np.tile(np.arange(1, N_BANDS + 1, dtype=np.uint64), (n_texts, 1))
    for row in range(BAND_ROWS):
        keys = _mixed(keys * np.uint64(0x9E3779B97F4A7C15) ^ rows[:, :, row])
    keys[sets.sizes == 0] = _EMPTY
    return np.ascontiguousarray(keys.T)


def _borrow(lowest: NDArray[np.uint64]) -> None:
    """Fill empty bins from others, in an order that depends on the bin alone."""
    draws = np.random.default_rng(0).integers(0, N_BINS, (_PROBES, N_BINS))
    source = lowest.copy()
    text, at = np.nonzero(lowest == _EMPTY)
    for probe in draws:
        if len(text) == 0:
            return
        found = source[text, probe[at]]
        lowest[text, at] = found
        text, at = text[found == _EMPTY], at[found == _EMPTY]
    lowest[text, at] = source[text].min(axis=1)


class TextBook:
    """Keys and sets of texts, in files without a name: memory holds only where a set starts."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._keys = [tempfile.TemporaryFile(dir=folder) for _ in range(N_BANDS)]  # noqa: SIM115
        self._sets = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (closed with the book)
        self._sizes: list[NDArray[np.uint16]] = []
        self._marks: list[NDArray[np.uint64]] = []
        self._ids: list[NDArray[np.uint64]] = []

    @property
    def ids(self) -> NDArray[np.uint64]:
        """The hashes of all texts, in the order in which they were added."""
        return np.concatenate([np.zeros(0, np.uint64), *self._ids])

    def add(self, texts: pa.Array, ids: NDArray[np.uint64]) -> None:
        """Add plain texts that were not added before, with their hashes."""
        sets = shingles(texts)
        for file, keys in zip(self._keys, band_keys(sets), strict=True):
            file.write(keys.tobytes())
        self._sets.write(sets.hashes.tobytes())
        self._sizes.append(sets.sizes.astype(np.uint16))
        self._marks.append(marks(sets))
        self._ids.append(ids)

    def group(self, similarity: float) -> Grouping:
        """Group the texts of which sets overlap by at least so much, directly or over others."""
        sizes = np.concatenate([np.zeros(0, np.uint16), *self._sizes])
        # In the order of their hashes, so that the order of rows changes nothing.
        order = np.argsort(self.ids)
        long = order[sizes[order] > 0]
        if len(long) == 0:
            return Grouping(np.arange(len(sizes)), 0, 0)
        starts = np.r_[0, np.cumsum(sizes, dtype=np.int64)]
        self._sets.flush()
        kept = mmap.mmap(self._sets.fileno(), 0, access=mmap.ACCESS_READ)
        kept.madvise(mmap.MADV_RANDOM)
        hashes = np.frombuffer(kept, np.uint64)
        marked = np.concatenate(self._marks)[long]
        n_shingles = sizes[long].astype(np.int64)

        def near(left: Places, right: Places) -> NDArray[np.bool_]:
            most = most_overlap(marked[left], marked[right], n_shingles[left], n_shingles[right])
            answer = most >= similarity
            possible = np.flatnonzero(answer)
            for at in range(0, len(possible), _PAIRS_AT_ONCE):
                some = possible[at : at + _PAIRS_AT_ONCE]
                one, other = long[left[some]], long[right[some]]
                found = overlap(_taken(hashes, starts, one), _taken(hashes, starts, other))
                answer[some] = found >= similarity
            kept.madvise(mmap.MADV_DONTNEED)  # what was read need not stay in memory
            return answer

        found = grouped(self._tables(long), np.arange(len(long)), near, _MOST_ALIKE)
        labels = np.arange(len(sizes))
        labels[long] = long[found.labels]
        return Grouping(labels, found.n_compared, found.n_skipped)

    def _tables(self, long: Places) -> Iterator[NDArray[np.uint64]]:
        for file in self._keys:
            file.seek(0)
            yield np.fromfile(file, np.uint64)[long]

    def close(self) -> None:
        """Forget all texts."""
        for file in (*self._keys, self._sets):
            file.close()


def marks(sets: Shingles) -> NDArray[np.uint64]:
    """Return 64 bits for each set: those that the last six bits of its hashes name."""
    found = np.zeros(len(sets.sizes), np.uint64)
    there = np.flatnonzero(sets.sizes)
    starts = (np.cumsum(sets.sizes) - sets.sizes)[there]
    if len(there):
        bits = np.uint64(1) << (sets.hashes & np.uint64(63))
        found[there] = np.bitwise_or.reduceat(bits, starts)
    return found


def most_overlap(
    one: NDArray[np.uint64],
    other: NDArray[np.uint64],
    one_size: NDArray[np.int64],
    other_size: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return what the Jaccard similarity of pairs of sets can be at most, by their marks.

    Each bit in which the marks differ stands for a hash at least that one set has and the other has
    not. Of sets that are only sampled nothing can be said.

    >>> sets = Shingles(np.array([1, 2, 3, 1, 2, 9], np.uint64), np.array([3, 3]))
    >>> a, b = marks(sets)
    >>> float(most_overlap(a, b, np.array(3), np.array(3)))  # and it is 2 of 4
    0.5
    """
    both = one_size + other_size
    apart = np.bitwise_count(one ^ other).astype(np.int64)
    sampled = np.maximum(one_size, other_size) >= MOST_SHINGLES
    return np.where(sampled, 1.0, (both - apart) / np.maximum(both + apart, 1))


def _taken(hashes: NDArray[np.uint64], starts: Places, texts: Places) -> Shingles:
    sizes = starts[texts + 1] - starts[texts]
    within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return Shingles(hashes[np.repeat(starts[texts], sizes) + within], sizes)


def overlap(one: Shingles, other: Shingles) -> NDArray[np.float64]:
    """Return the Jaccard similarity of pairs of sets.

    It is exact for sets of fewer than 256; else the lowest 256 hashes of both together are what is
    counted.

    Source:
        Bar-Yossef et al. 2002, "Counting distinct elements in a data stream" (bottom-k sketches).
    """
    n_pairs = len(one.sizes)
    pairs = np.arange(n_pairs)
    both = np.sort(
        np.r_[
            _distinct(np.repeat(pairs, one.sizes), one.hashes),
            _distinct(np.repeat(pairs, other.sizes), other.hashes),
        ]
    )
    pair = (both >> _HASH_BITS).astype(np.int64)
    again = np.zeros(len(both), bool)
    again[1:] = both[1:] == both[:-1]
    n_distinct = np.cumsum(~again)
    first = np.searchsorted(pair, np.arange(n_pairs))
    before = np.where(first > 0, n_distinct[first - 1], 0)
    rank = n_distinct - before[pair]
    sampled = np.maximum(one.sizes, other.sizes) >= MOST_SHINGLES
    counted = ~sampled[pair] | (rank <= MOST_SHINGLES)
    shared = np.bincount(pair[again & counted], minlength=n_pairs)
    of_all = np.bincount(pair[~again & counted], minlength=n_pairs)
    return np.asarray(shared / np.maximum(of_all, 1))
