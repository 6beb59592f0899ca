"""Samples whose inputs tell of their targets and of each other, with faults planted in them."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile
from PIL import Image

from tasks.align.suspects.judging import Suspects, find_suspects
from tasks.params.align import SuspectParams
from tasks.samples.media import MediaInMemory, digest_of
from tasks.samples.schema import InputSpec, SampleSchema, TabularColumn
from tasks.samples.tables import write_table

COLOURS = {
    "red": (200, 40, 40),
    "green": (40, 170, 60),
    "blue": (40, 60, 200),
    "yellow": (210, 200, 40),
}
PITCHES = {"red": 300, "green": 500, "blue": 800, "yellow": 1300}


class World:
    """A table of samples in the making, with the media that its digests name."""

    def __init__(self, n: int, seed: int = 0) -> None:
        self.n = n
        self.rng = np.random.default_rng(seed)
        self.media: dict[str, bytes] = {}
        self.columns: dict[str, list[Any]] = {}
        self.inputs: list[InputSpec] = []

    def keep(self, content: bytes) -> str:
        """Store a medium."""
        self.media[digest_of(content)] = content
        return digest_of(content)

    def add(self, name: str, modality: Any, values: list[Any]) -> None:
        """Add an input of one column."""
        self.columns[f"a.{name}"] = values
        self.inputs.append(InputSpec(name=name, modality=modality, column=f"a.{name}"))

    def add_table(self, **columns: Any) -> None:
        """Add the tabular input."""
        kinds = []
        for name, values in columns.items():
            self.columns[f"a.{name}"] = list(values)
            kind = "number" if isinstance(values[0], float) else "category"
            kinds.append(TabularColumn(name=f"a.{name}", kind=kind))
        self.inputs.append(
            InputSpec(name="tabular", modality="tabular", columns=tuple(kinds))
        )  # fmt: skip

    def colour(self) -> list[str]:
        """Draw a colour for each sample."""
        return [str(c) for c in self.rng.choice(list(COLOURS), self.n)]

    def picture(self, colour: str) -> str:
        """Return a picture of a colour, no two alike."""
        noise = self.rng.normal(0, 25, (12, 12, 3))
        pixels = (np.array(COLOURS[colour]) + noise).clip(0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format="PNG")
        return self.keep(buffer.getvalue())

    def tone(self, colour: str) -> str:
        """Return a recording whose pitch stands for a colour, no two alike."""
        time = np.arange(1600) / 8000
        wave = np.sin(2 * np.pi * PITCHES[colour] * time + self.rng.uniform(0, 6))
        buffer = io.BytesIO()
        samples = 0.3 * wave + self.rng.normal(0, 0.05, len(time))
        soundfile.write(buffer, samples, 8000, format="WAV")
        return self.keep(buffer.getvalue())

    def caption(self, colour: str) -> str:
        """Return a sentence about a colour."""
        thing = self.rng.choice(["house", "car", "boat", "hat", "leaf"])
        verb = self.rng.choice(["I see", "here is", "this shows", "look at"])
        return f"{verb} a {colour} {thing}"

    def table(self, targets: list[Any], kind: Any = "category") -> pa.Table:
        """Return the samples with these targets."""
        schema = SampleSchema(inputs=tuple(self.inputs), target_column="a.y", target_kind=kind)
        ids = pa.array([f"s-{i:05d}" for i in range(self.n)])
        target = pa.array(targets, pa.float64() if kind == "number" else pa.string())
        return schema.attach(pa.table({"sample_id": ids, "target": target, **self.columns}))

    def judge(
        self, folder: Path, table: pa.Table, settings: Mapping[str, Any] | None = None
    ) -> Suspects:
        """Look for suspects among samples."""
        write_table(table, folder / "samples.parquet")
        return find_suspects(
            SuspectParams.model_validate(dict(settings or {})),
            SampleSchema.of(table),
            folder / "samples.parquet",
            lambda: MediaInMemory(self.media),
            folder,
            seed=7,
        )


def spoiled(
    targets: list[str], part: float, rng: np.random.Generator
) -> tuple[list[str], np.ndarray]:
    """Replace some targets by others, and return which."""
    wrong = rng.random(len(targets)) < part
    others = sorted(set(targets))
    return [
        str(rng.choice([o for o in others if o != t])) if w else t
        for t, w in zip(targets, wrong, strict=True)
    ], wrong


def swapped(
    values: list[Any], part: float, rng: np.random.Generator
) -> tuple[list[Any], np.ndarray]:
    """Shuffle some values among themselves, and return which."""
    at = np.flatnonzero(rng.random(len(values)) < part)
    moved = list(values)
    for place, other in zip(at, np.roll(rng.permutation(at), 1), strict=True):
        moved[place] = values[other]
    return moved, np.isin(np.arange(len(values)), at)


def flagged(found: Suspects, flag: str, n: int) -> np.ndarray:
    """Return which samples have a flag."""
    chosen = {int(row["sample_id"][2:]) for row in found.flags.to_pylist() if row["flag"] == flag}
    return np.isin(np.arange(n), sorted(chosen))
