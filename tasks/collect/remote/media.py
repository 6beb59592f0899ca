"""Media that records name by address; each that cannot be had sets its record aside, no more."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from tasks.collect.cells import BadCell
from tasks.collect.media_files import (
    MAX_MEDIUM_BYTES,
    CellMedia,
    MediaFiles,
    read_regular_file,
    resolve_inside,
)
from tasks.collect.remote.address import Unfetchable, redacted
from tasks.collect.remote.cache import Fetched, RemoteCache
from tasks.collect.remote.sources import FetchedTable, Placed
from tasks.collect.rows import Medium, excerpt
from tasks.params.collect import TableSource, is_remote
from tasks.samples.progress import progress

AT_ONCE = 8


def media_of(
    placed: Placed, media: MediaFiles, cache: RemoteCache, table: FetchedTable
) -> CellMedia:
    """Return what stores the media of a source: files of this disk, or of an address."""
    source = placed.source
    if isinstance(source, TableSource) and source.media_base is not None:
        return RemoteMedia(media, cache, source.media_base, source.name, table)
    return MediaUnder(media, placed.root) if placed.holds_media else media


class MediaUnder:
    """Files under a folder of the cache."""

    def __init__(self, media: MediaFiles, root: Path) -> None:
        self._media, self._root = media, root.resolve()

    def prepare(self, cells: Sequence[str]) -> None:
        """Do nothing, since the files are here."""

    def collect(self, written: str) -> str:
        """Store the file at a path, and return its digest."""
        path = resolve_inside(self._root, written)
        return self.store(Medium(written, read_regular_file(path, written), path.suffix.lower()))

    def store(self, medium: Medium) -> str:
        """Store a medium that its source held."""
        return self._media.store(medium)


class RemoteMedia:
    """Files below an address, fetched some at a time."""

    def __init__(
        self, media: MediaFiles, cache: RemoteCache, base: str, source: str, table: FetchedTable
    ) -> None:
        self._media, self._cache = media, cache
        self._base = base if base.endswith("/") else f"{base}/"
        self._source, self._table = source, table
        self._known: dict[str, str | tuple[str, str]] = {}
        self._here: dict[str, tuple[Path, Fetched] | Unfetchable] = {}

    def prepare(self, cells: Sequence[str]) -> None:
        """Fetch what the cells name, several files at once."""
        wanted: dict[str, None] = {}
        for cell in cells:
            try:
                url = self._address(cell)
            except BadCell:
                continue  # collect says so of each record
            if url not in self._known and url not in self._here:
                wanted[url] = None
        if not wanted:
            return
        with (
            progress(f"fetching media of {self._source}", len(wanted)) as advance,
            ThreadPoolExecutor(AT_ONCE) as pool,
        ):
            try:
                for url, outcome in zip(wanted, pool.map(self._outcome, wanted), strict=True):
                    self._here[url] = outcome
                    advance()
            except BaseException:
                self._cache.stop()
                pool.shutdown(cancel_futures=True)
                raise

    def collect(self, written: str) -> str:
        """Store the file that a cell names, and return its digest.

        Raises:
            BadCell: It cannot be had; the reason says why.
        """
        url = self._address(written)
        known = self._known.get(url)
        if known is None:
            known = self._known[url] = self._stored(url)
        if isinstance(known, tuple):
            raise BadCell(*known)
        return known

    def store(self, medium: Medium) -> str:
        """Store a medium that its source held."""
        return self._media.store(medium)

    def _stored(self, url: str) -> str | tuple[str, str]:
        outcome = self._here.pop(url, None) or self._outcome(url)
        if isinstance(outcome, Unfetchable):
            return outcome.reason, outcome.detail
        path, fetched = outcome
        try:
            content = read_regular_file(path, redacted(url))
            digest = self._media.store(Medium(url, content, path.suffix.lower()))
        except BadCell as bad:
            return bad.reason, bad.detail
        self._table.add(self._source, fetched)
        return digest

    def _outcome(self, url: str) -> tuple[Path, Fetched] | Unfetchable:
        try:
            return self._cache.fetch(url, MAX_MEDIUM_BYTES)
        except Unfetchable as fault:
            return fault

    def _address(self, written: str) -> str:
        """Return the address that a cell means: below the base, or whole and beginning with it."""
        if ".." in PurePosixPath(written).parts or "\\" in written:
            raise BadCell("path_outside_root", f"{excerpt(redacted(written))} leads elsewhere")
        if is_remote(written):
            if written.startswith(self._base):
                return written
            raise BadCell(
                "address_not_allowed",
                f"{excerpt(redacted(written))} does not begin with the source's media_base, "
                f"{self._base}",
            )
        if self._base.endswith("://"):
            raise BadCell(
                "bad_address", f"expected an address {self._base}…, found {excerpt(written)}"
            )
        if written.startswith("/"):
            raise BadCell("path_outside_root", f"{excerpt(written)} leads out of media_base")
        web = self._base.startswith(("http://", "https://"))
        return f"{self._base}{quote(written) if web else written}"
