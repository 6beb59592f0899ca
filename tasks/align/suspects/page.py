"""Suspect samples on the align stage's page: what was measured, and the worst to look at."""

from collections.abc import Callable
from typing import Any

from matplotlib.ticker import NullFormatter

from tasks.align.suspects.doubts import CONTRADICTION, LABEL, PAIR, Doubt
from tasks.align.suspects.judging import Suspects, needs_media
from tasks.align.suspects.report import LabelFindings, PairFindings, Scores, SuspectsReport
from tasks.samples.charts import MODEL, Chart, as_svg, drawing, new_figure
from tasks.samples.media import Media, MediaInMemory
from tasks.samples.page import PageExhibit, PageSection, Table
from tasks.samples.pieces import piece_of
from tasks.samples.schema import SAMPLE_ID, TARGET, SampleSchema
from tasks.samples.wording import number, short

_KINDS = {
    LABEL: "label looks wrong",
    CONTRADICTION: "contradicts its likes",
    PAIR: "inputs do not fit",
}


def suspect_sections(
    suspects: Suspects, schema: SampleSchema, open_media: Callable[[], Media]
) -> list[PageSection]:
    """Return the sections about suspects; none where nothing was looked for.

    Args:
        suspects: What was found.
        schema: The inputs.
        open_media: Gives what digests name; called only where there is something to show.
    """
    report = suspects.report
    if report.labels is None and report.contradictions is None and not report.pairs:
        return []
    media = open_media() if suspects.doubts and needs_media(schema) else MediaInMemory({})
    shown = list(zip(suspects.worst.to_pylist(), suspects.doubts, strict=True))
    with drawing():
        charts = tuple(_charts(report))
    return [
        PageSection(
            "Suspect samples",
            text=_text(report),
            notices=report.notices,
            tables=tuple(_tables(report)),
            charts=charts,
            exhibits=tuple(_exhibit(sample, doubt, schema, media) for sample, doubt in shown),
        )
    ]


def _text(report: SuspectsReport) -> str:
    told = (
        f"{report.n_flagged:,} samples are flagged in data/align/flags.parquet and stay; "
        f"{report.n_dropped:,} are set aside. A flag is a reason to look, not a proof: each is "
        "what samples like it do not say."
    )
    return f"{told} Those shown are the most suspect." if report.n_flagged else told


def _tables(report: SuspectsReport) -> list[Table]:
    judged = []
    if report.labels is not None:
        judged.append(("labels", *_of_labels(report.labels)))
    if report.contradictions is not None:
        found = report.contradictions
        judged.append(
            (
                "equal inputs, other target",
                f"{report.n_samples:,}",
                f"{found.n_samples:,} in {found.n_groups:,} groups",
                "yes" if found.trusted else "no",
                f"{found.n_flagged:,}",
            )
        )
    judged += [(f"{pair.left} and {pair.right}", *_of_pair(pair)) for pair in report.pairs]
    tables = [
        Table(
            ("what was judged", "judged", "how well it can be told", "trusted", "suspect"),
            tuple(judged),
        )
    ]
    if report.classes:
        tables.append(
            Table(
                ("class", "samples", "suspect", "set aside", "left"),
                tuple(
                    (
                        short(each.name),
                        f"{each.n:,}",
                        f"{each.n_flagged:,}",
                        f"{each.n_dropped:,}",
                        f"{each.n - each.n_dropped:,}",
                    )
                    for each in report.classes
                ),
                "Classes with suspects",
            )
        )
    return tables


def _of_labels(found: LabelFindings) -> tuple[str, str, str, str]:
    if found.value is None or found.floor is None:
        return f"{found.n_judged:,}", "", "no", "0"
    told = (
        f"{found.measure} {number(found.value, found.measure)}, "
        f"guessing {number(found.floor, found.measure)}"
    )
    return f"{found.n_judged:,}", told, "yes" if found.trusted else "no", f"{found.n_flagged:,}"


def _of_pair(found: PairFindings) -> tuple[str, str, str, str]:
    told = "" if found.told_apart is None else f"told from random in {100 * found.told_apart:.1f} %"
    trusted = "yes" if found.informative else "no"
    return f"{found.n_judged:,}", told, trusted, f"{found.n_flagged:,}"


def _charts(report: SuspectsReport) -> list[Chart]:
    charts = []
    if report.labels is not None and report.labels.scores is not None and report.labels.trusted:
        by_number = report.labels.measure == "r2"
        label = "ordinary errors off" if by_number else "how improbable the given label is"
        charts.append(_histogram("suspect-labels", "Labels", label, report.labels.scores))
    for i, pair in enumerate(report.pairs):
        if pair.scores is not None and pair.informative:
            title = f"{short(pair.left)} and {short(pair.right)}"
            label = "part of random pairs that fit better"
            charts.append(_histogram(f"suspect-pairs-{i}", title, label, pair.scores))
    return charts


def _histogram(name: str, title: str, label: str, scores: Scores) -> Chart:
    figure, axes = new_figure(1.9)
    axis = axes[0, 0]
    axis.stairs(scores.counts, scores.edges, fill=True, color=MODEL)
    axis.set_yscale("symlog", linthresh=10)
    axis.yaxis.set_major_formatter(lambda count, _: f"{count:,.0f}")
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel(label)
    axis.set_ylabel("samples")
    return Chart(name, f"{title}: the suspect are on the right", as_svg(figure))


def _exhibit(
    sample: dict[str, Any], doubt: Doubt, schema: SampleSchema, media: Media
) -> PageExhibit:
    target = sample[TARGET]
    shown = number(target) if isinstance(target, float) else f"'{short(str(target))}'"
    caption = f"{_KINDS[doubt.flag]}, target {shown}: {doubt.detail}"
    pieces = tuple(piece_of(spec, sample, media) for spec in schema.inputs)
    return PageExhibit(caption, pieces, str(sample[SAMPLE_ID]))
