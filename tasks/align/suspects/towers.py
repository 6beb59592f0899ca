"""How well images and texts fit by a checkpoint that knows both, such as CLIP."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.align.suspects.pairs import N_RANDOM, Fits, distinct_pairs
from tasks.align.suspects.views import View
from tasks.samples.cheap_features.extract import distinct_values
from tasks.samples.decoding import decode_image
from tasks.samples.media import Media
from tasks.samples.schema import InputSpec


def reads(left: InputSpec, right: InputSpec) -> bool:
    """Tell whether a two-tower checkpoint reads two inputs: one image, one text."""
    return {left.modality, right.modality} == {"image", "text"}


def checkpoint_fits(
    checkpoint: str,
    root: Path,
    samples: pa.Table,
    inputs: tuple[InputSpec, InputSpec],
    views: tuple[View, View],
    media: Media,
    seed: int,
) -> Fits:
    """Return the cosine of each distinct pair of image and text, and of random ones.

    Args:
        checkpoint: A folder, or ``hub:NAME@REVISION``.
        root: What a folder is relative to.
        samples: The samples that the inputs are of.
        inputs: The two inputs.
        views: Their views, whose rows the pairs are of.
        media: What digests of images name.
        seed: Fixes the random partners.

    Raises:
        ModelError: The checkpoint is not there, unsafe, or has no two towers.
    """
    from tasks.models.two_tower import TwoTower  # torch is loaded where a checkpoint is named only

    towers = TwoTower.load(checkpoint, root)
    vectors = []
    for spec, view in zip(inputs, views, strict=True):
        values, index = distinct_values(samples[spec.column])
        row = np.zeros(len(view.reduced), dtype=np.int64)  # of the values that could be read
        row[view.index[view.index >= 0]] = index[view.index >= 0]
        wanted = values.take(pa.array(row)).to_pylist()
        vectors.append(
            towers.text_vectors(wanted)
            if spec.modality == "text"
            else towers.image_vectors(decode_image(media.read(digest)) for digest in wanted)
        )
    pairs, _ = distinct_pairs(*views)
    rng, random = np.random.default_rng(seed), []
    left, right = vectors[0][pairs[:, 0]], vectors[1][pairs[:, 1]]
    for _ in range(N_RANDOM):
        other = rng.permutation(len(pairs))
        differ = (pairs != pairs[other]).all(axis=1)
        random.append((left[differ] * right[other[differ]]).sum(axis=1))
    return Fits(
        (left * right).sum(axis=1).astype(np.float64), np.concatenate(random).astype(np.float64)
    )
