"""Tables in several files, compressed, or in Excel: what does not fit together is refused."""

import datetime
import gzip
import io
import json
import os
import zipfile

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.errors import SourceError

HEADER = "id,text,label\n"


@pytest.fixture
def collect(tmp_path, settings, table, outcome_of):
    def run(files, path="rows.csv", **more):
        for name, content in files.items():
            file = tmp_path / "raw" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        params = settings(table(path=path, **more), project={"max_bad_fraction": 1.0})
        return outcome_of("collect", params, tmp_path)

    return run


def gz(text):
    return gzip.compress(text.encode())


def zst(text):
    return pa.compress(text.encode(), codec="zstd", asbytes=True)


# Several files


@pytest.mark.parametrize("path", ["parts", "parts/*.csv", "*/*.csv"])
def test_files_are_read_in_order_and_rows_counted_in_each(collect, path):
    parts = {"parts/b.csv": HEADER + "3,c,x\n", "parts/a.csv": HEADER + "1,a,x\n2,b\n4,d,y\n"}
    outcome = collect(parts, path)
    told = [(row["file"], row["row"], row["id"]) for row in outcome.only()]
    assert told == [("parts/a.csv", 1, "1"), ("parts/a.csv", 3, "4"), ("parts/b.csv", 1, "3")]
    assert [(r["file"], r["row"]) for r in outcome.quarantine] == [("parts/a.csv", 2)]


def test_one_id_in_two_files(collect):
    parts = {"p/a.csv": HEADER + "1,a,x\n2,b,x\n", "p/b.csv": HEADER + "1,a,x\n2,c,x\n3,d,y\n"}
    outcome = collect(parts, "p", id="id")
    told = {(row["file"], row["row"]): row["reason"] for row in outcome.quarantine}
    assert told == {
        ("p/b.csv", 1): "duplicate_id",
        ("p/a.csv", 2): "conflicting_id",
        ("p/b.csv", 2): "conflicting_id",
    }
    details = {row["reason"]: row["detail"] for row in outcome.quarantine if "/b" in row["file"]}
    assert "row 1 of p/a.csv" in details["duplicate_id"]
    assert "row 2 of p/a.csv" in details["conflicting_id"]
    assert [row["id"] for row in outcome.only()] == ["1", "3"]


def test_files_of_other_columns_are_named(collect):
    parts = {"p/a.csv": HEADER + "1,a,x\n", "p/b.csv": "id,text,label,more\n1,a,x,?\n"}
    with pytest.raises(
        SourceError, match=r"b\.csv: its columns are not those of .*a\.csv: it also"
    ):
        collect(parts, "p")
    moved = {"q/a.csv": HEADER + "1,a,x\n", "q/b.csv": "label,id,text\ny,2,b\n"}
    assert [row["text"] for row in collect(moved, "q").only()] == ["a", "b"]


def test_a_glob_that_is_like_nothing(collect):
    with pytest.raises(SourceError, match="no rows; expected files ending in"):
        collect({"p/a.txt": "words"}, "p/*.csv")
    with pytest.raises(SourceError, match="path_outside_root"):
        collect({"../secret.csv": HEADER + "1,a,x\n"}, "../*.csv")


def test_060_all_missing_columns_are_named_at_once(collect):
    with pytest.raises(SourceError, match=r"missing columns 'text', 'label' \(found 2 columns"):
        collect({"rows.csv": "id,other\n1,2\n"})
    with pytest.raises(SourceError, match=r"missing columns 'text', 'label'"):
        collect({"rows.jsonl": '{"id": "1"}\n'}, "rows.jsonl")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_126_a_file_that_may_not_be_read(collect, tmp_path):
    collect({"p/a.csv": HEADER + "1,a,x\n", "p/b.csv": HEADER + "1,b,x\n"}, "p")
    (tmp_path / "raw" / "p" / "b.csv").chmod(0)
    with pytest.raises(SourceError, match=r"b\.csv: no permission to read it; grant it"):
        collect({}, "p")


# Compressed


