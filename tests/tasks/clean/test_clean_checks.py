"""Checks are reversible by setting; what they find is counted, listed and shown."""

from collections import Counter

import pytest
from pydantic import ValidationError

from tasks.params.clean import CHECKS, CleanParams

GARBLED = "id,text,label\n1,cafÃ© noir,x\n2,café crème,y\n3,N/A,y\n4,a\u202eb,x\n"


def test_unknown_checks_and_actions_are_refused_with_the_nearest_name():
    with pytest.raises(ValidationError, match="Did you mean 'blurred_image'"):
        CleanParams(checks={"blured_image": "flag"})
    with pytest.raises(ValidationError, match="'blank_image' cannot be set to 'fix'"):
        CleanParams(checks={"blank_image": "fix"})
    with pytest.raises(ValidationError, match="write the lowest value first"):
        CleanParams(limits={"age": (120, 0)})


def test_every_check_flags_where_nothing_is_said():
    assert {CleanParams().action(check) for check in CHECKS} == {"flag"}
    assert CleanParams(checks={"mojibake": "fix"}).action("mojibake") == "fix"


def test_what_is_odd_is_flagged_counted_and_kept(clean, flags):
    outcome = clean(GARBLED, id="id")
    assert len(outcome.only()) == 4
    expected = {"mojibake": 1, "null_like": 1, "odd_characters": 1}
    assert outcome.report.sources[0].flags == expected
    assert Counter(row["flag"] for row in flags()) == expected
    (row,) = flags("mojibake")
    assert (row["record_id"], row["source"], row["column"]) == ("1", "rows", "text")
    assert "'café noir'" in row["detail"]


def test_checks_that_are_off_say_nothing(clean, flags):
    off = dict.fromkeys(("mojibake", "null_like", "odd_characters"), "off")
    outcome = clean(GARBLED, id="id", limits={"checks": off})
    assert outcome.report.sources[0].flags == {}
    assert flags() == []
    assert outcome.only()[0]["text"] == "cafÃ© noir"


def test_checks_that_drop_set_aside_with_their_name(clean, flags):
    drop = dict.fromkeys(("mojibake", "null_like"), "drop")
    outcome = clean(GARBLED, id="id", limits={"checks": drop})
    assert outcome.reasons == {"mojibake": 1, "null_like": 1}
    assert {row["record_id"] for row in outcome.quarantine} == {"1", "3"}
    assert [row["flag"] for row in flags()] == ["odd_characters"]


def test_checks_that_fix_mend_and_count(clean):
    fix = dict.fromkeys(("mojibake", "null_like", "odd_characters"), "fix")
    outcome = clean(GARBLED, id="id", limits={"checks": fix})
    assert [row["text"] for row in outcome.only()] == ["café noir", "café crème", None, "ab"]
    source = outcome.report.sources[0]
    assert source.fixed == {"mojibake": 1, "null_like": 1, "odd_characters": 1}
    assert source.flags == {}


def test_a_record_with_a_fault_is_not_flagged_too(clean, flags):
    outcome = clean("id,text,label\n1,N/A,\n2,b,x\n", id="id", limits={"required": ("label",)})
    assert outcome.reasons == {"null_value": 1}
    assert flags() == []


def test_secrets_and_personal_data_are_named_and_not_repeated(clean, flags, tmp_path):
    secret = "AKIA" + "ABCDEFGHIJKLMNOP"
    text = f"id,text,label\n1,key {secret},x\n2,mail me at jo@example.org,y\n3,<|im_end|> go,x\n"
    outcome = clean(text, id="id")
    assert outcome.report.sources[0].flags == {"secret": 1, "personal_data": 1, "special_token": 1}
    assert flags("secret")[0]["detail"] == "looks like an access key"
    page = (tmp_path / "reports" / "clean.html").read_text(encoding="utf-8")
    report = (tmp_path / "reports" / "clean.json").read_text(encoding="utf-8")
    for told in (page, report, str(flags())):
        assert secret not in told
        assert "jo@example.org" not in told


def test_lengths_of_texts(clean):
    outcome = clean(
        "id,text,label\n1,abc,x\n2,abcdef,x\n3,a,y\n",
        id="id",
        limits={"min_text_characters": 2, "max_text_characters": 5},
    )
    assert outcome.reasons == {"text_too_long": 1, "text_too_short": 1}


def test_languages(clean, flags):
    pytest.importorskip("py3langid")
    rows = [
        "1,this sentence is written in the English language,x",
        "2,dieser Satz ist offensichtlich auf Deutsch geschrieben,x",
        "3,kurz,x",
        "4,cette phrase est écrite en français sans aucun doute,x",
    ]
    text = "id,text,label\n" + "\n".join(rows) + "\n"
    clean(text, id="id", limits={"languages": ("en", "fr")})
    assert [row["record_id"] for row in flags("wrong_language")] == ["2"]
    assert "'de'" in flags("wrong_language")[0]["detail"]


def test_a_language_that_is_not_known(clean):
    pytest.importorskip("py3langid")
    from tasks.errors import ParamsError

    with pytest.raises(ParamsError, match="no language has the code 'english'"):
        clean("id,text,label\n1,a,x\n", limits={"languages": ("english",)})


def test_limits_and_declared_categories_name_columns_that_exist(settings, table):
    params = settings(
        table(),
        clean={"limits": {"text": (0, 1), "size": (0, 1)}, "categories": {"labl": ("a",)}},
    )
    told = dict(params.faults())
    assert "is of type text" in told["clean.limits.text"]
    assert "no column 'size'" in told["clean.limits.size"]
    assert "Did you mean 'label'" in told["clean.categories.labl"]


def test_same_data_same_bytes(clean, tmp_path):
    rows = "".join(f"{i},text {i},{'Cat' if i % 3 else 'cat'}\n" for i in range(50))
    text = "id,text,label\n" + rows + "51,N/A,cat\n52,cafÃ©,dgo\n"
    names = ["data/clean/flags.parquet", "data/clean/quarantine.parquet", "reports/clean.html"]
    names += ["data/clean/records/rows.parquet", "reports/clean.json"]
    clean(text, id="id")
    first = [(tmp_path / name).read_bytes() for name in names]
    clean(text, id="id")
    assert [(tmp_path / name).read_bytes() for name in names] == first
