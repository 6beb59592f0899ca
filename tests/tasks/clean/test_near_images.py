"""Images that show the same picture, and those that do not."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tasks.clean.media import judge_image
from tasks.clean.near_duplicates.grouping import members
from tasks.clean.near_duplicates.images import group_images
from tasks.clean.near_duplicates.pictures import Form, codes, resampling
from tasks.params.clean import CleanParams
from tasks.samples.decoding import Undecodable, decode_image, decode_opened, open_image

LIMITS = CleanParams()


def photo(seed, width=320, height=240):
    """A picture with large and small parts, as photographs have them."""
    random = np.random.default_rng(seed)
    layers = [
        np.asarray(
            Image.fromarray(
                random.integers(0, 255, (max(2, height // k), max(2, width // k), 3), np.uint8)
            ).resize((width, height), Image.Resampling.BICUBIC),
            np.float32,
        )
        * share
        for k, share in ((80, 0.6), (30, 0.25), (8, 0.15))
    ]
    return Image.fromarray(np.clip(sum(layers), 0, 255).astype(np.uint8))


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def cropped(image, left, top, right, bottom):
    w, h = image.size
    return image.crop(
        (round(left * w), round(top * h), w - round(right * w), h - round(bottom * h))
    )


EDITS = {
    "half the size": lambda i: encoded(i.resize((i.width // 2, i.height // 2))),
    "another shape": lambda i: encoded(i.resize((224, 224))),
    "q30": lambda i: encoded(i, "JPEG", quality=30),
    "grey": lambda i: encoded(i.convert("L")),
    "blurred": lambda i: encoded(i.filter(ImageFilter.GaussianBlur(2))),
    "brighter": lambda i: encoded(i.point(lambda v: min(255, round(v * 1.15)))),
    "cropped": lambda i: encoded(cropped(i, 0.025, 0.025, 0.025, 0.025)),
    "cropped by 5 % a side": lambda i: encoded(cropped(i, 0.05, 0.05, 0.05, 0.05)),
    "cropped on two sides": lambda i: encoded(cropped(i, 0.05, 0, 0, 0.05)),
    "mirrored": lambda i: encoded(i.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "upside down": lambda i: encoded(i.transpose(Image.Transpose.FLIP_TOP_BOTTOM)),
}


def groups(contents, distance=4, symmetries="flips"):
    sketches = np.stack([judge_image(content, LIMITS).sketch for content in contents])
    found = group_images(len(sketches), lambda at: sketches[at], distance, symmetries)
    return {tuple(group.tolist()) for group in members(found.labels)}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_is_found(edit):
    originals = [photo(seed) for seed in range(12)]
    contents = [encoded(image, "JPEG", quality=92) for image in originals]
    edited = [EDITS[edit](image) for image in originals]
    assert groups([*contents, *edited]) == {(i, i + 12) for i in range(12)}


def test_turned_images_are_the_same_only_where_that_is_asked_for():
    image = photo(1)
    contents = [
        encoded(image),
        encoded(image.transpose(Image.Transpose.ROTATE_90)),
        encoded(photo(2)),
    ]
    assert groups(contents) == set()
    assert groups(contents, symmetries="all") == {(0, 1)}
    mirrored = [encoded(image), EDITS["mirrored"](image)]
    assert groups(mirrored, symmetries="none") == set()


def test_an_image_stored_on_its_side_is_found_upright():
    image = photo(4)
    exif = Image.Exif()
    exif[274] = 6
    lying = image.transpose(Image.Transpose.ROTATE_90)
    assert groups([encoded(image), encoded(lying, "JPEG", quality=90, exif=exif)]) == {(0, 1)}


def test_colours_tell_drawings_apart_but_a_grey_copy_is_the_same():
    def drawing(colour):
        pixels = np.full((200, 200, 3), 240, np.uint8)
        pixels[60:140, 50:130] = colour
        return encoded(Image.fromarray(pixels))

    red, blue = drawing((200, 30, 30)), drawing((30, 60, 220))
    assert groups([red, blue]) == set()
    grey = encoded(Image.open(io.BytesIO(red)).convert("L"))
    assert groups([red, grey]) == {(0, 1)}


def test_small_handwritten_digits_are_all_different():
    from sklearn.datasets import load_digits

    scans = np.unique(load_digits().images.reshape(-1, 64), axis=0)[:600]
    contents = [
        encoded(Image.fromarray((scan.reshape(8, 8) * 15).astype(np.uint8))) for scan in scans
    ]
    found = groups(contents)
    assert sum(map(len, found)) < 0.01 * len(contents)


def test_images_of_one_colour_are_near_none():
    contents = [encoded(Image.new("RGB", (n, 100), (9, 9, 9))) for n in (100, 120, 140)]
    assert groups(contents) == set()


def test_codes_of_a_mirror_image_are_those_of_the_mirrored_form():
    pictures = np.random.default_rng(0).normal(100, 40, (20, 32, 32)).astype(np.float32)
    mirrored = np.ascontiguousarray(pictures[:, :, ::-1])
    assert (codes(pictures, Form(flip_columns=True)) == codes(mirrored, Form())).all()
    turned = np.ascontiguousarray(pictures.swapaxes(1, 2))
    assert (codes(pictures, Form(transpose=True)) == codes(turned, Form())).all()


def test_forms_and_their_waves_agree():
    pictures = np.random.default_rng(0).normal(100, 40, (5, 32, 32)).astype(np.float32)
    for form in (Form((0.05, 1.0), (0.0, 0.95)), Form(columns=(-0.05, 0.95)), Form(flip_rows=True)):
        assert np.allclose(form.waves(pictures), Form().waves(form.of(pictures)), atol=1e-2)


def test_resampling_weighs_by_area():
    assert np.allclose(resampling((0.0, 1.0), 8), np.eye(8))
    half = resampling((0.0, 0.5), 4)
    assert half.tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]]
    assert np.allclose(resampling((-0.1, 0.9), 32).sum(1), 1.0)


def verdict(content, enough):
    try:
        decode_opened(open_image(content), enough)
    except Undecodable as fault:
        return fault.reason
    return "fine"


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_jpeg_decoded_small_is_verified_as_one_decoded_in_full(options):
    random = np.random.default_rng(5)
    content = encoded(photo(7, 640, 480), "JPEG", quality=85, **options)
    verdicts = []
    for _ in range(60):
        broken = bytearray(content)
        if random.random() < 0.5:
            broken = broken[: random.integers(2, len(broken))]
        else:
            for at in random.integers(2, len(broken), 4):
                broken[at] ^= 1 << int(random.integers(8))
        small, full = verdict(bytes(broken), 128), verdict(bytes(broken), None)
        assert small == full
        verdicts.append(full)
    assert {"fine", "truncated"} <= set(verdicts)


@pytest.mark.parametrize(
    ("kind", "size", "smaller"),
    [
        ("JPEG", (640, 480), (160, 120)),
        ("PNG", (640, 480), (128, 96)),
        ("JPEG", (2000, 40), (2000, 40)),
        ("PNG", (90, 60), (90, 60)),
    ],
)
def test_what_is_made_smaller_keeps_enough_pixels(kind, size, smaller):
    content = encoded(photo(3, *size), kind)
    small = decode_opened(open_image(content), 128)
    assert small.size == smaller
    assert small.mode == "RGB"
    one = np.asarray(small.resize((8, 8), Image.Resampling.BOX), float)
    full = decode_image(content).resize((8, 8), Image.Resampling.BOX)
    assert np.abs(one - np.asarray(full, float)).max() < 6


def test_one_dark_pixel_in_a_large_image_is_seen():
    pixels = np.full((600, 800, 3), 200, np.uint8)
    blank = judge_image(encoded(Image.fromarray(pixels)), LIMITS).verdict
    assert [flag for flag, _ in blank.flags] == ["blank_image"]
    pixels[301, 403] = 190
    dotted = judge_image(encoded(Image.fromarray(pixels)), LIMITS).verdict
    assert "blank_image" not in [flag for flag, _ in dotted.flags]
