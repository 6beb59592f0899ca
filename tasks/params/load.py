"""Read params.yaml, and say all that is wrong with it at once."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from tasks.errors import ParamsError, nearest
from tasks.params.pipeline import Params

MAX_BYTES = 1_000_000
MAX_VALUES = 100_000
WATCHED = (
    ("project", "name"),
    ("project", "seed"),
    ("project", "cpu_threads"),
    ("project", "max_bad_fraction"),
    ("collect", "root"),
)
"""The settings that dvc.yaml names one by one; DVC stops where one is not in params.yaml."""


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and validate a params file.

    YAML 1.2 is read, as DVC does: ``1e-4`` is a number and ``no`` is a word.

    Raises:
        ParamsError: Every fault at once, each with its line, what was expected and what was found.
    """
    return validate_params(read_yaml(path), path)


def validate_params(raw: Any, path: Path) -> Params:
    """Validate settings that were read by :func:`read_yaml` from ``path``, or changed since.

    Raises:
        ParamsError: Every fault at once, each with its line, what was expected and what was found.
    """
    try:
        params = Params.model_validate(_plain(raw))
    except ValidationError as fault:
        raise ParamsError([_worded(path, raw, e) for e in _causes(fault)]) from None
    faults = [f"{_place(path, raw, at.split('.'))}: {words}" for at, words in params.faults()]
    faults += [
        f"{_place(path, raw, [section])}: '{section}.{key}' is missing; DVC watches it by itself, "
        f"so it must be written, as in {key}: {getattr(getattr(params, section), key)}"
        for section, key in WATCHED
        if key not in raw[section]
    ]
    if faults:
        raise ParamsError(faults)
    return params


def read_yaml(path: Path) -> Any:
    """Parse a YAML file into ruamel's mappings, which remember lines and comments."""
    if not path.is_file():
        raise ParamsError([f"{path}: there is no such file; expected the settings of the project"])
    if path.stat().st_size > MAX_BYTES:
        raise ParamsError([f"{path}: larger than {MAX_BYTES:,} bytes, which is no settings file"])
    text = path.read_text(encoding="utf-8-sig", errors="strict") if _is_utf8(path) else ""
    if not text.strip():
        raise ParamsError([f"{path}: empty or not UTF-8; expected the settings of the project"])
    try:
        raw = YAML(typ="rt").load(text)
    except MarkedYAMLError as fault:
        line = fault.problem_mark.line + 1 if fault.problem_mark else "?"
        raise ParamsError([f"{path}:{line}: not valid YAML: {fault.problem}"]) from None
    except (YAMLError, ValueError, RecursionError) as fault:
        first = str(fault).splitlines()[0]
        raise ParamsError([f"{path}: not valid YAML: {first}"]) from None
    if _n_values(raw, {}) > MAX_VALUES:
        raise ParamsError(
            [f"{path}: its aliases (`*name`) stand for over {MAX_VALUES:,} values; write them out"]
        )
    if not isinstance(raw, Mapping):
        raise ParamsError([f"{path}: expected a mapping of sections, found {_kind(raw)}"])
    return raw


def _n_values(node: Any, known: dict[int, int]) -> int:
    """Count the values of settings with each alias written out; endless for one within itself."""
    if not isinstance(node, Mapping | list):
        return 1
    if id(node) not in known:
        known[id(node)] = MAX_VALUES + 1  # what it counts as within itself
        children = node.values() if isinstance(node, Mapping) else node
        known[id(node)] = 1 + sum(_n_values(child, known) for child in children)
    return known[id(node)]


def _is_utf8(path: Path) -> bool:
    try:
        path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _plain(node: Any) -> Any:
    """Turn ruamel's nodes into what strict pydantic models take: lists become tuples."""
    if isinstance(node, Mapping):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return tuple(_plain(value) for value in node)
    if isinstance(node, bool) or node is None:
        return node
    for plain in (int, float, str):
        if isinstance(node, plain):
            return plain(node)
    return node


