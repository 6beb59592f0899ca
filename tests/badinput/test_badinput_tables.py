"""Tables that are not what they should be: each is refused or set aside, never guessed at."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.errors import DataError, SourceError

HEADER = "id,text,label\n"


@pytest.fixture
def collect(tmp_path, settings, table, outcome_of):
    def run(content, path="rows.csv", max_bad_fraction=1.0, **more):
        (tmp_path / "raw").mkdir(exist_ok=True)
        raw = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "raw" / path).write_bytes(raw)
        project = {"max_bad_fraction": max_bad_fraction}
        params = settings(table(path=path, **more), project=project)
        return outcome_of("collect", params, tmp_path)

    return run


def texts(outcome):
    return [row["text"] for row in outcome.only()]


def test_053_latin_1_is_refused_with_line_and_byte(collect):
    with pytest.raises(SourceError, match=r"rows\.csv:3: byte 6 of the line \(0xe9\) is not utf-8"):
        collect((HEADER + "1,a,x\n").encode() + b"2,caf\xe9,x\n")


def test_053_latin_1_is_read_where_it_is_declared(collect):
    outcome = collect(HEADER.encode() + b"2,caf\xe9,x\n", encoding="latin-1")
    assert texts(outcome) == ["caf\u00e9"]


def test_054_utf_16_is_hinted_at_and_read_where_it_is_declared(collect):
    content = (HEADER + "1,caf\u00e9,x\n").encode("utf-16")
    with pytest.raises(SourceError, match="looks like UTF-16"):
        collect(content)
    assert texts(collect(content, encoding="utf-16")) == ["caf\u00e9"]


def test_054_broken_utf_16_is_refused(collect):
    content = (HEADER + "1,caf\u00e9,x\n").encode("utf-16") + b"\x00"
    with pytest.raises(SourceError, match=r"not utf-16 \(truncated data\)"):
        collect(content, encoding="utf-16")


def test_an_unknown_encoding_is_named(collect):
    with pytest.raises(SourceError, match="'utf-9' is not known"):
        collect(HEADER + "1,a,x\n", encoding="utf-9")


def test_055_a_byte_order_mark_is_no_part_of_the_header(collect):
    assert texts(collect((HEADER + "1,a,x\n").encode("utf-8-sig"))) == ["a"]


def test_056_a_quoted_line_end_belongs_to_the_text(collect):
    outcome = collect(HEADER + '1,"a\nb",x\n2,c,x\n')
    assert [(row["row"], row["text"]) for row in outcome.only()] == [(1, "a\nb"), (2, "c")]


@pytest.mark.parametrize("rest", ["3,c,x\n4,d,x\n", '3,"c",x\n4,d,x\n'])
def test_057_an_unclosed_quote_is_refused_where_it_opened(collect, rest):
    with pytest.raises(SourceError, match=r"rows\.csv:3: a quote that opens in this row"):
        collect(HEADER + '1,a,x\n2,"b,x\n' + rest)


def test_a_stray_quote_costs_only_its_row(collect):
    outcome = collect(HEADER + '1,"a"b,x\n2,c "d" e,x\n')
    assert outcome.reasons == {"bad_quotes": 1}
    assert texts(outcome) == ['c "d" e']


def test_058_an_unquoted_comma_shifts_nothing(collect):
    outcome = collect(HEADER + "1,hello, world,x\n2,b,y\n")
    assert outcome.reasons == {"extra_fields": 1}
    assert "line 2: 4 cells for 3 columns: '1,hello, world,x'" in outcome.quarantine[0]["detail"]
    assert texts(outcome) == ["b"]


def test_059_too_few_fields(collect):
    outcome = collect(HEADER + "1,a\n2,b,y\n")
    assert outcome.reasons == {"missing_fields": 1}


def test_060_a_header_twice_is_refused(collect):
    with pytest.raises(SourceError, match=r"'text' stands in the header 2 times"):
        collect("id,text,label,text\n1,a,x,b\n")


def test_061_words_for_nothing_are_words(collect):
    words = ["NA", "null", "None", "nan", "NULL", "N/A"]
    outcome = collect(HEADER + "".join(f"{i},{word},x\n" for i, word in enumerate(words)))
    assert texts(outcome) == words
    declared = collect(HEADER + "1,NA,x\n2,,x\n", null_values=("", "NA"))
    assert texts(declared) == [None, None]
    assert declared.report.sources[0].nulls == {"id": 0, "text": 2, "label": 0}


def test_065_mixed_types_late_in_the_file_cost_only_their_rows(collect):
    columns = {"id": "key", "n": "number"}
    lines = [f"{i},{i}\n" for i in range(10_000)]
    lines[9_000], lines[9_001] = "9000,many\n", "9001,inf\n"
    outcome = collect("id,n\n" + "".join(lines), columns=columns)
    told = {(row["row"], row["column"], row["reason"]) for row in outcome.quarantine}
    assert told == {(9_001, "n", "not_a_number"), (9_002, "n", "non_finite")}


@pytest.mark.parametrize(("mark", "named"), [(";", "';'"), ("\t", "a tab"), ("|", r"'\|'")])
def test_066_another_delimiter_is_recognised_and_not_assumed(collect, mark, named):
    with pytest.raises(
        SourceError, match=rf"missing columns 'id', .* \(found 1 column.*{named} seems"
    ):
        collect((HEADER + "1,a,x\n").replace(",", mark))
    assert texts(collect((HEADER + "1,a,x\n").replace(",", mark), delimiter=mark)) == ["a"]


def test_a_missing_column_is_named_with_its_neighbour(collect):
    with pytest.raises(SourceError, match=r"missing column 'label' .*Did you mean 'labels'\?"):
        collect("id,text,labels\n1,a,x\n")


def test_a_tsv_is_parted_by_tabs(collect):
    assert texts(collect("id\ttext\tlabel\n1\ta,b\tx\n", path="rows.tsv")) == ["a,b"]


def test_067_a_decimal_comma_is_no_number(collect):
    outcome = collect('id,n\n1,"3,14"\n', columns={"id": "key", "n": "number"})
    assert outcome.reasons == {"not_a_number": 1}


@pytest.mark.parametrize("content", ["", "\n\n", HEADER, HEADER + "\n\n"])
@pytest.mark.parametrize("path", ["rows.csv", "rows.tsv"])
def test_068_a_table_without_rows_is_refused(collect, content, path):
    with pytest.raises(SourceError, match="no rows"):
        collect(content.replace(",", "\t") if path.endswith("tsv") else content, path=path)


def test_069_070_any_line_end_and_blank_lines(collect):
    outcome = collect("id,text,label\r\n1,a,x\r\n\r\n2,b,x\n\n3,c,x\r4,d,x")
    assert texts(outcome) == ["a", "b", "c", "d"]
    assert outcome.report.sources[0].blank_lines == 2


def test_071_a_nul_costs_its_row(collect):
    assert collect(HEADER + "1,a\0b,x\n2,c,x\n").reasons == {"nul_byte": 1}
    lines = '{"id": "1", "text": "a\\u0000b", "label": "x"}\n'
    assert collect(lines, path="rows.jsonl").reasons == {"nul_byte": 1}


def test_072_a_long_cell_is_no_fault(collect):
    assert len(texts(collect(HEADER + f"1,{'a' * 300_000},x\n"))[0]) == 300_000


def test_a_source_that_is_not_there(collect, tmp_path, settings, table, outcome_of):
    collect(HEADER + "1,a,x\n", path="questions.csv")
    params = settings(table(path="question.csv"), table(name="more", path="sub/more.csv"))
    with pytest.raises(SourceError) as fault:
        outcome_of("collect", params, tmp_path)
    assert "'questions.csv'" in str(fault.value)
    assert "Did you mean" in str(fault.value)
    assert "'more'" in str(fault.value)


def test_a_table_of_another_kind(collect):
    with pytest.raises(SourceError, match=r"expected a table ending in '\.csv'"):
        collect("", path="rows.xls")


# JSON lines


def jsonl(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


GOOD = {"id": "1", "text": "a", "label": "x"}


def test_080_a_line_cut_short_costs_only_itself(collect):
    content = jsonl(GOOD, GOOD) + '{"id": "3", "te'
    outcome = collect(content, path="rows.jsonl")
    assert outcome.reasons == {"truncated_json": 1}
    assert len(outcome.only()) == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"id": "3", "te\n', "bad_json"),
        ("[1, 2]\n", "bad_json"),
        ('{"id": "1", "id": "2", "text": "a", "label": "x"}\n', "duplicate_key"),
        ('{"id": "1", "text": "a", "label": NaN}\n', "non_finite"),
        ('{"id": "1", "text": "a", "label": -Infinity}\n', "non_finite"),
        ('{"id": "1", "text": {"de": "a"}, "label": "x"}\n', "not_a_scalar"),
        ('{"id": "1", "text": ["a"], "label": "x"}\n', "not_a_scalar"),
        ('{"id": "1", "text": "\\ud800", "label": "x"}\n', "invalid_unicode"),
        ("[" * 100_000 + "]" * 100_000 + "\n", "json_limits"),
        ('{"id": ' + "9" * 5_000 + ', "text": "a", "label": "x"}\n', "json_limits"),
    ],
    ids=lambda value: value[:20],
)
def test_075_081_082_lines_that_cannot_be_used(collect, line, reason):
    outcome = collect(line + jsonl(GOOD), path="rows.jsonl")
    assert outcome.reasons == {reason: 1}
    assert outcome.quarantine[0]["row"] == 1
    assert texts(outcome) == ["a"]


def test_063_064_json_numbers_are_read_as_they_are_written(collect):
    content = '{"id": 9007199254740993, "text": 1.50, "label": true}\n'
    (row,) = collect(content, path="rows.jsonl").only()
    assert (row["id"], row["text"], row["label"]) == ("9007199254740993", "1.50", "true")


def test_a_key_may_be_missing_in_a_line_and_not_in_all(collect):
    content = jsonl(GOOD, {"id": "2", "text": None})
    assert collect(content, path="rows.jsonl").only()[1]["label"] is None
    with pytest.raises(SourceError, match=r"missing column 'label'.*Did you mean 'lable'\?"):
        collect(jsonl({"id": "1", "text": "a", "lable": "x"}), path="rows.jsonl")


# Parquet


def parquet(tmp_path, **columns):
    path = tmp_path / "made.parquet"
    pq.write_table(pa.table(columns), path)
    return path.read_bytes()


def test_parquet_values_are_read_as_a_person_would_write_them(collect, tmp_path):
    moment = pa.scalar(1_709_283_603_256_001_999, pa.timestamp("ns", "Europe/Berlin"))
    content = parquet(
        tmp_path,
        id=pa.array([9_007_199_254_740_993, None], pa.int64()),
        text=pa.array(["NA", None]).dictionary_encode(),
        n=pa.array([1.5, float("nan")]),
        t=pa.array([moment.as_py(), None], pa.timestamp("us", "Europe/Berlin")),
    )
    columns = {"id": "key", "text": "text", "n": "number", "t": "time"}
    outcome = collect(content, path="rows.parquet", columns=columns)
    (row,) = outcome.only()
    assert (row["id"], row["text"], row["n"]) == ("9007199254740993", "NA", 1.5)
    assert row["t"].isoformat() == "2024-03-01T09:00:03.256001+00:00"
    assert outcome.reasons == {"non_finite": 1}


@pytest.mark.parametrize("cut", [0, 10, 200])
def test_131_a_broken_parquet_file_is_refused(collect, tmp_path, cut):
    content = parquet(tmp_path, id=["1"], text=["a"], label=["x"])
    with pytest.raises(SourceError, match="not a whole Parquet file"):
        collect(content[:cut], path="rows.parquet")


def test_a_parquet_column_of_lists_is_refused(collect, tmp_path):
    content = parquet(tmp_path, id=["1"], text=pa.array([["a"]]), label=["x"])
    with pytest.raises(SourceError, match="column 'text' is of type list"):
        collect(content, path="rows.parquet")


def test_too_many_bad_rows_stop_the_stage_and_leave_nothing(collect, tmp_path):
    with pytest.raises(DataError, match="2 of 3 records are unusable"):
        collect(HEADER + "1,a\n2,b\n3,c,x\n", max_bad_fraction=0.5)
    assert list((tmp_path / "data").iterdir()) == []
