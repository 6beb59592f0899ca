"""The page of the stage: some copies beside what they were made of, and how classes stand."""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from tasks.augment.findings import Shown
from tasks.augment.report import AugmentReport
from tasks.errors import DataError
from tasks.samples.decoding import Recording, decode_audio, decode_image
from tasks.samples.media import Media
from tasks.samples.page import PageExhibit, PageSection, Table, stage_page
from tasks.samples.pieces import (
    THUMBNAIL_PIXELS,
    Piece,
    audio_piece,
    image_piece,
    piece_of,
    series_piece,
)
from tasks.samples.schema import PARENT_ID, RECIPE, SAMPLE_ID, TARGET, InputSpec, SampleSchema
from tasks.samples.transforms import apply_recipe
from tasks.samples.windows import decode_window
from tasks.samples.wording import number, percent, short

MOST_ROWS = 20
_MOST_PIXELS = 1024


def contact_sheet(
    report: AugmentReport, shown: Sequence[Shown], schema: SampleSchema, media: Media
) -> str:
    """Return the page as HTML.

    Args:
        report: The stage's figures.
        shown: The copies to show, with what they were made of.
        schema: Their inputs.
        media: Where images, recordings and windows are read from.
    """
    sections = [
        PageSection(
            title="Balance",
            text="Training samples before and after; validation and test are as they were.",
            notices=report.notices,
            tables=tuple(_balance_tables(report)),
        )
    ]
    if report.online:
        sections.append(
            PageSection(
                title="In training batches",
                text="Drawn anew for each batch while the model trains, so no copy shows it.",
                tables=(Table((), tuple(_pair(words) for words in report.online)),),
            )
        )
    if shown:
        sections.append(
            PageSection(
                title="Before and after",
                text="Copies by chance, as training reads them: a recipe is applied to the decoded "
                "input.",
                exhibits=tuple(_exhibit(pair, schema, media) for pair in shown),
            )
        )
    lead = f"{report.lines()[0]}."
    return stage_page("The augment stage", lead, sections)


def _pair(words: str) -> tuple[str, str]:
    name, _, value = words.replace(": ", " ", 1).partition(" ")
    return name, value


def _balance_tables(report: AugmentReport) -> Iterator[Table]:
    for title, before, after in (
        ("Classes", report.classes_before, report.classes_after),
        ("Inputs that samples have", report.modalities_before, report.modalities_after),
    ):
        if before:
            total, total_after = sum(before.values()), max(1, sum(after.values()))
            rows = [
                (
                    short(name),
                    f"{n:,}",
                    percent(n / max(1, total)),
                    f"{after.get(name, 0):,}",
                    percent(after.get(name, 0) / total_after),
                )
                for name, n in before.items()
            ]
            header = (title, "before", "", "after", "")
            yield Table(header, tuple(rows[:MOST_ROWS]), left_out=max(0, len(rows) - MOST_ROWS))
    if report.weights:
        rows_of_weights = [(short(name), number(w)) for name, w in report.weights.items()]
        yield Table(
            ("Rows of", "count in the loss as"),
            tuple(rows_of_weights[:MOST_ROWS]),
            left_out=max(0, len(rows_of_weights) - MOST_ROWS),
        )


def _exhibit(pair: Shown, schema: SampleSchema, media: Media) -> PageExhibit:
    before, after = pair.before, pair.after
    recipe: dict[str, list[dict[str, Any]]] = json.loads(after[RECIPE] or "{}")
    pieces: list[Piece] = []
    told = []
    for spec in schema.inputs:
        steps = recipe.get(spec.name, [])
        pieces += _pieces(spec, before, after, steps, media)
        if steps:
            told.append(f"{spec.name}: {', '.join(step_in_words(spec.modality, s) for s in steps)}")
    if before[TARGET] != after[TARGET]:
        told.append(f"target: {short(str(before[TARGET]))} → {short(str(after[TARGET]))}")
    caption = "; ".join(told) or "no recipe: see the texts and values"
    return PageExhibit(caption, tuple(pieces), f"{after[SAMPLE_ID]}, a copy of {after[PARENT_ID]}")


def _pieces(
    spec: InputSpec,
    before: dict[str, Any],
    after: dict[str, Any],
    steps: list[dict[str, Any]],
    media: Media,
) -> Iterator[Piece]:
    """Yield an input before and after; once, where it is as it was."""
    if spec.modality == "tabular":
        yield _changed_cells(spec, before, after)
        return
    original = _readable(spec, before, media)
    if spec.modality == "text":
        if before[spec.column] == after[spec.column]:
            yield _named(original, "unchanged")
        else:
            yield _named(original, "before")
            yield _named(_readable(spec, after, media), "after")
    elif (not steps and before[spec.column] == after[spec.column]) or original.kind == "note":
        yield _named(original, "unchanged")
    elif spec.modality == "image":
        first, second = media.read(before[spec.column]), media.read(after[spec.column])
        yield side_by_side(spec, first, second, steps, original.path)
    else:
        yield _named(original, "before")
        yield changed_piece(
            f"{short(spec.name)} after", spec, media.read(after[spec.column]), steps
        )


