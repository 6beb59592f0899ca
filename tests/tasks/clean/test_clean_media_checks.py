"""What is odd about images and recordings, and what decoding them normalised."""

import io

import numpy as np
import pytest
import soundfile
from PIL import Image, ImageFilter

from tasks.clean.audio_checks import audio_flags
from tasks.clean.image_checks import pixel_flags, sharpness, small_grey, trailing_bytes
from tasks.samples.decoding import decode_audio

RNG = np.random.default_rng(0)
PICTURE = Image.fromarray(
    np.kron(RNG.integers(0, 255, (30, 40), dtype=np.uint8), np.ones((8, 8), np.uint8))
)
TONE = 0.3 * np.sin(np.arange(8000) / 5)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def sound(samples, rate_hz=8000, kind="WAV", subtype="FLOAT"):
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=kind, subtype=subtype)
    return file.getvalue()


def seen(image):
    return [flag for flag, _ in pixel_flags(small_grey(image), False, 4.0)]


def heard(content, suffix=""):
    return [flag for flag, _ in audio_flags(decode_audio(content), suffix)]


def test_a_blurred_image_and_a_sharp_one():
    assert seen(PICTURE) == []
    assert seen(PICTURE.filter(ImageFilter.GaussianBlur(12))) == ["blurred_image"]
    large = PICTURE.resize((1920, 1440), Image.Resampling.NEAREST)
    assert seen(large) == []
    assert seen(large.filter(ImageFilter.GaussianBlur(70))) == ["blurred_image"]


@pytest.mark.parametrize("side", [8, 28, 64, 95])
def test_small_images_are_not_judged_for_blur(side):
    smooth = Image.linear_gradient("L").resize((side, side))
    assert sharpness(small_grey(smooth)) < 4
    assert seen(smooth) == []


def test_a_picture_of_text_is_not_bright_and_a_night_sky_is_not_dark():
    page = np.full((200, 300), 255, np.uint8)
    assert seen(Image.fromarray(page)) == ["bright_image"]
    page[50:56, 20:280] = 0
    assert seen(Image.fromarray(page)) == []
    night = np.zeros((200, 300), np.uint8)
    night[0, 0] = 255
    assert seen(Image.fromarray(night)) == ["dark_image"]
    night[20:40, 20:60] = 200
    assert seen(Image.fromarray(night)) == []


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_bytes_after_an_image_are_counted(kind):
    content = encoded(PICTURE, kind)
    assert trailing_bytes(content, kind) == 0
    assert trailing_bytes(content + bytes(50), kind) == 0
    assert trailing_bytes(content + b"PK\x03\x04 an archive", kind) == 15


def test_what_is_odd_about_recordings():
    assert heard(sound(TONE)) == []
    assert heard(sound(np.full(8000, 0.8))) == ["silent_audio", "dc_offset"]
    assert heard(sound(TONE + 0.2)) == ["dc_offset"]
    assert heard(sound(TONE * 5)) == ["over_full_scale"]
    assert heard(sound(np.clip(TONE * 5, -1, 1))) == ["clipped_audio"]
    assert heard(sound(np.stack([TONE, -TONE], 1))) == ["antiphase_channels"]
    assert heard(sound(np.stack([TONE] * 6, 1))) == ["many_channels"]
    assert heard(sound(TONE, 7777)) == ["odd_sample_rate"]
    assert heard(sound(TONE, kind="FLAC", subtype="PCM_16"), ".wav") == ["wrong_suffix"]
    assert heard(sound(TONE), ".wav") == []
    assert heard(sound(TONE), ".dat") == []


def test_what_was_normalised_is_counted_once_for_each_medium(clean, flags):
    frames = [PICTURE, PICTURE.rotate(90), PICTURE.rotate(180)]
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = Image.fromarray(np.linspace(0, 65_535, 10_000).astype(np.uint16).reshape(100, 100))
    media = {
        "a.png": encoded(PICTURE, "PNG"),
        "b.png": encoded(PICTURE, "JPEG"),
        "c.jpg": encoded(PICTURE.convert("RGB"), "JPEG", exif=exif),
        "d.jpg": encoded(PICTURE.convert("CMYK"), "JPEG"),
        "e.png": encoded(wide, "PNG"),
        "f.png": encoded(PICTURE.convert("RGBA"), "PNG"),
        "g.gif": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "h.png": encoded(PICTURE.convert("RGB"), "PNG"),
    }
    text = "image\n" + "".join(f"{name}\n" for name in media)
    outcome = clean(text, media, columns={"image": "image"})
    (images,) = outcome.report.media
    assert images.readable == 8
    assert images.formats == {"PNG": 4, "JPEG": 3, "GIF": 1}
    assert images.normalised["exif_rotated"] == 1
    assert images.normalised["cmyk_without_profile"] == 1
    assert images.normalised["sixteen_bit"] == 1
    assert images.normalised["transparency"] == 1
    assert images.normalised["first_frame"] == 1
    assert images.normalised["grey"] == 2
    assert images.width_pixels.highest == 320
    assert flags("animated_image")[0]["detail"] == "3 frames, of which the first is read"
    assert flags("wrong_suffix")[0]["detail"] == "JPEG in a file that ends in .png"


def test_rates_of_recordings_are_counted(clean):
    media = {f"{rate}.wav": sound(TONE, rate) for rate in (8000, 16_000, 44_100)}
    media["stereo.wav"] = sound(np.stack([TONE, TONE], 1), 16_000)
    text = "audio\n" + "".join(f"{name}\n" for name in media)
    outcome = clean(text, media, columns={"audio": "audio"})
    (sounds,) = outcome.report.media
    assert sounds.rates_hz == {"16000": 2, "44100": 1, "8000": 1}
    assert sounds.normalised == {"mixed_down": 1}


def test_media_checks_can_drop(clean):
    media = {"a.png": encoded(PICTURE, "PNG"), "b.png": encoded(Image.new("L", (200, 200)), "PNG")}
    outcome = clean(
        "image\na.png\nb.png\n",
        media,
        columns={"image": "image"},
        limits={"checks": {"blank_image": "drop"}},
    )
    assert outcome.reasons == {"blank_image": 1}
    assert len(outcome.quarantine[0]["sha256"]) == 64
