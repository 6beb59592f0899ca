"""The model behind MLflow's ``pyfunc``: rows of a request in, predictions out.

An image or a recording is the bytes of its file, a window of a time series what
``tasks.samples.windows`` writes. Its path will do where ``FUSELINE_MEDIA_ROOT``
names the folder that paths are taken from; without it every path is refused. Over HTTP, where
MLflow wants base64 in such a column and takes no null, a path is the base64 of ``path:NAME`` and a
missing medium that of ``null``.
"""

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray

from tasks.errors import DataError, ModelError, PipelineError, listing
from tasks.models.inference import Predictor
from tasks.samples.decoding import Undecodable, decode_audio, decode_image
from tasks.samples.folders import manifest_faults
from tasks.samples.media import MediaInMemory, digest_of
from tasks.samples.windows import decode_window
from tasks.tracking.serving import (
    PREDICTED,
    PROBABILITY,
    VALUE,
    ServedColumn,
    probability_of,
    served_columns,
)

MEDIA_ROOT = "FUSELINE_MEDIA_ROOT"
MODEL = "model"
MAX_MEDIUM_BYTES = 256 * 2**20

_DECODERS: dict[str, Callable[[bytes], Any]] = {
    "image": decode_image,
    "audio": decode_audio,
    "timeseries": decode_window,
}
_PATH_MARK = b"path:"
_NULL_MARK = b"null"


