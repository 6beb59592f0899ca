"""Kept arrays: mapped where they are whole, made again where they are not."""

from pathlib import Path

import numpy as np
import pytest

from tasks.models.kept_arrays import keep_array, kept_array


def kept(folder: Path) -> np.ndarray:
    chunks = [np.arange(6, dtype=np.float32).reshape(3, 2), np.ones((1, 2), dtype=np.float32)]
    return keep_array(chunks, 4, folder, "key")


def test_chunks_come_back_as_one_array(tmp_path: Path) -> None:
    kept(tmp_path)
    again = kept_array(tmp_path, "key")
    assert again is not None
    np.testing.assert_array_equal(again, [[0, 1], [2, 3], [4, 5], [1, 1]])


@pytest.mark.parametrize("damage", [lambda b: b[:50], lambda b: b"", lambda b: b[:-1] + b"\x01"])
def test_a_damaged_array_is_not_believed(tmp_path: Path, damage) -> None:
    kept(tmp_path)
    path = tmp_path / "key.npy"
    path.write_bytes(damage(path.read_bytes()))
    assert kept_array(tmp_path, "key") is None


def test_an_array_whose_seal_was_never_written_is_not_believed(tmp_path: Path) -> None:
    kept(tmp_path)
    (tmp_path / "key.sha256").unlink()
    assert kept_array(tmp_path, "key") is None
    assert kept_array(tmp_path, "other") is None
