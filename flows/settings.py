"""The settings a run is told on the command line, which become params.yaml before it begins.

DVC, git and the flow must all see the settings that ran, so there is one place for them. What is
wrong with them is said before the file is touched.
"""

import io
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from tasks.errors import ParamsError
from tasks.params import Params
from tasks.params.load import read_yaml, validate_params
from tasks.samples.folders import write_text

PARAMS = Path("params.yaml")
BEFORE = Path(".fuseline/params.before.yaml")


@dataclass(frozen=True)
class Settings:
    """Settings that were found to be right.

    Attributes:
        params: The settings themselves.
        text: The file that holds them.
    """

    params: Params
    text: str


def settings(source: Path, assignments: Sequence[str] = (), whole: bool = True) -> Settings:
    """Read a settings file and change single values of it; nothing is written.

    Args:
        source: A settings file.
        assignments: Values to change, each ``section.key=value`` with a YAML 1.2 value.
        whole: Every section must be there; where not, those left out take their defaults.

    Raises:
        ParamsError: All faults of the resulting settings.
    """
    raw = read_yaml(source)
    left_out = [] if whole else [name for name in Params.model_fields if name not in raw]
    text = with_sections(source.read_text(encoding="utf-8-sig"), left_out)
    for name in left_out:
        raw[name] = {}
    for assignment in assignments:
        assign(raw, assignment)
    return Settings(validate_params(raw, source), dumped(raw) if assignments else text)


def with_sections(text: str, names: Sequence[str]) -> str:
    r"""Append empty sections, which take every default, to a settings file.

    >>> with_sections("collect: {root: data}", ["clean", "split"])
    'collect: {root: data}\nclean: {}\nsplit: {}\n'
    """
    if not names:
        return text
    return text.rstrip("\n") + "\n" + "".join(f"{name}: {{}}\n" for name in names)


def assign(raw: Any, assignment: str) -> None:
    """Carry out one ``section.key=value``; a number in the key stands for a place in a list.

    Raises:
        ParamsError: It is no assignment, or leads to no mapping or list.
    """
    key, equals, value = assignment.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ParamsError([f"--set {assignment}: expected KEY=VALUE, as in finetune.epochs=3"])
    node = raw
    for i, part in enumerate(parts):
        here, last = ".".join(parts[:i]), i == len(parts) - 1
        if isinstance(node, list):
            if not (part.isdecimal() and int(part) < len(node)):
                raise ParamsError(
                    [f"--set {assignment}: '{here}' is a list of {len(node)}; no place '{part}'"]
                )
            step: str | int = int(part)
        elif isinstance(node, Mapping):
            step = part
        else:
            raise ParamsError([f"--set {assignment}: '{here}' is a value, it has no '{part}'"])
        if last:
            node[step] = _value(value, assignment)
        elif isinstance(step, str) and node.get(step) is None:
            node[step] = {}
        node = node[step]


def _value(text: str, assignment: str) -> Any:
    try:
        return YAML(typ="rt").load(text)
    except MarkedYAMLError as fault:
        raise ParamsError([f"--set {assignment}: not a YAML value: {fault.problem}"]) from None


def dumped(raw: Any) -> str:
    """Write settings that were read, with their comments and order."""
    yaml = YAML(typ="rt")
    yaml.width = 100
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    yaml.dump(raw, stream)
    return stream.getvalue()


def adopt(root: Path, text: str) -> Path | None:
    """Make settings the project's own; return where the former ones are kept, or None.

    They are kept where they would be lost: params.yaml differs from what git holds.
    """
    path = root / PARAMS
    former = path.read_text(encoding="utf-8-sig") if path.is_file() else None
    if former == text:
        return None
    kept = None
    if former is not None and not is_committed(root, PARAMS):
        kept = _free_name(root)
        (root / kept).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, root / kept)
    write_text(path, text)
    return kept


def _free_name(root: Path) -> Path:
    """Return a name for kept settings that is not taken; what was kept before stays."""
    names = (BEFORE.with_stem(f"{BEFORE.stem}.{number}") for number in count(1))
    return next(name for name in names if not (root / name).exists())


def is_committed(root: Path, path: Path) -> bool:
    """Tell whether git holds a file as it stands."""
    status = subprocess.run(
        ["git", "status", "--porcelain", "--", str(path)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    return status.returncode == 0 and not status.stdout.strip()
