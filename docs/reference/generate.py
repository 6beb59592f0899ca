"""Write the pages that repeat what the code says: settings, stages, reasons, and README's table.

``python docs/reference/generate.py`` writes them anew; a test fails while they are out of date.
"""

import ast
import inspect
import json
import sys
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from ruamel.yaml import YAML

from tasks.params import Params

ROOT = Path(__file__).parents[2]
README_BEGIN = "<!-- stages: written by docs/reference/generate.py -->"
README_END = "<!-- /stages -->"

MADE = "<!-- Written by docs/reference/generate.py from the code; edit that, not this page. -->"

PLAIN = {str: "text", int: "whole number", float: "number", bool: "true or false"}
LIMITS = {
    "ge": "at least {}",
    "gt": "above {}",
    "le": "at most {}",
    "lt": "below {}",
    "min_length": "{} or more",
    "max_length": "{} at most",
}


def pages() -> dict[Path, str]:
    """Return the text of every page that is written here, by its path."""
    stages = stages_of(ROOT / "dvc.yaml")
    reference = ROOT / "docs/reference"
    return {
        reference / "params.md": params_page(stages),
        reference / "stages.md": stages_page(stages),
        ROOT / "README.md": with_table((ROOT / "README.md").read_text("utf-8"), stages),
    }


def stages_of(dvc_yaml: Path) -> dict[str, Any]:
    """Read the stages of dvc.yaml, in order."""
    return dict(YAML(typ="safe").load(dvc_yaml.read_text("utf-8"))["stages"])


def params_page(stages: Mapping[str, Any]) -> str:
    """Describe every setting: type, limits, default, meaning, and the stages that read it."""
    lines = [
        MADE,
        "# Settings",
        "",
        "Everything that can be set in `params.yaml`. A section takes all its defaults where it is "
        "written as `{}`, but for keys that `dvc.yaml` watches one by one (`project.seed` and the "
        "like): DVC stops where one of those is missing. Keys that are not listed here are "
        "refused. `fuseline check` says what is wrong with the file, all of it at once.",
    ]
    for name, field in Params.model_fields.items():
        section = field.annotation
        assert isinstance(section, type)
        lines += ["", f"## {name}", "", *text_of(section), "", readers(name, stages), ""]
        lines += table(section)
        for nested in nested_models(section):
            heading = f"### {nested.__name__}"
            lines += ["", heading, "", *text_of(nested), "", *table(nested)]
    return "\n".join(lines) + "\n"


def readers(section: str, stages: Mapping[str, Any]) -> str:
    """Say which stages run again when a section, or one key of it, changes."""
    watched: dict[str, list[str]] = {}
    for stage, entry in stages.items():
        for key in entry["params"]:
            if key.split(".")[0] == section:
                watched.setdefault(key, []).append(stage)
    told = [f"`{key}` reruns {', '.join(names)}" for key, names in watched.items()]
    return f"A change of {'; of '.join(told)}; then whatever reads what that changes."


def table(model: type[BaseModel]) -> list[str]:
    """Return the settings of one model as a Markdown table."""
    told = attribute_docstrings(model)
    rows = [
        f"| `{name}` | {type_of(field)} | {default_of(field)} | {told.get(name, '')} |"
        for name, field in model.model_fields.items()
    ]
    return ["| setting | type | default | |", "| --- | --- | --- | --- |", *rows]


def attribute_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return the strings that stand below the fields of a class, which Python forgets."""
    told = {}
    for base in model.__bases__:
        if issubclass(base, BaseModel) and base is not BaseModel:
            told |= attribute_docstrings(base)
    (body,) = ast.parse(inspect.getsource(model)).body
    assert isinstance(body, ast.ClassDef)
    for field, below in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
        ):
            told[field.target.id] = plain(str(below.value.value))
    return told


def plain(docstring: str) -> str:
    """Return a docstring as one line of Markdown that a table cell can hold."""
    return " ".join(docstring.split()).replace("``", "`").replace("|", "\\|")


def text_of(model: type[BaseModel]) -> list[str]:
    """Return the docstring of a class as paragraphs of Markdown."""
    paragraphs = inspect.cleandoc(model.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(p.split()).replace("``", "`") for p in paragraphs).split("\n")


def nested_models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield the models that the fields of a model hold, each with those that it holds itself."""
    for field in model.model_fields.values():
        for nested in models_in(field.annotation):
            yield nested
            yield from nested_models(nested)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


