"""What the clean stage found."""

from pydantic import BaseModel, ConfigDict

from tasks.clean.records import MAX_LABELS, Cleaned
from tasks.clean.texts import lookalikes
from tasks.samples.quarantine import reasons
from tasks.samples.report import SetAsideExample, StageReport, examples


class CleanedSource(BaseModel):
    """What became of the records of one source: collected = kept + quarantined."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    collected: int
    kept: int
    quarantined: dict[str, int]
    """By reason."""

    changed: dict[str, int]
    """By column: values brought to one form (NFC; categories and keys without blanks around)."""

    flags: dict[str, int]
    """Records that were kept and have something odd."""

    flagged: dict[str, tuple[str, ...]]
    """The first few of them."""

    lookalike_labels: dict[str, tuple[tuple[str, ...], ...]]
    """By category column: labels that differ in case alone or the like."""

    examples: tuple[SetAsideExample, ...]

    @classmethod
    def describe(cls, name: str, cleaned: Cleaned) -> "CleanedSource":
        """Describe what became of a source."""
        alike = {
            column: lookalikes(labels) if len(labels) <= MAX_LABELS else ()
            for column, labels in cleaned.labels.items()
        }
        return cls(
            name=name,
            collected=cleaned.n_records,
            kept=cleaned.n_kept,
            quarantined=reasons(cleaned.set_aside),
            changed=dict(cleaned.changed),
            flags=dict(cleaned.flags),
            flagged={flag: tuple(names) for flag, names in cleaned.flagged.items()},
            lookalike_labels={column: groups for column, groups in alike.items() if groups},
            examples=examples(cleaned.set_aside),
        )


class CleanReport(StageReport):
    """What became of the records of every source."""

    sources: tuple[CleanedSource, ...]
    media_decoded: int
    """Distinct media that were decoded, each once."""

    def lines(self) -> list[str]:
        """Return a line for each source and one for the media."""
        return [
            *(
                f"{s.name}: {s.kept:,} of {s.collected:,} records kept"
                + "".join(f", {count:,} {reason}" for reason, count in s.quarantined.items())
                + "".join(f"; {count:,} flagged {flag}" for flag, count in s.flags.items())
                for s in self.sources
            ),
            f"{self.media_decoded:,} distinct media decoded",
        ]
