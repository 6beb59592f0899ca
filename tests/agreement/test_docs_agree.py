"""README and docs/ say what the code does: pages, tables, commands, examples, links, codes."""

import ast
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

import flows.child
import flows.reproduce
from flows.__main__ import app
from flows.settings import settings
from tasks.align.matching import Outcome
from tasks.align.suspects.doubts import DOUBTS
from tasks.errors import PipelineError
from tasks.params import load_params
from tasks.params.clean import CHECKS

REPOSITORY = Path(__file__).parents[2]
REFERENCE = REPOSITORY / "docs/reference"
PAGES = sorted(
    [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *REPOSITORY.glob("docs/**/*.md")]
)
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", REFERENCE / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _dvc_stages() -> dict[str, Any]:
    read = YAML(typ="safe").load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))
    return dict(read["stages"])


def _code(page: Path) -> Iterator[str]:
    """Yield the lines of a page that are code."""
    text = page.read_text(encoding="utf-8")
    for _, block in FENCED.findall(text):
        yield from block.splitlines()
    yield from INLINE.findall(FENCED.sub("", text))


def _blocks(language: str) -> list[Any]:
    return [
        pytest.param(block, id=f"{page.stem}-{i}")
        for page in PAGES
        for i, (its, block) in enumerate(FENCED.findall(page.read_text(encoding="utf-8")))
        if its == language
    ]


def _is_whole(block: str) -> bool:
    return "collect:" in block and "align:" in block


WHOLE = [block for block in _blocks("yaml") if _is_whole(block.values[0])]
PARTS = [block for block in _blocks("yaml") if not _is_whole(block.values[0])]


def test_generated_pages_are_up_to_date() -> None:
    pages = _generator().pages()
    assert len(pages) == 3
    stale = [path.name for path, text in pages.items() if path.read_text("utf-8") != text]
    assert not stale, "run `python docs/reference/generate.py`"


