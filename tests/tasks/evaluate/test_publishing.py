"""What is written can be read, and is the same bytes for the same data."""

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pyarrow.compute as pc
import pytest
from ruamel.yaml import YAML

from tasks.errors import DataError
from tasks.evaluate.evaluation import evaluate
from tasks.evaluate.lineage import blocks_of, read_reports, story_of
from tasks.evaluate.plots import charts_of, confusion_counts, histograms_in, read_history
from tasks.evaluate.publishing import publish
from tasks.samples.tables import read_table


class Page(HTMLParser):
    """Collects tags, texts and addresses of a page, and finds tags that do not close."""

    VOID = ("meta", "img", "br", "link", "input", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs) -> None:
        self.tags.append(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "xlink:href") and v]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs) -> None:
        self.tags.append(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "xlink:href") and v]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.mark.parametrize("objective", ["classification", "regression"])
def test_everything_is_written(publish_world, objective: str) -> None:
    world, _ = publish_world(objective=objective)
    reports = world.folders.reports
    charts = {path.stem for path in (reports / "evaluate").iterdir()}
    shared = {"floors", "balance", "learning_curves", "time_difference_tones"}
    own = "confusion" if objective == "classification" else "actual_predicted"
    assert charts == shared | {own}
    for name in ("report.html", "model_card.md", "plots/confusion.csv", "plots/floors.csv"):
        assert (reports / name).stat().st_size > 100
    assert not list(reports.rglob(".*"))


def test_predictions_hold_validation_and_test_with_probabilities(publish_world) -> None:
    world, evaluation = publish_world()
    table = read_table(world.folders.output / "predictions.parquet")
    assert set(table["split"].to_pylist()) == {"validation", "test"}
    assert table.num_rows == evaluation.test.n + evaluation.splits["validation"].n
    named = [f"p_{name}" for name in evaluation.class_names]
    total = sum(table[name].to_numpy() for name in named)
    assert total == pytest.approx(1.0, abs=1e-5)
    for row in table.slice(0, 20).to_pylist():
        assert row["probability"] == pytest.approx(row[f"p_{row['predicted']}"])
        assert row["probability"] == max(row[name] for name in named)
    right = pc.equal(table["target"], table["predicted"]).filter(pc.equal(table["split"], "test"))
    accuracy = evaluation.test.estimates["accuracy"].value
    assert pc.mean(right).as_py() == pytest.approx(accuracy)


def test_predicted_values_come_with_their_error(publish_world) -> None:
    world, _ = publish_world(objective="regression")
    table = read_table(world.folders.output / "predictions.parquet")
    error = table["predicted"].to_numpy() - table["target"].to_numpy()
    assert table["error"].to_numpy() == pytest.approx(error)


def test_plots_for_dvc_hold_each_test_sample_and_each_floor(publish_world) -> None:
    world, evaluation = publish_world()
    plots = world.folders.reports / "plots"
    confusion, floors = (
        list(csv.DictReader((plots / name).read_text(encoding="utf-8").splitlines()))
        for name in ("confusion.csv", "floors.csv")
    )
    assert len(confusion) == evaluation.test.n
    assert confusion[0].keys() == {"actual", "predicted"}
    assert floors[0]["model"] == "model"
    assert len(floors) == 1 + len(evaluation.floors)
    assert float(floors[0]["low"]) <= float(floors[0]["value"]) <= float(floors[0]["high"])


def test_the_same_data_gives_the_same_bytes(publish_world) -> None:
    world, evaluation = publish_world()

    def written() -> dict[str, bytes]:
        kept = [*world.folders.reports.rglob("*"), *world.folders.output.rglob("*")]
        return {str(path): path.read_bytes() for path in kept if path.is_file()}

    first = written()
    publish(evaluation, world.schema, world.media, world.params, world.folders)
    assert written() == first


def test_charts_are_xml_without_a_date(publish_world) -> None:
    world, _ = publish_world()
    for path in (world.folders.reports / "evaluate").iterdir():
        text = path.read_text(encoding="utf-8")
        assert ElementTree.fromstring(text).tag.endswith("svg")
        assert "<dc:date>" not in text


def test_charts_of_an_earlier_run_do_not_stay(publish_world) -> None:
    world, evaluation = publish_world()
    stale = world.folders.reports / "evaluate" / "actual_predicted.svg"
    stale.write_text("<svg/>")
    publish(evaluation, world.schema, world.media, world.params, world.folders)
    assert not stale.exists()


@pytest.mark.parametrize("objective", ["classification", "regression"])
def test_the_page_is_whole_and_needs_nothing_but_itself(publish_world, objective: str) -> None:
    world, evaluation = publish_world(objective=objective)
    page = Page((world.folders.reports / "report.html").read_text(encoding="utf-8"))
    assert page.open == []
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert page.addresses
    assert all(a.startswith(("data:image/png", "data:audio/wav", "#")) for a in page.addresses)
    for words in ("Is it more than a trivial model?", "All figures", "The way of the data",
                  "null_target 10", "3 tones found no scan", "+7.310 s"):  # fmt: skip
        assert words in page.words
    assert page.tags.count("article") == min(
        12, sum(evaluation.test.predicted != evaluation.test.actual)
    )
    assert page.tags.count("audio") == page.tags.count("article")


