"""All settings together, and the checks that look at several sections at once."""

from collections.abc import Iterable, Iterator

from pydantic import PrivateAttr

from tasks.errors import listing, nearest
from tasks.params.align import AlignParams, WindowJoin
from tasks.params.augment import AugmentParams
from tasks.params.clean import CleanParams
from tasks.params.collect import CollectParams, SensorSource
from tasks.params.evaluate import EvaluateParams
from tasks.params.finetune import FinetuneParams
from tasks.params.pretrain import PretrainParams
from tasks.params.project import ProjectParams
from tasks.params.section import Section
from tasks.params.split import SplitParams

WINDOW = "window"
"""The column that windows of a sensor source get when aligned, ``source.window``."""

MODALITY_OF: dict[str, str] = {
    "text": "text",
    "image": "image",
    "audio": "audio",
    "number": "tabular",
    "category": "tabular",
    WINDOW: "timeseries",
}
"""The modality that reads a column of each type; keys and times are not inputs."""


STRATA = ("category", "labels", "number", "key")
"""The types of column that splits can be made alike in."""

_ENCODED = ("text", "image", "audio", "timeseries")


class Params(Section):
    """params.yaml, validated: one section for the project and one for each stage."""

    project: ProjectParams
    collect: CollectParams
    clean: CleanParams
    align: AlignParams
    split: SplitParams
    augment: AugmentParams
    pretrain: PretrainParams
    finetune: FinetuneParams
    evaluate: EvaluateParams

    _column_types: dict[str, str] = PrivateAttr(default_factory=dict)

    def model_post_init(self, _context: object) -> None:
        """Remember the type of each column under its full name."""
        for source in self.collect.sources:
            for column, kind in source.columns.items():
                self._column_types[f"{source.name}.{column}"] = kind
            if isinstance(source, SensorSource):
                self._column_types[f"{source.name}.{WINDOW}"] = WINDOW

    @property
    def column_types(self) -> dict[str, str]:
        """The type of each column, by its full name ``source.column``."""
        return dict(self._column_types)

    def full_name(self, column: str, source: str | None = None) -> str:
        """Return ``source.column`` for a column named with or without its source.

        Args:
            column: ``column`` or ``source.column``; the name of a sensor source means its windows.
            source: Where to look first; all sources where None.

        Raises:
            KeyError: No source has it, or several do; the message is for the user.
        """
        if column in self._column_types:
            return column
        if source is None and self._column_types.get(f"{column}.{WINDOW}") == WINDOW:
            return f"{column}.{WINDOW}"
        if source is not None and f"{source}.{column}" in self._column_types:
            return f"{source}.{column}"
        found = [name for name in self._column_types if name.split(".", 1)[1] == column]
        if len(found) == 1 and source is None:
            return found[0]
        if len(found) > 1 and source is None:
            raise KeyError(
                f"'{column}' is a column of several sources; write one of {listing(found)}"
            )
        there = [n for n in self._column_types if source is None or n.startswith(f"{source}.")]
        short = [name.split(".", 1)[1] for name in there]
        raise KeyError(
            f"no column '{column}' is declared; declared are {listing(there)}."
            f"{nearest(column, [*short, *there])}"
        )

    def input_modality(self, column: str) -> str:
        """Return the modality that reads an input column."""
        return MODALITY_OF[self._column_types[self.full_name(column)]]

    def input_names(self) -> set[str]:
        """Return what the inputs with an encoder are called: by column, or by full name if shared.

        Columns that do not exist are left out; :meth:`faults` tells of them.
        """
        found = {self._found(column) for column in self.align.inputs} - {""}
        columns = {name for name in found if MODALITY_OF.get(self._column_types[name]) in _ENCODED}
        windows = {name for name in columns if self._column_types[name] == WINDOW}
        short = [name.split(".", 1)[1] for name in columns - windows]
        return {name.split(".", 1)[0] for name in windows} | {
            name if short.count(name.split(".", 1)[1]) > 1 else name.split(".", 1)[1]
            for name in columns - windows
        }

    def _found(self, column: str) -> str:
        try:
            return self.full_name(column)
        except KeyError:
            return ""

    def faults(self) -> Iterator[tuple[str, str]]:
        """Yield (place, message) for everything the sections say that does not fit together."""
        sources = {source.name for source in self.collect.sources}
        align = self.align
        if align.base not in sources:
            yield "align.base", _unknown_source(align.base, sources)
        joined = {align.base}
        for i, join in enumerate(align.joins):
            left = join.left or align.base
            place = f"align.joins.{i}"
            right_on = "time" if join.on == "window" else join.right_on or join.left_on
            for side, source, column in (
                ("left", left, join.left_on),
                ("right", join.right, right_on),
            ):
                if source not in sources:
                    yield f"{place}.{side}", _unknown_source(source, sources)
                    continue
                yield from self._column_fault(f"{place}.{side}_on", column, source)
                if (
                    join.on in ("time", "window")
                    and self._column_types.get(f"{source}.{column}", "time") != "time"
                ):
                    yield f"{place}.{side}_on", f"'{column}' must be declared as a time"
            if join.right in joined:
                yield f"{place}.right", f"source '{join.right}' is joined twice or is the base"
            joined.add(join.right)
        for i, join in enumerate(align.joins):
            if (join.left or align.base) not in joined:
                yield f"align.joins.{i}.left", f"source '{join.left}' is not joined to the base"
        yield from self._alignment_column_faults(joined & sources)
        yield from self._window_faults()

    def _alignment_column_faults(self, joined: set[str]) -> Iterator[tuple[str, str]]:
        named = [
            *((f"clean.required.{i}", c) for i, c in enumerate(self.clean.required)),
            *((f"clean.limits.{column}", column) for column in self.clean.limits),
            *((f"clean.categories.{column}", column) for column in self.clean.categories),
            *((f"align.inputs.{i}", c) for i, c in enumerate(self.align.inputs)),
            ("align.target", self.align.target),
            *((f"split.group_by.{i}", c) for i, c in enumerate(self.split.group_by)),
            *((f"split.stratify_by.{i}", c) for i, c in enumerate(self.split.stratify_by)),
            *([("split.column", self.split.column)] if self.split.column else []),
            *([("split.time_column", self.split.time_column)] if self.split.time_column else []),
        ]
        for place, column in named:
            faults = list(self._column_fault(place, column))
            yield from faults
            if faults or place.startswith("clean"):
                continue
            name = self.full_name(column)
            source = name.split(".", 1)[0]
            if source not in joined and self.align.base in joined:
                yield place, f"'{name}' is of source '{source}', which is not joined to the base"
            kind = self._column_types[name]
            if place.startswith("align.inputs") and kind not in MODALITY_OF:
                yield place, f"'{name}' is of type {kind}; inputs are {listing(MODALITY_OF)}"
            if place == "split.time_column" and kind != "time":
                yield place, f"'{name}' is of type {kind}; expected a column of type time"
            if place.startswith("split.stratify_by") and kind not in STRATA:
                yield (
                    place,
                    f"'{name}' is of type {kind}; splits are made alike in {listing(STRATA)}",
                )
            if place == "align.target" and kind not in ("category", "number", "labels", "text"):
                yield (
                    place,
                    f"'{name}' is of type {kind}; a target is a 'category' or a 'number'",
                )
        yield from self._clean_type_faults()
        yield from self._flip_faults()
        full = [self._found(column) for column in self.align.inputs]
        if self._found(self.align.target) in full:
            yield "align.target", f"target '{self.align.target}' is listed among the inputs too"
        for i, name in enumerate(full):
            if name and name in full[:i]:
                yield f"align.inputs.{i}", f"'{name}' is listed twice among the inputs"
        names = self.input_names()
        for name in self.finetune.encoders:
            allowed = names | set(_ENCODED)
            if name not in allowed:
                yield (
                    f"finetune.encoders.{name}",
                    f"'{name}' is no input and no modality; known are {listing(sorted(allowed))}."
                    f"{nearest(name, allowed)}",
                )

    def _flip_faults(self) -> Iterator[tuple[str, str]]:
        read = {self._found(column) for column in (*self.align.inputs, self.align.target)}
        for i, column in enumerate(self.augment.joint.flip_horizontal.negate):
            place = f"augment.joint.flip_horizontal.negate.{i}"
            faults = list(self._column_fault(place, column))
            yield from faults
            if not faults and self._column_types[self.full_name(column)] != "number":
                yield place, f"'{column}' has no sign; this is for columns of type 'number'"
            elif not faults and self.full_name(column) not in read:
                yield place, f"'{column}' is neither an input nor the target"
        for i, pair in enumerate(self.augment.joint.flip_horizontal.swap_inputs):
            for column in pair:
                place = f"augment.joint.flip_horizontal.swap_inputs.{i}"
                faults = list(self._column_fault(place, column))
                yield from faults
                if not faults and self._column_types[self.full_name(column)] != "image":
                    yield place, f"'{column}' is no image; this is for inputs of type 'image'"

    def _window_faults(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with segments, joins of windows, and inputs of sensors."""
        align = self.align
        sensors = {s.name: s for s in self.collect.sources if isinstance(s, SensorSource)}
        cut = {join.right for join in align.joins if isinstance(join, WindowJoin)}
        target = self._found(align.target)
        if align.segments is not None:
            cut.add(align.base)
            if align.base not in sensors:
                yield (
                    "align.segments",
                    f"base '{align.base}' is not of kind 'sensor'; only recordings are cut into "
                    "segments",
                )
            elif clash := {"start", WINDOW} & sensors[align.base].values.keys():
                yield (
                    "align.segments",
                    f"value '{min(clash)}' of '{align.base}' has a name that segments use "
                    "themselves; rename the column",
                )
            if target.startswith(f"{align.base}."):
                kind, how = self._column_types[target], align.segments.label
                if kind not in ("category", "number"):
                    yield (
                        "align.target",
                        f"'{target}' is of type {kind}; the target of a base with segments is one "
                        "of its values, or a column of a joined source",
                    )
                elif how == ("mean" if kind == "category" else "majority"):
                    yield (
                        "align.segments.label",
                        f"'{how}' does not suit target '{target}', a {kind}; write "
                        + ("majority or last" if kind == "category" else "mean or last"),
                    )
        for i, join in enumerate(align.joins):
            place, left = f"align.joins.{i}", join.left or align.base
            if isinstance(join, WindowJoin):
                if join.right not in sensors:
                    yield (
                        f"{place}.right",
                        f"'{join.right}' is not of kind 'sensor'; windows are cut from recordings",
                    )
                if join.series is not None:
                    yield from self._column_fault(f"{place}.series", join.series, left)
                if join.estimate_clock_offset and (align.segments is None or left != align.base):
                    yield (
                        f"{place}.estimate_clock_offset",
                        f"'{left}' is not a base with segments; two sensors are needed to compare "
                        "what they saw",
                    )
            if left != align.base and left in cut:
                yield (
                    f"{place}.left",
                    f"'{left}' gives windows, which nothing can be joined to; join to the source "
                    "they were cut for",
                )
            if left == align.base and align.segments is not None and left in sensors:
                own = (f"{place}.left_on", join.left_on), (f"{place}.series", _series_of(join))
                for where, column in own:
                    short = column.rpartition(".")[2] if column else "series"
                    if short not in ("series", "time"):
                        yield (
                            where,
                            f"a segment of '{left}' has a 'series' and a 'time' to be joined by, "
                            f"not '{column}'",
                        )
        for i, column in enumerate(align.inputs):
            name = self._found(column)
            source, _, short = name.partition(".")
            if source in sensors and short == WINDOW and source not in cut:
                yield (
                    f"align.inputs.{i}",
                    f"'{source}' has no windows: make it the base with 'segments', or join it with "
                    "'on: window'",
                )
            elif source in cut and source in sensors and short != WINDOW:
                yield (
                    f"align.inputs.{i}",
                    f"'{name}' is cut into windows; name '{source}' to have them read",
                )
            if source in cut and target.startswith(f"{source}.") and short == WINDOW:
                channel = target.partition(".")[2]
                if source in sensors and channel in sensors[source].channels:
                    yield (
                        "align.target",
                        f"'{target}' is a channel of input '{source}', which would tell it; take "
                        "one of the two out",
                    )
        for i, column in enumerate(align.required_inputs):
            if self._found(column) not in {self._found(name) for name in align.inputs}:
                yield f"align.required_inputs.{i}", f"'{column}' is not among align.inputs"

    def _clean_type_faults(self) -> Iterator[tuple[str, str]]:
        declared: dict[str, tuple[Iterable[str], tuple[str, ...]]] = {
            "limits": (self.clean.limits, ("number",)),
            "categories": (self.clean.categories, ("category", "labels")),
        }
        for setting, (columns, kinds) in declared.items():
            for column in columns:
                name = self._found(column)
                kind = self._column_types.get(name, "")
                if name and kind not in kinds:
                    yield (
                        f"clean.{setting}.{column}",
                        f"'{name}' is of type {kind}; this is for columns of type {listing(kinds)}",
                    )

    def _column_fault(
        self, place: str, column: str, source: str | None = None
    ) -> Iterator[tuple[str, str]]:
        try:
            self.full_name(column, source)
        except KeyError as fault:
            yield place, str(fault.args[0])


def _series_of(join: object) -> str | None:
    return join.series if isinstance(join, WindowJoin) else None


def _unknown_source(name: str, sources: set[str]) -> str:
    known = listing(sorted(sources))
    return f"no source is named '{name}'; there are {known}.{nearest(name, sources)}"
