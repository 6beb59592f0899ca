"""Changes to decoded inputs, written down as recipes and applied after decoding."""

from tasks.samples.transforms.audio import audio_transforms
from tasks.samples.transforms.image import image_transforms
from tasks.samples.transforms.recipes import apply_recipe
from tasks.samples.transforms.timeseries import timeseries_transforms

__all__ = ["apply_recipe", "audio_transforms", "image_transforms", "timeseries_transforms"]
