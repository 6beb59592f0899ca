"""Changes to an RGB image; each keeps its size, and lengths are fractions of its own."""

import io
import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from tasks.registry import Registry

image_transforms: Registry[Callable[..., Image.Image]] = Registry("image transform")


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


@image_transforms.register("crop")
def crop_image(image: Image.Image, x: float, y: float, width: float, height: float) -> Image.Image:
    """Cut a rectangle out and stretch it to the size of the image."""
    box = (
        x * image.width,
        y * image.height,
        (x + width) * image.width,
        (y + height) * image.height,
    )
    return image.resize(image.size, Image.Resampling.BILINEAR, box=box)


@image_transforms.register("colour")
def recolour_image(
    image: Image.Image, brightness: float, contrast: float, saturation: float
) -> Image.Image:
    """Change brightness, contrast and saturation; 1 leaves each as it is."""
    image = ImageEnhance.Brightness(image).enhance(brightness)
    image = ImageEnhance.Contrast(image).enhance(contrast)
    return ImageEnhance.Color(image).enhance(saturation)


@image_transforms.register("blur")
def blur_image(image: Image.Image, radius: float) -> Image.Image:
    """Blur with a Gaussian whose standard deviation is that part of the shorter side."""
    return image.filter(ImageFilter.GaussianBlur(radius * min(image.size)))


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


@image_transforms.register("jpeg")
def compress_image(image: Image.Image, quality: int) -> Image.Image:
    """Compress as JPEG, from 1 (coarse) to 95 (fine), and decode again."""
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality)
    with Image.open(buffer, formats=("JPEG",)) as compressed:
        return compressed.convert("RGB")


@image_transforms.register("autocontrast")
def stretch_contrast(image: Image.Image) -> Image.Image:
    """Stretch each colour to the whole range of levels."""
    return ImageOps.autocontrast(image)


@image_transforms.register("equalize")
def equalize_image(image: Image.Image) -> Image.Image:
    """Make all levels of each colour about equally frequent."""
    return ImageOps.equalize(image)


@image_transforms.register("posterize")
def posterize_image(image: Image.Image, bits: int) -> Image.Image:
    """Keep that many bits of each level."""
    return ImageOps.posterize(image, bits)


@image_transforms.register("sharpness")
def sharpen_image(image: Image.Image, factor: float) -> Image.Image:
    """Sharpen where the factor is above 1, soften where it is below."""
    return ImageEnhance.Sharpness(image).enhance(factor)


@image_transforms.register("shear")
def shear_image(image: Image.Image, x: float, y: float) -> Image.Image:
    """Slant an image about its middle, by that part of its height to the side, and so upwards."""
    width, height = image.size
    margin = math.ceil(max(abs(x) * height, abs(y) * width) / 2) + 1
    wide = np.pad(np.asarray(image), ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    middle_x, middle_y = width / 2 + margin, height / 2 + margin
    slanted = Image.fromarray(wide).transform(
        (width + 2 * margin, height + 2 * margin),
        Image.Transform.AFFINE,
        (1, x, -x * middle_y, y, 1, -y * middle_x),
        resample=Image.Resampling.BILINEAR,
    )
    return slanted.crop((margin, margin, margin + width, margin + height))
