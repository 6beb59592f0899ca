"""The served model: what it is asked, what it answers, and what it refuses."""

import base64
import contextlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import soundfile
from mlflow.exceptions import MlflowException
from PIL import Image

from tasks.errors import ModelError
from tasks.models.inference import Predictor
from tasks.params import load_params
from tasks.samples.media import MediaStore
from tasks.samples.schema import InputSpec, SampleSchema, TabularColumn
from tasks.samples.tables import read_table
from tasks.tracking.environment import tracking_environment
from tasks.tracking.serving import requirements, served_columns
from tasks.tracking.track import track_project

INPUTS = ["question", "photo", "sound", "weight"]


@pytest.fixture(scope="module")
def served(finished: Path, laid_out: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose model is registered."""
    root = tmp_path_factory.mktemp("served") / "project"
    shutil.copytree(finished, root)
    shutil.copy(laid_out, root / "mlflow.db")
    track_project(root, load_params(root / "params.yaml"))
    return root


@pytest.fixture(scope="module")
def packed(served: Path) -> Path:
    """The folder MLflow keeps the model in."""
    (found,) = served.glob("mlartifacts/models/*/artifacts")
    return found


@pytest.fixture(scope="module")
def model(packed: Path) -> Iterator[mlflow.pyfunc.PyFuncModel]:
    """The model as a user loads it."""
    path = list(sys.path)
    yield mlflow.pyfunc.load_model(str(packed))
    sys.path[:] = path


def png(seed: int = 0) -> bytes:
    """Return a picture of noise."""
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def wav() -> bytes:
    """Return a short recording."""
    file = io.BytesIO()
    soundfile.write(file, [0.1, -0.1] * 2000, 8000, format="WAV")
    return file.getvalue()


def request(**changed: Any) -> pd.DataFrame:
    """Return a request of one row, with some cells changed."""
    row = {"question": "is it red?", "photo": png(), "sound": wav(), "weight": 2.5} | changed
    columns = {
        name: pd.Series([cell], dtype="float64" if name == "weight" else "object")
        for name, cell in row.items()
    }
    return pd.DataFrame(columns)


def test_it_predicts_what_the_model_predicts(
    model: mlflow.pyfunc.PyFuncModel, served: Path
) -> None:
    samples = read_table(served / "data/augment/samples.parquet")
    media = MediaStore(served / "data/collect/media")
    expected = Predictor.load(served / "data/finetune").predict(samples, media)
    asked = samples.select([f"things.{name}" for name in INPUTS]).to_pandas()
    asked.columns = pd.Index(INPUTS)
    for name in ("photo", "sound"):
        asked[name] = [None if pd.isna(d) else media.read(d) for d in asked[name]]
    answer = model.predict(asked)
    assert list(answer.columns) == ["predicted", "probability", "p_no", "p_yes"]
    assert answer["p_yes"].to_numpy() == pytest.approx(expected[:, 1], abs=1e-6)
    assert (answer["probability"] >= 0.5).all()


def test_its_example_is_a_real_test_sample(packed: Path, model: mlflow.pyfunc.PyFuncModel) -> None:
    example = json.loads((packed / "serving_input_example.json").read_text())["dataframe_split"]
    assert example["columns"] == INPUTS
    (row,) = example["data"]
    assert base64.decodebytes(row[1].encode()).startswith(b"\x89PNG")
    assert [str(column.type) for column in model.metadata.signature.inputs] == [
        "DataType.string",
        "DataType.binary",
        "DataType.binary",
        "DataType.double",
    ]


def test_it_needs_no_pickle_and_nothing_of_the_machine(packed: Path) -> None:
    assert not list(packed.rglob("*.pkl"))
    needed = (packed / "requirements.txt").read_text()
    assert "torch==2.13.0" in needed.split()
    assert "+" not in needed
    assert "prefect" not in needed
    assert len(requirements()) < 20


@pytest.mark.parametrize("name", ["question", "photo", "sound", "weight"])
def test_an_input_may_be_missing(model: mlflow.pyfunc.PyFuncModel, name: str) -> None:
    assert len(model.predict(request(**{name: None}))) == 1


def test_paths_are_taken_from_the_named_folder_alone(
    model: mlflow.pyfunc.PyFuncModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "media"
    folder.mkdir()
    (folder / "a.png").write_bytes(png(200))
    (tmp_path / "secret.png").write_bytes(png(1))
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(MlflowException, match=r"row 1, column 'photo'.*FUSELINE_MEDIA_ROOT"):
        model.predict(request(photo="a.png"))

    monkeypatch.setenv("FUSELINE_MEDIA_ROOT", str(folder))
    by_path = model.predict(request(photo="a.png"))
    pd.testing.assert_frame_equal(by_path, model.predict(request(photo=png(200))))
    pd.testing.assert_frame_equal(by_path, model.predict(request(photo=b"path:a.png")))
    for name in ("../secret.png", str(tmp_path / "secret.png"), "link.png", "a\0.png"):
        with pytest.raises(MlflowException, match="path_outside_root"):
            model.predict(request(photo=name))
    with pytest.raises(MlflowException, match="missing_file"):
        model.predict(request(photo="b.png"))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"photo": png()[:60]}, "row 2, column 'photo': (truncated|corrupt)"),
        ({"photo": b"<html>404"}, "row 2, column 'photo': not_an_image:html"),
        ({"photo": b""}, "row 2, column 'photo': empty_file"),
        ({"photo": 7}, "row 2, column 'photo': expected bytes or a path, found int"),
        ({"sound": wav()[:2000]}, "row 2, column 'sound': truncated"),
        ({"question": "\ud800"}, "row 2, column 'question': invalid_unicode"),
        ({"question": 5}, "row 2, column 'question': expected text, found int"),
        ({"weight": float("inf")}, "row 2, column 'weight': expected a finite number"),
        (dict.fromkeys(INPUTS), "row 2: every input is missing"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(
    model: mlflow.pyfunc.PyFuncModel, changed: dict[str, Any], told: str
) -> None:
    rows = pd.concat([request(), request(**changed)], ignore_index=True)
    with pytest.raises(MlflowException, match=told):
        model.predict(rows)


def test_a_misspelt_column_is_refused(model: mlflow.pyfunc.PyFuncModel) -> None:
    with pytest.raises(MlflowException, match=r"missing inputs.*photo.*extra inputs.*phto"):
        model.predict(request().rename(columns={"photo": "phto"}))


def test_a_changed_weight_is_found_before_it_predicts(packed: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(packed, tmp_path / "model"))
    (weights,) = copy.rglob("finetune/model.safetensors")
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(content)
    path = list(sys.path)
    with pytest.raises(ModelError, match="not the bytes that were written"):
        mlflow.pyfunc.load_model(str(copy))
    sys.path[:] = path


def test_columns_with_the_same_short_name_keep_their_full_names() -> None:
    schema = SampleSchema(
        inputs=(
            InputSpec(name="a.photo", modality="image", column="a.photo"),
            InputSpec(name="b.photo", modality="image", column="b.photo"),
            InputSpec(
                name="tabular",
                modality="tabular",
                columns=(TabularColumn(name="a.colour", kind="category"),),
            ),
        ),
        target_column="a.answer",
        target_kind="number",
    )
    assert [column.name for column in served_columns(schema)] == ["a.photo", "b.photo", "colour"]


@pytest.mark.slow
def test_mlflow_serves_it_over_http(served: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(200))
    with _server(served, tmp_path) as address:
        row = {
            "question": "is it red?",
            "photo": _base64(png(200)),
            "sound": _base64(wav()),
            "weight": 3,
        }
        status, answer = _ask(address, row)
        assert status == 200
        assert set(answer["predictions"][0]) == {"predicted", "probability", "p_no", "p_yes"}
        assert _ask(address, row | {"photo": _base64(b"path:a.png")}) == (200, answer)
        assert _ask(address, row | {"sound": _base64(b"null"), "weight": None})[0] == 200

        status, refused = _ask(address, row | {"photo": _base64(b"path:../../secret")})
        assert status == 400
        assert "path_outside_root" in refused["message"]
        status, refused = _ask(address, row | {"photo": _base64(png()[:60])})
        assert status == 400
        assert "row 1, column 'photo'" in refused["message"]


@contextlib.contextmanager
def _server(root: Path, media: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    scripts = Path(sys.executable).parent
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    serve = "models serve --env-manager local --host 127.0.0.1 -m models:/small-things@challenger"
    process = subprocess.Popen(
        [scripts / "mlflow", *serve.split(), "--port", str(port)],
        cwd=root,
        env=os.environ
        | tracking_environment(root)
        | {"FUSELINE_MEDIA_ROOT": str(media), "PATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/ping", process)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _wait_for(address: str, process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5):
            return
        time.sleep(0.5)
    pytest.fail(f"the server did not start; exit status {process.poll()}")


def _ask(address: str, row: dict[str, Any]) -> tuple[int, Any]:
    body = json.dumps({"dataframe_records": [row]}).encode()
    asked = urllib.request.Request(
        f"{address}/invocations", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
