"""The same thing said twice, and two things under one name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tasks.params import Params
from tasks.samples.media import MediaStore


def test_031_one_picture_under_two_names_is_stored_once_and_both_names_are_kept(
    tmp_path: Path, settings: Callable[..., Params], table: Callable[..., Any], outcome_of: Any
) -> None:
    (tmp_path / "raw").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (20, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "raw" / "a.png")
    (tmp_path / "raw" / "b.png").write_bytes((tmp_path / "raw" / "a.png").read_bytes())
    (tmp_path / "raw" / "rows.csv").write_text("photo,label\na.png,yes\nb.png,no\n")
    columns = {"photo": "image", "label": "category"}
    collected = outcome_of("collect", settings(table() | {"columns": columns}), tmp_path)
    assert [row["photo.path"] for row in collected.only()] == ["a.png", "b.png"]
    assert len({row["photo"] for row in collected.only()}) == 1
    assert len(MediaStore(tmp_path / "data" / "collect" / "media")) == 1


def test_104_105_one_id_with_one_content_and_with_two(
    tmp_path: Path, settings: Callable[..., Params], table: Callable[..., Any], outcome_of: Any
) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "rows.csv").write_text(
        "id,text,label\n1,same,a\n1,same,a\n2,one,a\n2,other,b\n3,alone,b\n"
    )
    params = settings(table(id="id"), project={"max_bad_fraction": 0.5})
    collected = outcome_of("collect", params, tmp_path)
    assert [row["record_id"] for row in collected.only()] == ["1", "3"]
    assert collected.reasons == {"duplicate_id": 1, "conflicting_id": 2}
