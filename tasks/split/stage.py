"""Split: put every sample in train, validation or test so that no group crosses between them.

Reads   data/align/samples.parquet   one row per sample
Writes  data/split/samples.parquet   the same rows with the columns ``group`` and ``split``
"""

import numpy as np
import pyarrow as pa

from tasks.params import Params
from tasks.samples.folders import StageFolders
from tasks.samples.schema import GROUP, SPLIT, SPLITS, TARGET, SampleSchema
from tasks.samples.tables import read_table, write_table
from tasks.split.groups import group_names, resolve_columns
from tasks.split.leakage import (
    require_filled_splits,
    require_something_to_learn,
    require_whole_groups,
)
from tasks.split.report import SplitReport, describe_split
from tasks.split.strategies import Grouped, SplitNumbers, strata, strategies

READS = ("align",)


def run(params: Params, folders: StageFolders) -> SplitReport:
    """Assign splits; write nothing if a group would cross between them."""
    settings, seed = params.split, params.project.seed
    samples = read_table(folders.of("align") / "samples.parquet")
    assign = strategies.get(settings.strategy)

    group_by = resolve_columns(samples, settings.group_by, "split.group_by")
    group = group_names(samples, group_by)
    split = assign(Grouped(samples, group, strata(samples[TARGET])), settings, seed)

    require_whole_groups(group, split)
    require_filled_splits(group, split)
    require_something_to_learn(samples[TARGET], split)

    write_table(with_splits(samples, group, split), folders.output / "samples.parquet")
    fractions = settings.fractions
    wanted = (fractions.train, fractions.validation, fractions.test)
    return describe_split(
        samples[TARGET],
        group,
        split,
        settings.strategy,
        tuple(group_by),
        None if settings.strategy == "predefined" else wanted,
    )


def with_splits(samples: pa.Table, group: np.ndarray, split: SplitNumbers) -> pa.Table:
    """Return the samples with their group and split, the sample schema kept."""
    schema = SampleSchema.of(samples)
    names = pa.array(SPLITS).take(pa.array(split))
    assigned = samples.append_column(GROUP, pa.array(group.tolist(), pa.string()))
    return schema.attach(assigned.append_column(SPLIT, names))
