import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from tasks.align.spelling import AMBIGUOUS, MARGIN, NONE, most_alike, spelling_form
from tasks.errors import DataError

words = st.lists(st.text("abc01-", min_size=1, max_size=9), unique=True, min_size=1, max_size=12)


@given(keys=words, among=words, least=st.sampled_from([0.4, 0.6, 0.75, 0.9]))
@settings(max_examples=150, deadline=None)
def test_looking_at_few_pairs_finds_what_looking_at_all_does(keys, among, least):
    found = most_alike(keys, among, least)
    for key, chosen, similarity in zip(keys, found.chosen, found.similarity, strict=True):
        every = sorted(Levenshtein.normalized_similarity(key, other) for other in among)[::-1]
        if every[0] < least:
            assert (chosen, similarity) == (NONE, 0)
        elif len(every) > 1 and every[1] > every[0] - MARGIN:
            assert chosen == AMBIGUOUS
        else:
            assert Levenshtein.normalized_similarity(key, among[chosen]) == every[0]


def test_keys_with_a_long_beginning_in_common_are_told_apart():
    among = [f"patient-{i * i:08d}" for i in range(20_000)]
    keys = [among[17_321].replace("0", "O", 1), "patient-99999999x", "nobody"]
    assert most_alike(keys, among, 0.9).chosen.tolist() == [17_321, NONE, NONE]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Cat ", "cat"),
        ("a  b", "A b"),
        ("ID-007", "id-7"),
        ("ｆｕｌｌ", "full"),
        ("Straße", "STRASSE"),
    ],
)
def test_spellings_of_one_key(one, other):
    assert spelling_form(one) == spelling_form(other)


def test_figures_after_a_point_are_not_leading_zeros():
    assert spelling_form("1.05") != spelling_form("1.5")


def paired(aligned, left, right, **join):
    aligned.source("l", {"k": "key", "y": "category"}, k=left, y=["c"] * len(left))
    aligned.source("r", {"k": "key", "z": "text"}, k=right, z=[f"z{i}" for i in range(len(right))])
    settings = {"on": "key", "right": "r", "left_on": "k", **join}
    report = aligned.run(base="l", joins=(settings,), inputs=("z",), target="y")
    return report, aligned.read("samples")["r.z"].to_pylist()


def test_a_misspelled_key_is_matched_listed_and_counted(aligned):
    report, found = paired(
        aligned, ["berlin", "munchen", "rome", "x"], ["münchen", "berlin", "home", "dome"],
        min_similarity=0.7,
    )  # fmt: skip
    assert found == ["z1", "z0"]
    assert report.n_quarantined == 2
    assert (report.pairs[0].key.n_fuzzy, report.pairs[0].key.n_ambiguous) == (1, 1)
    assert report.pairs[0].unmatched_reasons_left == {"no_partner": 1, "ambiguous_key": 1}
    (match,) = aligned.read("fuzzy_matches").to_pylist()
    assert (match["record_id"], match["key"], match["partner_id"], match["partner_key"]) == (
        "l-2", "munchen", "r-1", "münchen",
    )  # fmt: skip
    assert match["similarity"] == pytest.approx(6 / 7, abs=1e-6)
    assert "fuzzy_matches.parquet" in report.notices[0]


def test_one_to_one_gives_no_key_away_twice(aligned):
    _, found = paired(
        aligned, ["paris", "pariz", "pari", "london"], ["paris", "lundon"],
        relation="one_to_one", min_similarity=0.7,
    )  # fmt: skip
    assert found == ["z0", "z1"]


def test_spelling_alone_is_counted_apart(aligned):
    report, found = paired(aligned, ["A-01", "b 2"], ["a-1", "B  2"], normalise="spelling")
    assert found == ["z0", "z1"]
    assert (report.pairs[0].key.n_alike, report.pairs[0].key.n_fuzzy) == (2, 0)


def test_two_right_keys_of_one_spelling_break_the_relation(aligned):
    with pytest.raises(DataError, match=r"r\.k: relation many_to_one expects each key once"):
        paired(aligned, ["a"], ["A", "a "], normalise="spelling")


def test_row_order_is_irrelevant_to_fuzzy_keys():
    rng = np.random.default_rng(1)
    among = [f"key {i:04d}" for i in range(500)]
    keys = [f"kee {i:04d}" for i in range(0, 500, 9)]
    order = rng.permutation(500)
    plain = most_alike(keys, among, 0.7)
    moved = most_alike(keys, [among[i] for i in order], 0.7)
    back = [order[c] if c >= 0 else c for c in moved.chosen]
    assert back == plain.chosen.tolist()
