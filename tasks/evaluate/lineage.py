"""What the stages before said of the data, put into tables that a person can read.

Each stage owns the fields of its report, so nothing here depends on one: scalars become pairs,
lists of records become tables, whatever they are called.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.errors import DataError
from tasks.samples.folders import StageFolders
from tasks.samples.page import Table
from tasks.samples.wording import short

STAGES = {
    "collect": "Every source was read into records, each distinct media file once.",
    "clean": "Records that are unreadable, incomplete or there twice were set aside.",
    "align": "The sources were joined, by key and by time, into one row per sample.",
    "split": "Each sample was put into train, validation or test; no group is torn apart.",
    "augment": "Changed copies go to train only; validation and test stay as they were.",
    "pretrain": "Small encoders were made from the training inputs alone, without labels.",
}
MOST_ROWS = 25
MOST_FIELDS = 60
MOST_WORDS = 12
MOST_COLUMNS = 9
MOST_PAIRS_IN_CELL = 8
MOST_TURNED = 4
EXAMPLE_HEADER = ("source", "where", "reason", "detail")
_NOTHING = ("", "–", "0", "no")
CELL_CHARACTERS = 90


@dataclass(frozen=True)
class StageStory:
    """What one stage did to the data.

    Attributes:
        name: Of the stage.
        promise: What it is for.
        counts: Its whole numbers, the first things to look at.
        sentences: What became of each source, pair or split, in words.
        notices: What it warns of.
        examples: Records it set aside; None where it shows none.
        blocks: All else it said.
        page: The stage's own page beside this one; "" where it wrote none.
    """

    name: str
    promise: str
    counts: tuple[tuple[str, str], ...]
    sentences: tuple[str, ...]
    notices: tuple[str, ...]
    examples: Table | None
    blocks: tuple[Table, ...]
    page: str = ""


def read_reports(folders: StageFolders) -> dict[str, dict[str, Any]]:
    """Read what earlier stages said; a stage that left no report is not there.

    Raises:
        DataError: A report is damaged.
    """
    reports = {}
    for stage in (*STAGES, "finetune"):
        path = folders.reports / f"{stage}.json"
        if not path.is_file():
            continue
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as fault:
            raise DataError(
                f"{path}: expected the report of stage {stage}, found no JSON ({fault}); "
                f"run `dvc repro --force {stage}`"
            ) from None
        if isinstance(said, dict):
            reports[stage] = said
    return reports


def story_of(stage: str, said: Mapping[str, Any]) -> StageStory:
    """Return what one stage said, as words and tables."""
    counts = {k: v for k, v in said.items() if type(v) is int}
    notices = [n for n in said.get("notices") or () if isinstance(n, str)]
    shown = set_aside_examples(said)
    rest = {k: v for k, v in said.items() if k not in counts and k != "notices"}
    if shown and isinstance(rest.get("sources"), list):
        rest["sources"] = [
            {k: v for k, v in source.items() if k != "examples"}
            for source in rest["sources"]
            if isinstance(source, Mapping)
        ]
    return StageStory(
        name=stage,
        promise=STAGES.get(stage, ""),
        counts=tuple(_count(k, v) for k, v in counts.items()),
        sentences=tuple(short(s, 300) for s in sentences(said)),
        notices=tuple(short(n, 300) for n in notices),
        examples=_block("", EXAMPLE_HEADER, shown) if shown else None,
        blocks=tuple(blocks_of(rest)),
    )


def _count(key: str, value: int) -> tuple[str, str]:
    """Return a number and what it counts; bytes are written so that a person can take them in."""
    if key.endswith("_bytes"):
        return readable(key.removesuffix("_bytes")), f"{value / 2**20:,.1f} MiB"
    return readable(key.removeprefix("n_")), f"{value:,}"


def set_aside_examples(said: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the records that a stage shows of those it set aside, of all sources."""
    return [
        (
            cell(source.get("name")),
            _place(example),
            cell(example.get("reason")),
            short(str(example.get("detail") or ""), 200),
        )
        for source in _records(said.get("sources"))
        for example in _records(source.get("examples"))
    ]


def _place(example: Mapping[str, Any]) -> str:
    """Say where a record stands: its file, its row and the column at fault."""
    parts = [short(str(example.get("file") or ""), 60)]
    parts += [f"row {example['row']}"] if example.get("row") else []
    parts += [short(str(example["column"]))] if example.get("column") else []
    return ", ".join(parts)


def sentences(said: Mapping[str, Any]) -> Iterator[str]:
    """Say in words what became of each source, pair and split, as far as a report tells."""
    for source in _records(said.get("sources")):
        if {"name", "collected", "quarantined"} <= source.keys():
            yield _source_sentence(source)
    for pair in _records(said.get("pairs")):
        if {"left", "right", "on", "matched_left"} <= pair.keys():
            yield _pair_sentence(pair)
    for split in _records(said.get("splits")):
        if {"name", "n_samples", "n_groups"} <= split.keys():
            yield (
                f"{split['name']}: {cell(split['n_samples'])} samples "
                f"in {cell(split['n_groups'])} groups"
            )


def _source_sentence(source: Mapping[str, Any]) -> str:
    left = source.get("readable", source.get("kept"))
    words = f"{source['name']}: {cell(left)} of {cell(source['collected'])} records"
    aside = source["quarantined"]
    return f"{words}; set aside: {cell(aside)}" if aside else f"{words}, none set aside"


