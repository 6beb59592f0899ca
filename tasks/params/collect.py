"""Settings of the collect stage: where the data is and what its columns mean."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tasks.params.section import Section

ColumnType = Literal["text", "category", "labels", "number", "time", "key", "image", "audio"]
"""What a column holds. ``image`` and ``audio`` columns hold paths of files under the root; a
``labels`` cell holds several categories, parted by ``;``."""


class TableSource(Section):
    """A table: one record a row."""

    kind: Literal["table"]
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    path: str
    """A .csv, .tsv, .jsonl or .parquet file, relative to ``collect.root``."""

    columns: dict[str, ColumnType] = Field(min_length=1)
    """The columns to take, and what each holds; all others are left out."""

    id: str | None = None
    """A column that names each record; without it, a record is named by its content."""

    delimiter: str = Field(",", min_length=1, max_length=1)
    encoding: str = "utf-8"
    null_values: tuple[str, ...] = ("",)
    """Cells that mean "no value"; everything else, "NA" and "null" too, is a value."""

    time_unit: Literal["iso", "s", "ms", "us", "ns"] = "iso"
    """How ``time`` columns are written: ISO 8601, or a number since 1970."""

    time_zone: str = "UTC"
    """The zone of ISO times that carry none."""

    @model_validator(mode="after")
    def _id_is_a_column(self) -> "TableSource":
        if self.id is not None and self.id not in self.columns:
            raise ValueError(f"id '{self.id}' is not among the columns of source '{self.name}'")
        return self

    @model_validator(mode="after")
    def _names_are_free(self) -> "TableSource":
        media = [name for name, kind in self.columns.items() if kind in ("image", "audio")]
        taken = {"record_id", *(f"{name}.path" for name in media)}
        if clash := taken & self.columns.keys():
            raise ValueError(
                f"column '{min(clash)}' of source '{self.name}' has a name that the tables of "
                "records use themselves; rename it"
            )
        return self


class FolderSource(Section):
    """A folder of media files: one record a file.

    Its columns are ``file`` (the medium), ``label`` (the name of the folder a file lies in) and
    ``stem`` (the file's name without its ending, the key that files of one sample often share).
    """

    kind: Literal["folder"]
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    path: str
    modality: Literal["image", "audio", "text"]

    @property
    def columns(self) -> dict[str, ColumnType]:
        """The columns that a folder always has."""
        return {"file": self.modality, "label": "category", "stem": "key"}

    @property
    def id(self) -> str | None:
        """A file is named by its path."""
        return None


class SensorSource(Section):
    """Readings of a sensor: one record a reading, in one file or one file for each recording.

    Its columns are ``time``, those of ``values``, and ``series``, the recording a reading is of:
    the name of its file without the ending, or a column of the data that says so.
    """

    kind: Literal["sensor"]
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    path: str
    """A .csv, .tsv, .jsonl or .parquet file, a folder of them, or a glob (``phone/*.csv``)."""

    time: str
    """The column with the time of a reading."""

    values: dict[str, Literal["number", "category"]] = Field(min_length=1)
    """The columns to take: numbers are channels, a category may label the readings."""

    series: str | None = None
    """A column that names the recording; the name of the file where null."""

    time_unit: Literal["iso", "s", "ms", "us", "ns"] = "iso"
    """How the time is written: ISO 8601, or a number (since 1970, or since the sensor started)."""

    time_zone: str = "UTC"
    delimiter: str = Field(",", min_length=1, max_length=1)
    encoding: str = "utf-8"
    null_values: tuple[str, ...] = ("",)

    @property
    def columns(self) -> dict[str, ColumnType]:
        """Time and series, then the values."""
        return {"time": "time", "series": "key", **self.values}

    @property
    def channels(self) -> tuple[str, ...]:
        """The numbers, in the order they are declared."""
        return tuple(name for name, kind in self.values.items() if kind == "number")

    @property
    def id(self) -> str | None:
        """A reading is named by its recording and its row."""
        return None

    @model_validator(mode="after")
    def _names_are_free(self) -> "SensorSource":
        if clash := {"time", "series", "record_id", "file", "row"} & self.values.keys():
            raise ValueError(
                f"value '{min(clash)}' of source '{self.name}' has a name that the tables of "
                "records use themselves; rename the column"
            )
        return self


Source = Annotated[TableSource | FolderSource | SensorSource, Field(discriminator="kind")]
"""A source of any kind."""

AnySource = TableSource | FolderSource | SensorSource
"""The same, for signatures."""


class CollectParams(Section):
    """Where the sources are."""

    root: str = "data/raw"
    """The one folder that every source, and every file a source names, lies in."""

    sources: tuple[Source, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> "CollectParams":
        names = [source.name for source in self.sources]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two sources are named {twice[0]!r}; each needs a name of its own")
        return self

    def source(self, name: str) -> AnySource:
        """Return the source of that name, which the checks of params.yaml made sure of."""
        return next(source for source in self.sources if source.name == name)
