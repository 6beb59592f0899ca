"""The align stage as a page: what was joined to what, how well, and by which clock."""

from collections.abc import Mapping, Sequence

import numpy as np

from tasks.align.report import (
    AlignReport,
    PairReport,
    SeriesReport,
    Shares,
    WindowFindings,
)
from tasks.align.signal_clock import SignalClock
from tasks.samples.charts import FLOOR, MODEL, OTHER, Chart, as_svg, drawing, new_figure
from tasks.samples.page import PageSection, Table, stage_page
from tasks.samples.wording import number, percent, short, squeezed

MOST_ROWS = 60
MOST_RECORDINGS = 12
MOST_CURVES = 3
MOST_BARS = 24

Clocks = Mapping[str, Mapping[str, SignalClock]]
"""By right source and left recording."""


def align_page(
    project: str, report: AlignReport, clocks: Clocks, more: Sequence[PageSection] = ()
) -> str:
    """Return the page.

    Args:
        project: Its name.
        report: What the stage found.
        clocks: The clocks that were estimated from signals, with their curves.
        more: Sections to stand behind these.
    """
    with drawing():
        sections = [
            _outcome(report),
            *([_segments(report)] if report.segments is not None else []),
            *(_pair(pair, clocks.get(pair.right, {})) for pair in report.pairs),
            _balance(report),
            *more,
        ]
    lead = (
        f"{report.n_samples:,} samples from {report.n_base:,} base records; "
        f"{report.n_quarantined:,} set aside."
    )
    return stage_page(f"{project}: the align stage", lead, sections)


def _outcome(report: AlignReport) -> PageSection:
    aside = tuple((reason, f"{n:,}") for reason, n in report.quarantine_reasons.items())
    inputs = tuple(
        (one.name, one.modality, f"{one.n_present:,}", f"{one.n_missing:,}",
         percent(one.n_missing / max(1, one.n_present + one.n_missing)))
        for one in report.inputs
    )  # fmt: skip
    tables = [
        Table(("input", "modality", "present", "missing", ""), inputs, "Inputs of the samples")
    ]
    if aside:
        tables.append(Table(("reason", "base records"), aside, "Set aside"))
    charts = (_sides_chart(report.pairs),) if report.pairs else ()
    return PageSection(
        "What came of it", notices=report.notices, tables=tuple(tables), charts=charts
    )


def _segments(report: AlignReport) -> PageSection:
    found = report.segments
    assert found is not None
    tables = (
        Table(
            (),
            (
                ("recordings", f"{found.n_series:,}"),
                ("windows cut", f"{found.n_windows:,}"),
                ("readings", f"{found.n_readings:,}"),
                ("readings in no window", f"{found.n_readings_unused:,}"),
                ("readings that name no recording", f"{found.n_readings_without_series:,}"),
                (
                    "readings that agree on their window's label",
                    "-" if found.mean_agreement is None else percent(found.mean_agreement),
                ),
            ),
        ),
        _series_table(found.series),
    )
    charts = () if found.coverage is None else (_coverage_chart("base", found.coverage),)
    return PageSection("Windows of the base", tables=tables, charts=charts)


def _pair(pair: PairReport, clocks: Mapping[str, SignalClock]) -> PageSection:
    tables = [
        Table(
            ("side", "records", "matched", "unmatched", "duplicates", "reasons"),
            (
                (
                    f"{pair.left}.{pair.left_on}", f"{pair.n_left:,}", f"{pair.matched_left:,}",
                    f"{pair.unmatched_left:,}", f"{pair.duplicate_matches_left:,}",
                    _reasons(pair.unmatched_reasons_left),
                ),
                (
                    f"{pair.right}.{pair.right_on}", f"{pair.n_right:,}",
                    f"{pair.matched_right:,}", f"{pair.unmatched_right:,}",
                    f"{pair.duplicate_matches_right:,}", _reasons(pair.unmatched_reasons_right),
                ),
            ),
        )
    ]  # fmt: skip
    charts: list[Chart] = []
    if pair.time is not None:
        tables.append(_time_table(pair))
        charts.append(_differences_chart(pair))
    if pair.key is not None:
        rows = (
            ("matched but for their spelling", f"{pair.key.n_alike:,}"),
            ("given the key most alike", f"{pair.key.n_fuzzy:,}"),
            ("ambiguous", f"{pair.key.n_ambiguous:,}"),
        )
        tables.append(Table((), rows, "Keys"))
    if pair.windows is not None:
        tables += _window_tables(pair.windows)
        charts.append(_coverage_chart(pair.right, pair.windows.coverage))
        if pair.windows.clocks:
            charts.append(_offsets_chart(pair.right, pair.windows))
            best = sorted(clocks, key=lambda name: (-clocks[name].score, name))
            shown = [*best[:MOST_CURVES], *best[-1:]] if len(best) > MOST_CURVES else best
            charts += [_curve_chart(pair.right, name, clocks[name]) for name in shown]
    text = (
        f"By {pair.on}, {pair.relation.replace('_', ' ')}; "
        f"{pair.n_rows_reused:,} matches use a record again."
    )
    title = f"{pair.left} and {pair.right}"
    return PageSection(title, text, tables=tuple(tables), charts=tuple(charts))


