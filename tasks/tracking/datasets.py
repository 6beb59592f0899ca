"""The data a model saw, by name and DVC hash, as MLflow's data sets."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from mlflow.entities import Dataset, DatasetInput, InputTag

from tasks.samples.schema import SPLIT
from tasks.samples.tables import open_table, read_table

SAMPLES = Path("data/augment/samples.parquet")
CONTEXT = "mlflow.data.context"
TEST = "test"

_SPLIT_CONTEXTS = {"train": "training", "validation": "validation", TEST: "evaluation"}
_MOST_COLUMNS = 100
_TYPES: Mapping[pa.DataType, str] = {
    pa.string(): "string",
    pa.float64(): "double",
    pa.int64(): "long",
}


@dataclass(frozen=True)
class SeenData:
    """One body of data that went into a model.

    Attributes:
        name: What a person calls it.
        context: What it was used for.
        path: Where it lies, relative to the project.
        digest: DVC's hash of it; `dvc pull` brings it back for a commit that holds the hash.
        n_rows: How many samples; None where it is not a table.
    """

    name: str
    context: str
    path: str
    digest: str
    n_rows: int | None = None

    def as_dataset(self, columns: str | None) -> Dataset:
        """Return it as MLflow shows it."""
        return Dataset(
            name=self.name,
            digest=self.digest,
            source_type="dvc",
            source=json.dumps({"path": self.path, "md5": self.digest}),
            schema=columns if self.n_rows is not None else None,
            profile=json.dumps({"num_rows": self.n_rows}) if self.n_rows is not None else None,
        )


def seen_data(root: Path, raw: str, hashes: Mapping[str, str]) -> list[SeenData]:
    """Return the raw data and the three splits, as far as dvc.lock knows their hashes.

    Args:
        root: The project's folder.
        raw: Path of the raw data, ``collect.root``.
        hashes: DVC's hash by path.
    """
    return [*_raw_data(raw, hashes), *_splits(root, hashes)]


def dataset_inputs(root: Path, seen: list[SeenData]) -> list[DatasetInput]:
    """Return data as what MLflow logs as a run's inputs."""
    columns = _columns(root)
    return [
        DatasetInput(data.as_dataset(columns), [InputTag(CONTEXT, data.context)]) for data in seen
    ]


def _raw_data(raw: str, hashes: Mapping[str, str]) -> Iterator[SeenData]:
    if digest := hashes.get(raw):
        yield SeenData(Path(raw).name, "source", raw, digest)


def _splits(root: Path, hashes: Mapping[str, str]) -> Iterator[SeenData]:
    folder = SAMPLES.parent.as_posix()
    if (digest := hashes.get(folder)) is None:
        return
    sizes = _rows_by_split(root)
    for split, context in _SPLIT_CONTEXTS.items():
        yield SeenData(split, context, folder, digest, sizes.get(split))


def _rows_by_split(root: Path) -> dict[str, int]:
    if not (root / SAMPLES).is_file():
        return {}
    counted = pc.value_counts(read_table(root / SAMPLES, [SPLIT])[SPLIT])
    return {str(row["values"]): int(row["counts"]) for row in counted.to_pylist()}


def _columns(root: Path) -> str | None:
    """Return the columns of the samples as MLflow writes them."""
    if not (root / SAMPLES).is_file():
        return None
    schema: pa.Schema = open_table(root / SAMPLES).schema_arrow
    columns = [
        {"name": field.name, "type": _TYPES.get(field.type, "string"), "required": False}
        for field in list(schema)[:_MOST_COLUMNS]
    ]
    return json.dumps({"mlflow_colspec": columns})
