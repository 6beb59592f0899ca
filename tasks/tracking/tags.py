"""What a run is called, and the facts it is found again by."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from tasks.params import Params
from tasks.tracking.flatten import flat_settings

STAGE = "stage"
MODEL_DIGEST = "model.digest"
EVALUATION_DIGEST = "evaluation.digest"
RESTORED = "restored"
RESUME_KEY = "resume.key"
DVC_MD5 = "dvc.md5"
GIT_DIRTY = "git.dirty"
GIT_COMMIT = "mlflow.source.git.commit"
GIT_BRANCH = "mlflow.source.git.branch"
NOTE = "mlflow.note.content"


def run_name(params: Params) -> str:
    """Return what a person calls the run: the fusion, the inputs and the learning rate."""
    n = len(params.align.inputs)
    inputs = "1 input" if n == 1 else f"{n} inputs"
    return f"{params.finetune.fusion} · {inputs} · lr {params.finetune.learning_rate:g}"


def run_params(params: Params) -> dict[str, str]:
    """Return the parameters of a run: every setting that made its model.

    Those of the evaluation are tags instead (:func:`evaluation_tags`): the same model may be
    evaluated again in another way, and MLflow lets no parameter change.
    """
    settings = params.model_dump(mode="json")
    del settings["evaluate"]
    return flat_settings(settings)


def evaluation_tags(params: Params) -> dict[str, str]:
    """Return the settings of the evaluation as tags."""
    return flat_settings({"evaluate": params.evaluate.model_dump(mode="json")})


def git_tags(root: Path) -> dict[str, str]:
    """Return the commit the project stands at and whether files differ from it; {} without git.

    dvc.lock may differ: the pipeline writes it while it runs.
    """
    commit = _git(root, "rev-parse", "HEAD")
    if not commit:
        return {}
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!dvc.lock")
    tags: Mapping[str, str] = {
        GIT_COMMIT: commit,
        GIT_BRANCH: _git(root, "rev-parse", "--abbrev-ref", "HEAD") or "",
        GIT_DIRTY: "true" if changed else "false",
    }
    return {name: value for name, value in tags.items() if value}


def _git(root: Path, *arguments: str) -> str | None:
    """Return what git says, or None where there is no git or no commit."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=20
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
