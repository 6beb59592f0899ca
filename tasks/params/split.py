"""Settings of the split stage: which samples train, validate and test."""

from typing import Literal

from pydantic import Field, model_validator

from tasks.params.section import Section


class SplitFractions(Section):
    """How much of the samples each split should get."""

    train: float = Field(default=0.7, gt=0, lt=1)
    validation: float = Field(default=0.15, gt=0, lt=1)
    test: float = Field(default=0.15, gt=0, lt=1)

    @model_validator(mode="after")
    def _sum_to_one(self) -> "SplitFractions":
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"fractions must sum to 1, these sum to {total:g}")
        return self


class SplitParams(Section):
    """How samples are put into splits; a group never crosses from one to another."""

    strategy: Literal["hashed", "stratified", "predefined"] = "hashed"
    """``hashed`` by the hash of the group: stable when samples are added.
    ``stratified`` with the classes in equal parts in each split.
    ``predefined`` by a column of the data."""

    group_by: tuple[str, ...] = ()
    """Columns whose values must not be torn apart; samples that share one are one group."""

    fractions: SplitFractions = SplitFractions()

    column: str | None = None
    """For ``predefined``: the column that holds train, validation (or val, dev) and test."""

    validation_fraction: float = Field(0.1, gt=0, lt=1)
    """For ``predefined``: the part of train to validate on where the column names none."""

    @model_validator(mode="after")
    def _predefined_needs_a_column(self) -> "SplitParams":
        if self.strategy == "predefined" and self.column is None:
            raise ValueError("strategy 'predefined' needs 'column', the column that holds it")
        return self
