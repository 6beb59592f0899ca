"""The page of the split stage: sizes, balance, groups, and what lies on both sides of a border."""

from collections.abc import Iterator

from matplotlib.ticker import PercentFormatter

from tasks.samples.charts import FLOOR, MODEL, OTHER, Chart, as_svg, drawing, new_figure
from tasks.samples.page import PageSection, Table, stage_page
from tasks.samples.wording import number, percent, squeezed
from tasks.split.report import SplitReport

MOST_ROWS = 30
MOST_BARS = 20
COLOURS = (MODEL, FLOOR, OTHER)


def split_page(report: SplitReport) -> str:
    """Return the page as HTML."""
    lead = "; ".join(report.lines()[:2])
    return stage_page("The split stage", lead, list(_sections(report)))


def _sections(report: SplitReport) -> Iterator[PageSection]:
    yield PageSection(
        title="Splits",
        text=_how(report),
        notices=report.notices,
        tables=(_sizes(report), *_left_out(report)),
    )
    yield from _leaks(report)
    yield from _balance(report)
    yield PageSection(
        title="Groups",
        text="What must not be torn apart: samples that share a value of split.group_by, and "
        "those whose inputs are equal or near duplicates.",
        tables=(
            Table(
                ("samples in the group", "groups"),
                tuple((size, f"{n:,}") for size, n in report.group_sizes.items()),
            ),
            *_near(report),
        ),
    )


def _how(report: SplitReport) -> str:
    by = f", grouped by {', '.join(report.group_by)}" if report.group_by else ""
    fold = "" if report.fold is None else f"; fold {report.fold} is test"
    inner = "" if report.inner_fold is None else f", inner fold {report.inner_fold} is validation"
    return f"By strategy {report.strategy}{by}{fold}{inner}."


def _sizes(report: SplitReport) -> Table:
    timed = any(split.first_time for split in report.splits)
    header = ("split", "samples", "part", "asked for", "groups")
    rows = []
    for split in report.splits:
        wanted = "–" if split.wanted_fraction is None else percent(split.wanted_fraction)
        row = (
            split.name, f"{split.n_samples:,}", percent(split.fraction), wanted,
            f"{split.n_groups:,}",
        )  # fmt: skip
        rows.append((*row, split.first_time or "–", split.last_time or "–") if timed else row)
    return Table((*header, "from", "to") if timed else header, tuple(rows))


def _left_out(report: SplitReport) -> Iterator[Table]:
    rows = [(reason, f"{n:,}") for reason, n in report.quarantine_reasons.items()]
    rows += [("few_shot", f"{report.n_unused:,}")] if report.n_unused else []
    if rows:
        yield Table(("reason", "samples"), tuple(rows), title="In no split")


def _leaks(report: SplitReport) -> Iterator[PageSection]:
    tables = []
    if report.leaks:
        rows = tuple(
            (leak.kind, leak.column or "all inputs", f"{leak.n_values:,}", f"{leak.n_samples:,}",
             leak.told)
            for leak in report.leaks
        )  # fmt: skip
        header = ("what", "column", "in several splits", "samples that share", "in words")
        tables.append(Table(header, rows, title="On both sides of a border"))
    if report.shared_media:
        shared = tuple(
            (one.column, f"{one.n_media:,}", f"{one.n_samples:,}", " and ".join(one.examples))
            for one in report.shared_media
        )
        header4 = ("column", "media", "samples of validation and test", "first")
        title = "Media of train that later splits show too, with other inputs"
        tables.append(Table(header4, shared, title=title))
    if report.target_leaks:
        given = tuple(
            (leak.column, leak.kind.replace("_", " "), leak.measure, number(leak.value),
             "yes" if leak.is_input else "no", f"{leak.n_samples:,}")
            for leak in report.target_leaks
        )  # fmt: skip
        header6 = ("column", "finding", "measure", "value", "is an input", "samples")
        tables.append(Table(header6, given, title="What gives the target away"))
    nothing = "No group, duplicate or near duplicate lies in several splits; no column gives the "
    text = "" if tables else f"{nothing}target away."
    yield PageSection(title="Leaks", text=text, tables=tuple(tables))


def _balance(report: SplitReport) -> Iterator[PageSection]:
    quartiles = [split for split in report.splits if split.target_quartiles]
    if quartiles:
        rows = tuple(
            (split.name, *(number(q) for q in split.target_quartiles)) for split in quartiles
        )
        header = ("split", "minimum", "lower quartile", "median", "upper quartile", "maximum")
        yield PageSection(title="The target", tables=(Table(header, rows),))
    if not report.labels:
        return
    mean = report.mean_label_deviation or 0.0
    shown = report.labels[:MOST_ROWS]
    rows_of_labels = tuple(
        (one.column, one.label, *(f"{n:,}" for n in one.n_samples), percent(one.deviation))
        for one in shown
    )
    yield PageSection(
        title="How alike the splits are",
        text="A label's deviation is how much of it a split has too much or too little, as a part "
        f"of all its samples; {percent(mean)} on average. The least even come first.",
        tables=(
            Table(
                ("column", "label", *(split.name for split in report.splits), "deviation"),
                rows_of_labels,
                left_out=len(report.labels) - len(shown),
            ),
        ),
        charts=tuple(_class_charts(report)),
    )


def _class_charts(report: SplitReport) -> Iterator[Chart]:
    """Draw the part of each class in each split."""
    classes = list(report.splits[0].classes)[:MOST_BARS]
    if len(classes) < 2:
        return
    with drawing():
        figure, axes = new_figure(height=0.8 + 0.34 * len(classes))
        axis = axes[0, 0]
        for i, (split, colour) in enumerate(zip(report.splits, COLOURS, strict=True)):
            parts = [split.classes[c] / max(1, split.n_samples) for c in classes]
            at = [y + 0.27 * (i - 1) for y in range(len(classes))]
            axis.barh(at, parts, height=0.25, color=colour, label=split.name)
        axis.set_yticks(range(len(classes)), [squeezed(c, 24) for c in classes])
        axis.invert_yaxis()
        axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axis.set_xlabel("part of the split's samples")
        axis.legend()
        svg = as_svg(figure)
    note = f"the {MOST_BARS} commonest" if len(report.splits[0].classes) > MOST_BARS else ""
    yield Chart(name="classes", title="Classes by split", svg=svg, note=note)


def _near(report: SplitReport) -> Iterator[Table]:
    if report.near_duplicates:
        rows = tuple((column, f"{n:,}") for column, n in report.near_duplicates.items())
        yield Table(("column", "values with near duplicates"), rows, title="Near duplicates")
