"""Spellings of categories are merged, typing errors are told, declared categories are kept to."""

from hypothesis import given
from hypothesis import strategies as st

from tasks.clean.categories import lookalikes, merges, spelling_of, typos

COUNTS = st.dictionaries(
    st.text("abAB \u00e9", min_size=1, max_size=6).map(str.strip).filter(bool),
    st.integers(1, 100),
    max_size=12,
)


@given(COUNTS)
def test_merging_settles(counts):
    merged = merges(counts)
    stays = set(counts) - set(merged)
    assert set(merged.values()) <= stays
    assert len({spelling_of(category) for category in stays}) == len(stays)
    assert merges({category: counts[category] for category in stays}) == {}


@given(COUNTS)
def test_the_commonest_spelling_stays(counts):
    for goes, stays in merges(counts).items():
        assert counts[stays] >= counts[goes]
        assert spelling_of(goes) == spelling_of(stays)


def test_a_declared_spelling_wins_over_a_commoner_one():
    assert merges({"YES": 9, "yes": 1}, declared={"yes"}) == {"YES": "yes"}
    assert merges({"YES": 9}, declared={"yes"}) == {"YES": "yes"}


def test_case_of_short_values_may_matter():
    assert merges({"A": 50, "a": 40, "mV": 3, "MV": 2}) == {}
    assert merges({"no": 50, "No": 40, "NO": 3}) == {"NO": "no", "No": "no"}
    assert lookalikes({"A", "a", "mV", "MV"}) == (("A", "a"), ("MV", "mV"))


def test_typing_errors():
    counts = {"setosa": 50, "sertosa": 1, "setoas": 2, "virginica": 40, "Class 1": 60, "Class 2": 1}
    assert [(t.written, t.meant) for t in typos(counts)] == [
        ("sertosa", "setosa"),
        ("setoas", "setosa"),
    ]
    assert typos({"horse": 50, "house": 45}) == []


def test_typing_errors_are_flagged_or_fixed(clean, flags):
    rows = "".join(f"{i},t{i},setosa\n" for i in range(40)) + "90,t90,sertosa\n"
    outcome = clean("id,text,label\n" + rows, id="id")
    assert [row["record_id"] for row in flags("category_typo")] == ["90"]
    assert outcome.report.sources[0].typos == {"label": {"sertosa": "setosa"}}
    fixed = clean("id,text,label\n" + rows, id="id", limits={"checks": {"category_typo": "fix"}})
    assert {row["label"] for row in fixed.only()} == {"setosa"}
    assert fixed.report.sources[0].fixed == {"merged": 1}


def test_merging_can_be_turned_off(clean):
    text = "id,text,label\n1,a,cat\n2,b,Cat\n3,c,cat\n"
    outcome = clean(text, id="id", limits={"merge_category_variants": "off"})
    assert [row["label"] for row in outcome.only()] == ["cat", "Cat", "cat"]
    (notice,) = [n for n in outcome.report.notices if "lookalike" in n]
    assert "'Cat', 'cat'" in notice


def test_merged_records_can_be_duplicates(clean):
    outcome = clean("id,text,label\n1,a,cat\n2,a,Cat\n3,b,cat\n", id="id")
    assert outcome.reasons == {"duplicate": 1}


def test_several_labels_in_a_cell_are_merged_one_by_one(clean):
    columns = {"text": "text", "tags": "labels"}
    text = "text,tags\na,red;Big\nb,big;blue\nc,big\nd,Red\ne,red\n"
    outcome = clean(text, columns=columns, limits={"categories": {"tags": ("red", "big")}})
    assert [row["tags"] for row in outcome.only()] == ["big;red", "big", "red", "red"]
    assert outcome.reasons == {"unknown_category": 1}
    assert outcome.quarantine[0]["detail"] == "'blue' is not among the declared categories"