@pytest.mark.parametrize(("ending", "pack"), [("gz", gz), ("zst", zst)])
def test_compressed_tables_are_read_like_others(collect, ending, pack):
    csv, lines = HEADER + "007,caf\u00e9,x\n", '{"id": "1", "text": "a", "label": "x"}\n'
    outcome = collect({f"rows.csv.{ending}": pack(csv)}, f"rows.csv.{ending}")
    assert [(row["id"], row["text"]) for row in outcome.only()] == [("007", "caf\u00e9")]
    assert collect({f"l.jsonl.{ending}": pack(lines)}, f"l.jsonl.{ending}").only()[0]["id"] == "1"


def test_several_members_are_one_file(collect):
    packed = gzip.compress((HEADER + "1,a,x\n").encode()) + gzip.compress(b"2,b,y\n")
    assert len(collect({"rows.csv.gz": packed}, "rows.csv.gz").only()) == 2


@pytest.mark.parametrize("cut", [20, -4])
@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_131_a_broken_or_mislabelled_archive(collect, ending, cut):
    text = HEADER + "".join(f"{i},{i * i % 977},x\n" for i in range(500))
    packed = gzip.compress(text.encode()) if ending == "gz" else zst(text)
    with pytest.raises(SourceError, match=r"not a whole (gzip|zstd) file"):
        collect({f"rows.csv.{ending}": packed[:cut]}, f"rows.csv.{ending}")
    with pytest.raises(SourceError, match=r"not a whole (gzip|zstd) file"):
        collect({f"rows.csv.{ending}": text}, f"rows.csv.{ending}")


def test_131_compressed_twice(collect):
    with pytest.raises(SourceError, match=r"\.parquet is compressed by itself"):
        collect({"rows.parquet.gz": b"PAR1"}, "rows.parquet.gz")
    with pytest.raises(SourceError, match="expected a table ending in"):
        collect({"rows.zip": b"PK"}, "rows.zip")


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_130_a_compression_bomb_is_refused(collect, ending):
    text = HEADER + "1," + "a" * 70_000_000 + ",x\n"
    packed = gzip.compress(text.encode(), 1) if ending == "gz" else zst(text)
    with pytest.raises(SourceError, match="decompression_bomb"):
        collect({f"rows.csv.{ending}": packed}, f"rows.csv.{ending}")


def test_130_parquet_that_stands_for_gigabytes(collect, tmp_path):
    once = pa.DictionaryArray.from_arrays(pa.array([0] * 1500, pa.int32()), ["x" * 2**20])
    numbers = [str(i) for i in range(1500)]
    rows = pa.table({"id": numbers, "text": once, "label": numbers})
    (tmp_path / "raw").mkdir()
    pq.write_table(rows, tmp_path / "raw" / "rows.parquet")
    assert (tmp_path / "raw" / "rows.parquet").stat().st_size < 100_000
    with pytest.raises(SourceError, match="decompression_bomb"):
        collect({}, "rows.parquet")


# Excel


def workbook(*rows, sheets=("Sheet",), formats=()):
    book = openpyxl.Workbook()
    for name in sheets[1:]:
        book.create_sheet(name)
    book.worksheets[0].title = sheets[0]
    for row in rows:
        book.worksheets[0].append(row)
    for place, style in dict(formats).items():
        book.worksheets[0][place].number_format = style
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def test_cells_of_a_workbook_are_read_as_a_person_reads_them(collect):
    rows = [
        ["id", "text", "n", "at", "flag"],
        ["007", "a", 1.5, datetime.datetime(2024, 3, 1, 9, 30), True],
        [8, 12345678901, 3.0, datetime.date(2024, 3, 2), False],
        [9, None, 1e-7, datetime.datetime(2024, 3, 3), None],
        [None] * 5,
    ]
    columns = {"id": "key", "text": "text", "n": "number", "at": "time", "flag": "category"}
    content = workbook(*rows, formats={"A4": "000"})
    outcome = collect({"rows.xlsx": content}, "rows.xlsx", columns=columns)
    told = [(row["id"], row["text"], row["n"], row["flag"]) for row in outcome.only()]
    assert told == [
        ("007", "a", 1.5, "true"),
        ("8", "12345678901", 3.0, "false"),
        ("009", None, 1e-7, None),
    ]
    moments = [row["at"].isoformat()[:16] for row in outcome.only()]
    assert moments == ["2024-03-01T09:30", "2024-03-02T00:00", "2024-03-03T00:00"]
    texts = collect({"rows.xlsx": content}, "rows.xlsx", columns={"id": "key", "at": "text"})
    assert [row["at"] for row in texts.only()][1] == "2024-03-02"