def type_of(field: FieldInfo) -> str:
    """Word the type of a setting, with its limits."""
    limits = []
    for constraint in field.metadata:
        for name, words in LIMITS.items():
            if (limit := getattr(constraint, name, None)) is not None:
                limits.append(words.format(f"{limit:,}"))
        if pattern := getattr(constraint, "pattern", None):
            limits.append(f"like `{pattern}`")
    return ", ".join([worded(field.annotation), *limits])


def worded(annotation: Any) -> str:
    """Word a type as a person who writes YAML thinks of it."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return worded(parts[0])
    if origin is Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin in (Union, types.UnionType):
        return " or ".join(worded(part) for part in parts)
    if origin is tuple:
        return f"list of {worded(parts[0])}"
    if origin is dict:
        return f"mapping to {worded(parts[1])}"
    if annotation is type(None):
        return "null"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return PLAIN[annotation]


def default_of(field: FieldInfo) -> str:
    """Return a default as YAML, or that there is none."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    assert value is not PydanticUndefined
    return f"`{as_yaml(value)}`"


def as_yaml(value: Any) -> str:
    """Write a value as YAML on one line.

    >>> as_yaml(("a", None, 0.5, "")), as_yaml({})
    ('[a, null, 0.5, ""]', '{}')
    """
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {as_yaml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(as_yaml, value)) + "]"
    if isinstance(value, str) and value.replace("_", "").isalnum():
        return value
    return json.dumps(value)


def stages_page(stages: Mapping[str, Any]) -> str:
    """Describe every stage as dvc.yaml declares it."""
    lines = [
        MADE,
        "# Stages",
        "",
        "As `dvc.yaml` declares them. A stage runs again when anything under *reads*, *code* or "
        "*settings* has changed; `dvc status` says what has. The settings are explained in "
        "[params.md](params.md), the tables that stages pass on in "
        "[sample-schema.md](sample-schema.md).",
    ]
    for name, entry in stages.items():
        data, code = reads_and_code(entry)
        lines += ["", f"## {name}", "", entry["desc"], "", "| | |", "| --- | --- |"]
        rows = {
            "runs": [entry["cmd"]],
            "reads": data,
            "code": code,
            "settings": entry["params"],
            "writes": paths(entry["outs"]),
            "metrics": paths(entry.get("metrics", [])),
            "plots": paths(entry.get("plots", [])),
        }
        lines += [f"| {k} | {quoted(v)} |" for k, v in rows.items() if v]
    return "\n".join(lines) + "\n"


def with_table(readme: str, stages: Mapping[str, Any]) -> str:
    """Return README with its table of stages written anew."""
    before, _, rest = readme.partition(README_BEGIN)
    _, _, after = rest.partition(README_END)
    rows = ["| stage | what it does | reads | writes |", "| --- | --- | --- | --- |"]
    for name, entry in stages.items():
        data = [path for path in reads_and_code(entry)[0] if not path.startswith("reports/")]
        outs = [path for path in paths(entry["outs"]) if path.startswith("data/")]
        rows.append(f"| {name} | {entry['desc']} | {quoted(data)} | {quoted(outs)} |")
    return "\n".join([f"{before}{README_BEGIN}", *rows, f"{README_END}{after}"])


def reads_and_code(entry: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Part what a stage depends on into data and code."""
    deps = [str(path).replace("${collect.root}", "collect.root") for path in entry["deps"]]
    code = [path for path in deps if path.startswith("tasks/")]
    return [path for path in deps if path not in code], code


def paths(outs: list[Any]) -> list[str]:
    """Return the paths of outs, metrics or plots, some of which carry options."""
    return [out if isinstance(out, str) else next(iter(out)) for out in outs]


def quoted(names: list[str]) -> str:
    """Return names as code, parted by commas."""
    return ", ".join(f"`{name}`" for name in names)


def main() -> None:
    """Write every page whose text has changed."""
    for path, text in pages().items():
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{path.relative_to(ROOT)} written\n")


if __name__ == "__main__":
    main()
