"""The cheap features of an input: each distinct value once, a batch at a time."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.samples.cheap_features.base import ABSENT, CheapFeatures, without_unreadable
from tasks.samples.cheap_features.images import image_features, small_copies
from tasks.samples.cheap_features.recordings import recording_features
from tasks.samples.cheap_features.series import window_features
from tasks.samples.cheap_features.tabular import tabular_features
from tasks.samples.cheap_features.texts import text_features
from tasks.samples.media import Media
from tasks.samples.progress import progress
from tasks.samples.schema import InputSpec
from tasks.samples.windows import decode_window

BATCH = 256


def features_of(
    samples: pa.Table, spec: InputSpec, media: Media | None, seed: int = 0
) -> CheapFeatures:
    """Return the cheap features of one input of a samples table.

    Args:
        samples: Samples, with the columns that the input is read from.
        spec: The input.
        media: What its digests name; a text or a table needs none.
        seed: Fixes what is drawn at random.

    Returns:
        Equal samples get equal features in whatever order they come; features mean something
        within one call only, since they are scaled to what the values are like.
    """
    if spec.modality == "tabular":
        rows = tabular_features(samples, spec.columns)
        there = np.logical_or.reduce([samples[c.name].is_valid().to_numpy() for c in spec.columns])
        return CheapFeatures(rows, np.where(there, np.arange(len(rows)), ABSENT), len(rows))
    values, index = distinct_values(samples[spec.column])
    if not len(values):
        return CheapFeatures(np.zeros((0, 1), dtype=np.float32), index)
    if spec.modality == "text":
        features, n_fitted = text_features(values.to_pylist(), seed)
        return CheapFeatures(features, index, n_fitted)
    if media is None:
        raise ValueError(f"input '{spec.name}' is {spec.modality}, which is read from media")
    parts = list(_media_features(values.to_pylist(), spec, media))
    return without_unreadable(np.concatenate(parts), index, len(values))


def distinct_values(column: pa.ChunkedArray) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return the distinct values of a column in their own order, and each row's place among them.

    >>> values, index = distinct_values(pa.chunked_array([["b", None, "a", "b"]]))
    >>> values.to_pylist(), index.tolist()
    (['a', 'b'], [1, -1, 0, 1])
    """
    values = pc.unique(column.drop_null())
    values = values.take(pc.sort_indices(values))
    return values, np.asarray(pc.index_in(column, values).fill_null(ABSENT), dtype=np.int64)


def _media_features(
    digests: list[str], spec: InputSpec, media: Media
) -> Iterator[NDArray[np.float32]]:
    with progress(f"looking at {spec.name}", len(digests)) as advance:
        for start in range(0, len(digests), BATCH):
            contents = (media.read(digest) for digest in digests[start : start + BATCH])
            if spec.modality == "image":
                copies, readable = small_copies(contents)
                features = image_features(copies)
                features[~readable] = np.nan
            elif spec.modality == "audio":
                features = np.stack([recording_features(content) for content in contents])
            else:
                windows = np.stack([decode_window(content) for content in contents])
                features = window_features(windows, spec.channels)
            yield features
            advance(len(features))