def test_the_page_says_first_whether_the_lead_is_beyond_chance(publish_world) -> None:
    world, _ = publish_world(skill=0.95)
    text = (world.folders.reports / "report.html").read_text(encoding="utf-8")
    assert 'class="verdict good"' in text


def test_the_page_says_prominently_that_a_model_is_no_better(publish_world) -> None:
    world, _ = publish_world(skill=0.1)
    text = (world.folders.reports / "report.html").read_text(encoding="utf-8")
    assert 'class="verdict poor"' in text
    assert re.search(r"does not beat it beyond chance|worse than that", text)


def test_the_card_has_metadata_that_the_hub_reads(publish_world) -> None:
    world, evaluation = publish_world()
    card = (world.folders.reports / "model_card.md").read_text(encoding="utf-8")
    _, matter, body = card.split("---\n", 2)
    read = YAML(typ="safe").load(matter)
    assert read["library_name"] == "transformers"
    metrics = read["model-index"][0]["results"][0]["metrics"]
    accuracy = next(m for m in metrics if m["type"] == "accuracy")
    assert accuracy["value"] == pytest.approx(evaluation.test.estimates["accuracy"].value, 1e-4)
    assert accuracy["low"] < accuracy["value"] < accuracy["high"]
    for heading in ("## Results", "## Floors", "## Data and lineage", "## Limits"):
        assert heading in body


def test_any_report_becomes_tables() -> None:
    said = {
        "n_rows": 3,
        "ratio": 0.25,
        "nested": {"deep": {"deeper": [1, 2, {"x": None}]}},
        "many": [{"name": f"r{i}", "value": i} for i in range(100)],
        "empty": {},
        "words": ["a"] * 40,
        "notices": ["look"],
    }
    story = story_of("clean", said)
    assert story.counts == (("rows", "3"),)
    assert story.notices == ("look",)
    many = next(b for b in story.blocks if b.title == "many")
    assert many.header == ("name", "value")
    assert many.left_out == 40
    assert json.dumps([b.rows for b in blocks_of(said)])


def test_history_is_read_as_far_as_it_is_numbers() -> None:
    text = "epoch,step,split,loss,accuracy\n1,5,train,0.5,\n1,5,validation,nan,0.7\nx,6,train,1,1\n"
    assert read_history(text) == {
        "loss": {"train": [(1.0, 0.5)]},
        "accuracy": {"validation": [(1.0, 0.7)]},
    }
    assert read_history("") == {}


def test_histograms_are_found_where_edges_fit_counts() -> None:
    said = {"pairs": [{"right": "tones", "time": {"d": {"edges": [0, 1, 2], "counts": [3, 4]}}},
                      {"right": "x", "time": {"d": {"edges": [0], "counts": []}}}]}  # fmt: skip
    found = histograms_in(said)
    assert [(name, edges.tolist(), counts.tolist()) for name, edges, counts in found] == [
        ("tones", [0, 1, 2], [3, 4])
    ]


def test_no_sample_is_lost_in_a_confusion_matrix_that_shows_some_classes() -> None:
    import numpy as np

    random = np.random.default_rng(0)
    actual, predicted = random.integers(50, size=500), random.integers(50, size=500)
    counts = confusion_counts(actual, predicted, [3, 7, 11], True)
    assert counts.shape == (4, 4)
    assert counts.sum() == 500
    assert counts[0, 0] == ((actual == 3) & (predicted == 3)).sum()


def test_a_page_shows_nothing_of_the_machine(publish_world) -> None:
    world, _ = publish_world()
    for path in world.folders.reports.rglob("*"):
        if path.is_file():
            assert str(world.folders.root) not in path.read_text(encoding="utf-8")


def test_no_earlier_report_is_no_fault_and_a_broken_one_is(publish_world) -> None:
    world, evaluation = publish_world(skill=0.1)
    kept = {path: path.read_bytes() for path in world.folders.reports.glob("*.json")}
    for path in kept:
        path.unlink()
    assert read_reports(world.folders) == {}
    publish(evaluation, world.schema, world.media, world.params, world.folders)
    page = (world.folders.reports / "report.html").read_text(encoding="utf-8")
    assert "No earlier stage left a report." in page
    (world.folders.reports / "clean.json").write_text('{"n": 1')
    with pytest.raises(DataError, match=r"clean\.json: expected the report .* --force clean"):
        read_reports(world.folders)


def test_an_interval_that_begins_at_zero_is_drawn_from_zero(make_world) -> None:
    world = make_world(objective="regression")
    evaluation = evaluate(world.model(1.0), world.samples, world.media, world.params)
    image = next(f for f in evaluation.floors if f.floor.name == "image_alone")
    zero = replace(image, estimate=replace(image.estimate, value=2.0, low=0.0, high=4.0))
    half = replace(image, estimate=replace(image.estimate, value=2.0, low=2.0, high=4.0))
    drawn = [
        charts_of(replace(evaluation, floors=(each,)), None, None)[0].svg for each in (zero, half)
    ]
    assert drawn[0] != drawn[1]