def test_formulas_are_their_saved_values(collect):
    content = workbook(["id", "text", "label"], [1, "=1+1", "x"], [2, "b", "#REF!"])
    outcome = collect({"rows.xlsx": content}, "rows.xlsx")
    assert [(row["id"], row["text"]) for row in outcome.only()] == [("1", None)]
    assert outcome.reasons == {"formula_error": 1}
    told = {"formulas without a saved value, read as no value": 1}
    assert outcome.report.sources[0].notes == told


def test_a_sheet_is_named_where_there_are_several(collect):
    content = workbook(["id", "text", "label"], [1, "a", "x"], sheets=("data", "notes"))
    with pytest.raises(SourceError, match="2 sheets, 'data', 'notes'; say which one"):
        collect({"rows.xlsx": content}, "rows.xlsx")
    assert len(collect({"rows.xlsx": content}, "rows.xlsx", sheet="data").only()) == 1
    with pytest.raises(SourceError, match=r"no sheet 'dta'.*Did you mean 'data'"):
        collect({"rows.xlsx": content}, "rows.xlsx", sheet="dta")
    with pytest.raises(SourceError, match="the sheet is empty"):
        collect({"rows.xlsx": content}, "rows.xlsx", sheet="notes")


def test_cells_beside_the_columns_are_extra(collect):
    content = workbook(["id", "text", "label"], [1, "a", "x", "?"], [2, "b"], [3, "c", "y"])
    outcome = collect({"rows.xlsx": content}, "rows.xlsx")
    assert outcome.reasons == {"extra_fields": 1}
    assert [row["label"] for row in outcome.only()] == [None, "y"]


