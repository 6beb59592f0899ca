"""The finetune stage on real files: it learns, resumes exactly, and refuses what cannot work."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_project import tiny_params, write_tiny_project

from tasks.__main__ import run_stage
from tasks.errors import DataError, ModelError, TrainingError
from tasks.finetune.resuming import newest_whole_checkpoint
from tasks.finetune.training import FusionTrainer
from tasks.models.inference import Predictor
from tasks.params import Params
from tasks.samples.folders import StageFolders, folder_digest, manifest_faults
from tasks.samples.media import sample_media
from tasks.samples.schema import SPLIT, SampleSchema
from tasks.samples.tables import read_table, write_table

SETTINGS = {"epochs": 4, "learning_rate": 3.0e-3, "early_stopping_epochs": 9}


@pytest.fixture(autouse=True)
def _without_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSELINE_TRACKING", "off")


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny")
    run_stage("pretrain", write_tiny_project(root), root)
    return root


@pytest.fixture
def project(pretrained: Path, tmp_path: Path) -> Path:
    shutil.copytree(pretrained, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture(scope="module")
def finetuned(pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("finetuned")
    shutil.copytree(pretrained, root, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUSELINE_TRACKING", "off")
        run_stage("finetune", with_settings(), root)
    return root


def with_settings(**changed: Any) -> Params:
    return tiny_params(finetune={**SETTINGS, **changed})


def curve(root: Path) -> list[dict[str, str]]:
    with (root / "data" / "finetune" / "history.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_loss_falls_and_is_written_down(finetuned: Path) -> None:
    train = [float(p["loss"]) for p in curve(finetuned) if p["split"] == "train"]
    assert len(train) == 4
    assert train[-1] < train[0]
    told = json.loads((finetuned / "reports" / "finetune.json").read_text())
    assert told["n_train"] == 48
    assert set(told["encoders"]) == {"picture", "tone", "question", "watch", "tabular"}


def test_the_predictor_gives_what_the_validation_measured(finetuned: Path) -> None:
    predictor = Predictor.load(finetuned / "data" / "finetune", device="cpu", cpu_threads=1)
    samples = read_table(finetuned / "data" / "split" / "samples.parquet")
    validation = samples.filter(np.asarray(samples[SPLIT].to_pylist()) == "validation")
    media = sample_media(StageFolders(finetuned, finetuned))
    probabilities = predictor.predict(validation, media)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    right = [predictor.classes.index(t) for t in validation["target"].to_pylist()]
    loss = -np.log(probabilities[np.arange(len(right)), right]).mean()
    told = json.loads((finetuned / "reports" / "finetune.json").read_text())
    assert loss == pytest.approx(told["best_validation_loss"], rel=1e-4)


def test_predictions_do_not_depend_on_the_order_of_samples(finetuned: Path) -> None:
    predictor = Predictor.load(finetuned / "data" / "finetune", device="cpu", cpu_threads=1)
    samples = read_table(finetuned / "data" / "split" / "samples.parquet")
    media = sample_media(StageFolders(finetuned, finetuned))
    order = np.random.default_rng(0).permutation(len(samples))
    np.testing.assert_allclose(
        predictor.predict(samples.take(order), media),
        predictor.predict(samples, media)[order],
        rtol=1e-4,
        atol=1e-6,
    )


def test_encode_gives_a_row_a_sample_and_nan_where_there_is_none(finetuned: Path) -> None:
    predictor = Predictor.load(finetuned / "data" / "finetune", device="cpu", cpu_threads=1)
    samples = read_table(finetuned / "data" / "split" / "samples.parquet")
    encoded = predictor.encode(samples, sample_media(StageFolders(finetuned, finetuned)))
    assert set(encoded) == {"picture", "tone", "question", "watch", "tabular"}
    for spec in predictor.schema.inputs:
        if spec.column:
            absent = np.asarray(samples[spec.column].is_null())
            np.testing.assert_array_equal(np.isnan(encoded[spec.name]).all(axis=1), absent)


def test_the_same_settings_and_data_give_the_same_bytes(finetuned: Path, project: Path) -> None:
    run_stage("finetune", with_settings(), project)
    assert folder_digest(project / "data/finetune") == folder_digest(finetuned / "data/finetune")


@pytest.mark.parametrize("dies_after", [1, 3])
def test_killed_training_resumes_to_the_same_bytes(
    finetuned: Path, project: Path, monkeypatch: pytest.MonkeyPatch, dies_after: int
) -> None:
    class Killed(BaseException):
        pass

    saved = []
    save = FusionTrainer._save_checkpoint

    def save_then_die(self: FusionTrainer, *args: Any, **kwargs: Any) -> None:
        save(self, *args, **kwargs)
        saved.append(self.state.global_step)
        if len(saved) == dies_after + 1:  # the newest checkpoint is written, but not sealed
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(FusionTrainer, "_save_checkpoint", save_then_die)
        with pytest.raises(Killed):
            run_stage("finetune", with_settings(), project)
    assert not (project / "data" / "finetune").exists()

    run_stage("finetune", with_settings(), project)
    assert folder_digest(project / "data/finetune") == folder_digest(finetuned / "data/finetune")
    assert not list((project / ".fuseline" / "checkpoints").iterdir())


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    from tasks.samples.folders import write_manifest

    for step in (5, 10, 20):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"weights" * step)
        if step < 20:
            write_manifest(folder)
    assert newest_whole_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    (tmp_path / "checkpoint-10" / "model.safetensors").write_bytes(b"other")
    assert manifest_faults(tmp_path / "checkpoint-10")
    assert newest_whole_checkpoint(tmp_path) == tmp_path / "checkpoint-5"


def test_frozen_encoders_are_encoded_once_and_stay_as_they_were(project: Path) -> None:
    run_stage("finetune", with_settings(train_encoders="none", epochs=1), project)
    told = json.loads((project / "reports" / "finetune.json").read_text())
    trained = {n: e["n_trained_parameters"] for n, e in told["encoders"].items()}
    assert trained["picture"] == trained["tone"] == trained["question"] == 0
    predictor = Predictor.load(project / "data" / "finetune", device="cpu", cpu_threads=1)
    from transformers import AutoModel

    start = AutoModel.from_pretrained(project / "data" / "pretrain" / "image").state_dict()
    kept = predictor.model.encoder("picture").backbone.state_dict()
    assert start.keys() == kept.keys()
    for name, weight in start.items():
        np.testing.assert_array_equal(weight.numpy(), kept[name].numpy(), err_msg=name)


def test_regression_predicts_in_the_targets_own_unit(tmp_path: Path) -> None:
    params = write_tiny_project(tmp_path, target="price")
    settings = {"epochs": 10, "learning_rate": 3.0e-3, "batch_size_samples": 16, "device": "cpu"}
    params = tiny_params(align={"target": "price"}, finetune=settings)
    run_stage("pretrain", params, tmp_path)
    run_stage("finetune", params, tmp_path)
    predictor = Predictor.load(tmp_path / "data" / "finetune", device="cpu", cpu_threads=1)
    samples = read_table(tmp_path / "data" / "split" / "samples.parquet")
    predicted = predictor.predict(samples, sample_media(StageFolders(tmp_path, tmp_path)))
    target = samples["target"].to_numpy()
    assert predicted.shape == target.shape
    assert np.sqrt(np.mean((predicted - target) ** 2)) < target.std()


def test_a_model_with_a_flipped_bit_is_refused(finetuned: Path, tmp_path: Path) -> None:
    shutil.copytree(finetuned / "data" / "finetune", tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 0x40
    weights.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.safetensors: not the bytes that were written"):
        Predictor.load(tmp_path / "model", device="cpu", cpu_threads=1)


def test_one_class_is_refused(project: Path) -> None:
    path = project / "data" / "augment" / "samples.parquet"
    samples = read_table(path)
    schema = SampleSchema.of(samples)
    at = samples.column_names.index("target")
    alike = samples.set_column(at, "target", [["red"] * len(samples)])
    write_table(schema.attach(alike), path)
    with pytest.raises(DataError, match=r"1 class \(red\); at least two are needed"):
        run_stage("finetune", with_settings(), project)


def test_a_loss_that_is_no_number_names_the_batch(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.finetune import stage

    prepare = stage.prepare

    def with_a_hole(*args: Any) -> Any:
        prepared = prepare(*args)
        prepared["tabular"].distinct[:, 0] = np.nan
        return prepared

    monkeypatch.setattr(stage, "prepare", with_a_hole)
    with pytest.raises(TrainingError, match="in a batch of the samples 's"):
        run_stage("finetune", with_settings(), project)
