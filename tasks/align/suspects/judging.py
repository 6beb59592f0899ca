"""Look for suspect samples among those that were joined, and say what becomes of them.

Judged are samples, not records: only when joined does a sample have all of its inputs beside its
target.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.align.suspects.contradictions import Contradictions, find_contradictions
from tasks.align.suspects.doubts import (
    FLAGS_SCHEMA,
    Doubt,
    doubts_of_contradictions,
    doubts_of_labels,
    doubts_of_pairs,
    to_set_aside,
)
from tasks.align.suspects.equality import Codes, input_codes, same_inputs
from tasks.align.suspects.labels import (
    FEWEST_SAMPLES,
    Examined,
    LabelSuspects,
    suspect_classes,
    suspect_numbers,
)
from tasks.align.suspects.pairs import PairSuspects, suspect_pairs
from tasks.align.suspects.report import ClassSuspects, SuspectsReport
from tasks.align.suspects.towers import checkpoint_fits, reads
from tasks.align.suspects.views import View, view_of
from tasks.params.align import SuspectParams
from tasks.samples.cheap_features.base import CheapFeatures
from tasks.samples.cheap_features.extract import features_of
from tasks.samples.cheap_features.sampling import smallest, stable_hashes
from tasks.samples.media import Media
from tasks.samples.schema import SAMPLE_ID, TARGET, InputSpec, SampleSchema
from tasks.samples.tables import iter_batches, open_table, read_table
from tasks.samples.wording import percent

MOST_PAIRS_OF_INPUTS = 10
MOST_CLASSES_REPORTED = 50
MOST_SHOWN = 12
_ROWS = 65_536
_FROM_MEDIA = ("image", "audio", "timeseries")


@dataclass(frozen=True)
class Suspects:
    """What was found.

    Attributes:
        flags: The doubts about samples that stay.
        set_aside: By the place of each sample to be set aside: why.
        report: Counts and figures.
        worst: The most suspect samples with all their columns, for people to look at.
        doubts: What speaks against each of them, in the same order.
    """

    flags: pa.Table
    set_aside: Mapping[int, Doubt]
    report: SuspectsReport
    worst: pa.Table
    doubts: tuple[Doubt, ...]


@dataclass(frozen=True)
class Evidence:
    """Samples with all that they are judged by.

    Attributes:
        at: ``(n,)`` their places, in the order of their ids, so that what is found depends on the
            samples and not on how they are sorted.
        table: Their inputs.
        inputs: The inputs that at least one sample has.
        features: By input.
        views: By input.
        codes: By input: ``(n,)`` equal for equal values, -1 where it is missing.
        targets: ``(n,)``.
        media: What digests name; None where no input needs it.
    """

    at: NDArray[np.int64]
    table: pa.Table
    inputs: Sequence[InputSpec]
    features: Mapping[str, CheapFeatures]
    views: Mapping[str, View]
    codes: Mapping[str, Codes]
    targets: pa.Array
    media: Media | None


def find_suspects(
    settings: SuspectParams,
    schema: SampleSchema,
    samples: Path,
    open_media: Callable[[], Media],
    root: Path,
    seed: int,
) -> Suspects:
    """Judge the samples of a table.

    Args:
        settings: What to look for, and what becomes of it.
        schema: The inputs and the target.
        samples: The table of samples.
        open_media: Gives what digests name; called only where some input needs it.
        root: The project's folder, which a checkpoint's folder is relative to.
        seed: Fixes what is drawn at random.
    """
    from threadpoolctl import threadpool_limits

    targets = read_table(samples, [TARGET])[TARGET].combine_chunks()
    codes = {spec.name: input_codes(samples, spec) for spec in schema.inputs if _is_on(settings)}
    doubts: list[Doubt] = []
    contradictions, labels, pairs, n_examined = None, None, [], 0

    if settings.contradictions != "off":
        contradictions = find_contradictions(same_inputs(list(codes.values())), targets)
        doubts += doubts_of_contradictions(contradictions, settings.contradictions)
    judges = judges_labels(settings, schema) or judges_pairs(settings, schema)
    if judges and len(targets) >= FEWEST_SAMPLES:
        with threadpool_limits(limits=1):  # in another order of adding, sums are other sums
            evidence = gather(schema, samples, targets, codes, open_media, settings, seed)
            labels = label_suspects(settings, schema, evidence, seed)
            pairs = list(pair_suspects(settings, schema, evidence, root, seed))
        n_examined = len(evidence.at)
        doubts += doubts_of_labels(labels, evidence.at, settings.labels) if labels else []
        for found in pairs:
            doubts += doubts_of_pairs(found, evidence.at, settings.pairs)

    aside = to_set_aside(doubts, int(settings.max_dropped_fraction * len(targets)))
    worst = tuple(most_suspect(doubts))
    return Suspects(
        flags=table_of_flags(samples, [d for d in doubts if d.place not in aside]),
        set_aside=aside,
        report=describe(
            settings, schema, n_examined, targets, labels, contradictions, pairs, doubts, aside
        ),
        worst=rows_at(samples, np.array([d.place for d in worst], dtype=np.int64)),
        doubts=worst,
    )


def _is_on(settings: SuspectParams) -> bool:
    return {settings.labels, settings.contradictions, settings.pairs} != {"off"}


def judges_labels(settings: SuspectParams, schema: SampleSchema) -> bool:
    """Tell whether targets are judged: classes and numbers can be."""
    return settings.labels != "off" and schema.target_kind in ("category", "number")


def judges_pairs(settings: SuspectParams, schema: SampleSchema) -> bool:
    """Tell whether it is judged if inputs belong together."""
    return settings.pairs != "off" and len(schema.inputs) > 1


def needs_media(schema: SampleSchema) -> bool:
    """Tell whether some input is read by digest."""
    return any(spec.modality in _FROM_MEDIA for spec in schema.inputs)


def gather(
    schema: SampleSchema,
    samples: Path,
    targets: pa.Array,
    codes: Mapping[str, Codes],
    open_media: Callable[[], Media],
    settings: SuspectParams,
    seed: int,
) -> Evidence:
    """Read the samples that are judged, at most ``settings.max_samples``, and their inputs."""
    at = examined(samples, len(targets), settings.max_samples, seed)
    columns = [c for s in schema.inputs for c in ([c.name for c in s.columns] or [s.column])]
    table = rows_at(samples, at, columns)
    media = open_media() if needs_media(schema) else None
    features = {spec.name: features_of(table, spec, media, seed) for spec in schema.inputs}
    inputs = [spec for spec in schema.inputs if len(features[spec.name].distinct)]
    return Evidence(
        at=at,
        table=table,
        inputs=inputs,
        features=features,
        views={s.name: view_of(s.name, features[s.name], len(inputs), seed) for s in inputs},
        codes={spec.name: codes[spec.name][at] for spec in inputs},
        targets=targets.take(pa.array(at)),
        media=media,
    )


def examined(samples: Path, n_samples: int, most: int, seed: int) -> NDArray[np.int64]:
    """Return the places of the samples to be judged, in the order of their ids."""
    at = np.arange(n_samples)
    if n_samples > most:
        batches = iter_batches(samples, [SAMPLE_ID], _ROWS)
        at = smallest((stable_hashes(b.column(0).to_pylist(), seed) for b in batches), most)
    ids = rows_at(samples, at, [SAMPLE_ID])[SAMPLE_ID].combine_chunks()
    return np.asarray(at[np.asarray(pc.sort_indices(ids))], dtype=np.int64)


def table_of_flags(samples: Path, doubts: Sequence[Doubt]) -> pa.Table:
    """Return the table of flags, in the order of the samples."""
    ordered = sorted(doubts, key=lambda doubt: (doubt.place, doubt.flag, doubt.detail))
    at = np.array([doubt.place for doubt in ordered], dtype=np.int64)
    columns = [
        rows_at(samples, at, [SAMPLE_ID])[SAMPLE_ID],
        pa.array([doubt.flag for doubt in ordered], pa.string()),
        pa.array([doubt.score for doubt in ordered], pa.float64()),
        pa.array([doubt.detail for doubt in ordered], pa.string()),
    ]
    return pa.table(columns, schema=FLAGS_SCHEMA)


def rows_at(samples: Path, at: NDArray[np.int64], columns: list[str] | None = None) -> pa.Table:
    """Return rows of a table in the order they are asked for, reading it a batch at a time."""
    order = np.argsort(at, kind="stable")
    wanted, parts, start = at[order], [], 0
    for batch in iter_batches(samples, columns, _ROWS):
        first, last = np.searchsorted(wanted, [start, start + batch.num_rows])
        parts.append(batch.take(pa.array(wanted[first:last] - start)))
        start += batch.num_rows
    schema = parts[0].schema if parts else open_table(samples).schema_arrow
    return pa.Table.from_batches(parts, schema).take(pa.array(np.argsort(order)))


def label_suspects(
    settings: SuspectParams, schema: SampleSchema, evidence: Evidence, seed: int
) -> LabelSuspects | None:
    """Judge the targets, where they can be."""
    if not judges_labels(settings, schema) or not evidence.inputs:
        return None
    names = [spec.name for spec in evidence.inputs]
    only_tables = all(spec.modality == "tabular" for spec in evidence.inputs)
    examined = Examined(
        views=[evidence.views[name] for name in names],
        codes=[evidence.codes[name] for name in names],
        same=same_inputs([evidence.codes[name] for name in names]),
        table=evidence.features[names[0]].of_samples() if only_tables else None,
        targets=evidence.targets,
        seed=seed,
    )
    number = schema.target_kind == "number"
    return suspect_numbers(examined) if number else suspect_classes(examined)


def pair_suspects(
    settings: SuspectParams, schema: SampleSchema, evidence: Evidence, root: Path, seed: int
) -> Iterator[PairSuspects]:
    """Judge each two inputs, by the checkpoint where one is named that reads them."""
    if not judges_pairs(settings, schema):
        return
    for left, right in list(combinations(evidence.inputs, 2))[:MOST_PAIRS_OF_INPUTS]:
        views = evidence.views[left.name], evidence.views[right.name]
        fits = None
        if settings.two_tower is not None and evidence.media and reads(left, right):
            fits = checkpoint_fits(
                settings.two_tower, root, evidence.table, (left, right), views, evidence.media, seed
            )
        yield suspect_pairs(*views, fits, seed)


def most_suspect(doubts: Sequence[Doubt]) -> Iterator[Doubt]:
    """Yield the strongest doubts of each kind, each sample once."""
    shown: set[int] = set()
    flags = sorted({doubt.flag for doubt in doubts})
    for flag in flags:
        of_kind = sorted((d for d in doubts if d.flag == flag), key=lambda d: (-d.score, d.place))
        new = [d for d in of_kind if d.place not in shown][: MOST_SHOWN // len(flags)]
        shown |= {d.place for d in new}
        yield from new


def describe(
    settings: SuspectParams,
    schema: SampleSchema,
    n_examined: int,
    targets: pa.Array,
    labels: LabelSuspects | None,
    contradictions: Contradictions | None,
    pairs: Sequence[PairSuspects],
    doubts: Sequence[Doubt],
    aside: Mapping[int, Doubt],
) -> SuspectsReport:
    """Gather what was found into the report."""
    to_drop = {doubt.place for doubt in doubts if doubt.to_drop}
    report = SuspectsReport(
        n_samples=len(targets),
        n_examined=n_examined,
        labels=labels.findings if labels else None,
        contradictions=contradictions.findings if contradictions else None,
        pairs=tuple(found.findings for found in pairs),
        n_flagged=len({d.place for d in doubts} - set(aside)),
        n_dropped=len(aside),
        n_spared=len(to_drop - set(aside)),
        classes=tuple(_classes(targets, doubts, aside)) if schema.target_kind == "category" else (),
        notices=(),
    )
    return report.model_copy(update={"notices": tuple(notices(settings, schema, report))})


def _classes(
    targets: pa.Array, doubts: Sequence[Doubt], aside: Mapping[int, Doubt]
) -> Iterator[ClassSuspects]:
    """Yield the classes that have suspects, those with most first."""
    n = {each["values"]: each["counts"] for each in pc.value_counts(targets).to_pylist()}
    flagged, dropped = (
        Counter(targets.take(pa.array(sorted(places), pa.int64())).to_pylist())
        for places in ({d.place for d in doubts}, set(aside))
    )
    for name, n_flagged in sorted(flagged.items(), key=lambda each: (-each[1], each[0]))[
        :MOST_CLASSES_REPORTED
    ]:
        yield ClassSuspects(name=name, n=n[name], n_flagged=n_flagged, n_dropped=dropped[name])


def notices(settings: SuspectParams, schema: SampleSchema, report: SuspectsReport) -> Iterator[str]:
    """Yield what a person should know of how samples were judged."""
    if report.n_samples < FEWEST_SAMPLES and (
        judges_labels(settings, schema) or judges_pairs(settings, schema)
    ):
        yield (
            f"{report.n_samples:,} samples are too few to tell wrong labels or misfits by; "
            f"it takes {FEWEST_SAMPLES}"
        )
    if 0 < report.n_examined < report.n_samples:
        yield (
            f"labels and pairs were judged on {report.n_examined:,} of {report.n_samples:,} "
            "samples, chosen by a hash; raise align.suspects.max_samples to judge more"
        )
    if report.labels and report.labels.why_not:
        yield f"labels were not judged: {report.labels.why_not}"
    found = report.contradictions
    if found and not found.trusted:
        part = percent(found.n_samples / report.n_samples)
        yield (
            f"{part} of the samples have the very same inputs as one with another target: the "
            "inputs do not determine the target, so none of them is flagged"
        )
    if report.n_spared:
        yield (
            f"{report.n_spared:,} suspects were flagged instead of set aside, as "
            f"align.suspects.max_dropped_fraction is {settings.max_dropped_fraction:g}"
        )
    n_pairs = len(schema.inputs) * (len(schema.inputs) - 1) // 2
    if judges_pairs(settings, schema) and n_pairs > MOST_PAIRS_OF_INPUTS:
        yield f"of {n_pairs} pairs of inputs the first {MOST_PAIRS_OF_INPUTS} were judged"
