"""Which part of a data set a Parquet file belongs to, by how the hub names files."""

import re
from pathlib import Path

_NUMBERED = re.compile(r"[-_.]?\d+(-of-\d+)?$")
_NO_PART = ("data", "default", "")


def part_of_file(path: Path) -> str:
    """Return the part that a file's name tells, or its folder's; "" where neither does.

    Args:
        path: Relative to the folder of the data set.

    >>> [part_of_file(Path(name)) for name in ("data/train-0-of-2.parquet", "test/0.parquet")]
    ['train', 'test']
    >>> part_of_file(Path("0000.parquet"))
    ''
    """
    stem = _NUMBERED.sub("", path.stem)
    for name in (stem, path.parent.name):
        if name not in _NO_PART:
            return name
    return ""
