"""Guess how sources could be put together: what to predict, from what, and how they are joined."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.collect.inspection.columns import PARTS, ColumnGuess
from tasks.collect.inspection.guesses import Declared

_TARGETS = frozenset(
    (
        "label",
        "labels",
        "target",
        "answer",
        "class",
        "category",
        "y",
        "species",
        "sentiment",
        "total",
        "grade",
        "activity",
        "outcome",
        "diagnosis",
        "price",
        "rating",
        "score",
        "steering",
        "latex",
        "caption",
    )
)
_GROUPS = frozenset(
    (
        "subject",
        "person",
        "patient",
        "speaker",
        "user",
        "writer",
        "participant",
        "video",
        "recording",
        "group",
        "site",
    )
)
MAX_CLASSES = 200
MAX_JOINS = 20
STEPS = 50
"""Steps that a window should have at least, in the guess of its length."""

_ALIKE = 0.8
"""The part of a column's values that another must have for the two to be one key."""


@dataclass
class Alignment:
    """How sources could be put together.

    Attributes:
        base: The source with a record for each sample.
        target: The column to predict.
        why: What speaks for that target.
        inputs: What to predict it from.
        joins: Settings of ``align.joins``.
        segments: Settings of ``align.segments``.
        split: Settings of ``split``.
        unjoined: Sources that nothing seems to connect.
    """

    base: Declared
    target: ColumnGuess
    why: str
    inputs: list[str] = field(default_factory=list)
    joins: list[dict[str, Any]] = field(default_factory=list)
    segments: dict[str, Any] = field(default_factory=dict)
    split: dict[str, Any] = field(default_factory=dict)
    unjoined: list[str] = field(default_factory=list)


def guess_alignment(sources: Sequence[Declared]) -> Alignment | None:
    """Guess base, target, joins, inputs and split; None where nothing could be predicted."""
    ranked = [
        (points, -len(source.known), -i, source, column)
        for i, source in enumerate(sources)
        for column in source.known
        if (points := _as_target(source, column, sources)) > 0
    ]
    if not ranked:
        return None
    points, _, _, base, target = max(ranked, key=lambda each: each[:3])
    told = "its name" if points >= _BY_NAME else "nothing else looks more like a target; choose"
    guess = Alignment(base, target, told)
    joined = _joined(guess, sources)
    names = [name for source in joined for name in _inputs_of(source, guess)]
    guess.inputs = [_full(name, source, sources) for source, name in names]
    if not guess.inputs:
        spare = [c.name for c in base.known if c is not target and _may_be_read(c)]
        guess.inputs = [_full(name, base, sources) for name in spare[:1]]
    guess.split = _split(guess, joined)
    return guess if guess.inputs else None


_BY_NAME = 10


def _as_target(source: Declared, column: ColumnGuess, sources: Sequence[Declared]) -> int:
    """Return how much a column looks like what is to be predicted; 0 for one that cannot be."""
    if column.kind not in ("category", "number", "text", "labels") or _is_part(column):
        return 0
    if source.kind == "sensor" and column.kind not in ("category", "number"):
        return 0
    if "constant" in " ".join(column.remarks) or column.name in ("top", "clipped", "marked"):
        return 0
    named = {column.name.lower(), *column.name.lower().split("_")} & _TARGETS
    known = column.n_rows == 0  # a layout says what it is, so that no value was counted
    if column.kind == "category" and not known and not 2 <= column.n_distinct <= MAX_CLASSES:
        return 0
    points = {"category": 3, "labels": 3, "number": 2, "text": 1}[column.kind]
    points += _BY_NAME * bool(named)
    points += source.kind in ("voc", "coco", "folder") and column.name == "label"
    # Where most sources are sensors, a table beside them only says which there are.
    mostly_sensors = 2 * sum(s.kind == "sensor" for s in sources) > len(sources)
    points += 4 * (mostly_sensors and source.kind == "sensor")
    return points


def _is_part(column: ColumnGuess) -> bool:
    values = {value.lower() for value in column.values}
    return column.name == "hub_split" or (column.name == "set" and not values) or (
        len(values) > 1 and values <= PARTS
    )  # fmt: skip


def _joined(guess: Alignment, sources: Sequence[Declared]) -> list[Declared]:
    """Join to the base whatever something connects to it, and return all that is joined."""
    joined, waiting = [guess.base], [s for s in sources if s is not guess.base]
    if guess.base.kind == "sensor":
        _cut(guess)
        for sensor in [s for s in waiting if s.kind == "sensor"][:MAX_JOINS]:
            guess.joins.append(_window_join(guess, sensor))
            joined.append(sensor)
            waiting.remove(sensor)
    progress = True
    while progress and waiting:
        progress = False
        for right in list(waiting):
            lefts = [s for s in joined if s is guess.base or s.kind != "sensor"]
            join = next((j for left in lefts if (j := _join(guess.base, left, right))), None)
            if join is not None:
                guess.joins.append(join)
                joined.append(right)
                waiting.remove(right)
                progress = True
    guess.unjoined = [source.name for source in waiting]
    return joined