def _reasons(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {n:,}" for reason, n in reasons.items()) or "-"


def _time_table(pair: PairReport) -> Table:
    found = pair.time
    assert found is not None
    rows = [
        ("tolerance", f"{found.tolerance_seconds:g} s"),
        ("apart, half of them at most", _seconds(found.absolute_difference_p50_seconds)),
        ("apart, 95 % at most", _seconds(found.absolute_difference_p95_seconds)),
        ("apart, the most", _seconds(found.absolute_difference_max_seconds)),
        ("equal times, left", f"{found.n_left_equal_times:,}"),
        ("equal times, right", f"{found.n_right_equal_times:,}"),
        ("out of order, left", f"{found.n_left_out_of_order:,}"),
        ("out of order, right", f"{found.n_right_out_of_order:,}"),
    ]
    if found.clock_offset_seconds is not None:
        rows += [
            ("right clock ahead by", _seconds(found.clock_offset_seconds)),
            ("and gaining", f"{found.clock_drift_ppm or 0.0:+.1f} ppm"),
            ("score", number(found.clock_score)),
            ("applied", "yes" if found.clock_offset_applied else "no"),
        ]
    return Table((), tuple(rows), "Times")


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g} s"


def _window_tables(found: WindowFindings) -> list[Table]:
    rows = (
        ("windows", f"{found.n_windows:,}"),
        ("distinct ones", f"{found.n_distinct:,}"),
        ("left out for too little in them", f"{found.n_low_coverage:,}"),
        ("steps with a value", f"{found.n_steps:,}"),
        ("of these read across a gap", f"{found.n_steps_over_gap:,}"),
        ("and held from the reading before", f"{found.n_steps_held:,}"),
        ("longest gap", f"{found.max_gap_seconds:.4g} s"),
    )
    tables = [Table((), rows, "Windows"), _series_table(found.series)]
    if found.clocks:
        clocks = tuple(
            (
                short(one.series), f"{one.offset_seconds:+.4f} s", f"{one.drift_ppm:+.1f} ppm",
                f"{one.score:.1f}", f"{one.overlap_seconds:.1f} s", one.applied,
            )
            for one in found.clocks
        )  # fmt: skip
        header = ("recording", "right clock ahead by", "gaining", "score", "overlap", "applied")
        tables.append(Table(header, clocks[:MOST_ROWS], "Clocks", max(0, len(clocks) - MOST_ROWS)))
    return tables


def _series_table(series: Sequence[SeriesReport]) -> Table:
    rows = tuple(
        (
            short(one.series) or "(all)", f"{one.n_readings:,}", f"{one.n_readings_used:,}",
            "-" if one.rate_hz is None else f"{one.rate_hz:.4g} Hz",
            f"{one.max_gap_seconds:.4g} s", f"{one.n_equal_times:,}", f"{one.n_out_of_order:,}",
            f"{one.n_windows:,}",
        )
        for one in series
    )  # fmt: skip
    header = (
        "recording", "readings", "used", "rate", "longest gap", "equal times", "out of order",
        "windows",
    )  # fmt: skip
    return Table(header, rows[:MOST_RECORDINGS], "Recordings", max(0, len(rows) - MOST_RECORDINGS))


