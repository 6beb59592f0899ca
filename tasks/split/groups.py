"""Which samples must stay together: those that share a value, and those with the same inputs."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tasks.errors import ParamsError, listing, nearest
from tasks.samples.schema import SampleSchema

Codes = NDArray[np.int64]
NONE = -1


def group_names(samples: pa.Table, group_by: Sequence[str]) -> NDArray[np.str_]:
    """Return the name of each sample's group.

    Two samples are of one group where they share a value in a column of ``group_by``, where all
    their inputs are equal, or where a chain of such samples links them. Samples without a value do
    not share it.

    A group is named by its smallest value in the first of the columns it has one in, or else by its
    inputs; so samples that have nothing to do with a group never change its name.

    Args:
        samples: A samples table.
        group_by: Full names of columns.

    Returns:
        ``(n_samples,)`` names of 16 hexadecimal digits.
    """
    inputs = same_inputs(samples)
    links = [value_codes(samples[column]) for column in group_by]
    component = linked_components([inputs, *links])
    names = np.full(component.max(initial=-1) + 1, "", dtype="U16")
    for column in group_by:
        _name_by_smallest(names, component, column, samples[column])
    _name_by_inputs(names, component, samples)
    return names[component]


def resolve_columns(samples: pa.Table, columns: Sequence[str], setting: str) -> list[str]:
    """Return the full names of columns named with or without their source.

    Raises:
        ParamsError: A name fits no column, or several.
    """
    known = [name for name in samples.column_names if "." in name]
    resolved, faults = [], []
    for column in columns:
        fitting = [k for k in known if k == column] or [
            k for k in known if k.split(".", 1)[1] == column
        ]
        if len(fitting) == 1:
            resolved.append(fitting[0])
            continue
        found = f"it fits {listing(fitting)}" if fitting else f"there are {listing(known)}"
        faults.append(
            f"{setting}: expected one column of the samples named '{column}', {found}."
            f"{nearest(column, known)}"
        )
    if faults:
        raise ParamsError(faults)
    return resolved


def value_codes(values: pa.ChunkedArray) -> Codes:
    """Number the distinct values of a column; -1 where there is none."""
    codes = values.combine_chunks().dictionary_encode().indices.fill_null(NONE)
    return np.asarray(codes.to_numpy(zero_copy_only=False), dtype=np.int64)


def input_column_names(samples: pa.Table) -> list[str]:
    """Return the full names of all columns that inputs are read from."""
    specs = SampleSchema.of(samples).inputs
    return [name for s in specs for name in ([c.name for c in s.columns] or [s.column])]


def same_inputs(samples: pa.Table) -> Codes:
    """Number samples by their inputs: equal numbers where every input is equal, or both lack it."""
    codes = np.zeros(samples.num_rows, dtype=np.int64)
    for column in input_column_names(samples):
        own = value_codes(samples[column]) + 1
        combined = codes * (own.max(initial=0) + 1) + own
        codes = np.unique(combined, return_inverse=True)[1].astype(np.int64)
    return codes


def linked_components(links: Sequence[Codes]) -> Codes:
    """Return the connected component of each sample, linked by every list of codes.

    Each code is a node beside the samples; a sample is joined to the nodes of its codes.
    """
    n_samples = len(links[0])
    ends, n_nodes = [], n_samples
    for codes in links:
        at = np.flatnonzero(codes != NONE)
        ends.append(np.stack([at, codes[at] + n_nodes]))
        n_nodes += int(codes.max(initial=NONE)) + 1
    rows, columns = np.concatenate(ends, axis=1)
    graph = coo_array((np.ones(len(rows), dtype=bool), (rows, columns)), shape=(n_nodes, n_nodes))
    _, component = connected_components(graph, directed=False)
    _, of_samples = np.unique(component[:n_samples], return_inverse=True)
    return of_samples.astype(np.int64)


def _name_by_smallest(
    names: NDArray[np.str_], component: Codes, column: str, values: pa.ChunkedArray
) -> None:
    """Name the groups that have no name yet by their smallest value in a column."""
    order = pc.sort_indices(values).to_numpy()  # nulls last
    order = order[values.is_valid().to_numpy()[order]]
    groups, first = np.unique(component[order], return_index=True)
    unnamed = names[groups] == ""
    smallest = values.cast(pa.string()).take(order[first[unnamed]]).to_pylist()
    names[groups[unnamed]] = [_digest([column, value]) for value in smallest]


def _name_by_inputs(names: NDArray[np.str_], component: Codes, samples: pa.Table) -> None:
    """Name the groups that have no name yet; all samples of such a group have the same inputs."""
    groups, first = np.unique(component, return_index=True)
    unnamed = names[groups] == ""
    columns = input_column_names(samples)
    rows = samples.select(columns).take(first[unnamed]).columns
    cells = zip(*(c.cast(pa.string()).to_pylist() for c in rows), strict=True)
    labelled = ([part for pair in zip(columns, row, strict=True) for part in pair] for row in cells)
    names[groups[unnamed]] = [_digest(parts) for parts in labelled]


def _digest(parts: Sequence[str | None]) -> str:
    told = "".join("-" if part is None else f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(told.encode()).hexdigest()[:16]
