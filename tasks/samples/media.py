"""Media files, stored once by content digest when collected, and read at random by digest.

The bytes lie in packs, Arrow files of which only what is asked for is read. They are not mapped
into memory, where all that was read would stay counted as used.
A table beside them says which pack and row holds a digest. Later stages pass digests, not bytes.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol

import pyarrow as pa

from tasks.errors import DataError
from tasks.samples.folders import StageFolders
from tasks.samples.tables import read_table, write_table

PACK_BYTES = 64 * 2**20
INDEX = "index.parquet"
INDEX_SCHEMA = pa.schema(
    [
        ("digest", pa.string()),
        ("pack", pa.int32()),
        ("row", pa.int32()),
        ("bytes", pa.int64()),
        ("suffix", pa.string()),
    ]
)
_PACK_SCHEMA = pa.schema([("content", pa.large_binary())])


class Media(Protocol):
    """Anything that gives the bytes of a medium."""

    def read(self, digest: str) -> bytes:
        """Return the bytes of a medium."""
        ...


def digest_of(content: bytes) -> str:
    """Return the name of a medium: the SHA-256 of its bytes as hexadecimal text."""
    return hashlib.sha256(content).hexdigest()


class MediaWriter:
    """Stores media into a folder, each distinct one once, in the order of first appearance.

    The order makes the packs of older data the same bytes when newer data is added.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._index: dict[str, tuple[int, int, int, str]] = {}
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._n_packs = 0
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> "MediaWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _value: object, _trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()

    def add(self, content: bytes, suffix: str) -> str:
        """Store a medium, unless it is there already, and return its digest."""
        digest = digest_of(content)
        if digest not in self._index:
            self._index[digest] = (self._n_packs, len(self._waiting), len(content), suffix)
            self._waiting.append(content)
            self._waiting_bytes += len(content)
            if self._waiting_bytes >= PACK_BYTES:
                self._write_pack()
        return digest

    def close(self) -> None:
        """Write what is waiting, and the index."""
        if self._waiting:
            self._write_pack()
        rows = [(d, *where) for d, where in self._index.items()]
        columns = list(zip(*rows, strict=True)) or [()] * len(INDEX_SCHEMA)
        arrays = [pa.array(c, f.type) for c, f in zip(columns, INDEX_SCHEMA, strict=True)]
        write_table(pa.table(arrays, schema=INDEX_SCHEMA), self._folder / INDEX)

    def _write_pack(self) -> None:
        with (
            pa.OSFile(str(self._folder / _pack_name(self._n_packs)), "wb") as file,
            pa.ipc.new_file(file, _PACK_SCHEMA) as writer,
        ):
            for content in self._waiting:
                writer.write_batch(
                    pa.record_batch([pa.array([content], pa.large_binary())], _PACK_SCHEMA)
                )
        self._n_packs += 1
        self._waiting, self._waiting_bytes = [], 0


def sample_media(folders: StageFolders) -> "MediaStores":
    """Return everything that samples name by digest: collected media, and windows of sensors."""
    return MediaStores(
        MediaStore(folders.of("collect") / "media"), MediaStore(folders.of("align") / "windows")
    )


class MediaStores:
    """Several stores, read as one."""

    def __init__(self, *stores: "MediaStore") -> None:
        self._stores = stores

    def __contains__(self, digest: object) -> bool:
        return any(digest in store for store in self._stores)

    def __iter__(self) -> Iterator[str]:
        return (digest for store in self._stores for digest in store)

    def __len__(self) -> int:
        return sum(map(len, self._stores))

    def suffix(self, digest: str) -> str:
        """Return the ending of the file a medium came from, with its dot and in lower case."""
        return self._holding(digest).suffix(digest)

    def read(self, digest: str) -> bytes:
        """Return the bytes of a medium.

        Raises:
            DataError: No store holds it, or its bytes have changed.
        """
        return self._holding(digest).read(digest)

    def _holding(self, digest: str) -> "MediaStore":
        return next((store for store in self._stores if digest in store), self._stores[0])


class MediaStore:
    """Reads stored media by digest, verifying each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = read_table(folder / INDEX)
        self._place = {digest: place for place, digest in enumerate(index["digest"].to_pylist())}
        self._pack, self._row = index["pack"].to_numpy(), index["row"].to_numpy()
        self._suffixes = index["suffix"].combine_chunks().dictionary_encode()
        self._packs: dict[int, pa.ipc.RecordBatchFileReader] = {}

    def __contains__(self, digest: object) -> bool:
        return digest in self._place

    def __iter__(self) -> Iterator[str]:
        return iter(self._place)

    def __len__(self) -> int:
        return len(self._place)

    def suffix(self, digest: str) -> str:
        """Return the ending of the file a medium came from, with its dot and in lower case."""
        suffix: str = self._suffixes[self._place[digest]].as_py()
        return suffix

    def read(self, digest: str) -> bytes:
        """Return the bytes of a medium.

        Raises:
            DataError: It is not in the store, or its bytes have changed since it was collected.
        """
        if digest not in self._place:
            raise DataError(
                f"{self.folder}: holds no medium {digest[:12]}…; run `dvc repro collect`"
            )
        place = self._place[digest]
        pack, row = int(self._pack[place]), int(self._row[place])
        content: bytes = self._reader(pack).get_batch(row).column(0)[0].as_py()
        if digest_of(content) != digest:
            raise DataError(
                f"{self.folder / _pack_name(pack)}: medium {digest[:12]}… is not the bytes that "
                "were collected (hash_mismatch); run `dvc repro --force collect`"
            )
        return content

    def _reader(self, pack: int) -> pa.ipc.RecordBatchFileReader:
        if pack not in self._packs:
            path = self.folder / _pack_name(pack)
            try:
                self._packs[pack] = pa.ipc.open_file(pa.OSFile(str(path)))
            except (OSError, pa.ArrowInvalid) as fault:
                raise DataError(f"{path}: unreadable ({fault}); run `dvc repro collect`") from None
        return self._packs[pack]


class MediaInMemory:
    """Media that are not stored: what a served model is handed."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self._contents = contents

    def read(self, digest: str) -> bytes:
        """Return the bytes of a medium."""
        return self._contents[digest]


def _pack_name(pack: int) -> str:
    return f"pack-{pack:05d}.arrow"
