"""What the finetune stage says of itself."""

from tasks.samples.report import StageReport


class EncoderRecord(StageReport):
    """The encoder of one input."""

    checkpoint: str
    architecture: str
    trained: str
    n_parameters: int
    n_trained_parameters: int
    n_texts_cut: int = 0


class FinetuneReport(StageReport):
    """What was trained, for how long, and how well it went."""

    objective: str
    fusion: str
    n_train: int
    n_augmented: int
    n_validation: int
    train_digest: str
    """Which collected samples scales, vocabularies and weights come from; see
    ``tasks.samples.membership``."""

    n_parameters: int
    n_trained_parameters: int
    epochs_run: int
    best_epoch: int
    stopped_early: bool
    best_validation_loss: float
    shared_input: str | None
    classes: tuple[str, ...]
    encoders: dict[str, EncoderRecord]
    online: tuple[str, ...] = ()
    """What was done to training batches."""

    weighted: bool = False
    """Whether samples counted in the training loss by their weights."""

    notices: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the result in words."""
        early = ", stopped early" if self.stopped_early else ""
        return [
            f"{self.fusion} fusion of {len(self.encoders)} inputs, "
            f"{self.n_trained_parameters:,} of {self.n_parameters:,} parameters trained "
            f"on {self.n_train:,} samples ({self.n_augmented:,} of them augmented)",
            f"best validation loss {self.best_validation_loss:.4f} in epoch {self.best_epoch} "
            f"of {self.epochs_run}{early}",
            *([f"training batches changed: {'; '.join(self.online)}"] if self.online else []),
            *(["samples counted by their weights in the training loss"] if self.weighted else []),
            *self.notices,
        ]
