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
from tasks.samples.decoding import Recording, Undecodable, decode_audio, decode_image
from tasks.samples.media import Media
from tasks.samples.page import PageExhibit, PageSection, Table, stage_page
from tasks.samples.pieces import Piece, audio_piece, image_piece, piece_of, series_piece
from tasks.samples.schema import PARENT_ID, RECIPE, SAMPLE_ID, TARGET, InputSpec, SampleSchema
from tasks.samples.transforms import apply_recipe
from tasks.samples.windows import decode_window
from tasks.samples.wording import number, percent, short

MOST_ROWS = 20
_MOST_PIXELS = 512


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
    lead = ". ".join(report.lines()[:2]) + "."
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
            told.append(f"{spec.name}: {', '.join(map(step_in_words, steps))}")
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
    elif not steps or original.kind == "note":
        yield _named(original, "unchanged")
    else:
        yield _named(original, "before")
        yield changed_piece(
            f"{short(spec.name)} after", spec, media.read(before[spec.column]), steps
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


def changed_piece(
    name: str, spec: InputSpec, content: bytes, steps: Sequence[Mapping[str, Any]]
) -> Piece:
    """Return a medium with its recipe applied, exactly as training applies it."""
    try:
        if spec.modality == "image":
            image = apply_recipe(decode_image(content), steps, "image")
            return image_piece(name, _png(image), "")
        if spec.modality == "audio":
            recording = apply_recipe(decode_audio(content), steps, "audio")
            return audio_piece(name, _wav(recording), "")
    except Undecodable as verdict:
        return Piece(name, "note", f"cannot be shown: {short(str(verdict), 120)}")
    window = apply_recipe(decode_window(content), steps, "timeseries")
    return series_piece(name, window, spec.channels, spec.rate_hz)


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


def step_in_words(step: Mapping[str, Any]) -> str:
    """Say what a step of a recipe does.

    >>> step_in_words({"name": "rotate", "degrees": -3.25})
    'rotate (degrees -3.25)'
    >>> step_in_words({"name": "noise", "sigma": 2.0, "seed": 7})
    'noise (sigma 2)'
    """
    numbers = ", ".join(
        f"{name} {value:.3g}" for name, value in step.items() if name not in ("name", "seed")
    )
    return (
        f"{step['name'].replace('_', ' ')} ({numbers})"
        if numbers
        else str(step["name"].replace("_", " "))
    )
