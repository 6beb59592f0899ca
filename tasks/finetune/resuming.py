"""Checkpoints that a killed training goes on from: sealed when whole, believed only when sealed.

The library's own resume takes the newest checkpoint, often the one that the kill cut short.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

import tasks
from tasks.params import Params
from tasks.samples.folders import folder_digest, manifest_faults, sha256, write_manifest

_CODE = Path(tasks.__file__).parent


def training_key(params: Params, inputs: list[Path]) -> str:
    """Return a name for a training: equal only for equal settings, data and code.

    Args:
        params: All settings; those that training reads count.
        inputs: The sealed folders it reads.
    """
    told = {
        "project": params.project.model_dump(mode="json", include={"seed", "cpu_threads"}),
        "finetune": params.finetune.model_dump(mode="json"),
        "inputs": [folder_digest(folder) for folder in inputs],
        "code": [
            sha256(path)
            for path in sorted((*_CODE.glob("models/**/*.py"), *_CODE.glob("finetune/*.py")))
        ],
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def newest_whole_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint with the most steps whose every byte is as it was sealed."""
    found = sorted(folder.glob("checkpoint-*"), key=_step, reverse=True)
    return next((path for path in found if not manifest_faults(path)), None)


class SealCheckpoints(TrainerCallback):
    """Seals each checkpoint as soon as it is written."""

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Write the manifest that makes the newest checkpoint a whole one."""
        write_manifest(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}")


def _step(path: Path) -> int:
    return int(path.name.rsplit("-", 1)[1])