def _causes(fault: ValidationError) -> list[Any]:
    """Leave out that a list is too short where that only follows from a fault of its items."""
    errors: list[Any] = list(fault.errors())
    places = [error["loc"] for error in errors]
    return [
        error
        for error in errors
        if error["type"] != "too_short"
        or not any(p[: len(error["loc"])] == error["loc"] != p for p in places)
    ]


def _worded(path: Path, raw: Any, error: Any) -> str:
    """Word one of pydantic's faults: place, what was expected, what was found, nearest name."""
    loc = [part for part in error["loc"] if not _is_tag(raw, error["loc"], part)]
    place, dotted = _place(path, raw, loc), ".".join(map(str, loc))
    found = error["input"]
    match error["type"]:
        case "extra_forbidden":
            known = _known_keys(loc[:-1])
            return f"{place}: unknown key '{dotted}'.{nearest(str(loc[-1]), known)}"
        case "missing":
            empty = " (write `{}` to take every default)" if len(loc) == 1 else ""
            return f"{place}: '{dotted}' is missing{empty}"
        case "value_error":
            return (
                f"{place}: {dotted}: {error['ctx']['error']}"
                if dotted
                else f"{place}: {error['msg']}"
            )
        case "literal_error":
            expected = str(error["ctx"]["expected"])
            close = nearest(str(found), expected.replace("'", "").replace(" or ", ", ").split(", "))
            return f"{place}: {dotted}: expected {expected}, found {_kind(found)}.{close}"
        case "too_short":
            least = error["ctx"]["min_length"]
            return f"{place}: {dotted}: expected {least} or more, found {_kind(found)} too short"
        case "union_tag_invalid":
            tags = error["ctx"]
            expected = f"{tags['discriminator']} {tags['expected_tags']}"
            return f"{place}: {dotted}: expected {expected}, found '{tags['tag']}'"
        case "union_tag_not_found":
            return f"{place}: {dotted}: the key {error['ctx']['discriminator']} is missing"
        case _:
            expected = error["msg"].removeprefix("Input should be ")
            return f"{place}: {dotted}: expected {expected}, found {_kind(found)}"


def _is_tag(raw: Any, loc: Sequence[Any], part: Any) -> bool:
    """Tell whether a part of pydantic's path is a union's tag, which the file does not show."""
    node: Any = raw
    for step in loc:
        if step is part:
            break
        node = _child(node, step) if _has(node, step) else node
    return (
        isinstance(part, str)
        and isinstance(node, Mapping)
        and not _has(node, part)
        and part in (node.get("kind"), node.get("on"))
    )


def _has(node: Any, step: Any) -> bool:
    if isinstance(node, Mapping):
        return step in node
    return isinstance(node, Sequence) and isinstance(step, int) and 0 <= step < len(node)


def _child(node: Any, step: Any) -> Any:
    return node[step]


def _place(path: Path, raw: Any, loc: Sequence[Any]) -> str:
    """Return ``file:line`` of the deepest part of ``loc`` that the file holds."""
    node, line = raw, 1
    for part in loc:
        step = int(part) if isinstance(node, list) and str(part).isdigit() else part
        if not _has(node, step):
            break
        position = getattr(node, "lc", None)
        marks = position.data.get(step) if position is not None and position.data else None
        line = marks[0] + 1 if marks else line
        node = node[step]
    return f"{path}:{line}"


def _known_keys(loc: Sequence[Any]) -> list[str]:
    """Return the keys that may stand at a place of the params file."""

    def of(model: type[BaseModel], rest: Sequence[Any]) -> Iterator[str]:
        if not rest:
            yield from model.model_fields
            return
        field = model.model_fields.get(str(rest[0]))
        if field is None:
            return
        inner = [p for p in rest[1:] if not isinstance(p, int)]
        for nested in _models_in(field.annotation):
            yield from of(
                nested, inner if nested.model_fields.keys() & set(map(str, inner)) else ()
            )

    return list(of(Params, loc))


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _models_in(part)


def _kind(value: Any) -> str:
    names: dict[type, str] = {
        dict: "a mapping",
        list: "a list",
        tuple: "a list",
        type(None): "nothing",
    }
    for kind, name in names.items():
        if isinstance(value, kind):
            return name
    return f"{value!r} ({type(value).__name__})" if not isinstance(value, str) else f"'{value}'"
