"""Split: put every sample in train, validation or test so that nothing is on both sides.

Reads   data/align/samples.parquet           one row per sample
        data/clean/near_duplicates.parquet   values that are near duplicates of others
Writes  data/split/samples.parquet           the same rows with the columns ``group`` and ``split``,
                                             for k-fold ``fold``, for nested ``inner_fold``
        data/split/unused.parquet            training samples left out for few-shot learning
        data/split/quarantine.parquet        samples that are in no split, with the reason
        reports/split.html                   the splits, for people
"""

import numpy as np

from tasks.params import Params
from tasks.samples.folders import StageFolders, write_text
from tasks.samples.quarantine import SetAside, require_few, write_quarantine
from tasks.split.assignment import Assignment, codes
from tasks.split.describe import DETAILS, describe_split, names_of
from tasks.split.leakage import (
    Checked,
    SharedMedia,
    find_leaks,
    remedy_for_empty,
    require_filled_splits,
    require_no_leaks,
    require_something_to_learn,
    require_whole_groups,
    shared_media,
    without_leaks,
)
from tasks.split.loading import Samples, load
from tasks.split.page import split_page
from tasks.split.report import SplitReport
from tasks.split.sample_keys import media_columns
from tasks.split.strategies import few_shot, strategies, with_validation
from tasks.split.target_leaks import TargetLeak, find_target_leaks, require_no_copy, sample_some
from tasks.split.writing import write_kept, write_unused

READS = ("clean", "align")


def run(params: Params, folders: StageFolders) -> SplitReport:
    """Assign splits; write nothing if something would be on both sides of a border."""
    settings, seed = params.split, params.project.seed
    samples = load(params, folders)

    published = strategies.get(settings.strategy)(samples.splittable, settings, seed)
    if settings.strategy != "predefined":
        require_whole_groups(samples.groups, published.split)
    leaks = find_leaks(
        samples.keys, samples.groups, published.split, samples.group_by, samples.windows
    )
    if settings.on_leak == "fail":
        require_no_leaks(leaks, published.split, lambda rows: names_of(samples.path, rows))
    made = without_leaks(published, leaks) if settings.on_leak == "drop_train" else published
    if settings.strategy == "predefined":
        made = with_validation(made, samples.splittable, settings, seed)
    if settings.few_shot_per_class is not None:
        made = few_shot(made, samples.keys.ids, samples.classes, settings.few_shot_per_class, seed)

    require_filled_splits(samples.groups, made.split, remedy_for_empty(settings.strategy))
    require_something_to_learn(samples.target, made.split)
    require_most_timed(params, made)
    found = Checked(leaks, published.split, media_on_both_sides(samples, made), gifts(samples))
    if settings.target_leaks == "fail":
        require_no_copy(found.target, samples.schema)

    write_kept(samples.path, samples.groups, made, folders.output / "samples.parquet")
    write_unused(samples.path, samples.groups, made, folders.output / "unused.parquet")
    write_quarantine(set_aside(params, samples, made), folders.output)
    report = describe_split(params, samples, made, found)
    write_text(folders.reports / "split.html", split_page(report))
    return report


def media_on_both_sides(samples: Samples, made: Assignment) -> tuple[SharedMedia, ...]:
    """Find media that train and a later split share, in columns that samples are not grouped by."""
    columns = [c for c in media_columns(samples.schema) if c not in samples.group_by]
    return tuple(shared_media(samples.keys, columns, made.split))


def gifts(samples: Samples) -> tuple[TargetLeak, ...]:
    """Find columns that give the target away."""
    groups = samples.groups.names[samples.groups.of_sample]
    some = sample_some(samples.path, samples.schema, samples.keys.ids, groups)
    return tuple(find_target_leaks(some, samples.schema))


def require_most_timed(params: Params, made: Assignment) -> None:
    """Fail where more samples have no time than the settings allow to be unusable."""
    n_untimed = made.counts().get("no_time", 0)
    limit = params.project.max_bad_fraction
    require_few(n_untimed, len(made.split), limit, "split: samples", {"no_time": n_untimed})


def set_aside(params: Params, samples: Samples, made: Assignment) -> list[SetAside]:
    """Return the samples in quarantine, each with its reason."""
    rows = np.flatnonzero(made.quarantined)
    names = names_of(samples.path, rows.tolist())
    return [
        SetAside(name, params.align.base, "", 0, "", codes[reason], DETAILS[codes[reason]], "")
        for name, reason in zip(names, made.reason[rows].tolist(), strict=True)
    ]
