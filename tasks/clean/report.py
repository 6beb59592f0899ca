"""What the clean stage found."""

from pydantic import BaseModel, ConfigDict

from tasks.clean.columns import (
    AnyColumn,
    CategoryColumn,
    NumberColumn,
    TextColumn,
    TimeColumn,
    moment,
)
from tasks.clean.media_summary import MediaSummary, Spread
from tasks.clean.near_duplicates.report import NearDuplicates
from tasks.clean.records import Cleaned
from tasks.clean.rules import Rules, column_findings, counts_after
from tasks.errors import listing
from tasks.params.clean import CleanParams
from tasks.samples.report import SetAsideExample, StageReport, examples
from tasks.samples.wording import short

MAX_TOP = 8
MAX_NOTICES = 4


class ColumnSummary(BaseModel):
    """What a column holds, as collected and in the form it is kept in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: str
    values: int
    missing: int
    distinct: int | None
    """None where there are too many to count, or where that says nothing."""

    spread: Spread | None
    """Of numbers; of the lengths of texts, in characters."""

    first: str
    """Of times; "" for other columns."""

    last: str
    top: dict[str, int]
    """The commonest categories."""

    @classmethod
    def describe(cls, column: AnyColumn, rules: Rules) -> "ColumnSummary":
        """Describe a column."""
        distinct, top, spread, first, last = None, {}, None, "", ""
        if isinstance(column, NumberColumn):
            sample = column.sample.values()
            spread = Spread.of(sample)
            if spread is not None:
                spread = spread.model_copy(
                    update={"lowest": column.lowest, "highest": column.highest}
                )
        elif isinstance(column, TextColumn):
            distinct, spread = column.n_distinct, Spread.of(column.lengths.values())
        elif isinstance(column, CategoryColumn):
            counts = counts_after(column.counts, rules.merged.get(column.name, {}))
            distinct = len(counts) if column.n_distinct is not None else None
            if column.kind != "key":
                commonest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
                top = dict(commonest[:MAX_TOP])
        elif isinstance(column, TimeColumn) and column.first is not None:
            assert column.last is not None
            first, last = moment(column.first), moment(column.last)
        return cls(
            name=column.name,
            kind=column.kind,
            values=column.n_valid,
            missing=column.n_null,
            distinct=distinct,
            spread=spread,
            first=first,
            last=last,
            top=top,
        )


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

    fixed: dict[str, int]
    """By check, or ``merged`` for categories that were written in several ways: values mended."""

    flags: dict[str, int]
    """Records that were kept and have something odd."""

    flagged: dict[str, tuple[str, ...]]
    """The first few of them."""

    merged_categories: dict[str, dict[str, str]]
    """By column: spellings that went, and what stands there now."""

    typos: dict[str, dict[str, str]]
    """By column: categories that are probably typing errors, and what is probably meant."""

    columns: tuple[ColumnSummary, ...]
    odd_columns: dict[str, dict[str, str]]
    """By check, then by column: what is odd about a column as a whole."""

    examples: tuple[SetAsideExample, ...]

    @classmethod
    def describe(cls, cleaned: Cleaned, limits: CleanParams) -> "CleanedSource":
        """Describe what became of a source."""
        name = cleaned.name
        found: dict[str, dict[str, str]] = {}
        for each in column_findings(cleaned.columns, cleaned.rules, limits):
            found.setdefault(each.check, {})[each.column] = each.detail
        return cls(
            name=name,
            collected=cleaned.n_records,
            kept=cleaned.n_kept,
            quarantined=dict(cleaned.reasons.most_common()),
            changed={column: n for column, n in cleaned.changed.items() if n},
            fixed=dict(cleaned.fixed),
            flags=dict(cleaned.flags.most_common()),
            flagged={flag: tuple(names) for flag, names in cleaned.flagged.items()},
            merged_categories=dict(cleaned.rules.merged),
            typos={
                column: {written: typo.meant for written, typo in typos.items()}
                for column, typos in cleaned.rules.typos.items()
            },
            columns=tuple(
                ColumnSummary.describe(column, cleaned.rules) for column in cleaned.columns.values()
            ),
            odd_columns=found,
            examples=examples(cleaned.first_aside),
        )

    @property
    def notices(self) -> tuple[str, ...]:
        """What is odd about columns, in a line each, or in one for many with the same.

        Columns with long tails are left to the page: nothing is wrong with them.
        """
        told = []
        for check, columns in self.odd_columns.items():
            if check == "outlier":
                continue
            if len(columns) > MAX_NOTICES:
                named = listing((short(column) for column in columns), most=MAX_NOTICES)
                told.append(f"source '{self.name}' ({check}): {len(columns)} columns: {named}")
            else:
                told += [f"'{self.name}.{c}' ({check}): {why}" for c, why in columns.items()]
        return tuple(told)


class CleanReport(StageReport):
    """What became of the records of every source."""

    sources: tuple[CleanedSource, ...]
    near_duplicates: tuple[NearDuplicates, ...]
    media: tuple[MediaSummary, ...]
    media_decoded: int
    """Distinct media that were decoded, each once."""

    @property
    def notices(self) -> tuple[str, ...]:
        """What a person should read before training."""
        told = [notice for source in self.sources for notice in source.notices]
        return (*told, *(notice for found in self.near_duplicates for notice in found.notices()))

    def lines(self) -> list[str]:
        """Return a line for each source, one for the media, and the notices."""
        return [
            *(
                f"{s.name}: {s.kept:,} of {s.collected:,} records kept"
                + "".join(f", {count:,} {reason}" for reason, count in s.quarantined.items())
                + "".join(f"; {count:,} flagged {flag}" for flag, count in s.flags.items())
                + "".join(f"; {count:,} values fixed ({what})" for what, count in s.fixed.items())
                for s in self.sources
            ),
            f"{self.media_decoded:,} distinct media decoded",
            *(found.line() for found in self.near_duplicates),
            *self.notices,
        ]