def _balance(report: AlignReport) -> PageSection:
    before, after = report.target_before, report.target_after
    if before.n_classes is None:
        rows = tuple(
            (name, number(a), number(b))
            for name, a, b in zip(
                ("least", "lower quartile", "median", "upper quartile", "most"),
                before.quartiles,
                after.quartiles,
                strict=True,
            )
        )
        return PageSection(
            f"Target {report.target}", tables=(Table(("", "before", "after"), rows),)
        )
    names = list(before.classes)
    classes = tuple(
        (
            short(name), f"{before.classes[name]:,}",
            percent(before.classes[name] / max(1, before.n)),
            f"{after.classes.get(name, 0):,}",
            percent(after.classes.get(name, 0) / max(1, after.n)),
        )
        for name in names
    )  # fmt: skip
    header = ("class", "records", "", "samples", "")
    text = "Records of the target's own source, and samples: joins and limits may shift a balance."
    table = Table(header, classes[:MOST_ROWS], "", max(0, len(classes) - MOST_ROWS))
    return PageSection(f"Target {report.target}", text, tables=(table,))


def _sides_chart(pairs: Sequence[PairReport]) -> Chart:
    """Draw how much of either side of each pair was matched."""
    bars = []
    for pair in pairs[: MOST_BARS // 2]:
        for name, n, matched, twice in (
            (f"{pair.left} (to {pair.right})", pair.n_left, pair.matched_left,
             pair.duplicate_matches_left),
            (f"{pair.right} (to {pair.left})", pair.n_right, pair.matched_right,
             pair.duplicate_matches_right),
        ):  # fmt: skip
            total = max(1, n)
            bars.append(
                (squeezed(name, 30), matched / total, twice / total, 1 - (matched + twice) / total)
            )
    figure, axes = new_figure(0.8 + 0.3 * len(bars))
    ax = axes[0, 0]
    at = np.arange(len(bars))[::-1]
    start = np.zeros(len(bars))
    for i, (label, colour) in enumerate(
        (("matched", MODEL), ("duplicate", OTHER), ("unmatched", FLOOR)), start=1
    ):
        part = np.asarray([bar[i] for bar in bars], dtype=float)
        ax.barh(at, part, left=start, color=colour, label=label, height=0.7)
        start = start + part
    ax.set_yticks(at, [bar[0] for bar in bars])
    ax.set_xlim(0, 1)
    ax.set_xlabel("part of the records")
    ax.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1.0))
    return Chart("matched", "Matched and unmatched", as_svg(figure))


def _differences_chart(pair: PairReport) -> Chart:
    found = pair.time
    assert found is not None
    figure, axes = new_figure(2.2)
    ax = axes[0, 0]
    ax.stairs(
        found.differences_seconds.counts, found.differences_seconds.edges, fill=True, color=MODEL
    )
    ax.yaxis.grid(True)
    ax.set_xlabel("seconds that the right record is later")
    ax.set_ylabel("pairs")
    return Chart(f"differences_{pair.right}", "Time between partners", as_svg(figure))


def _coverage_chart(name: str, coverage: Shares) -> Chart:
    figure, axes = new_figure(2.0)
    ax = axes[0, 0]
    ax.stairs(coverage.counts_by_tenth, np.linspace(0, 1, 11), fill=True, color=MODEL)
    ax.yaxis.grid(True)
    ax.set_xlabel("part of a window's steps that have a value")
    ax.set_ylabel("windows")
    return Chart(f"coverage_{name}", "Coverage", as_svg(figure))


def _offsets_chart(name: str, found: WindowFindings) -> Chart:
    """Draw offset and score of each recording's clock."""
    figure, axes = new_figure(2.4)
    ax = axes[0, 0]
    for applied, colour in (("own", MODEL), ("all", OTHER), ("no", FLOOR)):
        own = [clock for clock in found.clocks if clock.applied == applied]
        if own:
            ax.scatter(
                [clock.offset_seconds for clock in own],
                [clock.score for clock in own],
                s=14,
                color=colour,
                label={"own": "applied", "all": "that of all applied", "no": "not applied"}[
                    applied
                ],
            )
    ax.grid(True)
    ax.set_xlabel("seconds that the right clock is ahead")
    ax.set_ylabel("score")
    ax.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1.0))
    return Chart(f"clocks_{name}", "Clocks of the recordings", as_svg(figure))


def _curve_chart(name: str, recording: str, clock: SignalClock) -> Chart:
    figure, axes = new_figure(2.0)
    ax = axes[0, 0]
    ax.plot(clock.curve[0], clock.curve[1], color=MODEL, linewidth=0.9)
    ax.axvline(clock.offset_seconds, color=OTHER, linewidth=0.9)
    ax.grid(True)
    ax.set_xlabel("seconds that the right clock is ahead")
    ax.set_ylabel("agreement, deviations")
    title = f"What both saw, by offset: {short(recording) or 'all'} (score {clock.score:.1f})"
    return Chart(f"curve_{name}_{recording}", title, as_svg(figure))