def _readable(spec: InputSpec, row: dict[str, Any], media: Media) -> Piece:
    try:
        return piece_of(spec, row, media)
    except DataError as fault:
        return Piece(short(spec.name), "note", f"cannot be shown: {short(str(fault), 120)}")


def _named(piece: Piece, which: str) -> Piece:
    return Piece(
        f"{piece.name} {which}", piece.kind, piece.content, piece.cells, piece.path, piece.small
    )


def _changed_cells(spec: InputSpec, before: dict[str, Any], after: dict[str, Any]) -> Piece:
    cells = []
    for column in spec.columns:
        old, new = before[column.name], after[column.name]
        told = _cell(old) if old == new else f"{_cell(old)} → {_cell(new)}"
        cells.append((short(column.name), told))
    return Piece(short(spec.name), "table", cells=tuple(cells))


def _cell(value: Any) -> str:
    if value is None:
        return "missing"
    return number(value) if isinstance(value, float) else short(str(value))


def side_by_side(
    spec: InputSpec,
    content: bytes,
    content_after: bytes,
    steps: Sequence[Mapping[str, Any]],
    path: str,
) -> Piece:
    """Return an image on the left, and what training makes of the copy's on the right.

    The two are the same medium, but for a flip that swaps inputs.
    """
    image = decode_image(content)
    changed = apply_recipe(decode_image(content_after), steps, "image")
    gap = max(1, image.width // 12)
    size = (image.width + gap + changed.width, max(image.height, changed.height))
    both = Image.new("RGB", size, "white")
    both.paste(image, (0, 0))
    both.paste(changed, (image.width + gap, 0))
    larger = max(1, THUMBNAIL_PIXELS // max(both.size))  # else two small ones share one's place
    both = both.resize((larger * both.width, larger * both.height), Image.Resampling.NEAREST)
    return image_piece(f"{short(spec.name)} before and after", _png(both), path)


def changed_piece(
    name: str, spec: InputSpec, content: bytes, steps: Sequence[Mapping[str, Any]]
) -> Piece:
    """Return a recording or a window with its recipe applied, as training does."""
    if spec.modality == "timeseries":
        window = apply_recipe(decode_window(content), steps, "timeseries")
        return series_piece(name, window, spec.channels, spec.rate_hz)
    return audio_piece(name, _wav(apply_recipe(decode_audio(content), steps, "audio")), "")


def _png(image: Image.Image) -> bytes:
    image.thumbnail((_MOST_PIXELS, _MOST_PIXELS))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _wav(recording: Recording) -> bytes:
    buffer = io.BytesIO()
    samples = np.clip(recording.samples, -1.0, 1.0)
    soundfile.write(buffer, samples, recording.rate_hz, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


_STEP_WORDS = {
    ("image", "shift"): "moved {dx:+.0%} across and {dy:+.0%} down",
    ("image", "rotate"): "turned by {degrees:.0f}°",
    ("image", "flip_horizontal"): "mirrored",
    ("image", "crop"): "cropped to {width:.0%} × {height:.0%}",
    ("image", "colour"): "brightness × {brightness:.2f}, contrast × {contrast:.2f}, "
    "saturation × {saturation:.2f}",
    ("image", "blur"): "blurred by {radius:.1%}",
    ("image", "noise"): "noise of {sigma:.0f} levels",
    ("image", "erase"): "{width:.0%} × {height:.0%} painted over",
    ("image", "jpeg"): "JPEG of quality {quality}",
    ("image", "autocontrast"): "contrast stretched",
    ("image", "equalize"): "levels equalised",
    ("image", "posterize"): "{bits} bits a level",
    ("image", "sharpness"): "sharpness × {factor:.2f}",
    ("image", "shear"): "slanted by {x:+.0%} and {y:+.0%}",
    ("audio", "noise"): "noise {snr_db:.0f} dB below",
    ("audio", "gain"): "{db:+.1f} dB",
    ("audio", "shift"): "moved by {seconds:+.3f} s",
    ("audio", "time_mask"): "{length:.0%} silenced",
    ("audio", "frequency_mask"): "mel scale without {low:.0%} to {high:.0%}",
    ("audio", "speed"): "speed × {factor:.2f}",
    ("timeseries", "jitter"): "jitter of {sigma:.0%}",
    ("timeseries", "scale"): "each channel scaled, spread {sigma:.0%}",
    ("timeseries", "warp"): "time warped, spread {sigma:.0%}",
}


def step_in_words(modality: str, step: Mapping[str, Any]) -> str:
    """Say what a step of a recipe does; the name and numbers of a third party's.

    >>> step_in_words("image", {"name": "shift", "dx": 0.05, "dy": -0.02})
    'moved +5% across and -2% down'
    >>> step_in_words("image", {"name": "swirl_up", "turns": 2.0, "seed": 7})
    'swirl up (turns 2)'
    """
    words = _STEP_WORDS.get((modality, step["name"]))
    if words is not None:
        return words.format(**step)
    name = str(step["name"]).replace("_", " ")
    numbers = ", ".join(f"{n} {v:.3g}" for n, v in step.items() if n not in ("name", "seed"))
    return f"{name} ({numbers})" if numbers else name
