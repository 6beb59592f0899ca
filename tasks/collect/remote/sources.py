"""Sources whose path is an address: fetched first, then read like any other from this disk."""

import hashlib
import itertools
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.collect.remote.address import Unfetchable, redacted
from tasks.collect.remote.cache import Fetched, RemoteCache
from tasks.errors import SourceError
from tasks.params.collect import AnySource, is_remote
from tasks.samples.progress import progress
from tasks.samples.tables import BATCH_ROWS

FILE = "remote.parquet"
SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("url", pa.string()),
        ("etag", pa.string()),
        ("last_modified", pa.string()),
        ("bytes", pa.int64()),
        ("sha256", pa.string()),
    ]
)
AT_ONCE = 4
MAX_FILES = 100_000

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_FOLDER_KINDS = ("folder", "voc", "huggingface")


class FetchedTable:
    """Writes down what was fetched, as it comes, and holds no more than a batch of it."""

    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._writer = writer
        self._waiting: list[tuple[str, Fetched]] = []
        self.n_files = self.n_bytes = 0

    def add(self, source: str, fetched: Fetched) -> None:
        """Write down a file."""
        self._waiting.append((source, fetched))
        self.n_files += 1
        self.n_bytes += fetched.n_bytes
        if len(self._waiting) >= BATCH_ROWS:
            self.flush()

    def add_all(self, source: str, files: Iterable[Fetched]) -> None:
        """Write down the files that a source lies in."""
        for fetched in files:
            self.add(source, fetched)

    def flush(self) -> None:
        """Write what is waiting."""
        rows = [
            (source, f.url, f.etag, f.last_modified, f.n_bytes, f.sha256)
            for source, f in self._waiting
        ]
        if rows:
            columns = zip(*rows, strict=True)
            arrays = [pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)]
            self._writer.write_table(pa.table(arrays, schema=SCHEMA))
        self._waiting = []


@contextmanager
def fetched_in(folder: Path) -> Iterator[FetchedTable]:
    """Open the table of fetched files of a stage whose folder appears only when it is done."""
    folder.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(
        folder / FILE, SCHEMA, compression="zstd", write_page_checksum=True
    ) as writer:
        table = FetchedTable(writer)
        yield table
        table.flush()


@dataclass(frozen=True)
class Placed:
    """A source as its reader takes it.

    Attributes:
        source: With a path under ``root``.
        root: Where it lies: ``collect.root``, or a folder of the cache.
        holds_media: Whether the files that its records name lie under ``root`` too.
        fetched: What was fetched for it.
    """

    source: AnySource
    root: Path
    holds_media: bool = False
    fetched: tuple[Fetched, ...] = ()


def place_source(source: AnySource, root: Path, cache: RemoteCache) -> Placed:
    """Fetch a source if its path is an address.

    Raises:
        SourceError: It cannot be had.
    """
    if not is_remote(source.path):
        return Placed(source, root)
    try:
        return _placed(source, cache)
    except Unfetchable as fault:
        raise SourceError(f"source '{source.name}': {fault}") from None


def _placed(source: AnySource, cache: RemoteCache) -> Placed:
    addresses, base = addresses_of(source, cache)
    if base is None:
        path, fetched = _fetched(source.name, addresses, cache)[0]
        local = source.model_copy(update={"path": path.name})
        return Placed(local, path.parent, fetched=(fetched,))
    relative = [_relative(address, base) for address in addresses]
    files = _fetched(source.name, addresses, cache)
    folder = cache.folder / "views" / hashlib.sha256(source.path.encode()).hexdigest()
    shutil.rmtree(folder, ignore_errors=True)
    for name, (path, _) in zip(relative, files, strict=True):
        linked = folder / name
        linked.parent.mkdir(parents=True, exist_ok=True)
        _link(path, linked)
    local = source.model_copy(update={"path": "."})
    return Placed(local, folder, holds_media=True, fetched=tuple(f for _, f in files))


def addresses_of(source: AnySource, cache: RemoteCache) -> tuple[list[str], str | None]:
    """Return the files that a path means, and the address they lie below; None for one file.

    Raises:
        SourceError: A web server would have to list its files, or there are none.
        Unfetchable: Object storage does not list them.
    """
    path, web = source.path, source.path.startswith(("http://", "https://"))
    expanded = expand_ranges(path)
    if len(expanded) > 1:
        return expanded, path[: path.index("{")].rpartition("/")[0] + "/"
    last = path.rpartition("/")[2]
    pattern = re.search(r"[*?\[]", path.partition("://")[2]) if not web else None
    folder = last == "" or source.kind in _FOLDER_KINDS
    if not (pattern or folder or (web and "*" in path)):
        return [path], None
    if web:
        raise SourceError(
            f"source '{source.name}': a web server cannot list the files of {redacted(path)}; "
            "name one file, write a range such as part-{000..009}.tar, or use s3:// or gs://"
        )
    found = cache.listed(path)
    if not found:
        raise SourceError(f"source '{source.name}': there is no file at {path}")
    if len(found) > MAX_FILES:
        raise SourceError(
            f"source '{source.name}': {len(found):,} files at {path}, more than {MAX_FILES:,}; "
            "pack them into WebDataset archives"
        )
    if not pattern:
        return found, path.rstrip("/") + "/"
    start = path.index("://") + 3 + pattern.start()
    return found, path[:start].rpartition("/")[0] + "/"


def expand_ranges(path: str) -> list[str]:
    """Write out the ranges and lists in braces.

    >>> expand_ranges("a-{08..10}.tar")
    ['a-08.tar', 'a-09.tar', 'a-10.tar']
    >>> expand_ranges("{train,test}-{0..1}.tar")
    ['train-0.tar', 'train-1.tar', 'test-0.tar', 'test-1.tar']
    """
    pieces = _BRACES.split(path)
    choices = [_choices(piece) if at % 2 else [piece] for at, piece in enumerate(pieces)]
    n_paths = 1
    for some in choices:
        n_paths *= len(some)
    if n_paths > MAX_FILES:
        raise SourceError(f"{path}: stands for {n_paths:,} files, more than {MAX_FILES:,}")
    return ["".join(parts) for parts in itertools.product(*choices)]


def _choices(within: str) -> Sequence[str]:
    found = _RANGE.fullmatch(within)
    if found is None:
        return within.split(",") if "," in within else [f"{{{within}}}"]
    first, last = int(found[1]), int(found[2])
    if last - first >= MAX_FILES:
        raise SourceError(f"{{{within}}} stands for more than {MAX_FILES:,} files")
    return [f"{number:0{len(found[1])}d}" for number in range(first, last + 1)]


def _relative(address: str, base: str) -> str:
    """Return where a file lies below an address; a name that leads out of it is refused."""
    name = redacted(address)[len(base) :].removesuffix("?…")
    parts = PurePosixPath(name).parts
    if not name or name.startswith("/") or ".." in parts or "\0" in name or "\\" in name:
        raise SourceError(
            f"{redacted(address)}: path_outside_root: its name leads out of {redacted(base)}; "
            "rename the file"
        )
    return name


def _fetched(name: str, addresses: Sequence[str], cache: RemoteCache) -> list[tuple[Path, Fetched]]:
    with (
        progress(f"fetching {name}", len(addresses)) as advance,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        files = []
        try:
            for file in pool.map(cache.fetch, addresses):
                files.append(file)
                advance()
        except BaseException:
            cache.stop()
            pool.shutdown(cancel_futures=True)
            raise
        return files


def _link(path: Path, linked: Path) -> None:
    try:
        os.link(path, linked)
    except OSError:
        shutil.copyfile(path, linked)
