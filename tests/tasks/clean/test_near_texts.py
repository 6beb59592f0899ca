"""Texts that say nearly the same, and those that only look so."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.clean.near_duplicates.grouping import members
from tasks.clean.near_duplicates.search import SortedSet
from tasks.clean.near_duplicates.texts import (
    MOST_SHINGLES,
    TextBook,
    overlap,
    plain,
    shingles,
    text_ids,
)

WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "bdfgklmnprst"]


def document(random, n_words):
    return " ".join(random.choice(WORDS, n_words))


def changed(text, random, n):
    words = text.split()
    for at in random.choice(len(words), n, replace=False):
        words[at] = "zz" + random.choice(WORDS)
    return " ".join(words)


def similarity(one, other):
    """The similarity as it is defined, with Python's own sets."""
    a, b = ({*words, *pairwise(words)} for words in (one.split(), other.split()))
    return len(a & b) / len(a | b)


def groups(texts, folder, threshold=0.8):
    forms = plain(pa.array(texts))
    book = TextBook(folder)
    half = len(texts) // 2
    for part in (forms[:half], forms[half:]):
        book.add(part, text_ids(part))
    found = book.group(threshold)
    book.close()
    return {tuple(group.tolist()) for group in members(found.labels)}


def test_a_changed_word_is_found_and_another_text_is_not(tmp_path):
    random = np.random.default_rng(0)
    texts = [document(random, n) for n in random.integers(20, 200, 300)]
    edited = [changed(text, random, 1) for text in texts]
    assert groups([*texts, *edited], tmp_path) == {(i, i + 300) for i in range(300)}


def test_recall_and_precision_at_the_threshold(tmp_path):
    random = np.random.default_rng(1)
    texts = [document(random, n) for n in random.integers(15, 300, 500)]
    edited = [
        changed(t, random, max(1, round(len(t.split()) * random.uniform(0.02, 0.12))))
        for t in texts
    ]
    true = {i for i in range(500) if similarity(texts[i], edited[i]) >= 0.8}
    found = {group[0] for group in groups([*texts, *edited], tmp_path)}
    sure = {i for i in range(500) if similarity(texts[i], edited[i]) >= 0.85}
    assert 100 < len(true) < 450
    assert sure <= found
    assert len(true & found) >= 0.97 * len(true)
    assert all(similarity(texts[i], edited[i]) > 0.74 for i in found)


def test_short_questions_are_near_none(tmp_path):
    texts = ["is it even?", "is it odd?", "is it even", "what is it", "what is this"]
    assert groups(texts, tmp_path, 0.5) == set()


def test_lines_of_a_form_that_differ_in_a_word_of_few_are_not_near(tmp_path):
    texts = [f"is there a {colour} circle in the image?" for colour in ("red", "blue", "green")]
    assert groups(texts, tmp_path) == set()


def test_case_spaces_and_unicode_form_do_not_count():
    texts = [" Straße\n und  Caf\u00e9", "STRASSE UND CAFE\u0301 ", "strasse und cafe"]
    one, other, third = plain(pa.array(texts)).to_pylist()
    assert one == other == "strasse und caf\u00e9"
    assert third != one


def test_scripts_without_spaces_are_compared_by_character(tmp_path):
    text = "春眠不觉晓处处闻啼鸟夜来风雨声花落知多少白日依山尽黄河入海流欲穷千里目更上一层楼"
    other = "床前明月光疑是地上霜举头望明月低头思故乡千山鸟飞绝万径人踪灭孤舟蓑笠翁独钓寒江雪"
    assert groups([text, text[:-1] + "房", other, other[::-1]], tmp_path) == {(0, 1)}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.sampled_from(WORDS), min_size=8, max_size=60), min_size=2, max_size=6))
def test_overlap_is_the_jaccard_similarity(documents):
    texts = [" ".join(words) for words in documents]
    sets = shingles(pa.array(texts))
    starts = np.r_[0, np.cumsum(sets.sizes)]
    for i in range(len(texts) - 1):
        one, other = (
            type(sets)(sets.hashes[starts[k] : starts[k + 1]], sets.sizes[k : k + 1])
            for k in (i, i + 1)
        )
        assert overlap(one, other)[0] == pytest.approx(similarity(texts[i], texts[i + 1]))


def test_long_texts_are_estimated(tmp_path):
    random = np.random.default_rng(2)
    text = document(random, 5 * MOST_SHINGLES)
    near, far = changed(text, random, 30), changed(text, random, 600)
    assert similarity(text, near) > 0.85
    assert similarity(text, far) < 0.6
    assert groups([text, near, far], tmp_path) == {(0, 1)}


def test_a_thousand_letters_from_one_form_are_one_group(tmp_path):
    random = np.random.default_rng(4)
    body = document(random, 80)
    letters = [f"dear {a} {body} yours {a}" for a in random.choice(WORDS, 1500)]
    assert len(groups(sorted(set(letters)), tmp_path)) == 1


def test_no_text_and_a_book_without_long_ones(tmp_path):
    book = TextBook(tmp_path)
    assert len(book.group(0.8).labels) == 0
    forms = pa.array(["a", "b c"])
    book.add(forms, text_ids(forms))
    assert book.group(0.8).labels.tolist() == [0, 1]
    book.close()


@given(st.lists(st.lists(st.integers(0, 50), unique=True, max_size=20), max_size=12))
def test_sorted_set_tells_what_is_new(batches):
    seen, known = SortedSet(), set()
    for batch in batches:
        assert seen.add(np.array(batch, np.uint64)).tolist() == [x not in known for x in batch]
        known.update(batch)
