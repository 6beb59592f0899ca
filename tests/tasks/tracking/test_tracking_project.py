"""Tracking the current model: once, whatever it is called with, and whatever was there before."""

import json
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.tracking._tracking_service import utils

from tasks.errors import DataError, PipelineError
from tasks.params import Params, load_params
from tasks.samples.folders import folder_digest, write_manifest
from tasks.tracking.live import live_run
from tasks.tracking.store import open_store
from tasks.tracking.track import TrackResult, track_project


@pytest.fixture(scope="module")
def tracked(finished: Path, laid_out: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose restored model was tracked once."""
    root = tmp_path_factory.mktemp("tracked") / "project"
    shutil.copytree(finished, root)
    shutil.copy(laid_out, root / "mlflow.db")
    track_project(root, load_params(root / "params.yaml"))
    return root


@pytest.fixture
def again(tracked: Path, tmp_path: Path) -> Path:
    """A copy of it, to change."""
    utils._artifact_repos_cache.clear()  # by run, and the copy has the runs of the original
    return Path(shutil.copytree(tracked, tmp_path / "again"))


def settings(root: Path) -> Params:
    """Return the settings of a project."""
    return load_params(root / "params.yaml")


def client_of(root: Path) -> MlflowClient:
    """Return a client of a project's store."""
    return open_store(root, "small-things").client


def contents(root: Path) -> dict[str, bytes]:
    """Return every file of a store's artifacts."""
    files = (root / "mlartifacts").rglob("*")
    return {str(path): path.read_bytes() for path in files if path.is_file()}


def test_a_restored_model_gets_its_run_curves_and_version(tracked: Path) -> None:
    client = client_of(tracked)
    (run,) = client.search_runs(["1"])
    assert run.data.tags["restored"] == "true"
    assert run.data.tags["model.digest"] == folder_digest(tracked / "data/finetune")
    assert run.data.params["finetune.fusion"] == "gated"
    curve = client.get_metric_history(run.info.run_id, "validation_accuracy")
    assert [(point.step, point.value) for point in curve] == [(10, 0.6), (20, 0.8)]

    version = client.get_model_version_by_alias("small-things", "challenger")
    assert version.version == client.get_model_version_by_alias("small-things", "champion").version
    assert version.run_id == run.info.run_id
    assert version.description == "Accuracy 0.9 on 120 test samples (95 % interval 0.85 to 0.94)"


def test_its_figures_are_metrics_of_the_run_and_of_the_model(tracked: Path) -> None:
    client = client_of(tracked)
    (run,) = client.search_runs(["1"])
    shown = {name: v for name, v in run.data.metrics.items() if "loss" not in name or "log" in name}
    assert shown == {
        "test_accuracy": 0.9,
        "test_accuracy_low": 0.85,
        "test_accuracy_high": 0.94,
        "test_log_loss": 0.31,
        "best_floor_accuracy": 0.6,
        "lead_over_best_floor": 0.3,
        "validation_accuracy": 0.8,
        "learning_rate": 0.001,
        "grad_norm": 1.1,
    }
    assert run.data.tags["undefined.test_roc_auc"] == "one class only"
    (found,) = client.search_logged_models(["1"])
    model = client.get_logged_model(found.model_id)
    assert {m.key: m.value for m in model.metrics or []}["test_accuracy"] == 0.9
    assert model.source_run_id == run.info.run_id


def test_the_data_it_saw_is_there_by_name_and_dvc_hash(tracked: Path) -> None:
    (run,) = client_of(tracked).search_runs(["1"])
    seen = {
        given.tags[0].value: (given.dataset.name, given.dataset.digest, given.dataset.profile)
        for given in run.inputs.dataset_inputs
    }
    lock = (tracked / "dvc.lock").read_text()
    assert set(seen) == {"source", "training", "validation", "evaluation"}
    assert all(digest in lock for _, digest, _ in seen.values())
    assert seen["training"][0] == "train"
    assert json.loads(seen["training"][2]) == {"num_rows": 6}
    assert seen["source"][0] == "things"
    assert run.data.tags["dvc.md5"] in lock


def test_its_page_and_files_tell_the_whole_story(tracked: Path) -> None:
    client = client_of(tracked)
    (run,) = client.search_runs(["1"])
    note = run.data.tags["mlflow.note.content"]
    assert note.startswith("**Accuracy 0.9 on 120 test samples (95 % interval 0.85 to 0.94)**")
    assert "| question alone | 0.6 | 0.5 to 0.69 |" in note
    assert "#/models/small-things/versions/1" in note
    names = {file.path for file in client.list_artifacts(run.info.run_id, "reports")}
    assert names >= {"reports/report.html", "reports/model_card.md", "reports/evaluate.json"}
    assert [f.path for f in client.list_artifacts(run.info.run_id, "reports/evaluate")] == [
        "reports/evaluate/confusion.svg"
    ]
    kept = client.download_artifacts(run.info.run_id, "params.yaml", str(tracked))
    assert load_params(Path(kept)) == settings(tracked)


def test_tracking_twice_changes_nothing(again: Path) -> None:
    open_store(again, "small-things")
    database, files = (again / "mlflow.db").read_bytes(), contents(again)
    result = track_project(again, settings(again))
    assert result.action == "unchanged"
    assert (result.model_name, result.model_version, result.url) == ("small-things", "1", None)
    assert (again / "mlflow.db").read_bytes() == database
    assert contents(again) == files


def test_another_evaluation_of_a_model_updates_its_run(again: Path) -> None:
    figures = json.loads((again / "reports/evaluate.json").read_text())
    figures["test"]["accuracy"] |= {"value": 0.95, "low": 0.91}
    (again / "reports/evaluate.json").write_text(json.dumps(figures))

    result = track_project(again, settings(again))
    assert (result.action, result.model_version) == ("updated", "1")
    client = client_of(again)
    (run,) = client.search_runs(["1"])
    assert run.data.metrics["test_accuracy"] == 0.95
    assert run.data.tags["mlflow.note.content"].startswith("**Accuracy 0.95")
    version = client.get_model_version("small-things", "1")
    assert version.description.startswith("Accuracy 0.95")
    kept = client.download_artifacts(run.info.run_id, "reports/evaluate.json", str(again))
    assert json.loads(Path(kept).read_text()) == figures
    assert track_project(again, settings(again)).action == "unchanged"


def test_another_model_becomes_the_challenger_and_not_the_champion(again: Path) -> None:
    params, model = settings(again), again / "data/finetune"
    with live_run(again, params) as live:
        live.log({"train_loss": 0.1}, step=10)
        (model / "history.csv").write_text("epoch,step,split,loss\n1.0,10,train,0.1\n")
        write_manifest(model)
        live.finish(folder_digest(model))

    result = track_project(again, params)
    assert result == TrackResult(live.run_id, "published", "1", "small-things", "2", None)
    client = client_of(again)
    assert client.get_model_version_by_alias("small-things", "challenger").version == 2
    assert client.get_model_version_by_alias("small-things", "champion").version == 1
    run = client.get_run(live.run_id)
    assert "restored" not in run.data.tags
    assert run.data.metrics["test_accuracy"] == 0.9


def test_a_second_training_of_the_same_bytes_makes_no_second_version(again: Path) -> None:
    params = settings(again)
    with live_run(again, params) as live:
        live.finish(folder_digest(again / "data/finetune"))
    result = track_project(again, params)
    assert (result.run_id, result.action, result.model_version) == (live.run_id, "updated", "1")
    assert client_of(again).get_run(live.run_id).data.metrics["test_accuracy"] == 0.9
    assert track_project(again, params).action == "unchanged"


def test_a_publication_that_was_cut_short_is_finished(again: Path) -> None:
    client = client_of(again)
    (run,) = client.search_runs(["1"])
    client.delete_model_version("small-things", "1")
    client.delete_tag(run.info.run_id, "evaluation.digest")
    result = track_project(again, settings(again))
    assert result.run_id == run.info.run_id
    assert len(client.search_logged_models(["1"])) == 1
    assert len(client.search_model_versions("name = 'small-things'")) == 1


def test_words_of_the_user_do_not_break_the_page(again: Path) -> None:
    figures = json.loads((again / "reports/evaluate.json").read_text())
    figures["floors"]["<script>alert(1)</script> | `x`\n# big"] = {"value": 0.1}
    (again / "reports/evaluate.json").write_text(json.dumps(figures))
    track_project(again, settings(again))
    (run,) = client_of(again).search_runs(["1"])
    note = run.data.tags["mlflow.note.content"]
    assert "<script>" not in note
    assert r"&lt;script&gt;alert(1)&lt;/script&gt; \| \`x\` # big" in note


def test_an_evaluation_of_another_model_is_refused(project: Path, params: Params) -> None:
    lock = project / "dvc.lock"
    head, tail = lock.read_text().rsplit("md5: ", 1)
    lock.write_text(f"{head}md5: {'0' * 32}.dir\n")
    assert tail
    with pytest.raises(PipelineError, match="measures another model"):
        track_project(project, params)
    assert not list((project / "mlartifacts").glob("*"))


@pytest.mark.parametrize(
    ("gone", "remedy"),
    [
        ("data/finetune/MANIFEST.json", "dvc repro finetune"),
        ("reports/evaluate.json", "dvc repro evaluate"),
    ],
)
def test_what_is_missing_is_named(project: Path, params: Params, gone: str, remedy: str) -> None:
    (project / gone).unlink()
    with pytest.raises(DataError, match=remedy):
        track_project(project, params)
