"""What the pretrain stage says of itself."""

from tasks.samples.report import StageReport


class PretrainedEncoder(StageReport):
    """One encoder that was made."""

    architecture: str
    objective: str
    n_inputs: int
    n_parameters: int
    epochs: int
    first_loss: float | None
    last_loss: float | None


class PretrainReport(StageReport):
    """The encoders that were made, by modality."""

    encoders: dict[str, PretrainedEncoder]

    def lines(self) -> list[str]:
        """Return the result in words."""
        if not self.encoders:
            return ["no encoder was asked for"]
        return [
            f"{modality}: {e.architecture} of {e.n_parameters:,} parameters, "
            + (
                f"{e.objective} on {e.n_inputs:,} distinct inputs, "
                f"loss {e.first_loss:.3f} → {e.last_loss:.3f}, epochs: {e.epochs}"
                if e.first_loss is not None and e.last_loss is not None
                else "left at its random start"
            )
            for modality, e in self.encoders.items()
        ]
