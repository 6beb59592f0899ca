"""A small project as the stages leave it, with a real model, and stores that are laid out once."""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from PIL import Image

from tasks.models.inference import processor_folder
from tasks.params import Params, load_params
from tasks.samples.folders import StageFolders, write_manifest
from tasks.samples.media import MediaWriter, sample_media
from tasks.samples.schema import InputSpec, SampleSchema, TabularColumn
from tasks.samples.tables import write_table
from tasks.tracking.store import open_store

SETTINGS = """
project: {name: small-things, seed: 7, cpu_threads: 1, max_bad_fraction: 0.2}
collect:
  root: data/raw/things
  sources:
    - kind: table
      name: things
      path: things.csv
      columns: {question: text, photo: image, sound: audio, weight: number, answer: category}
clean: {}
align: {base: things, inputs: [question, photo, sound, weight], target: answer}
split: {}
augment: {}
pretrain: {epochs: 0, image_size_pixels: 8, width_features: 16}
finetune: {fusion: gated, width_features: 16, learning_rate: 2.0e-3}
evaluate: {}
"""

SCHEMA = SampleSchema(
    inputs=(
        InputSpec(name="question", modality="text", column="things.question"),
        InputSpec(name="photo", modality="image", column="things.photo"),
        InputSpec(name="sound", modality="audio", column="things.sound"),
        InputSpec(
            name="tabular",
            modality="tabular",
            columns=(TabularColumn(name="things.weight", kind="number"),),
        ),
    ),
    target_column="things.answer",
    target_kind="category",
)

EVALUATION = {
    "objective": "classification",
    "primary_metric": "accuracy",
    "confidence": 0.95,
    "test": {
        "accuracy": {"value": 0.9, "low": 0.85, "high": 0.94},
        "log_loss": {"value": 0.31, "low": 0.25, "high": 0.4},
        "roc_auc": {"value": None, "low": None, "high": None, "undefined": "one class only"},
        "n": 120,
        "n_groups": 40,
    },
    "validation": {"accuracy": {"value": 0.91, "low": 0.86, "high": 0.95}, "n": 110},
    "train": {"accuracy": {"value": 0.97, "low": 0.95, "high": 0.99}, "n": 500},
    "floors": {
        "majority": {"value": 0.5, "low": 0.41, "high": 0.59, "method": "most frequent class"},
        "question alone": {"value": 0.6, "low": 0.5, "high": 0.69, "method": "a look-up"},
    },
    "lead_over_best_floor": {
        "value": 0.3,
        "low": 0.2,
        "high": 0.4,
        "over": "question alone",
        "beyond_chance": True,
    },
    "notices": ["2 classes have fewer than 10 samples"],
    "summary": ["accuracy 0.900 on test", "0.300 above the best floor, beyond chance"],
}

HISTORY = """epoch,step,split,loss,accuracy,learning_rate,grad_norm
1.0,10,train,0.9,,0.002,1.5
1.0,10,validation,0.8,0.6,,
2.0,20,train,0.5,,0.001,1.1
2.0,20,validation,0.4,0.8,,
"""


def png(value: int, side: int = 12) -> bytes:
    """Return a small picture."""
    file = io.BytesIO()
    pixels = np.random.default_rng(value).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def wav(value: int) -> bytes:
    """Return a short tone."""
    file = io.BytesIO()
    tone = 0.5 * np.sin(np.arange(4000) * (0.1 + 0.05 * value))
    soundfile.write(file, tone.astype(np.float32), 8000, format="WAV", subtype="PCM_16")
    return file.getvalue()


@pytest.fixture(scope="session", autouse=True)
def _no_store_of_the_users() -> Iterator[None]:
    """Tests keep to their own stores, whatever the environment names."""
    named = os.environ.pop("MLFLOW_TRACKING_URI", None)
    yield
    if named is not None:
        os.environ["MLFLOW_TRACKING_URI"] = named


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose stages have run, without a store; copy it, do not change it."""
    root = tmp_path_factory.mktemp("finished")
    (root / "params.yaml").write_text(SETTINGS)
    _write_samples(root)
    _write_model(root)
    _write_reports(root)
    (root / "dvc.lock").write_text(_lock())
    return root


@pytest.fixture(scope="session")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables and an empty experiment, which takes seconds to make."""
    root = tmp_path_factory.mktemp("laid-out")
    open_store(root, "small-things")
    return root / "mlflow.db"


