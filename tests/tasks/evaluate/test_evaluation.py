"""A model is measured on every split, beside its floors, and nothing is left out in silence."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tasks.evaluate.evaluation import (
    compare_with_floors,
    evaluate,
    sampled_rows,
    without_augmented,
)
from tasks.evaluate.floors import Floor
from tasks.evaluate.report import EvaluateReport
from tasks.evaluate.wording import verdict


@pytest.fixture(scope="module")
def evaluated(make_world):
    world = make_world()
    return world, evaluate(world.model(0.9), world.samples, world.media, world.params)


def test_every_original_row_is_measured_once(evaluated) -> None:
    world, evaluation = evaluated
    sizes = {split: m.n for split, m in evaluation.splits.items()}
    originals = without_augmented(world.samples)
    assert sum(sizes.values()) == originals.num_rows == 240
    for split, n in sizes.items():
        assert n == pc.sum(pc.equal(originals["split"], split)).as_py()


def test_accuracy_is_what_counting_gives(evaluated) -> None:
    _, evaluation = evaluated
    test = evaluation.test
    names = np.array(evaluation.class_names, dtype=object)
    right = names[test.predicted] == np.array(test.rows["target"].to_pylist(), dtype=object)
    assert test.estimates["accuracy"].value == pytest.approx(right.mean())
    assert test.estimates["accuracy"].n_groups == len(set(test.rows["group"].to_pylist()))


def test_all_floors_are_there_best_first_and_the_lead_is_over_the_first(evaluated) -> None:
    _, evaluation = evaluated
    names = {f.floor.name for f in evaluation.floors}
    assert names == {"majority", "question_alone", "image_alone", "tone_alone", "tabular_alone"}
    values = [f.estimate.value for f in evaluation.floors]
    assert values == sorted(values, reverse=True)
    accuracy = evaluation.test.estimates["accuracy"].value
    assert evaluation.lead.value == pytest.approx(accuracy - values[0])
    assert evaluation.lead.low <= evaluation.lead.value <= evaluation.lead.high
    assert evaluation.lead.beyond_chance
    assert "is beyond chance" in verdict(evaluation)


def test_a_lead_over_a_like_model_is_surer_than_either_figure(evaluated) -> None:
    world, evaluation = evaluated
    test = evaluation.test
    alike = test.predicted.copy()
    right = np.flatnonzero(test.predicted == test.actual)[0]
    alike[right] = (test.actual[right] + 1) % len(evaluation.class_names)
    twin = Floor("twin_alone", "twin alone", "the model, but for one row", alike)
    _, lead = compare_with_floors(
        "classification", len(evaluation.class_names), test, [twin], world.params
    )
    accuracy = test.estimates["accuracy"]
    assert lead.value == pytest.approx(1 / test.n)
    assert lead.high - lead.low < 0.8 * (accuracy.high - accuracy.low)


def test_a_model_that_does_not_beat_its_floors_is_said_to(make_world) -> None:
    world = make_world()
    evaluation = evaluate(world.model(0.0), world.samples, world.media, world.params)
    assert not evaluation.lead.beyond_chance
    assert evaluation.lead.value < 0
    report = EvaluateReport.describe(evaluation)
    assert "worse" in report.lines()[1] or "does not beat" in report.lines()[1]
    assert report.lead_over_best_floor.beyond_chance is False


def test_for_errors_a_positive_lead_is_a_smaller_error(make_world) -> None:
    world = make_world(objective="regression")
    evaluation = evaluate(world.model(0.9), world.samples, world.media, world.params)
    assert evaluation.primary.name == "rmse"
    best = evaluation.best_floor.estimate.value
    assert evaluation.lead.value == pytest.approx(best - evaluation.test.estimates["rmse"].value)
    values = [f.estimate.value for f in evaluation.floors]
    assert values == sorted(values)
    assert evaluation.floors[-1].floor.name in {"mean", "question_alone", "tabular_alone"}


def test_floors_can_be_left_out(make_world) -> None:
    world = make_world(floors=False)
    evaluation = evaluate(world.model(), world.samples, world.media, world.params)
    assert evaluation.floors == ()
    assert evaluation.lead is None
    assert EvaluateReport.describe(evaluation).lead_over_best_floor is None


def test_the_order_of_rows_changes_nothing(make_world) -> None:
    world = make_world(augmented=0, floors=False)
    random = np.random.default_rng(0)
    model = world.model(1.0)
    shuffled = world.samples.take(random.permutation(world.samples.num_rows))
    one = evaluate(model, world.samples, world.media, world.params)
    other = evaluate(model, shuffled, world.media, world.params)
    assert one.test.estimates["accuracy"] == other.test.estimates["accuracy"]


def test_twice_the_same_is_the_same(evaluated) -> None:
    world, once = evaluated
    again = evaluate(world.model(0.9), world.samples, world.media, world.params)
    one, other = EvaluateReport.describe(once), EvaluateReport.describe(again)
    assert one.model_dump_json() == other.model_dump_json()


def test_augmented_copies_are_measured_nowhere(make_world) -> None:
    world = make_world(augmented=50)
    plain = without_augmented(world.samples)
    assert plain.num_rows == world.samples.num_rows - 50
    bare = world.samples.drop_columns(["parent_id", "recipe"])
    assert without_augmented(bare).num_rows == bare.num_rows


def test_many_train_rows_are_drawn_from() -> None:
    rows = sampled_rows(1_000, 50, seed=3)
    assert len(rows) == len(set(rows.tolist())) == 50
    assert np.array_equal(rows, np.sort(rows))
    assert np.array_equal(rows, sampled_rows(1_000, 50, seed=3))
    assert np.array_equal(sampled_rows(10, 50, seed=3), np.arange(10))


def test_the_report_reads_as_dvc_metrics(evaluated) -> None:
    _, evaluation = evaluated
    said = EvaluateReport.describe(evaluation).model_dump(mode="json")
    assert said["test"]["accuracy"].keys() == {"value", "low", "high"}
    assert said["test"]["n"] == evaluation.test.n
    assert set(said["train"]) == {"accuracy", "n", "n_groups"}
    assert set(said["floors"]["majority"]) == {"value", "low", "high"}
    assert len(said["floor_methods"]) == len(said["floors"]) == 5
    assert said["lead_over_best_floor"]["over"] in said["floors"]


def test_a_near_perfect_floor_raises_suspicion(make_world) -> None:
    world = make_world()
    targets = pa.array(["yes" if i % 2 else "no" for i in range(world.samples.num_rows)])
    leaking = world.samples
    for name in ("target", "questions.question"):
        leaking = leaking.set_column(leaking.column_names.index(name), name, targets)

    class TwoClasses(type(world.model())):
        def encode(self, samples, media, cache=None):
            return super().encode(_with_question(samples), media, cache)

    def _with_question(samples):
        column = samples.column_names.index("questions.question")
        plain = pa.array(["is it even?"] * samples.num_rows)
        return samples.set_column(column, "questions.question", plain)

    model = TwoClasses(world.schema, ("no", "yes"), "classification", 0.9)
    evaluation = evaluate(model, leaking, world.media, world.params)
    assert any("does not hold the target" in notice for notice in evaluation.notices)


def test_an_input_that_nearly_is_the_number_raises_suspicion(make_world) -> None:
    world = make_world(objective="regression")
    evaluation = evaluate(world.model(0.9), world.samples, world.media, world.params)
    said = [n for n in evaluation.notices if "does not hold the target" in n]
    assert any(n.startswith("tabular alone") for n in said)
    assert not any(n.startswith("question alone") for n in said)
