"""Settings as MLflow holds them: flat names and short values, without secrets."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

VALUE_LIMIT = 6000
"""MLflow refuses a parameter longer than this."""

NAME_LIMIT = 250
REDACTED = "[redacted]"

_SECRET_NAME = re.compile(
    r"(?i)(^|[_.\-\s])(password|passwd|pwd|passphrase|secret|token|auth|api_?key|access_?key(_id)?"
    r"|secret_?key|private_?key|credentials?|connection_?string)$"
)
_SECRET_VALUES = (
    re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"),  # a password in an address
    re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"),
    re.compile(r"\b(hf_|gh[pousr]_|github_pat_|glpat-|sk-|xox[abps]-)[\w-]{16,}"),
    re.compile(r"(?<=\bBearer )\S+"),
)
_SECRET_LINE = re.compile(r"(?m)^(?P<start>\s*(?:- )?(?P<name>[\w.\-]+)\s*:[ \t]+)(?P<value>\S.*)$")


def is_secret(name: str) -> bool:
    """Tell by its name whether a setting holds a secret.

    >>> is_secret("api_key"), is_secret("text_tokens")
    (True, False)
    """
    return bool(_SECRET_NAME.search(name))


def without_secrets(value: Any, name: str = "") -> Any:
    """Return settings with what looks like a secret replaced, by its name or by its form."""
    if isinstance(value, Mapping):
        return {key: without_secrets(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(inner, name) for inner in value]
    if isinstance(value, str):
        return REDACTED if is_secret(name) else _hide_forms(value)
    return value


def text_without_secrets(text: str) -> str:
    """Return a YAML text with what looks like a secret replaced, line by line.

    >>> text_without_secrets("url: https://me:pw@host/x")
    'url: https://[redacted]@host/x'
    """

    def hide(line: re.Match[str]) -> str:
        return line["start"] + (REDACTED if is_secret(line["name"]) else line["value"])

    return _hide_forms(_SECRET_LINE.sub(hide, text))


def flat_settings(settings: Mapping[str, Any]) -> dict[str, str]:
    """Flatten nested settings into parameters: dotted names, values as JSON, cut where too long.

    A list of mappings that are named is flattened by name, any other by position; a list of plain
    values is one parameter.

    >>> flat_settings({"a": {"b": 1.0e-3, "c": [1, 2]}, "d": [{"name": "x", "e": None}]})
    {'a.b': '0.001', 'a.c': '[1, 2]', 'd.x.e': 'null'}
    """
    flat: dict[str, str] = {}
    for name, value in _leaves(without_secrets(settings)):
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        flat[_free_name(name, flat)] = cut(text, VALUE_LIMIT)
    return flat


def safe_name(name: str) -> str:
    """Return a name that MLflow takes: letters, digits and ``_-. /:``, and a clean path.

    >>> safe_name("<b>größe</b>/../x")
    '_b_größe_/b_/_/x'
    """
    kept = re.sub(r"[^\w\-. /:]", "_", name.strip())
    parts = [part if part.strip(".") else "_" for part in kept.split("/") if part]
    return cut(re.sub(r"^\.+", "_", "/".join(parts)) or "unnamed", NAME_LIMIT, end="_")


def cut(text: str, limit: int, end: str = "…") -> str:
    """Return the text, its end replaced where it is too long."""
    return text if len(text) <= limit else text[: limit - len(end)] + end


def _hide_forms(text: str) -> str:
    for form in _SECRET_VALUES:
        text = form.sub(REDACTED, text)
    return text


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    prefix = f"{name}." if name else ""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{prefix}{key}")
    elif _is_plain_list(value) or not isinstance(value, list | tuple):
        yield name, list(value) if isinstance(value, tuple) else value
    else:
        for position, inner in enumerate(value):
            part = inner.get("name", position) if isinstance(inner, Mapping) else position
            rest = (
                {key: of for key, of in inner.items() if key != "name"}
                if isinstance(inner, Mapping)
                else inner
            )
            yield from _leaves(rest, f"{prefix}{part}")


def _is_plain_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not any(
        isinstance(inner, Mapping | list | tuple) for inner in value
    )


def _free_name(name: str, taken: Mapping[str, Any]) -> str:
    """Return the name as MLflow takes it, numbered where another one became the same."""
    safe = safe_name(name)
    free, number = safe, 2
    while free in taken:
        free, number = f"{safe[: NAME_LIMIT - 6]}-{number}", number + 1
    return free
