"""Which samples must stay together: those that share a value, and those with the same inputs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tasks.errors import ParamsError, listing, nearest
from tasks.split.keys import NOTHING, Keys, mixed, salt
from tasks.split.sample_keys import SampleKeys

Codes = NDArray[np.int32]
NONE = -1


@dataclass(frozen=True)
class Groups:
    """The groups of some samples.

    Attributes:
        names: ``(n_groups,)`` a key for each group, in ascending order.
        of_sample: ``(n_samples,)`` the position of each sample's group in ``names``.
    """

    names: Keys
    of_sample: Codes

    def __len__(self) -> int:
        return len(self.names)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Samples of each group."""
        return np.bincount(self.of_sample, minlength=len(self.names))

    def of(self, rows: NDArray[np.int64]) -> "Groups":
        """Return the groups of some of the samples."""
        present, of_sample = np.unique(self.of_sample[rows], return_inverse=True)
        return Groups(self.names[present], of_sample.astype(np.int32))


def find_groups(keys: SampleKeys, group_by: Sequence[str]) -> Groups:
    """Put samples into groups.

    Two samples are of one group where they share a value (in whatever case), or have near
    duplicates, in a column of ``group_by``; where all their inputs are equal or near duplicates; or
    where a chain of such samples links them. Samples without a value do not share it.

    A group is named by its smallest key in the first of the columns it has one in, or else by its
    smallest inputs; so samples that have nothing to do with a group never change its name.

    Args:
        keys: Of the samples.
        group_by: Full names of columns.
    """
    component = linked_components(
        [codes_of(keys.near_inputs), *(value_codes(keys.near_values[c]) for c in group_by)]
    )
    names = np.zeros(int(component.max(initial=-1)) + 1, dtype=np.uint64)
    for column in group_by:
        has_one = keys.values[column] != NOTHING
        _name_by_smallest(names, component[has_one], keys.values[column][has_one], column)
    _name_by_smallest(names, component, keys.inputs, "")
    ordered, place = np.unique(names, return_inverse=True)
    return Groups(ordered, place.astype(np.int32)[component])


def resolve_columns(available: Sequence[str], columns: Sequence[str], setting: str) -> list[str]:
    """Return the full names of columns named with or without their source.

    Raises:
        ParamsError: A name fits no column, or several.
    """
    known = [name for name in available if "." in name]
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


def codes_of(keys: Keys) -> Codes:
    """Number the distinct keys."""
    return np.unique(keys, return_inverse=True)[1].astype(np.int32)


def value_codes(keys: Keys) -> Codes:
    """Number the distinct keys; -1 where there is no value."""
    return np.where(keys == NOTHING, np.int32(NONE), codes_of(keys))


def linked_components(links: Sequence[Codes]) -> Codes:
    """Return the connected component of each sample, linked by every list of codes.

    Each code is a node beside the samples; a sample is joined to the nodes of its codes.

    Args:
        links: ``(n_samples,)`` codes each, counted from 0, -1 for none; the first has no -1.
    """
    first, others = links[0], [codes for codes in links[1:] if (codes != NONE).any()]
    if not others:
        return first
    n_firsts = int(first.max(initial=NONE)) + 1
    ends, n_nodes = [], n_firsts
    for codes in others:
        at = np.flatnonzero(codes != NONE)
        ends.append(np.stack([first[at], codes[at] + n_nodes]))
        n_nodes += int(codes.max(initial=NONE)) + 1
    rows, columns = np.concatenate(ends, axis=1)
    graph = coo_array((np.ones(len(rows), dtype=bool), (rows, columns)), shape=(n_nodes, n_nodes))
    _, component = connected_components(graph, directed=False)
    return codes_of(component[:n_firsts][first].astype(np.uint64))


def _name_by_smallest(names: Keys, component: Codes, keys: Keys, column: str) -> None:
    """Name the groups that have no name yet by their smallest key."""
    nothing = np.iinfo(np.uint64).max
    smallest = np.full(len(names), nothing, dtype=np.uint64)
    np.minimum.at(smallest, component, keys)
    unnamed = (names == NOTHING) & (smallest != nothing)
    names[unnamed] = np.maximum(mixed(smallest[unnamed] ^ salt(column)), np.uint64(1))