def test_131_workbooks_that_are_none(collect):
    password = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
    with pytest.raises(SourceError, match="one with a password"):
        collect({"rows.xlsx": password}, "rows.xlsx")
    whole = workbook(["id", "text", "label"], [1, "a", "x"])
    with pytest.raises(SourceError, match="not an Excel workbook"):
        collect({"rows.xlsx": whole[: len(whole) // 2]}, "rows.xlsx")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("hello.txt", "no workbook")
    with pytest.raises(SourceError, match="not a whole Excel workbook"):
        collect({"rows.xlsx": file.getvalue()}, "rows.xlsx")


def test_130_a_workbook_that_is_a_bomb(collect):
    file = io.BytesIO(workbook(["id", "text", "label"], [1, "a", "x"]))
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/media/zeros.bin", bytes(80_000_000))
    with pytest.raises(SourceError, match="decompression_bomb"):
        collect({"rows.xlsx": file.getvalue()}, "rows.xlsx")


# Several categories in a cell


def test_labels_are_trimmed_once_each_and_sorted(collect):
    columns = {"id": "key", "tags": "labels"}
    rows = "id,tags\n1, red;blue ;red;\n2,;\n3,green\n"
    outcome = collect({"rows.csv": rows}, columns=columns)
    assert [row["tags"] for row in outcome.only()] == ["blue;red", None, "green"]
    piped = collect({"rows.csv": "id,tags\n1,b|a\n2,a;b|c\n"}, columns=columns, label_separator="|")
    assert [row["tags"] for row in piped.only()] == ["a;b"]
    assert piped.reasons == {"bad_labels": 1}


def test_labels_may_be_lists(collect, tmp_path):
    columns = {"id": "key", "tags": "labels"}
    lists = [["b", "a", "a"], [], None, ["a;b"], [{}]]
    lines = "".join(json.dumps({"id": str(i), "tags": tags}) + "\n" for i, tags in enumerate(lists))
    outcome = collect({"rows.jsonl": lines}, "rows.jsonl", columns=columns)
    assert [row["tags"] for row in outcome.only()] == ["a;b", None, None]
    assert outcome.reasons == {"bad_labels": 1, "not_a_scalar": 1}
    rows = pa.table({"id": ["1", "2"], "tags": [["b", "a"], None]})
    pq.write_table(rows, tmp_path / "raw" / "rows.parquet")
    outcome = collect({}, "rows.parquet", columns=columns)
    assert [row["tags"] for row in outcome.only()] == ["a;b", None]


# Times and files


def test_103_times_of_a_clock_that_was_never_set_are_counted(collect):
    columns = {"id": "key", "at": "time"}
    rows = "".join(f"{i},2024-03-{i:02d}\n" for i in range(1, 29))
    outcome = collect(
        {"rows.csv": "id,at\n" + rows + "a,1970-01-01\nb,2099-01-01\n"}, columns=columns
    )
    assert outcome.report.sources[0].implausible_times == {"at": 2}
    assert any("implausible_time" in line for line in outcome.report.lines())
    boot = collect({"rows.csv": "id,at\n1,46408.5\n2,46409.5\n"}, columns=columns, time_unit="s")
    assert boot.report.sources[0].implausible_times == {}


@pytest.mark.parametrize(
    ("unit", "cell", "reason"),
    [
        ("iso", "01/02/2024", "bad_time"),
        ("iso", "13/02/2024", "bad_time"),
        ("iso", "24-03-01", "bad_time"),
        ("iso", "9999-12-31", "bad_time"),
        ("s", "1709283603256", "bad_time"),
        ("ms", "1709283603256999", "bad_time"),
        ("iso", "1709283603", "bad_time"),
    ],
)
def test_097_098_times_of_another_form_or_unit(collect, unit, cell, reason):
    columns = {"id": "key", "at": "time"}
    outcome = collect({"rows.csv": f"id,at\n1,{cell}\n"}, columns=columns, time_unit=unit)
    assert outcome.reasons == {reason: 1}
    assert outcome.quarantine[0]["column"] == "at"


def test_124_files_that_no_record_names_are_counted(collect):
    columns = {"image": "image"}
    files = {f"photos/{name}": name.encode() for name in ("a.png", "b.png", "c.txt", ".d.png")}
    outcome = collect({"rows.csv": "image\nphotos/a.png\n", **files}, columns=columns)
    assert outcome.report.unlisted_files == 1
    assert outcome.report.unlisted_examples == ("photos/b.png",)
    assert any("'photos/b.png'" in line for line in outcome.report.lines())


def test_125_names_that_other_systems_would_not_tell_apart(collect):
    names = ["caf\u00e9.png", "cafe\u0301.png", "A.png", "a.png", "dot..png", "a b.png", "x" * 251]
    names[-1] += ".png"
    files = {f"photos/{name}": f"content {i}".encode() for i, name in enumerate(names)}
    rows = "image\n" + "".join(f"photos/{name}\n" for name in names)
    outcome = collect({"rows.csv": rows, **files}, columns={"image": "image"})
    assert len({row["image"] for row in outcome.only()}) == len(names)


def test_127_a_file_that_changes_while_it_is_read(collect, monkeypatch):
    real, calls = os.fstat, []

    def later(handle):
        told = real(handle)
        calls.append(told)
        if len(calls) % 2:
            return told
        return os.stat_result((*told[:6], told.st_size + 1, *told[7:10]))

    monkeypatch.setattr("tasks.collect.media_files.os.fstat", later)
    files = {"a.png": b"content", "rows.csv": "image\na.png\n"}
    outcome = collect(files, columns={"image": "image"})
    assert outcome.reasons == {"changed_during_read": 1}
