"""Columns that give the target away are found; what is merely easy is not."""

import numpy as np
import pyarrow as pa
import pytest

from tasks.errors import DataError
from tasks.samples.schema import InputSpec, SampleSchema, TabularColumn

N = 400


def rng(seed=1):
    return np.random.default_rng(seed)


def classes(n=N, names=("cat", "dog", "owl")):
    return rng(0).choice(names, n).tolist()


def tabular(samples_of, target, kinds, **columns):
    """Samples with columns of the tabular input beside the text."""
    table = samples_of(target, **columns)
    schema = SampleSchema.of(table)
    inputs = tuple(TabularColumn(name=f"notes.{n}", kind=k) for n, k in kinds.items())
    spec = InputSpec(name="tabular", modality="tabular", columns=inputs)
    return schema.model_copy(update={"inputs": (*schema.inputs, spec)}).attach(table)


def kinds_found(report):
    return {leak.column: leak.kind for leak in report.target_leaks}


@pytest.mark.parametrize("noise", [0, 1])
def test_a_copy_of_the_target_among_the_inputs_stops_the_stage(splitting, samples_of, noise):
    target = classes()
    copy = [t.upper() if i % 7 else f" {t} " for i, t in enumerate(target)]
    copy[:noise] = [None] * noise
    samples = tabular(samples_of, target, {"copy": "category"}, copy=copy)
    with pytest.raises(
        DataError, match=r"'notes\.copy' is a copy of the target .* out of align\.inputs"
    ):
        splitting.run(samples)
    report = splitting.run(samples, target_leaks="report")
    assert kinds_found(report)["notes.copy"] == "copy"
    assert any("'notes.copy' is a copy of the target" in notice for notice in report.notices)


def test_the_target_by_other_names_is_a_copy_too(splitting, samples_of):
    target = classes()
    code = [{"cat": 7.0, "dog": 1.0, "owl": 3.0}[t] for t in target]
    samples = tabular(samples_of, target, {"code": "number"}, code=code)
    with pytest.raises(DataError, match="is the target by other names"):
        splitting.run(samples)


def test_a_number_that_is_the_target_in_another_unit_is_a_copy(splitting, samples_of):
    target = rng().normal(20, 5, N).tolist()
    fahrenheit = [32 + 1.8 * t for t in target]
    samples = tabular(samples_of, target, {"f": "number"}, f=fahrenheit)
    with pytest.raises(DataError, match=r"'notes\.f' is a copy of the target"):
        splitting.run(samples)


def test_a_text_that_is_the_target_is_a_copy(splitting, samples_of):
    target = [f"{t} {i}" for i, t in enumerate(classes())]
    with pytest.raises(DataError, match=r"'notes\.text' is a copy of the target"):
        splitting.run(samples_of(target, text=target))


def test_a_look_up_table_is_told_and_does_not_stop(splitting, samples_of):
    town = rng().choice(["Rome", "Pisa", "Lyon", "Nice", "Bonn"], N)
    land = [{"R": "Italy", "P": "Italy", "L": "France", "N": "France", "B": "Germany"}[t[0]]
            for t in town]  # fmt: skip
    samples = tabular(samples_of, land, {"town": "category"}, town=town.tolist())
    report = splitting.run(samples)
    assert kinds_found(report)["notes.town"] == "gives_away"
    assert any("'notes.town' alone nearly gives the target (AUC 1.000" in n for n in report.notices)


def test_a_number_that_nearly_gives_the_target_is_told(splitting, samples_of):
    target = classes()
    after = [{"cat": 0.0, "dog": 5.0, "owl": 9.0}[t] + e
             for t, e in zip(target, rng(2).normal(0, 0.4, N), strict=True)]  # fmt: skip
    value = rng().normal(size=N)
    samples = tabular(
        samples_of, target, {"after": "number", "value": "number"}, after=after,
        value=value.tolist(),
    )  # fmt: skip
    report = splitting.run(samples)
    assert kinds_found(report) == {"notes.after": "gives_away"}

    close = [v + e for v, e in zip(value, rng(3).normal(0, 0.02, N), strict=True)]
    samples = tabular(samples_of, close, {"value": "number"}, value=value.tolist())
    report = splitting.run(samples)
    assert kinds_found(report) == {"notes.value": "gives_away"}
    assert report.target_leaks[0].measure == "R²"


@pytest.mark.parametrize("apart", [1.0, 3.0])
def test_what_is_merely_easy_or_unrelated_is_not_told(splitting, samples_of, apart):
    target = classes(names=("no", "yes"))
    value = [apart * (t == "yes") + e for t, e in zip(target, rng().normal(size=N), strict=True)]
    place = rng(4).choice(["north", "south"], N).tolist()
    visitor = [f"v{i}" for i in range(N)]  # an id tells nothing of samples never seen
    samples = tabular(
        samples_of, target,
        {"value": "number", "place": "category", "visitor": "category"},
        value=value, place=place, visitor=visitor,
    )  # fmt: skip
    report = splitting.run(samples)
    assert report.target_leaks == ()


def test_a_text_that_names_its_class_is_told(splitting, samples_of):
    target = classes()
    texts = [f"photo_{t}_{i:04d}: seen at noon" for i, t in enumerate(target)]
    report = splitting.run(samples_of(target, text=texts))
    assert kinds_found(report) == {"notes.text": "names_target"}
    both = [f"cat, dog or owl? number {i}" for i in range(N)]
    assert splitting.run(samples_of(target, text=both)).target_leaks == ()
    within = [f"the {t}alogue of {i}" for i, t in enumerate(target)]
    assert splitting.run(samples_of(target, text=within)).target_leaks == ()


def test_labels_with_signs_are_looked_for_as_they_stand(splitting, samples_of):
    target = classes(names=("c++", "c.", "a(b"))
    texts = [f"{i}: {t} wins" for i, t in enumerate(target)]
    report = splitting.run(samples_of(target, text=texts))
    assert kinds_found(report) == {"notes.text": "names_target"}


def test_a_path_that_names_the_class_is_in_the_report_but_no_warning(splitting, samples_of):
    target = classes()
    samples = samples_of(target, photo=[f"{i:064x}" for i in range(N)])
    paths = pa.array([f"photos/{t}/{i}.png" for i, t in enumerate(target)])
    samples = samples.append_column("notes.photo.path", paths)
    report = splitting.run(samples)
    assert kinds_found(report) == {"notes.photo.path": "path_names_target"}
    assert report.notices == ()


def test_samples_that_stand_in_the_order_of_their_class_are_told(splitting, samples_of):
    target = sorted(classes())
    report = splitting.run(samples_of(target))
    assert kinds_found(report) == {"order of samples": "order_gives_away"}
    assert report.notices == ()  # no model reads it
    at = pa.array(np.arange(N) * 1_000_000, pa.timestamp("us", "UTC"))
    shuffled = rng().permutation(N)
    report = splitting.run(samples_of(target, at=at).take(shuffled))
    assert kinds_found(report) == {"notes.at": "order_gives_away"}
    assert any("'notes.at' goes in the order of the target" in n for n in report.notices)
