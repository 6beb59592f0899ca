"""Settings of the collect stage: where the data is and what its columns mean."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from tasks.params.ranges import expanded_keys
from tasks.params.section import Section

ColumnType = Literal["text", "category", "labels", "number", "time", "key", "image", "audio"]
"""What a column holds. ``image`` and ``audio`` columns hold paths of files under the root; a
``labels`` cell holds several categories, parted by ``;``."""


REMOTE_SCHEMES = ("https", "s3", "gs")
"""What an address may begin with; ``http`` only where ``collect.remote`` makes it safe."""


def is_remote(path: str) -> bool:
    """Tell whether a path is an address, such as ``https://…``.

    >>> is_remote("s3://bucket/rows.csv"), is_remote("rows.csv")
    (True, False)
    """
    return "://" in path


class CellMeaning(Section):
    """What the text of a cell means."""

    label_separator: str = Field(";", min_length=1)
    """What parts the categories of a ``labels`` cell."""

    time_unit: Literal["iso", "s", "ms", "us", "ns"] = "iso"
    """How times are written: ISO 8601, or a number since 1970 (or since a sensor started)."""

    time_zone: str = "UTC"
    """The zone of ISO times that carry none."""


class WrittenCells(CellMeaning):
    """How the cells of a table are written."""

    delimiter: str = Field(",", min_length=1, max_length=1)
    encoding: str = "utf-8"
    null_values: tuple[str, ...] = ("",)
    """Cells that mean "no value"; everything else, "NA" and "null" too, is a value."""


class TableSource(WrittenCells):
    """A table: one record a row."""

    kind: Literal["table"]
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    path: str
    """A table (.csv, .tsv, .jsonl, .parquet or .xlsx; the text formats also as .gz or .zst), a
    folder of them or a glob (``parts/*.csv``), relative to ``collect.root``; or an address
    (``https://``, ``s3://``, ``gs://``)."""

    columns: Annotated[dict[str, ColumnType], BeforeValidator(expanded_keys)] = Field(min_length=1)
    """The columns to take, and what each holds; all others are left out. ``{00..31}`` in a name
    stands for the numbers from 00 to 31."""

    id: str | None = None
    """A column that names each record; without it, a record is named by its content."""

    sheet: str | None = None
    """The sheet of an .xlsx file; it need not be named where there is only one."""

    media_base: str | None = None
    """Where the files lie that image and audio cells name, if not under ``collect.root``: an
    address such as ``https://images.example.org/plants/``. A cell is a path below it, or a whole
    address that begins with it; ``https://`` alone allows addresses of any host."""

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


class FolderMetadata(WrittenCells):
    """A table in a folder that says more of its files."""

    path: str
    """The table, relative to the folder: ``metadata.csv``, or of another format."""

    columns: Annotated[
        dict[str, Literal["text", "category", "labels", "number", "time", "key"]],
        BeforeValidator(expanded_keys),
    ] = Field(min_length=1)
    """The columns to take, and what each holds. A column ``label`` takes the place of the folder's
    name."""

    file_column: str = "file_name"
    """The column with the path of each file, relative to the table."""


class FolderSource(Section):
    """A folder of media files: one record a file.

    Its columns are ``file`` (the medium), ``label`` (the folder a file lies in), ``top`` (the first
    folder on the way to it, often train or test), ``stem`` (the file's name without its ending, the
    key that files of one sample often share), and those of its ``metadata``.
    """

    kind: Literal["folder"]
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    path: str
    modality: Literal["image", "audio", "text"]
    patterns: tuple[str, ...] = ()
    """Files to take, such as ``*.png``, where a folder holds files of several kinds; all where
    empty. Files that are like none of these are counted."""

    label_from: Literal["folder", "path"] = "folder"
    """``folder`` for the last folder alone (``cat``), ``path`` for all of them (``animal/cat``)."""

    metadata: FolderMetadata | None = None

    @property
    def columns(self) -> dict[str, ColumnType]:
        """The columns of a folder, then those of its metadata."""
        own: dict[str, ColumnType] = {
            "file": self.modality,
            "label": "category",
            "stem": "key",
            "top": "category",
        }
        return {**own, **(self.metadata.columns if self.metadata else {})}

    @property
    def id(self) -> str | None:
        """A file is named by its path."""
        return None

    @model_validator(mode="after")
    def _names_are_free(self) -> "FolderSource":
        taken = {"file", "stem", "top", "record_id", "row", "file.path", "source_file"}
        if self.metadata and (clash := taken & self.metadata.columns.keys()):
            raise ValueError(
                f"metadata column '{min(clash)}' of source '{self.name}' has a name that the "
                "tables of records use themselves; rename it"
            )
        return self


class SensorSource(WrittenCells):
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

    values: Annotated[dict[str, Literal["number", "category"]], BeforeValidator(expanded_keys)] = (
        Field(min_length=1)
    )
    """The columns to take: numbers are channels, a category may label the readings."""

    series: str | None = None
    """A column that names the recording; the name of the file where null."""

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


class BoxSource(Section):
    """Boxes drawn on images: one record a box.

    Its columns are ``image``; ``label``; ``x`` and ``y``, the box's left upper corner, ``width``
    and ``height``, all in pixels; ``image_width`` and ``image_height``; ``stem`` (the image's name
    without its ending); ``set`` (train, validation or test, where the annotations say so);
    ``clipped`` (``yes`` where the box left the image and was cut to it); and ``marked`` (``yes``
    where VOC calls it difficult, or COCO a crowd).
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    crop: bool = False
    """Let ``image`` be the box's own pixels, stored as PNG, in place of the whole image."""

    @property
    def columns(self) -> dict[str, ColumnType]:
        """The columns that boxes always have."""
        return {
            "image": "image",
            "label": "category",
            "x": "number",
            "y": "number",
            "width": "number",
            "height": "number",
            "image_width": "number",
            "image_height": "number",
            "stem": "key",
            "set": "category",
            "clipped": "category",
            "marked": "category",
        }

    @property
    def id(self) -> str | None:
        """A box is named by its image and its number."""
        return None


class VocSource(BoxSource):
    """Boxes in Pascal VOC's layout: an XML file for each image.

    The sets are those of ``ImageSets``: train.txt, val.txt and test.txt.
    """

    kind: Literal["voc"]
    path: str
    """The folder that holds the two below, and ``ImageSets`` where there is one."""

    annotations: str = "Annotations"
    """The folder of XML files, relative to ``path``."""

    images: str = "JPEGImages"
    """The folder of images, relative to ``path``."""


class CocoSource(BoxSource):
    """Boxes in COCO's layout: JSON files with ``images``, ``annotations`` and ``categories``.

    The set of a box is the name of its JSON file where there are several.
    """

    kind: Literal["coco"]
    path: str
    """The JSON file, or a glob (``annotations/*.json``), relative to ``collect.root``."""

    images: str = ""
    """The folder that ``file_name`` is relative to; it is relative to ``collect.root``."""


class HuggingfaceSource(CellMeaning):
    """A Hugging Face data set: one of the hub, or one that was saved to disk.

    No code of a data set is ever run. Where it has parts (train, test, …) and ``split`` names none
    of them, all are read; declare a column ``hub_split`` to keep which part a record is of.
    """

    kind: Literal["huggingface"]
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    dataset: str | None = None
    """Its name on the hub, such as ``user/plants``; needs ``revision``, and the network."""

    revision: str | None = None
    """The commit or tag of the hub's repository; a branch such as main moves and is refused."""

    config: str | None = None
    """Which configuration of a hub data set, where it has several."""

    split: str | None = None
    """The one part to read; all of them where null."""

    path: str = ""
    """Instead of ``dataset``: a folder that ``save_to_disk`` wrote, or one of Parquet files."""

    columns: dict[str, ColumnType] = Field(min_length=1)
    """The columns to take, and what each holds; all others are left out."""

    id: str | None = None
    """A column that names each record; without it, a record is named by its content."""

    @model_validator(mode="after")
    def _says_which(self) -> "HuggingfaceSource":
        where = f"source '{self.name}'"
        if (self.dataset is None) == (self.path == ""):
            raise ValueError(f"{where}: name either a dataset of the hub, or a path on this disk")
        if self.dataset is not None and self.revision is None:
            raise ValueError(
                f"{where}: a hub name needs a revision, since the data set may change; write the "
                "commit shown under 'Files and versions' on its page"
            )
        if self.dataset is not None and self.revision in ("main", "master"):
            raise ValueError(
                f"{where}: revision '{self.revision}' is a branch, which moves; write a commit"
            )
        if self.path and (self.revision or self.config):
            raise ValueError(f"{where}: revision and config belong to a hub name, not to a path")
        if self.id is not None and self.id not in self.columns:
            raise ValueError(f"id '{self.id}' is not among the columns of {where}")
        return self

    @model_validator(mode="after")
    def _names_are_free(self) -> "HuggingfaceSource":
        _require_free(self.name, self.columns)
        return self


class WebdatasetSource(CellMeaning):
    """Tar archives of samples, as WebDataset writes them: one record for all members of one key.

    The key of a member is its path up to the first dot of its name: ``a/7.jpg`` and ``a/7.txt`` are
    of sample ``a/7``, which is also the name of the record.
    """

    kind: Literal["webdataset"]
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    path: str
    """A .tar, .tar.gz or .tgz file, a folder of them, a glob (``train/*.tar``), or a range
    (``train-{000..099}.tar``)."""

    columns: dict[str, ColumnType] = Field(min_length=1)
    """By the ending of a member, what it holds: ``{jpg: image, txt: text, cls: category}``.
    ``json.caption`` is the value of the key ``caption`` in the member ending in ``json``."""

    @property
    def id(self) -> str | None:
        """A sample is named by its key."""
        return None

    @model_validator(mode="after")
    def _names_are_free(self) -> "WebdatasetSource":
        _require_free(self.name, self.columns)
        return self


def _require_free(source: str, columns: dict[str, ColumnType]) -> None:
    """Refuse columns whose names the tables of records use themselves."""
    media = [name for name, kind in columns.items() if kind in ("image", "audio")]
    if clash := {"record_id", *(f"{name}.path" for name in media)} & columns.keys():
        raise ValueError(
            f"column '{min(clash)}' of source '{source}' has a name that the tables of records "
            "use themselves; rename it"
        )


Source = Annotated[
    TableSource
    | FolderSource
    | SensorSource
    | VocSource
    | CocoSource
    | HuggingfaceSource
    | WebdatasetSource,
    Field(discriminator="kind"),
]
"""A source of any kind."""

AnySource = (
    TableSource
    | FolderSource
    | SensorSource
    | VocSource
    | CocoSource
    | HuggingfaceSource
    | WebdatasetSource
)
"""The same, for signatures."""


class RemoteParams(Section):
    """How files are fetched whose path is an address: ``https://``, ``s3://`` or ``gs://``."""

    max_bytes: int = Field(default=20 * 2**30, ge=1)
    """Bytes of one file at most; media have a limit of their own."""

    total_timeout_seconds: float = Field(default=3600.0, gt=0)
    """Seconds that one file may take, with all its attempts."""

    retries: int = Field(default=4, ge=0, le=20)
    """Further attempts after one that failed in a way that may pass."""

    sha256: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = Field(
        default_factory=dict
    )
    """By address, the SHA-256 that the file must have; ``data/collect/remote.parquet`` tells it
    after a run. Such a file is not asked for again while the copy kept is that."""

    allow_private_addresses: bool = False
    """Allow servers of your own network, ``http://`` too."""


def lies_elsewhere(source: AnySource) -> bool:
    """Tell whether a source is not of this disk: its path is an address, or it is of the hub."""
    return source.path == "" or is_remote(source.path)


class CollectParams(Section):
    """Where the sources are."""

    root: str = "data/raw"
    """The one folder on this disk that every source, and every file a source names, lies in;
    it must be there, if empty, also where all sources are addresses."""

    sources: tuple[Source, ...] = Field(min_length=1)
    remote: RemoteParams = RemoteParams()
    """What holds for files that are fetched."""

    @model_validator(mode="after")
    def _names_differ(self) -> "CollectParams":
        names = [source.name for source in self.sources]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two sources are named {twice[0]!r}; each needs a name of its own")
        return self

    @model_validator(mode="after")
    def _addresses_are_allowed(self) -> "CollectParams":
        if is_remote(self.root):
            raise ValueError(
                "root is an address; keep it a folder of this disk, and write the address as the "
                "path of each source"
            )
        for source in self.sources:
            base = source.media_base if isinstance(source, TableSource) else None
            for key, address in (("path", source.path), ("media_base", base)):
                fault = self._address_fault(address) if address else ""
                if fault:
                    raise ValueError(f"{key} of source '{source.name}' {fault}")
            if base is not None and not is_remote(base):
                raise ValueError(
                    f"media_base of source '{source.name}' is no address; expected one such as "
                    "https://images.example.org/plants/"
                )
        return self

    def _address_fault(self, address: str) -> str:
        if not is_remote(address):
            return ""
        scheme, _, rest = address.partition("://")
        if "@" in rest.partition("/")[0]:
            return (
                "holds a user name or password; leave it out, credentials come from the environment"
            )
        if scheme in REMOTE_SCHEMES:
            return ""
        if scheme == "http":
            if address in self.remote.sha256 or self.remote.allow_private_addresses:
                return ""
            return (
                "begins with http://, which anybody on the way can change; write https://, pin "
                "its remote.sha256, or set remote.allow_private_addresses for your own network"
            )
        return f"begins with {scheme}://; expected https://, s3:// or gs://, or a path on this disk"

    def source(self, name: str) -> AnySource:
        """Return the source of that name, which the checks of params.yaml made sure of."""
        return next(source for source in self.sources if source.name == name)
