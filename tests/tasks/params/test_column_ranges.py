"""Many columns of like names are written as one."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.params import Params


def test_a_range_stands_for_its_columns(settings: Callable[..., Params]) -> None:
    columns = {"id": "key", "text": "text", "label": "category", "band_{08..11}": "number"}
    source = {"kind": "table", "name": "rows", "path": "rows.csv", "columns": columns}
    align = {"base": "rows", "inputs": ("text", "band_{08..09}"), "target": "label"}
    params = settings(source, align=align)
    assert list(params.collect.sources[0].columns)[3:] == [
        "band_08", "band_09", "band_10", "band_11",
    ]  # fmt: skip
    assert params.align.inputs == ("text", "band_08", "band_09")
    assert list(params.faults()) == []


@pytest.mark.parametrize("name", ["band_{9..3}", "band_{0..99999}"])
def test_a_range_that_cannot_be_is_refused(settings: Callable[..., Params], name: str) -> None:
    source: dict[str, Any] = {"kind": "table", "name": "rows", "path": "rows.csv"}
    with pytest.raises(ValidationError, match="the smaller number first"):
        settings(source | {"columns": {name: "number"}})
