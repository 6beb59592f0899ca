import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.errors import ParamsError
from tasks.split.groups import find_groups, linked_components, resolve_columns

values = st.lists(st.one_of(st.none(), st.integers(0, 6).map(str)), min_size=8, max_size=8)
quick = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def group_names(keys_from, samples, group_by):
    groups = find_groups(keys_from(samples, group_by), group_by)
    return groups.names[groups.of_sample]


def components_by_hand(rows):
    """Merge rows that share a (column, value) until nothing changes."""
    label = list(range(len(rows)))
    changed = True
    while changed:
        changed = False
        for i in range(len(rows)):
            for j in range(i):
                linked = any(
                    a is not None and a == b for a, b in zip(rows[i], rows[j], strict=True)
                )
                if linked and label[i] != label[j]:
                    label = [label[j] if x == label[i] else x for x in label]
                    changed = True
    return label


def same_partition(first, second):
    return len(set(zip(first, second, strict=True))) == len(set(first)) == len(set(second))


@given(patient=values, device=values, text=values)
@quick
def test_groups_are_the_chains_of_shared_values_and_equal_inputs(
    samples_of, keys_from, patient, device, text
):
    samples = samples_of(["y"] * 8, text=text, patient=patient, device=device)
    names = group_names(keys_from, samples, ["notes.patient", "notes.device"]).tolist()
    equal_inputs = [str(t) for t in text]  # samples that lack every input have equal inputs too
    assert same_partition(
        names, components_by_hand(list(zip(patient, device, equal_inputs, strict=True)))
    )


@given(data=st.data(), patient=values, text=values)
@quick
def test_names_do_not_depend_on_row_order(samples_of, keys_from, data, patient, text):
    order = data.draw(st.permutations(range(8)))
    samples = samples_of(["y"] * 8, text=text, patient=patient)
    names = group_names(keys_from, samples, ["notes.patient"])
    assert (
        group_names(keys_from, samples.take(order), ["notes.patient"]).tolist()
        == names[order].tolist()
    )


@given(patient=values, text=values)
@quick
def test_names_do_not_change_when_unrelated_samples_are_added(samples_of, keys_from, patient, text):
    before = group_names(
        keys_from, samples_of(["y"] * 8, text=text, patient=patient), ["notes.patient"]
    )
    more = samples_of(["y"] * 10, text=["0new", *text, "zzz"], patient=["00new", *patient, "9new"])
    assert group_names(keys_from, more, ["notes.patient"])[1:9].tolist() == before.tolist()


def test_a_sample_without_a_value_is_its_own_group(samples_of, keys_from):
    samples = samples_of(["y"] * 3, patient=[None, None, "p"])
    assert len(set(group_names(keys_from, samples, ["notes.patient"]))) == 3


def test_equal_inputs_are_one_group_without_any_group_by(samples_of, keys_from):
    samples = samples_of(
        ["y", "n", "y", "y"], text=["a", "a", "a", "b"], photo=["p", "p", None, "p"]
    )
    names = group_names(keys_from, samples, []).tolist()
    assert names[0] == names[1]
    assert len(set(names)) == 3


def test_a_value_of_one_column_is_not_that_of_another(samples_of, keys_from):
    samples = samples_of(["y"] * 2, patient=["7", None], device=[None, "7"])
    names = group_names(keys_from, samples, ["notes.patient", "notes.device"])
    assert names[0] != names[1]


def test_a_long_chain_is_one_group():
    n = 20_000
    codes = np.arange(n)
    shifted = np.minimum((codes + 1) // 2, n)
    assert linked_components([codes // 2, shifted]).max() == 0


def test_columns_are_found_by_short_and_by_full_name(samples_of):
    samples = samples_of(["y"], patient=["p"])
    assert resolve_columns(samples.column_names, ["patient", "notes.text"], "split.group_by") == [
        "notes.patient",
        "notes.text",
    ]


def test_an_unknown_column_is_named_with_the_nearest(samples_of):
    samples = samples_of(["y"], patient=["p"])
    with pytest.raises(ParamsError, match=r"split\.group_by.*'notes\.patiend'.*'notes\.patient'"):
        resolve_columns(samples.column_names, ["notes.patiend"], "split.group_by")
