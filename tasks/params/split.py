"""Settings of the split stage: which samples train, validate and test."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, model_validator

from tasks.params.section import Section

Strategy = Literal["random", "grouped", "stratified", "by_time", "predefined", "k_fold", "nested"]


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

    strategy: Strategy = "random"
    """``random`` by the hash of each group: samples that are added move no other.
    ``grouped`` the same, with ``group_by`` required.
    ``stratified`` with the classes in equal parts in each split.
    ``by_time`` train before validation before test.
    ``predefined`` by a column of the data.
    ``k_fold`` one of ``folds`` is test, the next one validation.
    ``nested`` the same with inner folds for validation."""

    group_by: tuple[str, ...] = ()
    """Columns whose values must not be torn apart; samples that share one are one group. Samples
    with equal inputs, or inputs that are near duplicates, are one group always."""

    fractions: SplitFractions = SplitFractions()
    """For ``random``, ``grouped``, ``stratified`` and ``by_time``."""

    stratify_by: tuple[str, ...] = ()
    """Columns to have in equal parts in each split: categories, labels, and numbers by tenths. For
    ``stratified`` the target where none are named; with ``k_fold`` and ``nested``, folds are
    stratified where some are named."""

    time_column: str | None = None
    """For ``by_time``: when a sample was taken. With other strategies, the report says how the
    splits lie in time."""

    gap_seconds: float = Field(0.0, ge=0, le=1e9)
    """For ``by_time``: samples that end this near before the next split begins are set aside."""

    column: str | None = None
    """For ``predefined``: the column that holds train, validation (or val, dev) and test."""

    validation_fraction: float = Field(0.1, gt=0, lt=1)
    """For ``predefined``: the part of train to validate on where the column names none."""

    folds: int = Field(5, ge=3)
    fold: int = Field(0, ge=0)
    """For ``k_fold`` and ``nested``: which fold is test this time, 0 to ``folds`` - 1."""

    inner_folds: int = Field(4, ge=2)
    inner_fold: int = Field(0, ge=0)
    """For ``nested``: which inner fold of the rest is validation, 0 to ``inner_folds`` - 1."""

    few_shot_per_class: int | None = Field(None, ge=1)
    """Train on so many samples of each class (or tenth of a number) only; validation and test stay
    whole, all other training samples go to ``unused.parquet``."""

    on_leak: Literal["fail", "drop_train", "report"] = "fail"
    """What is done where a group, a duplicate or a near duplicate lies in several splits, as in
    published ones: stop; set the training samples aside and keep the test as it was published; or
    tell it in the report only."""

    target_leaks: Literal["fail", "report"] = "fail"
    """``fail`` stops where an input column is a copy of the target. Columns that merely give it
    away are told in the report in either case."""

    @model_validator(mode="after")
    def _strategies_have_what_they_need(self) -> "SplitParams":
        if faults := list(self._faults()):
            raise ValueError("; ".join(faults))
        return self

    def _faults(self) -> Iterator[str]:
        if self.strategy == "predefined" and self.column is None:
            yield "strategy 'predefined' needs 'column', the column that holds it"
        if self.strategy == "by_time" and self.time_column is None:
            yield "strategy 'by_time' needs 'time_column', the column that says when"
        if self.strategy == "grouped" and not self.group_by:
            yield "strategy 'grouped' needs 'group_by', the columns that make a group"
        if self.strategy in ("k_fold", "nested") and self.fold >= self.folds:
            yield f"fold {self.fold} is none of {self.folds} folds, 0 to {self.folds - 1}"
        if self.strategy == "nested" and self.inner_fold >= self.inner_folds:
            yield (
                f"inner_fold {self.inner_fold} is none of {self.inner_folds} inner folds, "
                f"0 to {self.inner_folds - 1}"
            )
        if self.gap_seconds and self.strategy != "by_time":
            yield "gap_seconds is for strategy 'by_time' only"
