"""A small world to measure: samples with every modality, real media, and a hand-written model."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from PIL import Image

from tasks.evaluate.evaluation import evaluate
from tasks.evaluate.publishing import publish
from tasks.params import Params
from tasks.params.align import AlignParams
from tasks.params.augment import AugmentParams
from tasks.params.clean import CleanParams
from tasks.params.collect import CollectParams, TableSource
from tasks.params.evaluate import EvaluateParams
from tasks.params.finetune import FinetuneParams
from tasks.params.pretrain import PretrainParams
from tasks.params.project import ProjectParams
from tasks.params.split import SplitParams
from tasks.samples.folders import StageFolders, write_manifest
from tasks.samples.media import MediaInMemory, digest_of
from tasks.samples.schema import InputSpec, SampleSchema, TabularColumn

QUESTIONS = ("which digit is it?", "is it even?", "is it more than four?")
SPLIT_OF = ("train", "train", "train", "validation", "test")
REPORTS = {
    "collect": {
        "sources": [
            {
                "name": "questions",
                "kind": "table",
                "path": "questions.csv",
                "collected": 610,
                "readable": 600,
                "quarantined": {"null_target": 10},
                "nulls": {"question": 2},
                "examples": [
                    {"record_id": "q7", "file": "questions.csv", "row": 7, "reason": "null_target"}
                ],
            },
            {
                "name": "scans",
                "kind": "table",
                "path": "scans.jsonl",
                "collected": 200,
                "readable": 197,
                "quarantined": {"truncated": 3},
                "nulls": {},
                "examples": [
                    {"record_id": "s1", "file": "scans/1.png", "row": 3, "reason": "truncated"}
                ],
            },
        ],
        "media_files": 397,
        "media_bytes": 1234567,
    },
    "align": {
        "n_base": 600,
        "n_samples": 590,
        "pairs": [
            {
                "left": "scans",
                "right": "tones",
                "on": "time",
                "matched_left": 190,
                "time": {
                    "tolerance_seconds": 0.5,
                    "clock_offset_seconds": 7.31,
                    "differences_seconds": {
                        "edges": [-0.5, -0.3, -0.1, 0.1, 0.3, 0.5],
                        "counts": [2, 30, 120, 33, 5],
                    },
                },
            }
        ],
        "notices": ["3 tones found no scan"],
    },
    "split": {"strategy": "stratified", "sizes": {"train": 400, "validation": 90, "test": 100}},
    "finetune": {
        "objective": "classification",
        "fusion": "gated",
        "n_train": 400,
        "epochs_run": 3,
        "best_epoch": 2,
        "encoders": {
            "question": {"checkpoint": "pretrain", "architecture": "bert", "trained": "all"},
            "image": {"checkpoint": "pretrain", "architecture": "resnet", "trained": "all"},
        },
    },
}
HISTORY = """epoch,step,split,loss,accuracy,learning_rate
1,10,train,1.9,,0.001
1,10,validation,1.7,0.4,
2,20,train,1.1,,0.0005
2,20,validation,1.0,0.71,
3,30,train,0.6,,0.0001
3,30,validation,1.05,0.73,
"""


@dataclass
class StandIn:
    """A model written by hand, which answers as often right as it is told to."""

    schema: SampleSchema
    classes: tuple[str, ...]
    objective: str
    skill: float
    encodings: dict[str, np.ndarray] = field(default_factory=dict)
    nan_rows: int = 0

    def predict(self, samples: pa.Table, media: Any, cache: Path | None = None) -> np.ndarray:
        for digest in samples["scans.image"].drop_null().to_pylist()[:3]:
            media.read(digest)
        digits = _digits(samples)
        lucky = (digits * 7919 + np.arange(len(digits)) * 104729) % 1000 < self.skill * 1000
        if self.objective == "regression":
            values = np.where(lucky, digits + 0.2, 4.5).astype(np.float32)
            values[: self.nan_rows] = np.nan
            return values
        place = {name: i for i, name in enumerate(self.classes)}
        truth = np.array([place.get(t, 0) for t in samples["target"].to_pylist()], dtype=int)
        said = np.where(lucky, truth, (truth + 1) % len(self.classes))
        sure = 0.55 + 0.4 * ((digits * 31 + np.arange(len(digits))) % 10) / 10
        given = np.repeat(
            ((1 - sure) / max(1, len(self.classes) - 1))[:, None], len(self.classes), 1
        )
        given[np.arange(len(said)), said] = sure
        given = given.astype(np.float32)
        given[: self.nan_rows] = np.nan
        return given

    def encode(
        self, samples: pa.Table, media: Any, cache: Path | None = None
    ) -> dict[str, np.ndarray]:
        random = np.random.default_rng(3)
        digits = _digits(samples)
        clear = np.eye(10)[digits]
        blurred = clear + random.normal(0, 0.6, clear.shape)
        questions = np.array(
            [QUESTIONS.index(q) for q in samples["questions.question"].to_pylist()]
        )
        image = blurred.astype(np.float32)
        image[pa.compute.is_null(samples["scans.image"]).to_numpy(zero_copy_only=False)] = np.nan
        return {
            "question": np.eye(3, dtype=np.float32)[questions],
            "image": image,
            "tone": (clear + random.normal(0, 1.2, clear.shape)).astype(np.float32),
            "tabular": random.normal(0, 1, (len(digits), 4)).astype(np.float32),
        }


def _digits(samples: pa.Table) -> np.ndarray:
    return samples["scans.digit"].to_numpy().astype(int)


@dataclass
class World:
    """Samples, media, settings and folders."""

    samples: pa.Table
    media: MediaInMemory
    schema: SampleSchema
    params: Params
    folders: StageFolders

    def model(self, skill: float = 0.9, **changes: Any) -> StandIn:
        objective = "classification" if self.schema.target_kind == "category" else "regression"
        trained = self.samples.filter(pa.compute.equal(self.samples["split"], "train"))
        classes = (
            () if objective == "regression" else tuple(sorted(set(trained["target"].to_pylist())))
        )
        return StandIn(self.schema, classes, objective, skill, **changes)


@pytest.fixture(scope="module")
def make_world(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., World]:
    def make(
        n: int = 240, objective: str = "classification", augmented: int = 10, **evaluate: Any
    ) -> World:
        return _world(tmp_path_factory.mktemp("world"), n, objective, augmented, evaluate)

    return make


def _world(root: Path, n: int, objective: str, augmented: int, evaluate: dict[str, Any]) -> World:
    random = np.random.default_rng(1)
    contents: dict[str, bytes] = {}
    images, tones = [], []
    for digit in range(10):
        images.append(_remember(contents, _png(digit, random)))
        tones.append(_remember(contents, _wav(digit)))
    rows = []
    for i in range(n):
        scan, digit = i // 3, (i // 3) % 10
        question = QUESTIONS[i % 3]
        answer = (str(digit), "yes" if digit % 2 == 0 else "no", "yes" if digit > 4 else "no")[
            i % 3
        ]
        rows.append(
            {
                "sample_id": f"q{i:04d}",
                "target": answer if objective == "classification" else float(digit),
                "questions.question": question,
                "scans.digit": float(digit),
                "scans.image": None if i % 41 == 0 else images[digit],
                "scans.image.path": f"scans/{scan}.png",
                "tones.tone": tones[digit],
                "tones.tone.path": f"tones/{scan}.wav",
                "scans.writer": f"writer {scan % 5}",
                "group": f"g{scan}",
                "split": ("train", "train", "train", "validation", "test")[
                    scan % 5 if scan % 7 else 0
                ],
                "parent_id": None,
                "recipe": None,
            }
        )
    for i in range(augmented):
        rows.append(
            {**rows[i], "sample_id": f"q{i:04d}~1", "split": "train", "parent_id": f"q{i:04d}"}
        )
    kinds = {
        "scans.digit": pa.float64(),
        "target": pa.string() if objective == "classification" else pa.float64(),
    }
    table = pa.table(
        {k: pa.array([r[k] for r in rows], kinds.get(k, pa.string())) for k in rows[0]}
    )
    schema = SampleSchema(
        inputs=(
            InputSpec(name="question", modality="text", column="questions.question"),
            InputSpec(name="image", modality="image", column="scans.image"),
            InputSpec(name="tone", modality="audio", column="tones.tone"),
            InputSpec(
                name="tabular",
                modality="tabular",
                columns=(
                    TabularColumn(name="scans.writer", kind="category"),
                    TabularColumn(name="scans.digit", kind="number"),
                ),
            ),
        ),
        target_column="questions.answer",
        target_kind="category" if objective == "classification" else "number",
    )
    return World(
        schema.attach(table), MediaInMemory(contents), schema, _params(evaluate), _folders(root)
    )


def _remember(contents: dict[str, bytes], content: bytes) -> str:
    contents[digest_of(content)] = content
    return digest_of(content)


def _png(digit: int, random: np.random.Generator) -> bytes:
    pixels = random.integers(0, 60, (8, 8), dtype=np.uint8)
    pixels[1:7, 2 : 3 + digit % 5] = 200 + digit
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def _wav(digit: int) -> bytes:
    t = np.arange(1600) / 8000
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.4 * np.sin(2 * np.pi * (300 + 60 * digit) * t), 8000, format="WAV")
    return buffer.getvalue()


def _params(evaluate: dict[str, Any]) -> Params:
    source = TableSource(
        kind="table",
        name="questions",
        path="questions.csv",
        columns={"question": "text", "answer": "category"},
    )
    return Params(
        project=ProjectParams(name="digits-qa", seed=7),
        collect=CollectParams(sources=(source,)),
        clean=CleanParams(),
        align=AlignParams(base="questions", inputs=("question",), target="answer"),
        split=SplitParams(),
        augment=AugmentParams(),
        pretrain=PretrainParams(),
        finetune=FinetuneParams(),
        evaluate=EvaluateParams(**({"bootstrap_resamples": 200} | evaluate)),
    )


def _folders(root: Path) -> StageFolders:
    folders = StageFolders(root=root, output=root / "data" / ".evaluate.tmp")
    folders.output.mkdir(parents=True)
    for stage in ("augment", "finetune"):
        (root / "data" / stage).mkdir()
    (root / "data" / "finetune" / "history.csv").write_text(HISTORY)
    for stage in ("augment", "finetune"):
        write_manifest(root / "data" / stage)
    folders.reports.mkdir()
    for stage, said in REPORTS.items():
        (folders.reports / f"{stage}.json").write_text(json.dumps(said))
    return folders


@pytest.fixture(scope="module")
def publish_world(make_world):
    """Measure a world and write everything; equal worlds of a module are measured once."""
    done = {}

    def once(skill: float = 0.85, objective: str = "classification"):
        if (skill, objective) not in done:
            world = make_world(objective=objective)
            evaluation = evaluate(world.model(skill), world.samples, world.media, world.params)
            publish(evaluation, world.schema, world.media, world.params, world.folders)
            done[skill, objective] = world, evaluation
        return done[skill, objective]

    return once
