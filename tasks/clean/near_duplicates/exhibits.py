"""What the data-quality page shows of near duplicates: the largest groups, side by side."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from tasks.clean.near_duplicates.report import NearDuplicates
from tasks.clean.near_duplicates.search import MAX_EXAMPLES, MAX_SHOWN, Compared
from tasks.samples.decoding import Undecodable
from tasks.samples.media import Media
from tasks.samples.page import PageExhibit, PageSection, Table
from tasks.samples.pieces import Piece, audio_piece, image_piece
from tasks.samples.wording import percent, short

HEADER = ("columns", "values", "in a group", "groups", "largest", "not compared")


def near_duplicate_section(found: Sequence[Compared], media: Media) -> PageSection:
    """Return the section on near duplicates: a table, and the largest groups of each comparison."""
    described = [NearDuplicates.describe(compared) for compared in found]
    rows = tuple(
        (
            short(", ".join(each.columns), 80),
            f"{each.values:,}",
            f"{each.members:,} ({percent(each.members / max(1, each.values))})",
            f"{each.groups:,}",
            f"{each.largest:,}",
            f"{each.not_compared:,}",
        )
        for each in described
    )
    text = (
        "Values that are nearly the same stay in, and get the name of their group in "
        "data/clean/near_duplicates.parquet, so that split keeps them together. What counts as the "
        "same is set in clean.near_duplicates."
    )
    return PageSection(
        "Near duplicates",
        text,
        tuple(notice for each in described for notice in each.notices()),
        (Table(HEADER, rows),) if rows else (),
        exhibits=tuple(exhibit for each in found for exhibit in _exhibits(each, media)),
    )


def _exhibits(compared: Compared, media: Media) -> Iterator[PageExhibit]:
    groups: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for member in compared.members:
        groups[member.near_group].setdefault(member.value, member.column)
    largest = sorted(groups, key=lambda name: (-len(groups[name]), name))[:MAX_EXAMPLES]
    for name in largest:
        values = groups[name]
        shown = sorted(values)
        if compared.modality == "text":
            shown = [value for value in shown if value in compared.texts]
        pieces = tuple(_piece(compared, value, values[value], media) for value in shown[:MAX_SHOWN])
        if pieces:
            yield PageExhibit(f"{len(values):,} that are nearly the same", pieces, name)


def _piece(compared: Compared, value: str, column: str, media: Media) -> Piece:
    name = short(column)
    if compared.modality == "text":
        return Piece(name, "text", compared.texts[value])
    show = image_piece if compared.modality == "image" else audio_piece
    try:
        return show(name, media.read(value), "")
    except Undecodable as fault:
        return Piece(name, "note", f"cannot be shown: {short(str(fault), 120)}")
