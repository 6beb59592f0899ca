"""The registry: one version for each distinct model, found again by the model's digest."""

import json
import logging
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow.pyfunc
from mlflow.entities import LoggedModel, LoggedModelOutput
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model

import tasks
from tasks.errors import PipelineError
from tasks.tracking.findings import Findings
from tasks.tracking.serving import input_example, requirements, signature
from tasks.tracking.store import Store
from tasks.tracking.tags import MODEL_DIGEST

CHALLENGER = "challenger"
CHAMPION = "champion"

_LOG = logging.getLogger("tasks.tracking")


def find_version(store: Store, name: str, model_digest: str) -> ModelVersion | None:
    """Return the version that holds a model, or None."""
    found = store.client.search_model_versions(
        f"name = '{name}' and tags.`{MODEL_DIGEST}` = '{model_digest}'",
        max_results=1,
        order_by=["version_number DESC"],
    )
    return found[0] if found else None


def register(
    store: Store, name: str, findings: Findings, run_id: str, description: str
) -> ModelVersion:
    """Store the model where it can be served from, and make it the newest version and challenger.

    The first version is the champion too.

    Raises:
        PipelineError: The stored model does not predict its own example.
    """
    logged = _logged_model(store, name, findings, run_id)
    _require_registered_model(store, name)
    version = store.client.create_model_version(
        name,
        source=f"models:/{logged.model_id}",
        run_id=run_id,
        model_id=logged.model_id,
        tags={MODEL_DIGEST: findings.model_digest},
        description=description,
    )
    store.client.set_registered_model_alias(name, CHALLENGER, version.version)
    if CHAMPION not in store.client.get_registered_model(name).aliases:
        store.client.set_registered_model_alias(name, CHAMPION, version.version)
    return version


def logged_model_id(version: ModelVersion) -> str | None:
    """Return the logged model that a version registers, which MLflow names only by its source."""
    source = version.source or ""
    return source.removeprefix("models:/") if source.startswith("models:/m-") else None


def _logged_model(store: Store, name: str, findings: Findings, run_id: str) -> LoggedModel:
    """Return the model as MLflow keeps it, stored now or by a publication that was cut short."""
    for logged in store.client.search_logged_models(
        [store.experiment_id], filter_string=f"tags.`{MODEL_DIGEST}` = '{findings.model_digest}'"
    ):
        if logged.status == "READY" and logged.source_run_id == run_id:
            return logged
    logged = store.client.create_logged_model(
        store.experiment_id,
        name=name,
        source_run_id=run_id,
        tags={MODEL_DIGEST: findings.model_digest},
        params=store.client.get_run(run_id).data.params,
        model_type="fusion",
    )
    with tempfile.TemporaryDirectory(prefix="fuseline-model-") as folder:
        packed = Path(folder) / "model"
        _pack(packed, findings, logged, run_id)
        store.client.log_model_artifacts(logged.model_id, str(packed))
    ready = store.client.finalize_logged_model(logged.model_id, "READY")
    store.client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return ready


def _pack(folder: Path, findings: Findings, logged: LoggedModel, run_id: str) -> None:
    """Write the model as a pyfunc folder that needs nothing of this project."""
    # They bring torch along, which takes seconds and is not needed where nothing changed.
    from tasks.models.inference import read_schema
    from tasks.tracking import model_script
    from tasks.tracking.served_model import MODEL

    schema = read_schema(findings.model)
    classes = json.loads((findings.model / "training.json").read_text(encoding="utf-8"))["classes"]
    example = input_example(findings.root, schema)
    with _kept_import_path():
        mlflow.pyfunc.save_model(
            folder,
            python_model=model_script.__file__,
            artifacts={MODEL: str(findings.model)},
            code_paths=[str(Path(tasks.__file__).parent)],
            signature=signature(schema, classes),
            input_example=example,
            pip_requirements=requirements(),
            mlflow_model=Model(
                artifact_path=logged.artifact_location,
                run_id=run_id,
                model_uuid=logged.model_id,
                model_id=logged.model_id,
            ),
        )
        try:
            answer = mlflow.pyfunc.load_model(str(folder)).predict(example)
        except MlflowException as fault:
            raise PipelineError(
                f"{findings.model}: the model does not predict its own example ({fault}); run "
                "`dvc repro --force finetune`"
            ) from fault
    _LOG.info("the stored model predicts its example: %s", answer.iloc[0].to_dict())


@contextmanager
def _kept_import_path() -> Iterator[None]:
    """Undo that MLflow puts the folder of a loaded model's code on the import path."""
    before = list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = before


def _require_registered_model(store: Store, name: str) -> None:
    """Make the registered model where it is missing."""
    try:
        store.client.get_registered_model(name)
    except MlflowException as fault:
        if fault.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        store.client.create_registered_model(
            name, description=f"Models fine-tuned by the project '{name}', one version each."
        )