class ServedModel(PythonModel):
    """A fine-tuned model, as MLflow loads and serves it."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model, once, when the server starts.

        Raises:
            ModelError: A file of the model is not the bytes that training wrote.
        """
        folder = Path(context.artifacts[MODEL])
        if faults := manifest_faults(folder):
            raise ModelError(f"{'; '.join(faults[:3])}; run `fuseline track` on the project again")
        self._predictor = Predictor.load(folder)
        self._columns = served_columns(self._predictor.schema)

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Predict the rows of a request.

        Raises:
            MlflowException: A row cannot be used; the message names it, the column and the reason.
        """
        try:
            request = Request.read(model_input, self._columns, media_root())
            try:
                outputs = self._predictor.predict(request.samples, request.media)
            except PipelineError:
                request.require_decodable()
                raise
        except PipelineError as fault:
            raise MlflowException.invalid_parameter_value(str(fault)) from fault
        return answer(outputs, self._predictor.classes)


class Request:
    """The rows of a request, as the model reads them."""

    def __init__(
        self, samples: pa.Table, contents: Mapping[str, bytes], columns: tuple[ServedColumn, ...]
    ) -> None:
        self.samples = samples
        self.media = MediaInMemory(contents)
        self._columns = columns

    @classmethod
    def read(
        cls, rows: pd.DataFrame, columns: tuple[ServedColumn, ...], root: Path | None
    ) -> "Request":
        """Read the cells of a request.

        Args:
            rows: The request, with a column for each input.
            columns: The columns the model reads.
            root: The folder that paths are taken from; None refuses paths.

        Raises:
            DataError: A column is missing or unknown, or a cell cannot be used.
        """
        _require_columns(rows, columns)
        contents: dict[str, bytes] = {}
        table = {
            column.full: _column(rows[column.name], column, root, contents) for column in columns
        }
        samples = pa.table(table)
        _require_inputs(samples)
        return cls(samples, contents, columns)

    def require_decodable(self) -> None:
        """Name the first row whose image or recording cannot be decoded.

        Raises:
            DataError: There is one.
        """
        for column in self._columns:
            if not column.is_medium:
                continue
            decode = _DECODERS[column.kind]
            for number, digest in enumerate(self.samples[column.full].to_pylist(), start=1):
                try:
                    if digest is not None:
                        decode(self.media.read(digest))
                except (Undecodable, DataError) as fault:
                    raise _fault(number, column, str(fault)) from None


def answer(outputs: NDArray[np.float32], classes: tuple[str, ...]) -> pd.DataFrame:
    """Return outputs as the columns of the signature.

    Args:
        outputs: ``(n, n_classes)`` probabilities, or ``(n,)`` values.
        classes: Names of the classes; () for values.
    """
    wide = np.asarray(outputs, dtype=np.float64)
    if not classes:
        return pd.DataFrame({VALUE: wide})
    best = wide.argmax(axis=1)
    columns: dict[str, Any] = {
        PREDICTED: [classes[i] for i in best],
        PROBABILITY: wide[np.arange(len(wide)), best],
    }
    columns |= {probability_of(name): wide[:, i] for i, name in enumerate(classes)}
    return pd.DataFrame(columns)


def media_root() -> Path | None:
    """Return the folder that paths are taken from, or None where paths are refused."""
    named = os.environ.get(MEDIA_ROOT)
    return Path(named).resolve() if named else None


def _require_columns(rows: pd.DataFrame, columns: tuple[ServedColumn, ...]) -> None:
    expected = [column.name for column in columns]
    missing = [name for name in expected if name not in rows.columns]
    unknown = [str(name) for name in rows.columns if name not in expected]
    if missing or unknown:
        raise DataError(
            f"expected the columns {listing(expected)}, found {listing(map(str, rows.columns))}; "
            "name them so, and write null where an input is missing"
        )


def _require_inputs(samples: pa.Table) -> None:
    """Refuse rows of nulls: what a model says of nothing is no prediction."""
    empty = np.ones(len(samples), dtype=bool)
    for column in samples.columns:
        empty &= column.is_null().to_numpy()
    if empty.any():
        raise DataError(f"row {int(empty.argmax()) + 1}: every input is missing; give at least one")


def _column(
    cells: pd.Series, column: ServedColumn, root: Path | None, contents: dict[str, bytes]
) -> pa.Array:
    values = [None if _is_missing(cell) else cell for cell in cells]
    if column.kind == "number":
        return pa.array(
            [_number(v, n, column) for n, v in enumerate(values, start=1)], pa.float64()
        )
    if not column.is_medium:
        return pa.array([_text(v, n, column) for n, v in enumerate(values, start=1)], pa.string())
    digests = []
    for number, value in enumerate(values, start=1):
        content = None if value is None else _medium(value, number, column, root)
        digest = None if content is None else digest_of(content)
        if digest is not None and content is not None:
            contents[digest] = content
        digests.append(digest)
    return pa.array(digests, pa.string())


def _is_missing(cell: Any) -> bool:
    return cell is None or cell is pd.NA or (isinstance(cell, float) and math.isnan(cell))


def _number(value: Any, row: int, column: ServedColumn) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float | np.number) or not math.isfinite(value):
        raise _fault(row, column, f"expected a finite number, found {value!r}")
    return float(value)


def _text(value: Any, row: int, column: ServedColumn) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise _fault(row, column, f"expected text, found {type(value).__name__}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as fault:
        raise _fault(row, column, f"invalid_unicode: {fault.reason}") from None
    return value


def _medium(value: Any, row: int, column: ServedColumn, root: Path | None) -> bytes | None:
    """Return the bytes that a cell holds or points to; None where it says that there are none."""
    if isinstance(value, str):
        return _file(value, row, column, root)
    if not isinstance(value, bytes | bytearray | memoryview):
        raise _fault(row, column, f"expected bytes or a path, found {type(value).__name__}")
    content = bytes(value)
    if content == _NULL_MARK:
        return None
    if content.startswith(_PATH_MARK):
        path = content.removeprefix(_PATH_MARK).decode("utf-8", "replace")
        return _file(path, row, column, root)
    if not content:
        raise _fault(row, column, "empty_file: the file holds no bytes")
    return content


def _file(name: str, row: int, column: ServedColumn, root: Path | None) -> bytes:
    """Read a file under the folder that paths are taken from."""
    shown = name if len(name) <= 80 else f"{name[:77]}..."
    if root is None:
        raise _fault(
            row,
            column,
            f"found the path {shown!r}, but this server takes no paths; send the bytes of the "
            f"file, or start the server with {MEDIA_ROOT} set to the folder of the files",
        )
    try:
        path = (root / name).resolve()
        inside, regular = path.is_relative_to(root), path.is_file()
    except (ValueError, OSError, RuntimeError) as fault:
        raise _fault(row, column, f"path_outside_root: {shown!r} is no path ({fault})") from None
    if not inside:
        raise _fault(row, column, f"path_outside_root: {shown!r} leads out of {MEDIA_ROOT}")
    if not regular:
        raise _fault(row, column, f"missing_file: there is no file {shown!r} in {MEDIA_ROOT}")
    if path.stat().st_size > MAX_MEDIUM_BYTES:
        raise _fault(row, column, f"too_large: {shown!r} has more than {MAX_MEDIUM_BYTES:,} bytes")
    return path.read_bytes()


def _fault(row: int, column: ServedColumn, text: str) -> DataError:
    return DataError(f"row {row}, column '{column.name}': {text}")
