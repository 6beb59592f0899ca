"""The model's worst mistakes, each with what the model saw: picture, recording, text, table."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.evaluate.results import Evaluation, Measured
from tasks.samples.media import Media
from tasks.samples.pieces import Piece, piece_of
from tasks.samples.schema import SAMPLE_ID, SampleSchema
from tasks.samples.wording import number, short


@dataclass(frozen=True)
class Exhibit:
    """One mistake.

    Attributes:
        sample_id: The sample's name.
        actual: What is true.
        predicted: What the model said.
        sureness: How sure it was, or how far off, in words.
        pieces: What it saw.
    """

    sample_id: str
    actual: str
    predicted: str
    sureness: str
    pieces: tuple[Piece, ...]


def worst_mistakes(measured: Measured, most: int) -> NDArray[np.int64]:
    """Return the rows of the surest wrong classes, or of the largest errors, the worst first."""
    if measured.probabilities is None:
        badness = np.abs(measured.predicted - measured.actual)
        rows = np.arange(measured.n)
    else:
        badness = measured.probabilities.max(axis=1, initial=0.0)
        rows = np.flatnonzero(measured.predicted != measured.actual)
    return rows[np.argsort(-badness[rows], kind="stable")[:most]]


def exhibits(
    evaluation: Evaluation, schema: SampleSchema, media: Media, most: int
) -> list[Exhibit]:
    """Return the worst mistakes on test, with their inputs."""
    test = evaluation.test
    return [
        _exhibit(evaluation, test, int(row), schema, media) for row in worst_mistakes(test, most)
    ]


def _exhibit(
    evaluation: Evaluation, test: Measured, row: int, schema: SampleSchema, media: Media
) -> Exhibit:
    sample = {name: test.rows[name][row].as_py() for name in test.rows.column_names}
    if test.probabilities is None:
        actual, predicted = number(test.actual[row]), number(test.predicted[row])
        sureness = f"off by {number(abs(float(test.predicted[row] - test.actual[row])))}"
    else:
        actual = short(evaluation.class_names[test.actual[row]])
        predicted = short(evaluation.class_names[test.predicted[row]])
        given = test.probabilities[row]
        to_actual = given[test.actual[row]] if test.actual[row] < len(given) else 0.0
        sureness = f"{100 * given.max():.0f} % sure; {100 * to_actual:.0f} % for the right class"
    pieces = tuple(piece_of(spec, sample, media) for spec in schema.inputs)
    return Exhibit(short(str(sample[SAMPLE_ID])), actual, predicted, sureness, pieces)
