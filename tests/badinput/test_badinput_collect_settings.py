"""Settings and times that YAML, or a local clock, would read as something else."""

import time
from datetime import UTC, datetime

import pytest

from tasks.errors import ParamsError
from tasks.params import load_params

SOURCE = "{kind: table, name: rows, path: rows.csv, columns: {text: text, label: category}}"
GOOD = f"""\
project: {{name: a, seed: 7, cpu_threads: 2, max_bad_fraction: 0.2}}
collect: {{root: raw, sources: [{SOURCE}]}}
clean: {{}}
align: {{base: rows, inputs: [text], target: label}}
split: {{}}
augment: {{}}
pretrain: {{}}
finetune: {{}}
evaluate: {{}}
"""


@pytest.fixture
def load(tmp_path):
    def run(text):
        (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
        return load_params(tmp_path / "params.yaml")

    return run


def test_083_words_and_numbers_mean_what_yaml_1_2_says(load):
    said = load(GOOD.replace("text: text", "no: text, 'off': key").replace("[text]", "[no]"))
    assert list(said.collect.sources[0].columns) == ["no", "off", "label"]
    small = load(GOOD.replace("max_bad_fraction: 0.2", "max_bad_fraction: 1e-3"))
    assert small.project.max_bad_fraction == 0.001
    assert load(GOOD.replace("seed: 7", "seed: 010")).project.seed == 10


@pytest.mark.parametrize(
    "change",
    [
        ("seed: 7", "seed: 1:30"),
        ("seed: 7", "seed: 2024-01-01"),
        ("seed: 7", "seed: 7, seed: 8"),
        ("seed: 7", "seed: yes"),
        ("seed: 7", "seed: 7.0"),
    ],
)
def test_083_values_of_another_type_and_keys_twice_are_refused(load, change):
    with pytest.raises(ParamsError, match=r"params\.yaml:1"):
        load(GOOD.replace(*change))


def test_084_no_tag_runs_code(load, tmp_path):
    with pytest.raises(ParamsError):
        load(GOOD.replace("seed: 7", f"seed: !!python/object/apply:os.mkdir ['{tmp_path}/ran']"))
    assert not (tmp_path / "ran").exists()


def test_085_aliases_that_would_fill_the_memory_are_refused(load):
    bomb = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    bomb += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    started = time.process_time()
    with pytest.raises(ParamsError, match="aliases"):
        load(GOOD + "\n".join(bomb) + "\n")
    with pytest.raises(ParamsError, match="aliases"):
        load(GOOD + "a: &a [x, *a]\n")
    assert time.process_time() - started < 2


@pytest.fixture
def collect(tmp_path, settings, table, outcome_of):
    def run(cells, **more):
        (tmp_path / "raw").mkdir(exist_ok=True)
        rows = "".join(f"{i},{cell}\n" for i, cell in enumerate(cells))
        (tmp_path / "raw" / "rows.csv").write_text("id,at\n" + rows)
        source = table(columns={"id": "key", "at": "time"}, **more)
        return outcome_of("collect", settings(source, project={"max_bad_fraction": 1}), tmp_path)

    return run


def test_062_ids_that_differ_in_their_zeros_differ(collect, settings, table, outcome_of, tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "rows.csv").write_text("id,text,label\n007,a,x\n7,a,x\n")
    outcome = outcome_of("collect", settings(table(id="id")), tmp_path)
    assert [row["record_id"] for row in outcome.only()] == ["007", "7"]


def test_095_times_without_a_zone_are_of_the_declared_one(collect):
    (row,) = collect(["2024-07-01T12:00"], time_zone="Asia/Tokyo").only()
    assert row["at"] == datetime(2024, 7, 1, 3, tzinfo=UTC)


def test_096_local_times_that_do_not_exist_or_come_twice(collect):
    outcome = collect(["2024-03-31T02:30", "2024-10-27T02:30"], time_zone="Europe/Berlin")
    assert outcome.reasons == {"dst_gap": 1, "dst_ambiguous": 1}
    assert [row["row"] for row in outcome.quarantine] == [1, 2]
