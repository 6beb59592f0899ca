"""Tables on disk: whole or not there, and no flipped bit is read in silence."""

import numpy as np
import pyarrow as pa
import pytest

from tasks.errors import DataError
from tasks.samples.tables import iter_batches, open_table, read_table, write_batches, write_table

TABLE = pa.table({"name": [f"record {i}" for i in range(5000)], "value": list(range(5000))})


def test_a_table_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "sub" / "t.parquet"
    write_table(TABLE, path)
    assert read_table(path).equals(TABLE)
    assert read_table(path, columns=["value"]).column_names == ["value"]
    batches = list(iter_batches(path, rows=1000))
    assert [batch.num_rows for batch in batches] == [1000] * 5
    assert pa.Table.from_batches(batches).equals(TABLE)
    assert [p.name for p in path.parent.iterdir()] == ["t.parquet"]


def test_same_rows_same_bytes(tmp_path):
    write_table(TABLE, tmp_path / "a.parquet")
    write_table(TABLE, tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_no_flipped_bit_goes_unseen(tmp_path):
    path = tmp_path / "t.parquet"
    write_table(TABLE, path)
    content = path.read_bytes()
    n_seen = 0
    for at in np.random.default_rng(0).integers(4, len(content), 60):
        broken = bytearray(content)
        broken[at] ^= 1 << int(at % 8)
        path.write_bytes(bytes(broken))
        try:
            same = read_table(path).equals(TABLE)
        except DataError as fault:
            assert "t.parquet" in str(fault)  # noqa: PT017
            n_seen += 1
        else:
            assert same  # a bit of the padding or of a statistic
    assert n_seen > 50


def test_a_table_that_is_missing_or_no_table(tmp_path):
    with pytest.raises(DataError, match="no such table"):
        open_table(tmp_path / "t.parquet")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        read_table(tmp_path / "t.parquet")


def test_what_fails_half_way_leaves_what_was_there(tmp_path):
    path = tmp_path / "t.parquet"
    write_table(TABLE, path)

    def batches():
        yield from TABLE.to_batches(1000)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        write_batches(batches(), TABLE.schema, path)
    assert read_table(path).equals(TABLE)
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]
