"""A record that others look up by its id is no duplicate, though another says the same."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.params import Params


def test_looked_up_records_stay_and_samples_said_twice_do_not(
    tmp_path: Path, settings: Callable[..., Params], table: Callable[..., Any], outcome_of: Any
) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "visits.csv").write_text(
        "id,text,label,ward\nv1,well,yes,w1\nv2,well,yes,w1\nv3,well,yes,w2\n"
    )
    (tmp_path / "raw" / "wards.csv").write_text("ward,city\nw1,Rome\nw2,Rome\n")
    columns = {"id": "key", "text": "text", "label": "category", "ward": "key"}
    visits = table("visits", "visits.csv", id="id") | {"columns": columns}
    wards = table("wards", "wards.csv", id="ward")
    wards |= {"columns": {"ward": "key", "city": "category"}}
    params = settings(visits, wards)
    outcome_of("collect", params, tmp_path)
    cleaned = outcome_of("clean", params, tmp_path)
    assert [row["record_id"] for row in cleaned.records["wards"]] == ["w1", "w2"]
    assert [row["record_id"] for row in cleaned.records["visits"]] == ["v1", "v3"]
    assert cleaned.reasons == {"duplicate": 1}
