"""Make sure that MLflow shows the current model: its run, curves, data, figures and version.

A model that was fine-tuned here has its run already, from :mod:`tasks.tracking.live`. One that DVC
restored, or whose store is new, gets a run now, from the records that the model carries. Everything
is found by what it is, the model's digest, so that tracking twice changes nothing.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from mlflow.entities import Metric, Run, RunTag
from mlflow.entities.model_registry import ModelVersion
from ruamel.yaml import YAML

from tasks.params import Params
from tasks.tracking.datasets import TEST, SeenData, dataset_inputs, seen_data
from tasks.tracking.environment import run_address
from tasks.tracking.findings import Findings, curves
from tasks.tracking.flatten import cut, safe_name, text_without_secrets, without_secrets
from tasks.tracking.live import METRICS_AT_ONCE, TAG_LIMIT, log_params
from tasks.tracking.note import headline, run_note
from tasks.tracking.store import (
    Store,
    as_default,
    open_store,
    project_lock,
    show_figures,
)
from tasks.tracking.tags import (
    DVC_MD5,
    EVALUATION_DIGEST,
    GIT_BRANCH,
    GIT_COMMIT,
    GIT_DIRTY,
    MODEL_DIGEST,
    NOTE,
    RESTORED,
    STAGE,
    evaluation_tags,
    git_tags,
    run_name,
    run_params,
)
from tasks.tracking.versions import find_version, logged_model_id, register

Action = Literal["published", "restored", "updated", "unchanged"]


@dataclass(frozen=True)
class TrackResult:
    """Where MLflow shows the current model.

    Attributes:
        run_id: The run that made it.
        action: What was done: ``published`` its first version, ``restored`` a run that was not
            there, ``updated`` an evaluation that changed, or left it ``unchanged``.
        experiment_id: The experiment of the run.
        model_name: The registered model.
        model_version: Its version.
        url: The page of the run, where the store is a server; None where it is a file.
    """

    run_id: str
    action: Action
    experiment_id: str
    model_name: str
    model_version: str
    url: str | None


def track_project(root: Path, params: Params) -> TrackResult:
    """Make sure that the store shows the current model; do nothing where it does.

    Raises:
        DataError: There is no model, or no evaluation of it.
        PipelineError: The store cannot be opened, or the model does not work when it is served.
    """
    root = root.resolve()
    findings = Findings.read(root)
    store = open_store(root, params.project.name)
    with project_lock(root, "track"), as_default(store):
        runs = _runs_of(store, findings.model_digest)
        version = find_version(store, params.project.name, findings.model_digest)
        stale = [run for run in runs if not _is_described(run, findings)]
        if runs and version is not None and not stale:
            return _result(store, runs[0].info.run_id, "unchanged", version)
        restored = [] if runs else [_restore(store, params, findings)]
        run_id: str = (runs or restored)[0].info.run_id
        action: Action = "restored" if restored else "updated"
        if version is None:
            action = "restored" if restored else "published"
            version = register(store, params.project.name, findings, run_id, headline(findings))
        for run in [*stale, *restored]:
            _describe(store, params, findings, run, version)
        _show(store, findings, version)
    return _result(store, run_id, action, version)


def _show(store: Store, findings: Findings, version: ModelVersion) -> None:
    """Bring the words of the version, and the columns of the table of runs, up to date."""
    primary = findings.primary_metric
    name, number = version.name, version.version
    store.client.update_model_version(name, number, headline(findings))
    value = findings.primary["value"]
    store.client.set_model_version_tag(name, number, f"test_{primary}", f"{value}")
    columns = [f"test_{primary}", f"test_{primary}_low", f"test_{primary}_high"]
    show_figures(store.client, store.experiment_id, [*columns, f"best_floor_{primary}"])


def _runs_of(store: Store, model_digest: str) -> list[Run]:
    """Return the finished runs that made a model, the newest first."""
    runs: list[Run] = store.client.search_runs(
        [store.experiment_id],
        f"tags.`{MODEL_DIGEST}` = '{model_digest}' and attributes.status = 'FINISHED'",
        order_by=["attributes.start_time DESC"],
    )
    return runs


def _is_described(run: Run, findings: Findings) -> bool:
    return bool(run.data.tags.get(EVALUATION_DIGEST) == findings.evaluation_digest)


def _restore(store: Store, params: Params, findings: Findings) -> Run:
    """Make the run of a model that was not fine-tuned under the eyes of this store."""
    tags = {STAGE: "finetune", RESTORED: "true", **git_tags(store.root)}
    run = store.client.create_run(store.experiment_id, tags=tags, run_name=run_name(params))
    run_id = run.info.run_id
    log_params(store.client, run_id, run_params(params))
    points = curves(findings.model)
    for start in range(0, len(points), METRICS_AT_ONCE):
        store.client.log_batch(run_id, metrics=points[start : start + METRICS_AT_ONCE])
    # The digest comes last: a run that is cut short here is not taken for whole.
    store.client.set_tag(run_id, MODEL_DIGEST, findings.model_digest)
    store.client.set_terminated(run_id, "FINISHED")
    return run


def _describe(
    store: Store, params: Params, findings: Findings, run: Run, version: ModelVersion
) -> None:
    """Give a run its figures, data, files and page; the last tag says that all are there."""
    run_id = run.info.run_id
    seen = seen_data(store.root, params.collect.root, findings.hashes)
    store.client.log_inputs(run_id, dataset_inputs(store.root, seen))
    store.client.log_batch(run_id, metrics=_metrics(findings, version, seen))
    _log_files(store, params, findings, run_id)
    tags = {
        **undefined_figures(findings),
        **evaluation_tags(params),
        NOTE: run_note(
            findings, seen, _commit(run), f"#/models/{version.name}/versions/{version.version}"
        ),
    }
    if digest := findings.hashes.get("data/finetune"):
        tags[DVC_MD5] = digest
    store.client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])
    store.client.set_tag(run_id, EVALUATION_DIGEST, findings.evaluation_digest)


def _metrics(findings: Findings, version: ModelVersion, seen: list[SeenData]) -> list[Metric]:
    """Return the figures of the evaluation as metrics of the run, its model and the test data."""
    test = next((data for data in seen if data.name == TEST), None)
    now = int(time.time() * 1000)
    return [
        Metric(
            safe_name(name),
            value,
            now,
            0,
            model_id=logged_model_id(version),
            dataset_name=test.name if test else None,
            dataset_digest=test.digest if test else None,
        )
        for name, value in figures(findings).items()
        if math.isfinite(value)
    ]


def figures(findings: Findings) -> dict[str, float]:
    """Return the figures that MLflow shows: each metric on test, and how it stands to the floors.

    Only the primary metric brings its interval along. Every other figure is in the report and in
    reports/evaluate.json; as metrics they would bury the curves under dozens of charts.
    """
    primary = findings.primary_metric
    named: dict[str, float | None] = {
        f"test_{name}": figure["value"]
        for name, figure in findings.evaluation["test"].items()
        if isinstance(figure, Mapping)
    }
    named[f"test_{primary}_low"] = findings.primary.get("low")
    named[f"test_{primary}_high"] = findings.primary.get("high")
    if findings.best_floor is not None:
        named[f"best_floor_{primary}"] = findings.best_floor[1]
        named["lead_over_best_floor"] = findings.evaluation["lead_over_best_floor"]["value"]
    return {name: value for name, value in named.items() if value is not None}


def undefined_figures(findings: Findings) -> dict[str, str]:
    """Return the metrics on test that have no value, as tags that say why."""
    return {
        safe_name(f"undefined.test_{name}"): cut(figure.get("undefined") or "no value", TAG_LIMIT)
        for name, figure in findings.evaluation["test"].items()
        if isinstance(figure, Mapping)
        and (figure["value"] is None or not math.isfinite(figure["value"]))
    }


def _log_files(store: Store, params: Params, findings: Findings, run_id: str) -> None:
    for path in findings.reports:
        store.client.log_artifact(run_id, str(store.root / path), path.parent.as_posix())
    with TemporaryDirectory(prefix="fuseline-track-") as folder:
        settings = Path(folder) / "params.yaml"
        with settings.open("w", encoding="utf-8") as file:
            YAML(typ="safe", pure=True).dump(without_secrets(params.model_dump(mode="json")), file)
        store.client.log_artifact(run_id, str(settings))
        if (store.root / "dvc.lock").is_file():
            lock = Path(folder) / "dvc.lock"
            text = (store.root / "dvc.lock").read_text(encoding="utf-8")
            lock.write_text(text_without_secrets(text), encoding="utf-8")
            store.client.log_artifact(run_id, str(lock))


def _commit(run: Run) -> dict[str, str]:
    """Return where in git the code of a run stood, for its page."""
    tags = run.data.tags
    shown = {"git commit": tags.get(GIT_COMMIT, ""), "branch": tags.get(GIT_BRANCH, "")}
    if tags.get(GIT_DIRTY) == "true":
        shown["changed since"] = "yes: files differed from the commit"
    return {name: value for name, value in shown.items() if value}


def _result(store: Store, run_id: str, action: Action, version: ModelVersion) -> TrackResult:
    is_server = store.uri.startswith(("http://", "https://"))
    return TrackResult(
        run_id=run_id,
        action=action,
        experiment_id=store.experiment_id,
        model_name=version.name,
        model_version=str(version.version),
        url=run_address(store.uri, store.experiment_id, run_id) if is_server else None,
    )
