"""Many columns of like names in one word, as in a shell: ``band_{00..31}``."""

import re
from collections.abc import Mapping
from typing import Any

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
MAX_COLUMNS = 10_000


def expanded(name: str) -> list[str]:
    """Return the names that a name with a range stands for; numbers keep the width they have.

    Raises:
        ValueError: The range runs backwards, or is too long.

    >>> expanded("band_{08..10}"), expanded("weight")
    (['band_08', 'band_09', 'band_10'], ['weight'])
    """
    found = _RANGE.search(name)
    if found is None:
        return [name]
    first, last = found.groups()
    if not 0 <= int(last) - int(first) < MAX_COLUMNS:
        raise ValueError(
            f"'{name}': expected a range of 1 to {MAX_COLUMNS:,} columns, the smaller number first"
        )
    width = len(first)
    numbers = range(int(first), int(last) + 1)
    return [f"{name[: found.start()]}{i:0{width}d}{name[found.end() :]}" for i in numbers]


def expanded_keys(columns: Any) -> Any:
    """Return a mapping with each key that has a range written out; other values are left alone."""
    if not isinstance(columns, Mapping):
        return columns
    return {name: kind for key, kind in columns.items() for name in expanded(str(key))}


def expanded_items(names: Any) -> Any:
    """Return a list of names with each range written out; other values are left alone."""
    if not isinstance(names, tuple):
        return names
    return tuple(
        one for name in names for one in (expanded(name) if isinstance(name, str) else [name])
    )
