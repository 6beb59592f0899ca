"""Changes to decoded images and recordings, written down as recipes and applied after decoding.

A recipe is a list of steps, ``[{"name": "shift", "dx": 0.05, "dy": -0.02}, ...]``. Every number
that decides the result is in it, the seed of any noise too, so one recipe always gives the same
bytes. Lengths are fractions of the image's width or height, so a recipe fits an image of any size.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from tasks.errors import DataError
from tasks.registry import Registry
from tasks.samples.decoding import Recording

Step = Mapping[str, Any]
Medium = TypeVar("Medium", bound=Image.Image | Recording)

image_transforms: Registry[Callable[..., Image.Image]] = Registry("image transform")
audio_transforms: Registry[Callable[..., Recording]] = Registry("audio transform")


def apply_recipe(value: Medium, recipe: Sequence[Step], modality: str) -> Medium:
    """Apply the steps of a recipe, one after the other, to a decoded image or recording.

    Args:
        value: An RGB image, or a :class:`Recording`.
        recipe: Steps, each with the name of a transform and its parameters.
        modality: ``image`` or ``audio``.

    Raises:
        DataError: The modality has no transforms, or a step does not fit its transform.
    """
    registries: dict[str, Registry[Any]] = {"image": image_transforms, "audio": audio_transforms}
    if modality not in registries:
        raise DataError(
            f"a recipe changes an 'image' or 'audio' input, found one for '{modality}'; "
            "run `dvc repro --force augment`"
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


@image_transforms.register("shift")
def shift_image(image: Image.Image, dx: float, dy: float) -> Image.Image:
    """Move an image right and down; its edge is repeated where nothing is left to show."""
    right, down = round(dx * image.width), round(dy * image.height)
    rows = (np.arange(image.height) - down).clip(0, image.height - 1)
    columns = (np.arange(image.width) - right).clip(0, image.width - 1)
    return Image.fromarray(np.ascontiguousarray(np.asarray(image)[rows][:, columns]))


@image_transforms.register("rotate")
def rotate_image(image: Image.Image, degrees: float) -> Image.Image:
    """Turn an image about its middle, anticlockwise; its edge is repeated in the corners."""
    width, height = image.size
    margin = math.ceil(abs(math.sin(math.radians(degrees))) * max(width, height) / 2) + 1
    wide = np.pad(np.asarray(image), ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    turned = Image.fromarray(wide).rotate(degrees, resample=Image.Resampling.BILINEAR)
    return turned.crop((margin, margin, margin + width, margin + height))


@image_transforms.register("flip_horizontal")
def flip_image(image: Image.Image) -> Image.Image:
    """Mirror an image left to right."""
    return ImageOps.mirror(image)


@image_transforms.register("colour")
def recolour_image(
    image: Image.Image, brightness: float, contrast: float, saturation: float
) -> Image.Image:
    """Change brightness, contrast and saturation; 1 leaves each as it is."""
    image = ImageEnhance.Brightness(image).enhance(brightness)
    image = ImageEnhance.Contrast(image).enhance(contrast)
    return ImageEnhance.Color(image).enhance(saturation)


@image_transforms.register("noise")
def noise_image(image: Image.Image, sigma: float, seed: int) -> Image.Image:
    """Add Gaussian noise with a standard deviation of ``sigma`` of the 255 levels."""
    levels = np.asarray(image, dtype=np.float32)
    noise = np.random.default_rng(seed).standard_normal(levels.shape, dtype=np.float32)
    return Image.fromarray((levels + sigma * noise).round().clip(0, 255).astype(np.uint8))


@image_transforms.register("erase")
def erase_image(image: Image.Image, x: float, y: float, width: float, height: float) -> Image.Image:
    """Paint a rectangle over with the image's mean colour."""
    pixels = np.array(image)
    left, top = round(x * image.width), round(y * image.height)
    right, bottom = round((x + width) * image.width), round((y + height) * image.height)
    pixels[top:bottom, left:right] = pixels.mean(axis=(0, 1)).round().astype(np.uint8)
    return Image.fromarray(pixels)


@audio_transforms.register("noise")
def noise_recording(recording: Recording, snr_db: float, seed: int) -> Recording:
    """Add white noise, ``snr_db`` decibels under the recording's own power; silence stays so."""
    samples = recording.samples
    power = float(np.square(samples, dtype=np.float64).mean()) if len(samples) else 0.0
    noise = np.random.default_rng(seed).standard_normal(len(samples), dtype=np.float32)
    return _with_samples(recording, samples + noise * math.sqrt(power / 10 ** (snr_db / 10)))


@audio_transforms.register("gain")
def gain_recording(recording: Recording, db: float) -> Recording:
    """Make a recording louder or softer."""
    return _with_samples(recording, recording.samples * 10 ** (db / 20))


@audio_transforms.register("shift")
def shift_recording(recording: Recording, seconds: float) -> Recording:
    """Move a recording later, or earlier, within its length; silence fills the gap.

    It is moved by half its length at most, so that a short one does not vanish.
    """
    samples = recording.samples
    most = len(samples) // 2
    later = max(-most, min(most, round(seconds * recording.rate_hz)))
    moved = np.zeros_like(samples)
    if later >= 0:
        moved[later:] = samples[: len(samples) - later]
    else:
        moved[:later] = samples[-later:]
    return _with_samples(recording, moved)


def _with_samples(recording: Recording, samples: NDArray[Any]) -> Recording:
    return Recording(np.asarray(samples, dtype=np.float32), recording.rate_hz, recording.n_channels)
