"""Images and recordings that must not hurt: each has its reason, and no limit is passed first."""

import base64
import io
import struct
import time
import zlib

import numpy as np
import pytest
import soundfile
from PIL import Image, PngImagePlugin

from tasks.clean.media import judge_audio
from tasks.params.clean import CleanParams
from tasks.samples.decoding import Undecodable, decode_audio, decode_image
from tasks.samples.pieces import image_piece

# As in the pipeline, where Pillow's remarks on broken metadata are of no interest.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

RNG = np.random.default_rng(0)
PICTURE = Image.fromarray(RNG.integers(0, 255, (40, 30, 3), dtype=np.uint8))
NOISE = RNG.normal(0, 0.1, 8000)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def sound(samples, kind="WAV", rate_hz=8000, subtype=None):
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=kind, subtype=subtype)
    return file.getvalue()


def flipped(content, at):
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


def png_of_zeros(width, height):
    """A PNG of one bit a pixel that is tiny on disk and huge in memory, made without the memory."""

    def chunk(kind, content):
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    packer, row = zlib.compressobj(9), bytes(1 + width // 8)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def png_with_text(n_bytes):
    info = PngImagePlugin.PngInfo()
    info.add_text("note", "a" * n_bytes, zip=True)
    return encoded(PICTURE, "PNG", pnginfo=info)


PNG, JPEG = encoded(PICTURE, "PNG"), encoded(PICTURE, "JPEG")

BAD_IMAGES = {
    "001 empty": (b"", "empty_file"),
    "002 one byte": (b"\xff", "not_an_image"),
    "002 random": (RNG.bytes(500), "not_an_image"),
    "003 web page": (b"<!DOCTYPE html><html>404</html>", "not_an_image:html"),
    "004 half a JPEG": (JPEG[: len(JPEG) // 2], "truncated"),
    "005 JPEG without its end": (JPEG[:-2], "truncated"),
    "006 half a PNG": (PNG[: len(PNG) // 2], "truncated"),
    "007 flipped byte in a PNG": (flipped(PNG, len(PNG) // 2), "corrupt"),
    "011 100 megapixels": (png_of_zeros(10_000, 10_000), "too_many_pixels"),
    "013 huge text in a PNG": (png_with_text(50_000_000), "metadata_too_large"),
    "017 floating point": (encoded(Image.new("F", (8, 8), 0.5), "TIFF"), "float_image"),
    "025 SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "unsupported_format"),
    "026 PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "unsupported_format"),
    "026 PDF": (b"%PDF-1.7\n", "unsupported_format"),
    "027 HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0", "unsupported_format"),
    "027 AVIF": (encoded(PICTURE, "AVIF"), "unsupported_format"),
    "028 PSD": (b"8BPS\0\x01" + bytes(50), "unsupported_format"),
    "028 ICNS": (b"icns\0\0\0\x08" + bytes(50), "not_an_image"),
}


@pytest.mark.parametrize(("content", "reason"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_bad_images(content, reason):
    started = time.monotonic()
    with pytest.raises(Undecodable) as fault:
        decode_image(content)
    assert fault.value.reason == reason
    assert fault.value.detail
    assert " at 0x" not in fault.value.detail
    assert time.monotonic() - started < 5


def pixels(content):
    return np.asarray(decode_image(content)).astype(int)


def test_009_bytes_after_the_image_do_not_count():
    assert (pixels(JPEG + b"PK\x03\x04" + RNG.bytes(300)) == pixels(JPEG)).all()


def test_014_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert pixels(content)[0, 0].tolist() == [255, 0, 0]


def test_015_cmyk_gives_its_colours():
    content = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95)
    assert np.abs(pixels(content) - [255, 0, 0]).max() < 12


def test_016_sixteen_bits_keep_their_range():
    ramp = np.linspace(0, 65_535, 256).astype(np.uint16).reshape(16, 16)
    told = pixels(encoded(Image.fromarray(ramp), "PNG"))
    assert np.abs(told[..., 0] - np.arange(256).reshape(16, 16)).max() <= 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_018_exif_turns_the_image_upright(kind, orientation):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16] = 255  # a white corner, top left
    inverse = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    stored = Image.fromarray(upright)
    if orientation > 1:
        stored = stored.transpose(turns[inverse[orientation]])
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    told = pixels(encoded(stored, kind, exif=exif, **options))
    assert told.shape == upright.shape
    assert np.abs(told - upright).max() < 40


def test_024_a_broken_exif_block_does_not_cost_the_image():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    content = bytearray(encoded(PICTURE, "JPEG", exif=exif))
    start = content.index(b"Exif\0\0") + 6
    decoded = 0
    for at in range(start, start + 40):
        try:
            decode_image(bytes(content[:at]) + b"\xff" + bytes(content[at + 1 :]))
            decoded += 1
        except Undecodable as fault:
            assert fault.reason in ("corrupt", "not_an_image")  # noqa: PT017
    assert decoded > 30


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_019_020_transparency_shows_white_and_not_what_is_hidden(mode):
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    if mode == "P":
        content = encoded(Image.new("P", (8, 8), 0), "PNG", transparency=b"\x00")
    else:
        content = encoded(clear.convert(mode), "PNG")
    assert (pixels(content) == 255).all()


def test_021_grey_becomes_three_channels():
    assert pixels(encoded(PICTURE.convert("L"), "PNG")).shape == (40, 30, 3)


BAD_SOUNDS = {
    "033 empty": (b"", "empty_file"),
    "033 text": (b"this is no sound at all, it is only named so", "not_audio"),
    "034 header only": (sound(np.zeros(0)), "zero_length"),
    "037 NaN": (sound(np.array([0.1, np.nan] * 500), subtype="FLOAT"), "non_finite"),
    "038 infinity": (sound(np.array([0.1, np.inf] * 500), subtype="FLOAT"), "non_finite"),
    "044 1 Hz": (sound(NOISE, rate_hz=1), "bad_sample_rate"),
    "044 384 kHz": (sound(NOISE, rate_hz=384_000), "bad_sample_rate"),
    "047 half a WAV": (sound(NOISE)[:8000], "truncated"),
    "048 a header of 4 GB": (
        sound(NOISE)[:40] + b"\xf0\xff\xff\xff" + sound(NOISE)[44:],
        "truncated",
    ),
    "049 half a FLAC": (sound(NOISE, "FLAC")[:5000], "truncated"),
    "049 half an Ogg": (sound(np.tile(NOISE, 4), "OGG")[:9000], "truncated"),
    "049 half an AIFF": (sound(NOISE, "AIFF")[:8000], "truncated"),
    "051 two hours": (sound(np.zeros(2 * 3600 * 1000, np.int16), rate_hz=1000), "too_long"),
}


@pytest.mark.parametrize(("content", "reason"), BAD_SOUNDS.values(), ids=BAD_SOUNDS)
def test_bad_recordings(content, reason):
    with pytest.raises(Undecodable) as fault:
        decode_audio(content)
    assert fault.value.reason == reason
    assert " at 0x" not in fault.value.detail


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "PCM_24"),
        ("WAV", "ULAW"),
        ("WAV", "FLOAT"),
        ("FLAC", None),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", None),
        ("AIFF", None),
    ],
)
def test_043_050_recordings_keep_their_rate_and_length(kind, subtype):
    recording = decode_audio(sound(NOISE, kind, subtype=subtype))
    assert recording.rate_hz == 8000
    assert recording.seconds == pytest.approx(1.0, abs=0.15)
    assert recording.samples.dtype == np.float32
    assert recording.samples.std() == pytest.approx(0.1, rel=0.4)


def test_045_channels_that_cancel_out_are_not_mixed_to_silence():
    told = decode_audio(sound(np.stack([NOISE, -NOISE], axis=1)))
    assert told.n_channels == 2
    assert told.samples.std() == pytest.approx(NOISE.std(), rel=0.01)


def test_046_six_channels_are_mixed():
    channels = RNG.normal(0, 0.1, (8000, 6))
    told = decode_audio(sound(channels))
    assert told.n_channels == 6
    assert np.abs(told.samples - channels.mean(axis=1)).max() < 1e-3


def test_a_recording_of_the_largest_floats_mixes_without_overflow():
    loud = np.full((100, 2), 3e38, np.float32)
    assert np.isfinite(decode_audio(sound(loud, subtype="FLOAT")).samples).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_no_mutation_of_an_image_escapes(kind):
    rng, content = np.random.default_rng(1), encoded(PICTURE, kind)
    for _ in range(150):
        mutant = bytearray(content)
        for at in rng.integers(0, min(len(mutant), 300), rng.integers(1, 5)):
            mutant[at] = rng.integers(256)
        try:
            assert decode_image(bytes(mutant), 1_000_000).mode == "RGB"
        except Undecodable as fault:
            assert fault.reason  # noqa: PT017


def test_012_four_hundred_megapixels_are_refused_before_they_are_decoded():
    started = time.monotonic()
    with pytest.raises(Undecodable, match=r"too_many_pixels: 20000 × 20000"):
        decode_image(png_of_zeros(20_000, 20_000))
    assert time.monotonic() - started < 10


def test_029_a_huge_exif_block_is_bounded():
    exif = b"II*\0\x08\0\0\0" + bytes(60_000_000)
    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif
    chunk += struct.pack(">I", zlib.crc32(b"eXIf" + exif))
    started = time.monotonic()
    assert (pixels(PNG[:33] + chunk + PNG[33:]) == pixels(PNG)).all()
    assert time.monotonic() - started < 10


def test_030_what_a_report_shows_tells_no_place():
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"  # the latitude of a camera
    exif[0x010F] = "maker"
    content = encoded(PICTURE, "JPEG", exif=exif)
    assert b"maker" in content
    shown = image_piece("photo", content, "photo.jpg").content
    told = base64.b64decode(shown.partition(",")[2])
    assert b"maker" not in told
    assert not dict(Image.open(io.BytesIO(told)).getexif())


def test_035_a_recording_shorter_than_a_frame():
    judged = judge_audio(sound(NOISE[:1]), CleanParams())
    assert judged.verdict.reason == "too_short"