@pytest.fixture
def project(finished: Path, laid_out: Path, tmp_path: Path) -> Path:
    """A project of its own, with an empty store."""
    root = tmp_path / "project"
    shutil.copytree(finished, root)
    shutil.copy(laid_out, root / "mlflow.db")
    return root


@pytest.fixture
def params(project: Path) -> Params:
    """Its settings."""
    return load_params(project / "params.yaml")


def write_evaluation(root: Path, accuracy: float) -> None:
    """Write another evaluation of the same model."""
    test = EVALUATION["test"] | {"accuracy": {"value": accuracy, "low": 0.7, "high": 0.99}}
    (root / "reports" / "evaluate.json").write_text(json.dumps(EVALUATION | {"test": test}))


def _write_samples(root: Path) -> None:
    n = 12
    with MediaWriter(root / "data/align/windows"):
        pass  # no sensor here
    with MediaWriter(root / "data/collect/media") as media:
        photos = [media.add(png(i), ".png") for i in range(n)]
        sounds = [media.add(wav(i), ".wav") for i in range(n)]
    samples = pa.table(
        {
            "sample_id": [f"s{i}" for i in range(n)],
            "target": ["yes" if i % 2 else "no" for i in range(n)],
            "things.question": ["is it red?", "is it <b>big</b>?"] * (n // 2),
            "things.photo": [*photos[:8], None, *photos[9:]],
            "things.sound": sounds,
            "things.weight": [float(i) for i in range(n)],
            "split": ["train"] * 6 + ["validation"] * 2 + ["test"] * 4,
        }
    )
    samples = SCHEMA.attach(samples)
    for stage in ("split", "augment"):
        write_table(samples, root / "data" / stage / "samples.parquet")
        write_manifest(root / "data" / stage)
    for stage in ("collect", "align"):
        write_manifest(root / "data" / stage)


def _write_model(root: Path) -> None:
    """Write an untrained model just as the finetune stage writes a trained one."""
    from tasks.finetune.building import build_model
    from tasks.finetune.targets import learn_targets
    from tasks.pretrain import stage as pretrain
    from tasks.samples.folders import stage_output
    from tasks.samples.tables import read_table

    params = load_params(root / "params.yaml")
    with stage_output(root, "pretrain") as folders:
        pretrain.run(params, folders)
    samples = read_table(root / "data/augment/samples.parquet")
    targets = learn_targets(samples, SCHEMA)
    pretrained, media = root / "data/pretrain", sample_media(StageFolders(root, root))
    built = build_model(params.finetune, SCHEMA, samples, targets, pretrained, root, media)
    folder = root / "data/finetune"
    built.model.save_pretrained(folder)
    for spec in SCHEMA.inputs:
        built.processors[spec.name].save(processor_folder(SCHEMA, spec, folder))
    (folder / "schema.json").write_text(SCHEMA.model_dump_json(indent=1))
    (folder / "training.json").write_text(json.dumps({"classes": list(targets.classes)}))
    (folder / "history.csv").write_text(HISTORY)
    write_manifest(folder)


def _write_reports(root: Path) -> None:
    reports = root / "reports"
    (reports / "evaluate").mkdir(parents=True, exist_ok=True)
    (reports / "evaluate.json").write_text(json.dumps(EVALUATION))
    (reports / "finetune.json").write_text("{}")
    (reports / "report.html").write_text("<!doctype html><h1>Report</h1>")
    (reports / "model_card.md").write_text("# Model card")
    (reports / "evaluate" / "confusion.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>'
    )


def md5(name: str, end: str = ".dir") -> str:
    """Return a hash such as DVC writes, made up from a name."""
    return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest() + end


def _lock() -> str:
    return f"""schema: '2.0'
stages:
  collect:
    cmd: python -m tasks collect
    deps:
    - path: data/raw/things
      hash: md5
      md5: {md5("things")}
    outs:
    - path: data/collect
      md5: {md5("collect")}
  augment:
    cmd: python -m tasks augment
    outs:
    - path: data/augment
      md5: {md5("augment")}
  finetune:
    cmd: python -m tasks finetune
    outs:
    - path: data/finetune
      md5: {md5("model")}
  evaluate:
    cmd: python -m tasks evaluate
    deps:
    - path: data/finetune
      md5: {md5("model")}
"""
