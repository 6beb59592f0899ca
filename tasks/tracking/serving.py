"""What a served model is asked and what it answers: its columns, its signature and an example."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from tasks.errors import DataError
from tasks.samples.folders import StageFolders
from tasks.samples.media import Media, sample_media
from tasks.samples.schema import SPLIT, SampleSchema
from tasks.samples.tables import iter_batches

Kind = Literal["text", "image", "audio", "timeseries", "number", "category"]

PREDICTED = "predicted"
PROBABILITY = "probability"
VALUE = "value"

REQUIREMENTS = (
    "mlflow",
    "numpy",
    "pandas",
    "pillow",
    "psutil",
    "pyarrow",
    "pydantic",
    "ruamel.yaml",
    "safetensors",
    "soundfile",
    "soxr",
    "tokenizers",
    "torch",
    "transformers",
)
"""The packages that prediction needs; training, DVC and Prefect need more."""

_TYPES = {
    "text": DataType.string,
    "category": DataType.string,
    "number": DataType.double,
    "image": DataType.binary,
    "audio": DataType.binary,
    "timeseries": DataType.binary,
}


@dataclass(frozen=True)
class ServedColumn:
    """One column of a request.

    Attributes:
        name: Its name in a request.
        full: The column of the samples it stands for, ``source.column``.
        kind: What it holds.
    """

    name: str
    full: str
    kind: Kind

    @property
    def is_medium(self) -> bool:
        """Whether it holds the bytes of a file, or of a window of a time series."""
        return self.kind in ("image", "audio", "timeseries")


def served_columns(schema: SampleSchema) -> tuple[ServedColumn, ...]:
    """Return the columns of a request: short names, full ones where two would be the same."""
    asked = list(_asked(schema))
    uses = Counter(_short_name(full, kind) for full, kind in asked)
    return tuple(
        ServedColumn(short if uses[short := _short_name(full, kind)] == 1 else full, full, kind)
        for full, kind in asked
    )


def _short_name(full: str, kind: Kind) -> str:
    """Return a column without its source; windows of a sensor are called by that alone."""
    source, column = full.split(".", 1)
    return source if kind == "timeseries" else column


def signature(schema: SampleSchema, classes: Sequence[str]) -> ModelSignature:
    """Return the signature: every column must be there, so that a misspelt one is refused.

    A cell may still be null. MLflow drops columns it does not know in silence; with optional ones a
    misspelt "imagee" would give a prediction without the image.
    """
    asked: list[ColSpec | TensorSpec] = [
        ColSpec(_TYPES[column.kind], column.name) for column in served_columns(schema)
    ]
    answered: list[ColSpec | TensorSpec] = list(_answered(classes))
    return ModelSignature(Schema(asked), Schema(answered))


def input_example(root: Path, schema: SampleSchema) -> pd.DataFrame:
    """Return one sample of the test split as a request: the first that has every input.

    Raises:
        DataError: There is no test sample, or the data is not there.
    """
    folders = StageFolders(root, root)
    columns = served_columns(schema)
    row = _test_sample(folders.of("augment") / "samples.parquet", [c.full for c in columns])
    media = sample_media(folders)
    cells = {c.name: _as_asked(row[c.full], c, media) for c in columns}
    return pd.DataFrame(
        {name: pd.Series([cell], dtype=_dtype(cell)) for name, cell in cells.items()}
    )


def requirements() -> list[str]:
    """Return the packages prediction needs, at the versions the model was made with."""
    return [f"{name}=={version(name).split('+')[0]}" for name in REQUIREMENTS]


def _asked(schema: SampleSchema) -> Iterator[tuple[str, Kind]]:
    for spec in schema.inputs:
        if spec.modality == "tabular":
            yield from ((column.name, column.kind) for column in spec.columns)
        else:
            yield spec.column, spec.modality


def _answered(classes: Sequence[str]) -> Iterator[ColSpec]:
    if not classes:
        yield ColSpec(DataType.double, VALUE)
        return
    yield ColSpec(DataType.string, PREDICTED)
    yield ColSpec(DataType.double, PROBABILITY)
    yield from (ColSpec(DataType.double, probability_of(name)) for name in classes)


def probability_of(name: str) -> str:
    """Return the column that holds the probability of a class."""
    return f"p_{name}"


def _test_sample(path: Path, columns: list[str]) -> dict[str, Any]:
    first: dict[str, Any] | None = None
    for batch in iter_batches(path, [SPLIT, *columns]):
        test = pa.Table.from_batches([batch]).filter(pa.compute.equal(batch[SPLIT], "test"))
        rows: list[dict[str, Any]] = test.to_pylist()
        for row in rows:
            if all(row[name] is not None for name in columns):
                return row
            first = first or row
    if first is None:
        raise DataError(
            f"{path}: expected samples of split 'test', found none; run `dvc repro split`"
        )
    return first


def _as_asked(value: Any, column: ServedColumn, media: Media) -> Any:
    return media.read(value) if column.is_medium and value is not None else value


def _dtype(cell: Any) -> str:
    return "float64" if isinstance(cell, float) else "object"