def test_the_table_of_stages_in_readme_is_dvc_yaml() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| ([a-z]+) \| ([^|]+\.) \| `", text, re.MULTILINE))
    stages = _dvc_stages()
    assert told == {name: entry["desc"] for name, entry in stages.items()}
    assert list(told) == list(stages)
    diagram = text.partition("```\n")[2].partition("```")[0]
    assert set(stages) <= set(re.findall(r"[a-z]+", diagram))


def test_the_commands_that_pages_name_exist() -> None:
    group = typer.main.get_command(app)
    commands = group.commands  # type: ignore[attr-defined]
    named = [
        (page.name, line[match.end(1) :], match[1])
        for page in PAGES
        for line in _code(page)
        for match in re.finditer(r"(?<![\w-])fuseline ([a-z][a-z-]*)", line)
    ]
    assert len(named) >= 25
    assert {command for _, _, command in named} >= {"run", "check", "repro", "track", "schedule"}
    for page, rest, command in named:
        assert command in commands, f"{page}: fuseline {command}"
        known = {option for parameter in commands[command].params for option in parameter.opts}
        own = re.split(r"[|;&>]| #", rest)[0]
        for word in shlex.split(own.replace("'", "")):
            if word.startswith("--"):
                assert word in known, f"{page}: fuseline {command} {word}"


def test_the_targets_of_make_that_pages_name_exist() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE))
    lines = [line for page in PAGES for line in _code(page)]
    named = {match[1] for line in lines if (match := re.match(r"make ([a-z]+)", line))}
    assert len(named) >= 4
    assert named <= targets


@pytest.mark.parametrize("block", WHOLE)
def test_the_settings_that_pages_show_are_right(block: str, tmp_path: Path) -> None:
    shown = tmp_path / "shown.yaml"
    shown.write_text(block, encoding="utf-8")
    adopted = tmp_path / "params.yaml"
    adopted.write_text(settings(shown, whole=False).text, encoding="utf-8")
    params = load_params(adopted)
    assert params.align.inputs
    # DVC stops where a key is missing that it watches, though it has a default.
    raw = YAML(typ="safe").load(adopted.read_text(encoding="utf-8"))
    watched = {key for entry in _dvc_stages().values() for key in entry["params"]}
    for dotted in {*watched, "collect.root"}:
        node = raw
        for part in dotted.split("."):
            assert part in node, f"{dotted} is missing"
            node = node[part]


@pytest.mark.parametrize("block", PARTS)
def test_the_parts_of_settings_that_pages_show_are_right(block: str, tmp_path: Path) -> None:
    yaml = YAML(typ="safe")
    raw = yaml.load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    part = yaml.load(block)
    assert part.keys() <= raw.keys()
    with (tmp_path / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(raw | part, file)
    load_params(tmp_path / "params.yaml")


def test_enough_settings_are_shown_and_ten_lines_are_ten_lines() -> None:
    assert len(WHOLE) >= 6
    assert len(PARTS) >= 2
    readme = FENCED.findall((REPOSITORY / "README.md").read_text(encoding="utf-8"))
    (block,) = [block for language, block in readme if language == "yaml"]
    assert len(block.splitlines()) <= 10


def test_relative_links_lead_somewhere() -> None:
    n_followed = 0
    for page in PAGES:
        text = FENCED.sub("", page.read_text(encoding="utf-8"))
        for target in LINK.findall(text):
            if target.startswith(("http://", "https://")):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            assert file.exists(), f"{page.name}: {target}"
            assert file.is_relative_to(REPOSITORY), f"{page.name}: {target}"
            if anchor:
                assert anchor in _anchors(file), f"{page.name}: {target}"
            n_followed += 1
    assert n_followed >= 50


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_every_page_can_be_reached_from_readme() -> None:
    reached, waiting = set(), [REPOSITORY / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = LINK.findall(page.read_text(encoding="utf-8"))
        paths = [(page.parent / link.partition("#")[0]).resolve() for link in links]
        waiting += [path for path in paths if path.is_file()]
    assert set(PAGES) <= reached


SET_ASIDE_BY = ("collect", "clean", "align", "split")


def test_the_reasons_on_the_page_are_those_in_the_code() -> None:
    text = (REFERENCE / "quarantine-reasons.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `([a-z_:]+)` \|", text, re.MULTILINE))
    found = {reason for stage in SET_ASIDE_BY for reason in _reasons(stage)}
    found |= set(_reasons("samples")) | {each.reason for each in Outcome if each.value}
    found |= set(CHECKS) | set(DOUBTS)
    assert len(found) >= 80
    assert told == found


def _reasons(folder: str) -> Iterator[str]:
    """Yield the reason codes that the modules of a folder give."""
    verdicts = {"Fault", "BadCell", "Undecodable", "_BadLine", "Verdict"}
    verdicts |= {"Unfetchable", "ArchiveFault", "_BadMember"}
    for file in sorted((REPOSITORY / "tasks" / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                if node.func.id in verdicts:
                    place = 1 if (folder, node.func.id) == ("clean", "Fault") else 0
                    yield from _words(node.args[place : place + 1])
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                if node.targets[0].id in ("reason", "codes"):
                    yield from _words([node.value])
            elif isinstance(node, ast.FunctionDef) and node.name == "rejected_repeats":
                yield from ("duplicate_id", "conflicting_id")


def _words(nodes: list[ast.expr]) -> Iterator[str]:
    """Yield the codes among some expressions: a text, either branch of a choice, or a tuple."""
    for node in nodes:
        if isinstance(node, ast.IfExp):
            yield from _words([node.body, node.orelse])
        elif isinstance(node, ast.Tuple):
            yield from _words(node.elts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
            yield node.value


def test_the_errors_on_the_page_are_those_in_the_code() -> None:
    text = (REFERENCE / "errors.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(\w+)` \| .+ \| (\d+) \|$", text, re.MULTILINE))
    errors = {error for error in _family(PipelineError) if error.__module__.startswith(OWN)}
    assert flows.child.Stopped in errors
    assert told == {error.__name__: str(error.exit_code) for error in errors}


OWN = ("tasks.", "flows.")


def _family(error: type[PipelineError]) -> Iterator[type[PipelineError]]:
    yield error
    for child in error.__subclasses__():
        yield from _family(child)


def test_decisions_are_numbered_short_and_listed() -> None:
    records = sorted((REPOSITORY / "docs/decisions").glob("0*.md"))
    contents = (REPOSITORY / "docs/decisions/README.md").read_text(encoding="utf-8")
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    assert len(records) >= 10
    for record in records:
        text = record.read_text(encoding="utf-8")
        assert f"]({record.name})" in contents
        assert len(text.splitlines()) <= 25, record.name
        for part in ("**Context.**", "**Decision.**", "**Consequence.**"):
            assert part in text, f"{record.name}: {part}"
