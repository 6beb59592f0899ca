"""Settings become parameters that MLflow takes, and no secret among them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name, _validate_param_name

from tasks.tracking.flatten import (
    REDACTED,
    VALUE_LIMIT,
    flat_settings,
    safe_name,
    text_without_secrets,
    without_secrets,
)

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
SETTINGS = st.recursive(
    st.dictionaries(st.text(), PLAIN),
    lambda inner: st.dictionaries(st.text(), inner | PLAIN | st.lists(inner | PLAIN)),
    max_leaves=12,
)


@given(st.text())
def test_every_name_becomes_one_that_mlflow_takes(name: str) -> None:
    _validate_metric_name(safe_name(name))
    _validate_param_name(safe_name(name))


@given(SETTINGS)
def test_every_setting_becomes_parameters_that_mlflow_takes(settings: dict[str, object]) -> None:
    for name, value in flat_settings(settings).items():
        _validate_param_name(name)
        assert len(value) <= VALUE_LIMIT


def test_no_parameter_is_lost_where_two_names_become_one() -> None:
    assert flat_settings({"a<": 1, "a>": 2}) == {"a_": "1", "a_-2": "2"}


def test_a_long_value_is_cut_and_says_so() -> None:
    value = flat_settings({"text": "x" * 9000})["text"]
    assert len(value) == VALUE_LIMIT
    assert value.endswith("…")


def test_lists_are_flattened_by_name_or_by_position() -> None:
    settings = {"joins": [{"on": "key"}, {"on": "time"}], "sources": [{"name": "b", "path": "c"}]}
    assert flat_settings(settings) == {
        "joins.0.on": "key",
        "joins.1.on": "time",
        "sources.b.path": "c",
    }


@pytest.mark.parametrize(
    "settings",
    [
        {"api_key": "tops3cret"},
        {"db": {"password": "tops3cret"}},
        {"hub": [{"token": "tops3cret"}]},
        {"uri": "postgresql://me:tops3cret@host/db"},
        {"note": "use hf_tops3crettops3cret0 here"},
        {"header": "Bearer tops3cret"},
    ],
)
def test_secrets_are_hidden_by_name_and_by_form(settings: dict[str, object]) -> None:
    hidden = str(without_secrets(settings))
    assert "tops3cret" not in hidden
    assert REDACTED in hidden


def test_what_only_looks_like_a_secret_stays() -> None:
    settings = {"text_tokens": 64, "author": "me", "path": "a/b:c", "url": "https://host/x@y"}
    assert without_secrets(settings) == settings


def test_secrets_are_hidden_in_the_lines_of_a_file() -> None:
    text = "a:\n  password: tops3cret\n  cmd: run\n  uri: http://u:tops3cret@h\n"
    hidden = text_without_secrets(text)
    assert "tops3cret" not in hidden
    assert "  cmd: run\n" in hidden