def _pair_sentence(pair: Mapping[str, Any]) -> str:
    words = f"{pair['left']} with {pair['right']} by {pair['on']}: {cell(pair['matched_left'])}"
    if "n_left" in pair:
        words += f" of {cell(pair['n_left'])}"
    words += " matched"
    time = pair.get("time") or {}
    if time.get("absolute_difference_p95_seconds") is not None:
        words += f", 95 % within {cell(time['absolute_difference_p95_seconds'])} s"
    if time.get("clock_offset_seconds") is not None:
        applied = "corrected" if time.get("clock_offset_applied", True) else "not corrected"
        offset = f"{time['clock_offset_seconds']:+.3f} s"
        words += f"; the clock of {pair['right']} is {offset} off, {applied}"
    return words


def _records(value: Any) -> list[Mapping[str, Any]]:
    """Return the mappings of a list, and nothing of anything else."""
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, list) else []


def readable(key: str) -> str:
    """Write a field's name as words.

    >>> readable("n_rows_reused"), readable("quarantine_reasons")
    ('n rows reused', 'quarantine reasons')
    """
    return short(str(key).replace("_", " "))


def blocks_of(said: Mapping[str, Any], title: str = "") -> list[Table]:
    """Return a mapping of anything as tables: its scalars first, then what is nested in it."""
    scalars = [(readable(k), cell(v)) for k, v in said.items() if _is_plain(v) and cell(v) != "–"]
    blocks = [_block(title, (), scalars)] if scalars else []
    for key, value in said.items():
        if not _is_plain(value):
            blocks += _nested(f"{title} · {readable(key)}" if title else readable(key), value)
    return blocks


def _nested(title: str, value: Any) -> list[Table]:
    if isinstance(value, Mapping):
        if _is_histogram(value):
            return []
        if value and all(isinstance(v, Mapping) for v in value.values()):
            return _table(title, [{"": k, **v} for k, v in value.items()])
        return blocks_of(value, title)
    records = [v for v in value if isinstance(v, Mapping)]
    if len(records) == len(value):
        return _table(title, records)
    return [_block(title, (), [("", cell(v)) for v in value])]


def _table(title: str, records: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Return records as one table, without columns that say nothing, and what is nested in each.

    A single record reads better as pairs, and a few of many fields with the table turned.
    """
    names = dict.fromkeys(k for r in records for k in r)
    fitting = [c for c in names if all(_fits_a_cell(r[c]) for r in records if c in r)]
    columns = [c for c in fitting if any(cell(r.get(c)) not in _NOTHING for r in records)]
    if len(records) == 1:
        return blocks_of({k: v for k, v in records[0].items() if k != ""}, title)
    rows = [tuple(cell(r[c]) if c in r else "" for c in columns) for r in records]
    header = tuple(readable(c) for c in columns)
    if len(columns) > MOST_COLUMNS and len(records) <= MOST_TURNED:
        names_of_records = tuple(_name(r) or str(i + 1) for i, r in enumerate(records))
        rows = list(zip(header, *rows, strict=True))
        header = ("", *names_of_records)
    blocks = [_block(title, header, rows, most=MOST_FIELDS)] if columns else []
    for record in records:
        inner = {k: v for k, v in record.items() if k not in fitting}
        blocks += blocks_of(inner, f"{title} · {_name(record)}") if inner else []
    return blocks


def _name(record: Mapping[str, Any]) -> str:
    if "left" in record and "right" in record:
        return short(f"{record['left']} with {record['right']}")
    return short(str(record.get("") or record.get("name") or record.get("source") or ""))


def _block(
    title: str, header: tuple[str, ...], rows: Sequence[tuple[str, ...]], most: int = MOST_ROWS
) -> Table:
    kept = tuple(rows[:most])
    return Table(header, kept, title, len(rows) - len(kept))


def _is_histogram(value: Mapping[str, Any]) -> bool:
    return "edges" in value and "counts" in value


def _is_plain(value: Any) -> bool:
    """Tell whether a value fits into a cell: a scalar, a short list, or nothing at all."""
    if isinstance(value, Mapping | list | tuple) and not value:
        return True
    if isinstance(value, list | tuple):
        return all(not isinstance(v, Mapping | list | tuple) for v in value) and (
            len(value) <= MOST_WORDS or all(isinstance(v, int | float) for v in value)
        )
    return not isinstance(value, Mapping)


def _fits_a_cell(value: Any) -> bool:
    """Tell whether a value fits into a cell of a table: also a few counts by name."""
    if isinstance(value, Mapping):
        return len(value) <= MOST_PAIRS_IN_CELL and all(
            isinstance(v, int | float | str) for v in value.values()
        )
    return _is_plain(value)


def cell(value: Any) -> str:
    """Write any value into a cell.

    >>> cell(True), cell(None), cell(1234), cell(0.123456), cell(["a", "b"]), cell({"a_b": 2})
    ('yes', '–', '1,234', '0.1235', 'a, b', 'a_b 2')
    """
    if value is None or (isinstance(value, Mapping | list | tuple) and not value):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{short(str(k))} {cell(v)}" for k, v in value.items() if v) or "–"
    if isinstance(value, list | tuple):
        shown = ", ".join(cell(v) for v in value[:MOST_WORDS])
        return shown if len(value) <= MOST_WORDS else f"{shown} and {len(value) - MOST_WORDS} more"
    return short(str(value), CELL_CHARACTERS)
