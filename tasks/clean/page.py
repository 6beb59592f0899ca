"""The data-quality page: what was set aside, what is odd, what the columns hold, with examples."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tasks.clean.columns import AnyColumn, NumberColumn
from tasks.clean.findings import Example
from tasks.clean.media_summary import MediaSummary, Spread
from tasks.clean.records import Cleaned
from tasks.clean.report import CleanedSource, CleanReport, ColumnSummary
from tasks.params.clean import CHECKS
from tasks.params.collect import AnySource
from tasks.samples.charts import MODEL, Chart, as_svg, drawing, new_figure
from tasks.samples.decoding import Undecodable
from tasks.samples.media import Media
from tasks.samples.page import PageExhibit, PageSection, Table, stage_page
from tasks.samples.pieces import Piece, audio_piece, image_piece
from tasks.samples.wording import number, short, squeezed

MAX_COLUMNS = 60
MAX_HISTOGRAMS = 12
MAX_EXHIBITS = 40
MAX_BYTES = 1_500_000
N_BINS = 30
_SHOWABLE = frozenset({*CHECKS, "too_small", "extreme_aspect", "too_short", "text_too_short"})
"""Reasons and flags of media that can be shown; the others could not be read."""


def clean_page(
    report: CleanReport,
    sources: Sequence[AnySource],
    cleaned: Sequence[Cleaned],
    media: Media,
    more: Sequence[PageSection] = (),
) -> str:
    """Return the page.

    Args:
        report: What the stage found.
        sources: The sources as they are declared, in the order of the report.
        cleaned: What became of the records of each.
        media: Holds what the examples show.
        more: Further sections, which go before the examples.
    """
    sections = [_overview(report)]
    for described, each in zip(report.sources, cleaned, strict=True):
        sections.append(_source_section(described, each))
    if report.media:
        sections.append(_media_section(report.media))
    sections += more
    sections += _example_sections(sources, cleaned, media)
    return stage_page("Data quality: the clean stage", _lead(report), sections)


def _lead(report: CleanReport) -> str:
    kept, collected = (sum(getattr(s, n) for s in report.sources) for n in ("kept", "collected"))
    flagged = sum(sum(s.flags.values()) for s in report.sources)
    fixed = sum(sum(s.fixed.values()) for s in report.sources)
    return (
        f"{kept:,} of {collected:,} records are kept and {collected - kept:,} set aside; "
        f"{flagged:,} flags say what is odd about records that are kept, and {fixed:,} values were "
        "mended."
    )


def _overview(report: CleanReport) -> PageSection:
    rows = [
        (short(source.name), what, short(why), f"{n:,}")
        for source in report.sources
        for what, counts in (
            ("set aside", source.quarantined),
            ("flagged", source.flags),
            ("mended", source.fixed),
        )
        for why, n in counts.items()
    ]
    text = (
        "Records that are set aside are listed in data/clean/quarantine.parquet, those that are "
        "flagged and kept in data/clean/flags.parquet; each check can be turned off, made to flag, "
        "to drop or, for some, to mend in clean.checks."
        if rows
        else "Nothing was set aside, flagged or mended."
    )
    tables = (
        (Table(("source", "what became of it", "why", "records"), tuple(rows)),) if rows else ()
    )
    return PageSection("What was found", text, tables=tables)


def _source_section(source: CleanedSource, cleaned: Cleaned) -> PageSection:
    shown = source.columns[:MAX_COLUMNS]
    header = ("column", "type", "values", "missing", "distinct", "lowest", "middle", "highest", "")
    tables = [
        Table(
            header,
            tuple(_column_row(column) for column in shown),
            left_out=len(source.columns) - len(shown),
        )
    ]
    for what, samples in cleaned.samples.items():
        rows = tuple((short(c), short(old, 80), short(new, 80)) for c, old, new in samples)
        tables.append(Table(("column", "before", "after"), rows, f"Mended: {short(what)}"))
    if source.typos:
        rows = tuple(
            (short(column), short(written), short(meant))
            for column, typos in source.typos.items()
            for written, meant in typos.items()
        )
        tables.append(
            Table(("column", "written", "probably meant"), rows, "Probable typing errors")
        )
    odd = [
        (short(column), check, short(detail, 200))
        for check, columns in source.odd_columns.items()
        for column, detail in columns.items()
    ]
    if len(odd) > len(source.notices):
        rows, more = tuple(odd[:MAX_COLUMNS]), max(0, len(odd) - MAX_COLUMNS)
        tables.append(Table(("column", "check", "what"), rows, "Odd columns", more))
    charts = histograms(source.name, cleaned.columns)
    return PageSection(
        f"Source {short(source.name)}",
        f"{source.kept:,} of {source.collected:,} records kept. The table shows all that were "
        "collected, in the form they are kept in; of texts it shows lengths in characters.",
        source.notices,
        tuple(tables),
        charts,
    )


def _column_row(column: ColumnSummary) -> tuple[str, ...]:
    spread, top = column.spread, column.top
    first, last = column.first, column.last
    if spread is not None:
        low, middle, high = (number(v) for v in (spread.lowest, spread.median, spread.highest))
    else:
        low, middle, high = first, "", last
    return (
        short(column.name),
        column.kind,
        f"{column.values:,}",
        f"{column.missing:,}",
        "" if column.distinct is None else f"{column.distinct:,}",
        low,
        middle,
        high,
        ", ".join(f"{short(category, 24)} {n:,}" for category, n in top.items()),
    )


def histograms(source: str, columns: Mapping[str, AnyColumn]) -> tuple[Chart, ...]:
    """Draw how the numbers of a source are spread: a small histogram for each of the first few.

    The axis ends where all but one in a hundred values have ended; the note says so.
    """
    numbers = [c for c in columns.values() if isinstance(c, NumberColumn) and c.lowest < c.highest]
    shown = numbers[:MAX_HISTOGRAMS]
    if not shown:
        return ()
    n_across = 3
    n_down = -(-len(shown) // n_across)
    with drawing():
        figure, axes = new_figure(0.4 + 1.1 * n_down, n_down, n_across)
        for axis, column in zip(axes.flat, shown, strict=False):
            values = column.sample.values()
            low, high = np.quantile(values, (0.005, 0.995))
            within = values[(values >= low) & (values <= high)] if low < high else values
            counts, edges = np.histogram(within, N_BINS)
            axis.stairs(counts, edges, fill=True, color=MODEL)
            axis.set_title(squeezed(column.name, 22), fontsize=8)
            axis.set_yticks([])
            axis.tick_params(axis="x", labelsize=7)
            axis.locator_params(axis="x", nbins=3)
        for axis in axes.flat[len(shown) :]:
            axis.set_axis_off()
        svg = as_svg(figure)
    note = "Each axis shows 99 % of the values; the table has the lowest and the highest."
    if len(numbers) > len(shown):
        note += f" The first {len(shown)} of {len(numbers)} columns of numbers."
    return (Chart(f"numbers-{source}", "How the numbers are spread", svg, note),)


def _media_section(media: Sequence[MediaSummary]) -> PageSection:
    tables = tuple(
        Table(("what", "distinct media"), tuple(_media_rows(each)), _KINDS[each.kind])
        for each in media
    )
    text = (
        "Distinct media that can be used. Decoding brings images to upright 8-bit RGB and "
        "recordings to one channel; a recording is resampled to the model's rate when it is read."
    )
    return PageSection("Media", text, tables=tables)


_KINDS = {"image": "Images", "audio": "Recordings"}


def _media_rows(media: MediaSummary) -> Iterator[tuple[str, str]]:
    yield "in all", f"{media.readable:,}"
    yield from ((f"format {short(name)}", f"{n:,}") for name, n in media.formats.items())
    yield from ((f"sampled at {rate} Hz", f"{n:,}") for rate, n in media.rates_hz.items())
    for name, n in media.normalised.items():
        yield f"normalised: {name.replace('_', ' ')}", f"{n:,}"
    for what, spread in (
        ("width, pixels", media.width_pixels),
        ("height, pixels", media.height_pixels),
        ("length, seconds", media.seconds),
    ):
        if spread is not None:
            yield what, _told(spread)


def _told(spread: Spread) -> str:
    low, middle, high = (number(v) for v in (spread.lowest, spread.median, spread.highest))
    return low if low == high else f"{low} to {high}, the middle one {middle}"


def _example_sections(
    sources: Sequence[AnySource], cleaned: Sequence[Cleaned], media: Media
) -> Iterator[PageSection]:
    """Yield a section for each reason and flag about a column, as far as a page holds them."""
    kinds = [
        (source, why, [example for example in found if example.column])
        for source, each in zip(sources, cleaned, strict=True)
        for why, found in each.examples.of.items()
    ]
    kinds = [kind for kind in kinds if kind[2]]
    of_each = max(1, MAX_EXHIBITS // max(1, len(kinds)))
    n_bytes = 0
    for source, why, found in kinds[:MAX_EXHIBITS]:
        exhibits = []
        for example in found[:of_each]:
            piece = _piece(source, example, media)
            n_bytes += len(piece.content)
            if n_bytes > MAX_BYTES:
                piece = Piece(piece.name, "note", "left out: the page is full", path=piece.path)
            exhibits.append(
                PageExhibit(short(example.detail, 200), (piece,), short(example.record_id))
            )
        title = f"{short(source.name)}: {why}"
        yield PageSection(title, exhibits=tuple(exhibits))


def _piece(source: AnySource, example: Example, media: Media) -> Piece:
    """Return what stands in the column that an example is about, or why it is not shown."""
    name, kind = short(example.column), source.columns[example.column]
    path = short(example.path, 60)
    if kind not in ("image", "audio"):
        if example.value:
            return Piece(name, "text", short(example.value, 400))
        return Piece(name, "note", "not shown")
    if example.why not in _SHOWABLE:
        return Piece(name, "note", f"cannot be read: {example.why}", path=path)
    show = image_piece if kind == "image" else audio_piece
    try:
        return show(name, media.read(example.value), path)
    except Undecodable as verdict:
        return Piece(name, "note", f"cannot be shown: {short(str(verdict), 120)}", path=path)
