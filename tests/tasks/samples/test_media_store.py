"""Media are stored once, read back as they were, and no changed byte goes unseen."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from tasks.errors import DataError
from tasks.samples import media
from tasks.samples.media import MediaInMemory, MediaStore, MediaWriter, digest_of


@given(contents=st.lists(st.binary(max_size=200), max_size=20))
def test_what_is_stored_is_read_back(tmp_path_factory, contents):
    folder = tmp_path_factory.mktemp("media")
    with MediaWriter(folder) as writer:
        digests = [writer.add(content, ".bin") for content in contents]
    store = MediaStore(folder)
    assert [store.read(digest) for digest in digests] == contents
    assert list(store) == list(dict.fromkeys(digests))
    assert len(store) == len(set(contents))


def test_packs_fill_up_and_older_ones_stay_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(media, "PACK_BYTES", 1000)
    contents = [bytes([i]) * 300 for i in range(12)]
    for name, n in (("older", 8), ("newer", 12)):
        with MediaWriter(tmp_path / name) as writer:
            for content in contents[:n]:
                writer.add(content, ".bin")
    older = sorted(p.name for p in (tmp_path / "older").glob("pack-*"))
    assert older == ["pack-00000.arrow", "pack-00001.arrow"]
    assert len(list((tmp_path / "newer").glob("pack-*"))) == 3
    for name in older:
        assert (tmp_path / "older" / name).read_bytes() == (tmp_path / "newer" / name).read_bytes()
    store = MediaStore(tmp_path / "newer")
    assert [store.read(digest_of(content)) for content in contents] == contents


def test_a_changed_byte_is_found(tmp_path):
    with MediaWriter(tmp_path) as writer:
        good, bad = writer.add(b"good" * 100, ".png"), writer.add(b"evil" * 100, ".png")
    pack = tmp_path / "pack-00000.arrow"
    content = pack.read_bytes()
    pack.write_bytes(content.replace(b"evilevil", b"evilEvil", 1))
    store = MediaStore(tmp_path)
    assert store.read(good) == b"good" * 100
    with pytest.raises(DataError, match="hash_mismatch"):
        store.read(bad)
    pack.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="unreadable"):
        MediaStore(tmp_path).read(good)


def test_a_medium_that_is_not_there(tmp_path):
    with MediaWriter(tmp_path) as writer:
        there = writer.add(b"a", ".PNG".lower())
    store = MediaStore(tmp_path)
    assert there in store
    assert "0" * 64 not in store
    assert store.suffix(there) == ".png"
    with pytest.raises(DataError, match="holds no medium 000000000000"):
        store.read("0" * 64)
    assert MediaInMemory({"x": b"a"}).read("x") == b"a"
