"""What the stage has in memory of the samples: keys, and the few columns that a split goes by."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from tasks.params import Params
from tasks.samples.folders import StageFolders
from tasks.samples.schema import TARGET, SampleSchema
from tasks.samples.tables import open_table, read_table
from tasks.split.groups import Groups, find_groups, resolve_columns
from tasks.split.labels import SampleLabels, labels_of
from tasks.split.near_duplicates import NearDuplicates, read_near_duplicates, read_not_compared
from tasks.split.sample_keys import (
    SampleKeys,
    input_column_names,
    media_columns,
    read_sample_keys,
    text_columns,
)
from tasks.split.strategies import Splittable
from tasks.split.time_order import times_of
from tasks.split.windows import SensorWindows, window_columns, windows_of


@dataclass(frozen=True)
class Samples:
    """All that is known of the samples before they are split.

    Attributes:
        path: The table.
        schema: What its columns mean.
        keys: Of every sample.
        groups: Of the samples.
        group_by: Full names of the columns that groups are made by.
        near: Near duplicates in the columns that bind samples.
        not_compared: By column, pairs of values that may be alike and that nobody compared.
        target: ``(n_samples,)``.
        classes: Of the target, or tenths of a number; a text has none.
        splittable: What the strategy goes by.
        windows: Of sensors, where their start is known.
    """

    path: Path
    schema: SampleSchema
    keys: SampleKeys
    groups: Groups
    group_by: tuple[str, ...]
    near: NearDuplicates
    not_compared: Mapping[str, int]
    target: pa.ChunkedArray
    classes: SampleLabels
    splittable: Splittable
    windows: tuple[SensorWindows, ...]


def load(params: Params, folders: StageFolders) -> Samples:
    """Read what the split goes by, and find the groups.

    Raises:
        ParamsError: A column that the settings name is not there.
    """
    settings, path = params.split, folders.of("align") / "samples.parquet"
    arrow = open_table(path).schema_arrow
    schema = SampleSchema.of(arrow)
    group_by = resolve_columns(arrow.names, settings.group_by, "split.group_by")
    stratify_by = resolve_columns(arrow.names, settings.stratify_by, "split.stratify_by")
    named = resolve_columns(arrow.names, _listed(settings.column), "split.column")
    time = resolve_columns(arrow.names, _listed(settings.time_column), "split.time_column")
    sensors = window_columns(arrow)
    binding = {*input_column_names(schema), *group_by}
    kinds = params.column_types
    texts = {*text_columns(schema), *(c for c, kind in kinds.items() if kind == "text")}
    found = read_near_duplicates(folders.of("clean"), frozenset(texts))
    near = {column: values for column, values in found.items() if column in binding}

    keys = read_sample_keys(path, [*dict.fromkeys([*group_by, *media_columns(schema)])], near)
    groups = find_groups(keys, group_by)
    wanted = [TARGET, *stratify_by, *named, *time, *(c for own in sensors.values() for c in own)]
    table = read_table(path, list(dict.fromkeys(wanted)))
    classes = classes_of(table[TARGET], schema)
    chosen = labels_of([(c, table[c], kinds.get(c) == "labels") for c in stratify_by])
    return Samples(
        path=path,
        schema=schema,
        keys=keys,
        groups=groups,
        group_by=tuple(group_by),
        near=near,
        not_compared={
            column: n
            for column, n in read_not_compared(folders.of("clean")).items()
            if column in binding
        },
        target=table[TARGET],
        classes=classes,
        splittable=Splittable(
            groups=groups,
            labels=chosen if stratify_by else classes,
            named=table[named[0]] if named else None,
            column=named[0] if named else "",
            times=times_of(table[time[0]]) if time else None,
        ),
        windows=tuple(windows_of(name, *(table[c] for c in own)) for name, own in sensors.items()),
    )


def classes_of(target: pa.ChunkedArray, schema: SampleSchema) -> SampleLabels:
    """Return the classes of the target, or tenths of a number; a text has none."""
    if schema.target_kind == "text":
        return labels_of([])
    return labels_of([(schema.target_column, target, schema.target_kind == "labels")])


def _listed(column: str | None) -> list[str]:
    return [] if column is None else [column]
