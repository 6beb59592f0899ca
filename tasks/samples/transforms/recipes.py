"""Recipes: what is done to an input after decoding, with every number that decides the result.

A recipe is a list of steps, ``[{"name": "shift", "dx": 0.05, "dy": -0.02}, ...]``. The seed of any
noise is in it too, so one recipe always gives the same bytes. Lengths are fractions of the input's
own, so a recipe fits an input of any size.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.errors import DataError
from tasks.registry import Registry
from tasks.samples.decoding import Recording
from tasks.samples.transforms.audio import audio_transforms
from tasks.samples.transforms.image import image_transforms
from tasks.samples.transforms.timeseries import timeseries_transforms

Step = Mapping[str, Any]
Medium = TypeVar("Medium", bound=Image.Image | Recording | NDArray[np.float32])


def apply_recipe(value: Medium, recipe: Sequence[Step], modality: str) -> Medium:
    """Apply the steps of a recipe, one after the other, to a decoded input.

    Args:
        value: An RGB image, a :class:`Recording`, or a window ``(n_steps, n_channels)`` of a time
            series in which NaN stands for no value.
        recipe: Steps, each with the name of a transform and its parameters.
        modality: ``image``, ``audio`` or ``timeseries``.

    Raises:
        DataError: The modality has no transforms, or a step does not fit its transform.
    """
    registries: dict[str, Registry[Any]] = {
        "image": image_transforms,
        "audio": audio_transforms,
        "timeseries": timeseries_transforms,
    }
    if modality not in registries:
        raise DataError(
            "a recipe changes an 'image', 'audio' or 'timeseries' input, found one for "
            f"'{modality}'; run `dvc repro --force augment`"
        )
    for step in recipe:
        transform = registries[modality].get(step["name"])
        settings = {name: setting for name, setting in step.items() if name != "name"}
        try:
            value = transform(value, **settings)
        except TypeError as fault:
            raise DataError(
                f"{modality} transform '{step['name']}' cannot take {settings} ({fault}); "
                "run `dvc repro --force augment`"
            ) from None
    return value