def _cut(guess: Alignment) -> None:
    rate = _rate(guess.base)
    seconds = max(1.0, STEPS / rate)
    label = "majority" if guess.target.kind == "category" else "mean"
    guess.segments = {"seconds": seconds, "every_seconds": seconds / 2, "rate_hz": rate}
    guess.segments |= {"label": label} if label != "majority" else {}


def _rate(sensor: Declared) -> float:
    """Return a round number of readings a second."""
    rate = max(sensor.rate_hz, 0.01)
    return float(max(1, round(rate / 10) * 10 if rate >= 20 else round(rate)))


def _window_join(guess: Alignment, sensor: Declared) -> dict[str, Any]:
    seconds, rate = guess.segments["seconds"], guess.segments["rate_hz"]
    own, other = (s.column("series").values for s in (guess.base, sensor))
    join: dict[str, Any] = {"on": "window", "right": sensor.name}
    join |= {"series": "series"} if own == other and len(own) > 1 else {}
    step = 1 / max(sensor.rate_hz, 0.01)
    join |= {"seconds": seconds, "rate_hz": rate, "tolerance_seconds": round(max(0.2, 2 * step), 2)}
    return join


def _join(base: Declared, left: Declared, right: Declared) -> dict[str, Any] | None:
    """Return a join by key, or by time where there is none; None where nothing connects the two."""
    if right.kind == "sensor":
        at, rate = _time_of(left), _rate(right)
        join: dict[str, Any] = {"on": "window", "right": right.name, **_from(base, left)}
        join |= {"left_on": at, "seconds": max(1.0, STEPS / rate), "rate_hz": rate}
        return join | {"tolerance_seconds": 0.2} if at else None
    for theirs in [c for c in right.known if c.is_unique and c.kind in ("key", "category")]:
        for ours in [c for c in left.known if c.kind in ("key", "category")]:
            if ours.values and len(ours.values & theirs.values) >= _ALIKE * len(ours.values):
                both = ours.is_unique and left.kind != "sensor"
                join = {"on": "key", "right": right.name, **_from(base, left)}
                join |= {"left_on": ours.name}
                join |= {"right_on": theirs.name} if theirs.name != ours.name else {}
                return join | {"relation": "one_to_one" if both else "many_to_one"}
    ours_at, theirs_at = _time_of(left), _time_of(right)
    if left.kind == "sensor" or not ours_at or not theirs_at:
        return None
    join = {"on": "time", "right": right.name, **_from(base, left), "left_on": ours_at}
    join |= {"right_on": theirs_at} if theirs_at != ours_at else {}
    return join | {"tolerance_seconds": 1.0}


def _time_of(source: Declared) -> str:
    return next((column.name for column in source.known if column.kind == "time"), "")


def _from(base: Declared, left: Declared) -> dict[str, str]:
    return {} if left is base else {"left": left.name}


def _inputs_of(source: Declared, guess: Alignment) -> list[tuple[Declared, str]]:
    if source.kind == "sensor":
        read = source is not guess.base or guess.target.kind == "category"
        return [(source, "")] if read else []
    if source is guess.base and source.kind in ("voc", "coco"):
        return [(source, "image")]
    return [(source, column.name) for column in source.known if _is_input(column, source, guess)]


def _may_be_read(column: ColumnGuess) -> bool:
    return column.kind in ("image", "audio", "text", "number", "category")


def _is_input(column: ColumnGuess, source: Declared, guess: Alignment) -> bool:
    if not column.as_input or not _may_be_read(column) or _is_part(column):
        return False
    if source is guess.base and (column is guess.target or guess.target.kind == "text"):
        return column is not guess.target and column.kind in ("image", "audio")
    return True


def _full(name: str, source: Declared, sources: Sequence[Declared]) -> str:
    """Return a name that means one column only: its own, or with that of its source."""
    if not name:
        return source.name
    shared = sum(name in [c.name for c in s.columns] for s in sources) > 1
    windows = name in [s.name for s in sources if s.kind == "sensor"]
    return f"{source.name}.{name}" if shared or windows or "." in name else name


def _split(guess: Alignment, joined: Sequence[Declared]) -> dict[str, Any]:
    split: dict[str, Any] = {}
    parts = [(s, c) for s in joined for c in s.known if _is_part(c) and s.kind != "sensor"]
    if parts:
        source, column = parts[0]
        return {"strategy": "predefined", "column": f"{source.name}.{column.name}"}
    if guess.target.kind == "category":
        split["strategy"] = "stratified"
    groups = [
        f"{source.name}.{column.name}"
        for source in joined
        for column in source.known
        if _names_a_group(source, column, guess.base)
    ]
    return split | ({"group_by": groups} if groups else {})


def _names_a_group(source: Declared, column: ColumnGuess, base: Declared) -> bool:
    """Tell whether samples that share a value of a column belong together."""
    if source is base and source.kind == "sensor":
        return column.name == "series" and column.n_distinct > 1
    if source is base and source.kind in ("voc", "coco"):
        return column.name == "stem"
    words = set(column.name.lower().split("_"))
    shared = 1 < column.n_distinct < column.n_rows - column.n_null
    if column.kind in ("image", "audio"):
        return source is base and shared
    return column.kind in ("key", "category") and bool(words & _GROUPS) and shared
