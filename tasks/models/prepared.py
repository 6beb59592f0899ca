"""Samples as a model reads them: each distinct input once, decoded once, and who has which.

A thousand rows that share fifty texts hold fifty token lists and a thousand indices. Decoded arrays
are kept in memory-mapped files whose name is the hash of the contents and of the processor, so that
a second epoch, or the next stage, decodes nothing.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.errors import DataError
from tasks.models.kept_arrays import keep_array, kept_array
from tasks.models.processors.base import Processor
from tasks.samples.decoding import Undecodable, decode_audio, decode_image
from tasks.samples.media import Media
from tasks.samples.schema import RECIPE, InputSpec
from tasks.samples.transforms import apply_recipe
from tasks.samples.windows import decode_window

logger = logging.getLogger("tasks.models")
_CHUNK = 256

_DECODERS: dict[str, Callable[[bytes], Any]] = {
    "image": decode_image,
    "audio": decode_audio,
    "timeseries": decode_window,
}


@dataclass(frozen=True)
class PreparedInput:
    """One input of all samples.

    Attributes:
        distinct: ``(n_distinct, …)`` what the processor made of each distinct value; or, where
            ``encoded``, the pooled output of the frozen encoder for it, ``(n_distinct, width)``.
        index: ``(n_samples,)`` which distinct value each sample has; -1 where it has none.
        encoded: Whether ``distinct`` holds outputs of the encoder.
        key: A digest of the values and of the processor.
    """

    distinct: NDArray[Any]
    index: NDArray[np.int64]
    encoded: bool
    key: str

    @property
    def n_distinct(self) -> int:
        """How many distinct values there are."""
        return len(self.distinct)


def prepare(
    samples: pa.Table,
    inputs: Sequence[InputSpec],
    processors: Mapping[str, Processor],
    media: Media,
    cache: Path | None,
) -> dict[str, PreparedInput]:
    """Decode and process every distinct input of the samples.

    Args:
        samples: Columns as in samples.parquet.
        inputs: What to prepare.
        processors: By input name.
        media: Where media are read from.
        cache: Folder for the decoded arrays; None keeps them in memory.

    Raises:
        DataError: A medium cannot be decoded, which clean should have set aside.
    """
    return {
        spec.name: _prepare(samples, spec, processors[spec.name], media, cache) for spec in inputs
    }


def _prepare(
    samples: pa.Table, spec: InputSpec, processor: Processor, media: Media, cache: Path | None
) -> PreparedInput:
    if spec.modality == "tabular":
        rows = processor.arrays(samples)
        return PreparedInput(rows, np.arange(len(rows)), encoded=False, key="")
    values, index = _distinct_values(samples, spec)
    key = hashlib.sha256(
        json.dumps([processor.fingerprint(), values], ensure_ascii=False).encode()
    ).hexdigest()
    started = time.monotonic()
    if spec.modality == "text":
        arrays = processor.arrays([text for text, _ in values]) if values else np.empty((0, 1))
    else:
        chunks = _decoded_chunks(values, spec, processor, media)
        arrays = _stored(chunks, len(values), cache, key)
    logger.info(
        "input '%s': %s distinct values of %s samples, prepared in %.1f s",
        spec.name,
        f"{len(values):,}",
        f"{len(index):,}",
        time.monotonic() - started,
    )
    return PreparedInput(arrays, index, encoded=False, key=key)


def _distinct_values(
    samples: pa.Table, spec: InputSpec
) -> tuple[list[tuple[str, str]], NDArray[np.int64]]:
    """Return the distinct (value, recipe) pairs of one input, and which each sample has."""
    column = samples[spec.column].combine_chunks()
    recipes = _recipes(samples, spec) if spec.modality != "text" else None
    pairs: dict[tuple[str, str], int] = {}
    encoded = pc.dictionary_encode(column)
    values = encoded.dictionary.to_pylist()
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    index = np.full(len(codes), -1, dtype=np.int64)
    for row, code in enumerate(codes):
        if code >= 0:
            pair = (values[code], recipes[row] if recipes else "")
            index[row] = pairs.setdefault(pair, len(pairs))
    return list(pairs), index


def _recipes(samples: pa.Table, spec: InputSpec) -> list[str] | None:
    """Return what is to be done to one input of each sample, "" where nothing."""
    if RECIPE not in samples.column_names or samples[RECIPE].null_count == len(samples):
        return None
    of_text: dict[str | None, str] = {None: ""}
    found = []
    for text in samples[RECIPE].to_pylist():
        if text not in of_text:
            steps = json.loads(text).get(spec.name)
            of_text[text] = json.dumps(steps, sort_keys=True) if steps else ""
        found.append(of_text[text])
    return found


def _decoded_chunks(
    values: Sequence[tuple[str, str]], spec: InputSpec, processor: Processor, media: Media
) -> Iterator[NDArray[Any]]:
    """Yield processed arrays of distinct media, a chunk at a time."""

    def decoded(value: tuple[str, str]) -> Any:
        digest, recipe = value
        content = media.read(digest)
        try:
            medium = _DECODERS[spec.modality](content)
        except Undecodable as fault:
            raise DataError(
                f"input '{spec.name}': medium {digest[:12]}… cannot be decoded ({fault}); "
                "run `dvc repro clean`, which sets such records aside"
            ) from None
        return apply_recipe(medium, json.loads(recipe), spec.modality) if recipe else medium

    def processed(chunk: Sequence[tuple[str, str]]) -> NDArray[Any]:
        return processor.arrays([decoded(value) for value in chunk])

    starts = range(0, len(values), _CHUNK)
    told = time.monotonic()
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        chunks = pool.map(processed, (values[s : s + _CHUNK] for s in starts))
        for start, chunk in zip(starts, chunks, strict=True):
            if time.monotonic() - told > 10:
                told = time.monotonic()
                logger.info(
                    "input '%s': %s of %s decoded", spec.name, f"{start:,}", f"{len(values):,}"
                )
            yield chunk


def _stored(chunks: Iterator[NDArray[Any]], n: int, cache: Path | None, key: str) -> NDArray[Any]:
    """Return the chunks as one array: of a file that is there already, or that is written now."""
    if n == 0:
        return np.empty((0, 1), dtype=np.float32)
    if cache is None:
        return np.concatenate(list(chunks))
    kept = kept_array(cache, key)
    return keep_array(chunks, n, cache, key) if kept is None else kept
