"""Arrays that are kept in files and mapped, and believed only where they are what was written.

Beside ``<key>.npy`` stands ``<key>.sha256``, written last and durably. An array without it, or that
it does not fit, is made again, and the log says so.
"""

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.samples.folders import sha256, write_text

logger = logging.getLogger("tasks.models")


def kept_array(folder: Path, key: str) -> NDArray[Any] | None:
    """Return a kept array, mapped; None where there is none, or where it is damaged."""
    path, seal = folder / f"{key}.npy", folder / f"{key}.sha256"
    if not path.is_file() or not seal.is_file():
        return None
    if sha256(path) != seal.read_text(encoding="utf-8").strip():
        logger.warning("%s is not what was written; it is made again", path.name)
        return None
    mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped


def keep_array(chunks: Iterable[NDArray[Any]], n: int, folder: Path, key: str) -> NDArray[Any]:
    """Write the chunks of an array of ``n`` rows one after the other, and return it mapped."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{key}.npy"
    unfinished = folder / f".{key}.{os.getpid()}.tmp"
    try:
        array: Any = None
        at = 0
        for chunk in chunks:
            if array is None:
                array = np.lib.format.open_memmap(
                    unfinished, mode="w+", dtype=chunk.dtype, shape=(n, *chunk.shape[1:])
                )
            array[at : at + len(chunk)] = chunk
            at += len(chunk)
        array.flush()
        (folder / f"{key}.sha256").unlink(missing_ok=True)
        unfinished.replace(path)
        write_text(folder / f"{key}.sha256", sha256(path) + "\n")
    finally:
        unfinished.unlink(missing_ok=True)
    mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped
