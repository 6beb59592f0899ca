"""What the collect stage found."""

from pydantic import BaseModel, ConfigDict

from tasks.collect.records import Collected
from tasks.collect.remote.address import redacted
from tasks.collect.rows import Notes
from tasks.errors import listing
from tasks.params.collect import AnySource, HuggingfaceSource, is_remote
from tasks.samples.report import SetAsideExample, StageReport, examples


class CollectedSource(BaseModel):
    """What became of the rows of one source: collected = readable + quarantined."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: str
    path: str
    collected: int
    readable: int
    quarantined: dict[str, int]
    """By reason."""

    nulls: dict[str, int]
    """By column: readable records that have no value in it."""

    blank_lines: int
    ignored_files: int
    unused_columns: tuple[str, ...]
    notes: dict[str, int]
    """What else was seen, counted."""

    implausible_times: dict[str, int]
    """By column: times that are decades from most others, as a clock that was never set writes."""

    examples: tuple[SetAsideExample, ...]

    @classmethod
    def describe(cls, source: AnySource, collected: Collected, notes: Notes) -> "CollectedSource":
        """Describe what became of a source."""
        return cls(
            name=source.name,
            kind=source.kind,
            path=_place_of(source),
            collected=collected.n_rows,
            readable=collected.n_readable,
            quarantined=dict(collected.set_aside.reasons.most_common()),
            nulls=dict(collected.nulls),
            blank_lines=notes.blank_lines,
            ignored_files=notes.ignored_files,
            unused_columns=notes.unused_columns[:50],
            notes=dict(sorted(notes.counts.items())),
            implausible_times=collected.years.implausible(),
            examples=examples(collected.set_aside.first),
        )


class CollectReport(StageReport):
    """What became of every source."""

    sources: tuple[CollectedSource, ...]
    media_files: int
    """Distinct media, by their content."""

    media_bytes: int
    unlisted_files: int
    """Files beside those that records name, and like them, that no record names."""

    unlisted_examples: tuple[str, ...]
    fetched_files: int = 0
    """Files that came from an address; ``data/collect/remote.parquet`` lists them."""

    fetched_bytes: int = 0

    def lines(self) -> list[str]:
        """Return a line for each source and one for the media."""
        return [
            *(
                f"{s.name}: {s.collected:,} records, {s.readable:,} readable"
                + "".join(f", {count:,} {reason}" for reason, count in s.quarantined.items())
                for s in self.sources
            ),
            *(
                f"{s.name}: {count:,} {what}"
                for s in self.sources
                for what, count in s.notes.items()
            ),
            *(
                f"{s.name}: {count:,} times of '{column}' are decades from the others "
                "(implausible_time)"
                for s in self.sources
                for column, count in s.implausible_times.items()
            ),
            f"{self.media_files:,} distinct media files, {self.media_bytes / 2**20:,.1f} MiB",
            *(
                [
                    f"{self.unlisted_files:,} files lie beside these and no record names them, "
                    f"such as {listing(self.unlisted_examples)}"
                ]
                if self.unlisted_files
                else []
            ),
            *(
                [
                    f"{self.fetched_files:,} files from addresses, "
                    f"{self.fetched_bytes / 2**20:,.1f} MiB; data/collect/remote.parquet has the "
                    "SHA-256 of each"
                ]
                if self.fetched_files
                else []
            ),
        ]


def _place_of(source: AnySource) -> str:
    """Return where a source is, without what may be secret."""
    if isinstance(source, HuggingfaceSource) and source.dataset is not None:
        return f"{source.dataset}@{source.revision}"
    return redacted(source.path) if is_remote(source.path) else source.path
