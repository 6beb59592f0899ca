"""A project of some hundred samples with all four modalities, ready for pretrain and finetune.

A sample shows a square of one of three colours, plays one of two tones, asks a question and has two
numbers and a category. The answer needs the question and what it asks about.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile
from numpy.typing import NDArray
from PIL import Image

from tasks.params import Params
from tasks.samples.folders import write_manifest
from tasks.samples.media import MediaWriter
from tasks.samples.schema import InputSpec, SampleSchema, TabularColumn
from tasks.samples.tables import write_table
from tasks.samples.windows import WINDOW_SUFFIX, encode_window

COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}
TONES_HZ = {"low": 500, "high": 1500}


def tiny_params(**sections: dict[str, Any]) -> Params:
    """Return valid settings, small enough to train in a second, with some sections changed."""
    settings: dict[str, Any] = {
        "project": {"name": "tiny", "seed": 3, "cpu_threads": 1},
        "collect": {
            "sources": (
                {
                    "kind": "table",
                    "name": "rows",
                    "path": "rows.csv",
                    "columns": {
                        "picture": "image",
                        "tone": "audio",
                        "question": "text",
                        "size": "number",
                        "place": "category",
                        "answer": "category",
                        "price": "number",
                    },
                },
            )
        },
        "clean": {},
        "align": {
            "base": "rows",
            "inputs": ("picture", "tone", "question", "size", "place"),
            "target": "answer",
        },
        "split": {},
        "augment": {},
        "pretrain": {"epochs": 1, "width_features": 16, "image_size_pixels": 16},
        "finetune": {
            "epochs": 2,
            "batch_size_samples": 16,
            "width_features": 16,
            "device": "cpu",
        },
        "evaluate": {"bootstrap_resamples": 100},
    }
    for name, changed in sections.items():
        settings[name] = {**settings[name], **changed}
    return Params.model_validate(settings)


def write_tiny_project(
    root: Path, n_scenes: int = 48, target: str = "answer", missing: float = 0.1
) -> Params:
    """Write what the stages before pretrain would have written; return settings that fit."""
    generator = np.random.default_rng(0)
    media_folder = root / "data" / "collect"
    rows: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    with (
        MediaWriter(media_folder / "media") as media,
        MediaWriter(root / "data" / "align" / "windows") as windows,
    ):
        for scene in range(n_scenes):
            colour = list(COLOURS)[scene % 3]
            tone = list(TONES_HZ)[scene // 3 % 2]
            picture = media.add(_picture(colour, generator), ".png")
            sound = media.add(_tone(tone, generator), ".wav")
            window = _motion(np.random.default_rng(scene))
            motion = windows.add(encode_window(window), WINDOW_SUFFIX)
            split = "train" if scene % 4 < 2 else "validation" if scene % 4 == 2 else "test"
            for question, answer in (("which colour?", colour), ("which tone?", tone)):
                absent = generator.random(2) < missing
                size = float(scene % 3) + generator.normal(0, 0.1)
                rows["sample_id"].append(f"s{scene}-{question[6]}")
                rows["rows.picture"].append(None if absent[0] else picture)
                rows["rows.tone"].append(None if absent[1] else sound)
                rows["rows.question"].append(question)
                rows["watch.window"].append(motion)
                rows["rows.size"].append(size)
                rows["rows.place"].append(["north", "south", None][scene % 3])
                rows["rows.answer"].append(answer)
                rows["rows.price"].append(2 * size + scene % 2)
                rows["group"].append(f"g{scene}")
                rows["split"].append(split)
    table = pa.table(rows, schema=pa.schema(_COLUMNS))
    table = table.add_column(1, "target", table[f"rows.{target}"])
    schema = SampleSchema(
        inputs=(
            InputSpec(name="picture", modality="image", column="rows.picture"),
            InputSpec(name="tone", modality="audio", column="rows.tone"),
            InputSpec(name="question", modality="text", column="rows.question"),
            InputSpec(
                name="watch",
                modality="timeseries",
                column="watch.window",
                channels=("x", "y"),
                rate_hz=20.0,
                n_steps=16,
            ),
            InputSpec(
                name="tabular",
                modality="tabular",
                columns=(
                    TabularColumn(name="rows.size", kind="number"),
                    TabularColumn(name="rows.place", kind="category"),
                ),
            ),
        ),
        target_column=f"rows.{target}",
        target_kind="category" if target == "answer" else "number",
    )
    table = schema.attach(table)
    write_table(table, root / "data" / "split" / "samples.parquet")
    nothing = pa.nulls(len(table), pa.string())
    augmented = table.append_column("parent_id", nothing).append_column("recipe", nothing)
    write_table(schema.attach(augmented), root / "data" / "augment" / "samples.parquet")
    (root / "data" / "augment" / "online.json").write_text("{}\n")
    for stage in ("collect", "align", "split", "augment"):
        write_manifest(root / "data" / stage)
    return tiny_params(align={"target": target})


_COLUMNS = {
    "sample_id": pa.string(),
    "rows.picture": pa.string(),
    "rows.tone": pa.string(),
    "rows.question": pa.string(),
    "watch.window": pa.string(),
    "rows.size": pa.float64(),
    "rows.place": pa.string(),
    "rows.answer": pa.string(),
    "rows.price": pa.float64(),
    "group": pa.string(),
    "split": pa.string(),
}


def _motion(generator: np.random.Generator) -> NDArray[np.float64]:
    """Return a window of two channels, the second of which begins late."""
    window = generator.normal(size=(16, 2)).cumsum(axis=0)
    window[:3, 1] = np.nan
    return window


def _picture(colour: str, generator: np.random.Generator) -> bytes:
    pixels = np.full((20, 20, 3), COLOURS[colour]) + generator.normal(0, 10, (20, 20, 3))
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, format="PNG")
    return file.getvalue()


def _tone(tone: str, generator: np.random.Generator) -> bytes:
    time = np.arange(2400) / 8000
    samples = 0.3 * np.sin(2 * np.pi * TONES_HZ[tone] * time) + generator.normal(0, 0.02, 2400)
    file = io.BytesIO()
    soundfile.write(file, samples, 8000, format="WAV", subtype="PCM_16")
    return file.getvalue()
