"""Training with the transformers Trainer, on batches that encode each distinct input once."""

import logging
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, Dataset
from transformers import (
    EarlyStoppingCallback,
    EvalPrediction,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from tasks.errors import TrainingError, listing
from tasks.finetune.resuming import SealCheckpoints, newest_whole_checkpoint
from tasks.models.batches import SharedInputBatches, collate
from tasks.models.fusion_model import FusionModel
from tasks.models.heads.prediction import prediction_loss
from tasks.models.online_augmentation import OnlineAugmentation, mixed_inputs, mixed_loss
from tasks.models.prepared import PreparedInput
from tasks.models.processors.base import Processor
from tasks.params.finetune import FinetuneParams
from tasks.tracking.live import LiveRun

logger = logging.getLogger("tasks.finetune")


@dataclass(frozen=True)
class TrainingData:
    """Prepared samples, with their labels.

    Attributes:
        prepared: By input.
        labels: ``(n,)`` class indices or standardised values.
        sample_ids: ``(n,)`` names, for messages.
        train: Rows to train on.
        validation: Rows to validate on.
        shared: The input that batches are built around, or None.
        weights: ``(n,)`` how much each sample counts in the training loss; None for all alike.
        online: What is done to training batches; None for nothing.
    """

    prepared: dict[str, PreparedInput]
    labels: NDArray[Any]
    sample_ids: list[str]
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    shared: str | None
    weights: NDArray[np.float32] | None = None
    online: OnlineAugmentation | None = None


@dataclass(frozen=True)
class TrainingResult:
    """How training went; the model holds the weights of the best epoch.

    Attributes:
        history: One mapping for each measured point: epoch, step, split, loss and what else.
        epochs_run: Epochs that were begun.
        best_epoch: The epoch with the lowest validation loss.
        best_validation_loss: That loss.
    """

    history: list[dict[str, Any]]
    epochs_run: int
    best_epoch: int
    best_validation_loss: float


def train(
    model: FusionModel,
    data: TrainingData,
    processors: Mapping[str, Processor],
    params: FinetuneParams,
    seed: int,
    checkpoints: Path,
    live: LiveRun,
) -> TrainingResult:
    """Fine-tune the model in place, going on from a checkpoint where there is a whole one.

    Raises:
        TrainingError: The loss is no number any more.
    """
    resume = newest_whole_checkpoint(checkpoints)
    if resume is not None:
        logger.info("resuming from %s", resume.name)
    trainer = FusionTrainer(model, data, processors, params, seed, checkpoints, live)
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    state = trainer.state
    if state.best_metric is None or not math.isfinite(state.best_metric):
        raise TrainingError("no epoch gave a finite validation loss; lower finetune.learning_rate")
    history = [point for entry in state.log_history for point in _points(entry)]
    measured = [p for p in history if p["split"] == "validation"]
    best = min(measured, key=lambda p: p["loss"])
    return TrainingResult(history, round(measured[-1]["epoch"]), round(best["epoch"]), best["loss"])


class FusionTrainer(Trainer):
    """The Trainer, with our batches, two learning rates and strict loading of weights."""

    def __init__(
        self,
        model: FusionModel,
        data: TrainingData,
        processors: Mapping[str, Processor],
        params: FinetuneParams,
        seed: int,
        checkpoints: Path,
        live: LiveRun,
    ) -> None:
        self._data, self._processors, self._params, self._seed = data, processors, params, seed
        terminal = sys.stderr.isatty()
        arguments = TrainingArguments(
            output_dir=str(checkpoints),
            num_train_epochs=params.epochs,
            per_device_train_batch_size=params.batch_size_samples,
            learning_rate=params.learning_rate,
            weight_decay=params.weight_decay,
            warmup_steps=params.warmup_fraction,
            lr_scheduler_type="cosine",
            max_grad_norm=params.max_gradient_norm,
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=2,
            load_best_model_at_end=True,
            metric_for_best_model="eval_loss",
            greater_is_better=False,
            restore_callback_states_from_checkpoint=True,
            logging_strategy="epoch",
            logging_nan_inf_filter=False,
            remove_unused_columns=False,
            label_names=["labels"],
            report_to=[],
            seed=seed,
            data_seed=seed,
            disable_tqdm=not terminal,
            use_cpu=model.missing.device.type == "cpu",
            bf16=params.precision == "bfloat16",
        )
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=_Rows(data.train),
            eval_dataset=_Rows(data.validation),
            compute_metrics=partial(_measures, objective=model.config.objective),
            callbacks=[
                EarlyStoppingCallback(early_stopping_patience=params.early_stopping_epochs),
                SealCheckpoints(),
                TellProgress(live, len(data.train), params.epochs),
            ],
        )
        self.model_accepts_loss_kwargs = False  # the loss is a mean, whatever is accumulated
        self.remove_callback(PrinterCallback)

    def get_train_dataloader(self) -> "EpochLoader":
        """Return shuffled batches that sit around the shared input."""
        data = self._data
        shared = data.prepared[data.shared].index if data.shared else None
        batches = SharedInputBatches(
            data.train, shared, self._params.batch_size_samples, self._seed
        )
        return EpochLoader(
            _Rows(np.arange(len(data.labels))),
            batch_sampler=batches,
            collate_fn=partial(self._collate_for_training, batches),
        )

    def get_eval_dataloader(self, eval_dataset: Any = None) -> "EpochLoader":
        """Return the validation samples, those with the same shared input together."""
        data = self._data
        rows = data.validation
        if data.shared:
            rows = rows[np.argsort(data.prepared[data.shared].index[rows], kind="stable")]
        starts = range(0, len(rows), self._params.batch_size_samples)
        batches = [rows[s : s + self._params.batch_size_samples].tolist() for s in starts]
        return EpochLoader(
            _Rows(np.arange(len(data.labels))), batch_sampler=batches, collate_fn=self._collate
        )

    def _collate(self, rows: list[int]) -> dict[str, Any]:
        device = self.model.missing.device
        inputs = collate(rows, self._data.prepared, self._processors, device)
        return {**self._labelled(rows), "inputs": inputs}

    def _labelled(self, rows: list[int]) -> dict[str, Any]:
        labels = torch.from_numpy(self._data.labels[rows]).to(self.model.missing.device)
        return {"labels": labels, "rows": torch.as_tensor(rows)}

    def _collate_for_training(self, batches: SharedInputBatches, rows: list[int]) -> dict[str, Any]:
        """Collate samples, weighted and changed as the augment stage asked for."""
        data, device = self._data, self.model.missing.device
        batch = self._collate(rows) if data.online is None else self._changed(rows, batches.epoch)
        if data.weights is not None:
            batch["weights"] = torch.from_numpy(data.weights[rows]).to(device)
        return batch

    def _changed(self, rows: list[int], epoch: int) -> dict[str, Any]:
        data, device = self._data, self.model.missing.device
        assert data.online is not None
        drawn = data.online.drawn(rows, epoch)
        given = collate(rows, data.prepared, self._processors, device, drawn.hidden)
        inputs, mixing = data.online.changed(given, drawn)
        return {**self._labelled(rows), "inputs": inputs, "mixing": mixing}

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, **_: Any
    ) -> Any:
        """Return the loss of a batch; name its samples where it is no number."""
        mixing, weights = inputs.get("mixing"), inputs.get("weights")
        with mixed_inputs(self.model.fusion, self.model.fusion.reads_tokens, mixing):
            output = model(inputs=inputs["inputs"], labels=inputs["labels"])
        if mixing is not None or weights is not None:
            output.loss = mixed_loss(
                output.logits, inputs["labels"], self.model.config.objective, mixing, weights
            )
        if not torch.isfinite(output.loss):
            ids = [self._data.sample_ids[row] for row in inputs["rows"].tolist()]
            raise TrainingError(
                f"the loss is {output.loss.item()} at step {self.state.global_step}, in a batch of "
                f"the samples {listing(ids, 8)}; lower finetune.learning_rate, or look at those"
            )
        return (output.loss, output) if return_outputs else output.loss

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Give encoders their own learning rate, and norms and biases no weight decay."""
        chosen: torch.optim.Optimizer | None = getattr(self, "optimizer", None)
        if chosen is None:
            decayed = set(self.get_decay_parameter_names(self.model))
            rate = self._params.learning_rate
            groups: dict[tuple[float, float], list[nn.Parameter]] = {}
            for name, parameter in self.model.named_parameters():
                if parameter.requires_grad:
                    factor = (
                        self._params.encoder_learning_rate_factor if ".backbone." in name else 1.0
                    )
                    decay = self._params.weight_decay if name in decayed else 0.0
                    groups.setdefault((rate * factor, decay), []).append(parameter)
            kind, settings = self.get_optimizer_cls_and_kwargs(self.args, self.model)
            chosen = kind(
                [{"params": p, "lr": r, "weight_decay": d} for (r, d), p in groups.items()],
                **settings,
            )
            self.optimizer = chosen
        return chosen

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Return 0: the library's estimate counts an input once a sample, not once a batch."""
        return 0

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: nn.Module | None = None
    ) -> None:
        self.model.load_weights(Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        # The checkpoint folder may have moved with the project since the path was recorded.
        best = Path(str(self.args.output_dir)) / Path(self.state.best_model_checkpoint).name
        self.model.load_weights(best)


class EpochLoader(DataLoader[Any]):
    """A loader that tells its batches which epoch it is."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order is given next."""
        batches = self.batch_sampler
        if isinstance(batches, SharedInputBatches):
            batches.set_epoch(epoch)


class _Rows(Dataset[int]):
    """Row numbers; the collator looks up what lies behind them."""

    def __init__(self, rows: NDArray[np.int64]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, at: int) -> int:
        return int(self._rows[at])


class TellProgress(TrainerCallback):
    """Says after each epoch how training goes, in the log and to MLflow."""

    def __init__(self, live: LiveRun, n_train: int, n_epochs: int) -> None:
        self._live, self._n_train, self._n_epochs = live, n_train, n_epochs
        self._started = time.monotonic()
        self._first_epoch = 0.0
        self._train_loss = math.nan

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Start the clock."""
        self._started = time.monotonic()
        self._first_epoch = state.epoch or 0.0

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Pass what was measured on."""
        for point in _points({**(logs or {}), "step": state.global_step}):
            split = point["split"]
            metrics = {f"{split}_{k}": v for k, v in point.items() if k in _MEASURES}
            if "learning_rate" in point:
                metrics["learning_rate"] = point["learning_rate"]
            self._live.log(metrics, step=state.global_step)
            if split == "train":
                self._train_loss = point["loss"]
            else:
                self._tell(point)

    def _tell(self, point: dict[str, Any]) -> None:
        seconds = time.monotonic() - self._started
        done = point["epoch"] - self._first_epoch
        left = seconds / done * (self._n_epochs - point["epoch"]) if done else 0
        accuracy = f", accuracy {point['accuracy']:.4f}" if "accuracy" in point else ""
        logger.info(
            "epoch %d of %d: loss %.4f, validation loss %.4f%s (%s samples/s, at most %d s left)",
            round(point["epoch"]),
            self._n_epochs,
            self._train_loss,
            point["loss"],
            accuracy,
            f"{self._n_train * done / seconds:,.0f}" if seconds else "?",
            left,
        )


_MEASURES = ("loss", "accuracy", "grad_norm")


def _points(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one log entry of the Trainer as a point of a curve; [] where it is none."""
    at = {"epoch": entry.get("epoch", 0.0), "step": entry.get("step", 0)}
    if "eval_loss" in entry:
        measured = {m: entry[f"eval_{m}"] for m in _MEASURES if f"eval_{m}" in entry}
        return [{**at, "split": "validation", **measured}]
    if "loss" in entry:
        measured = {m: entry[m] for m in (*_MEASURES, "learning_rate") if m in entry}
        return [{**at, "split": "train", **measured}]
    return []


def _measures(predicted: EvalPrediction, objective: str) -> dict[str, float]:
    """Return the mean loss over samples; the library's own is a mean over batches of any size."""
    outputs, labels = predicted.predictions, predicted.label_ids
    outputs = outputs[0] if isinstance(outputs, tuple) else outputs
    loss = prediction_loss(torch.from_numpy(outputs), torch.from_numpy(labels), objective)
    if objective == "regression":
        return {"loss": loss.item()}
    return {"loss": loss.item(), "accuracy": float((outputs.argmax(axis=1) == labels).mean())}
