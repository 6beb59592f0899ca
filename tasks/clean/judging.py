"""Judge a batch of records: which cannot be used, and what is odd about the others."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.clean.columns import categories_in, microseconds, moment
from tasks.clean.findings import Fault, Finding
from tasks.clean.languages import in_other_languages
from tasks.clean.media import MediaKind, MediaVerdicts
from tasks.clean.numbers import in_other_unit
from tasks.clean.rules import Rules
from tasks.clean.sensors import Stuck, steps_between
from tasks.clean.survey import readings_of
from tasks.clean.text_checks import odd_texts, places_of
from tasks.clean.texts import is_blank
from tasks.params.clean import CHECKS, CleanParams
from tasks.params.collect import AnySource, SensorSource
from tasks.samples.wording import number, short

_TEXT_CHECKS = (
    "null_like",
    "odd_characters",
    "mojibake",
    "special_token",
    "secret",
    "personal_data",
)
_CATEGORY_CHECKS = ("null_like", "odd_characters", "mojibake")


class Judge:
    """Judges the records of one source, batch by batch, in the order of the table."""

    def __init__(
        self, source: AnySource, rules: Rules, limits: CleanParams, verdicts: MediaVerdicts
    ) -> None:
        self._source, self._rules, self._limits, self._verdicts = source, rules, limits, verdicts
        self._on = frozenset(check for check in CHECKS if limits.action(check) != "off")
        self._last_times: dict[str, int] = {}
        self._row = 0

    def judge(self, batch: pa.RecordBatch) -> tuple[dict[int, Fault], list[Finding]]:
        """Return the first fault of each record that cannot be used, and all that is odd.

        Args:
            batch: The next records, in the form they are kept in.
        """
        faults: dict[int, Fault] = {}
        findings: list[Finding] = []
        for name in self._rules.declared.required:
            for row in places_of(pc.is_null(batch.column(name))):
                faults.setdefault(row, Fault(name, "null_value", f"'{name}' is required and empty"))
        for name, kind in self._source.columns.items():
            column = batch.column(name)
            if kind == "text":
                self._break_text_limits(name, column, faults)
                findings += self._odd_texts(name, column)
            elif kind in ("category", "labels"):
                self._break_declared_categories(name, column, kind == "labels", faults)
                findings += self._odd_categories(name, column, kind == "labels")
            elif kind == "number":
                self._break_number_limits(name, column, faults)
                findings += self._odd_numbers(name, column)
            elif kind == "time":
                findings += self._odd_times(name, column)
            elif kind in ("image", "audio"):
                media: MediaKind = "image" if kind == "image" else "audio"
                findings += self._media(name, column, media, faults)
        if isinstance(self._source, SensorSource):
            findings += self._odd_readings(self._source, batch)
        self._row += batch.num_rows
        return faults, [finding for finding in findings if finding.check in self._on]

    def _break_text_limits(self, name: str, column: pa.Array, faults: dict[int, Fault]) -> None:
        limits = self._limits
        for row in places_of(is_blank(column)):
            faults.setdefault(row, Fault(name, "empty_text", "nothing in it can be seen"))
        lengths = pc.utf8_length(column)
        for row in places_of(pc.greater(lengths, limits.max_text_characters)):
            detail = (
                f"{lengths[row].as_py():,} characters, more than {limits.max_text_characters:,}"
            )
            faults.setdefault(row, Fault(name, "text_too_long", detail))
        for row in places_of(pc.less(lengths, limits.min_text_characters)):
            detail = f"{lengths[row].as_py():,} characters, under {limits.min_text_characters:,}"
            faults.setdefault(row, Fault(name, "text_too_short", detail))

    def _odd_texts(self, name: str, column: pa.Array) -> Iterator[Finding]:
        for odd in odd_texts(column, self._on.intersection(_TEXT_CHECKS)):
            yield Finding(odd.place, name, odd.check, odd.detail)
        if self._limits.languages and "wrong_language" in self._on:
            for row, language, certainty in in_other_languages(column, self._limits.languages):
                detail = f"probably in the language '{language}' ({certainty:.2f} certain)"
                yield Finding(row, name, "wrong_language", detail)

    def _break_declared_categories(
        self, name: str, column: pa.Array, several: bool, faults: dict[int, Fault]
    ) -> None:
        declared = self._rules.declared.categories.get(name)
        if declared is None:
            return
        encoded = column.dictionary_encode()
        told = {}
        for place, cell in enumerate(encoded.dictionary.to_pylist()):
            parts = categories_in(cell) if several else [cell]
            if unknown := [part for part in parts if part not in declared]:
                told[place] = f"'{short(unknown[0])}' is not among the declared categories"
        if told:
            for row, place in enumerate(encoded.indices.to_pylist()):
                if place in told:
                    faults.setdefault(row, Fault(name, "unknown_category", told[place]))

    def _odd_categories(self, name: str, column: pa.Array, several: bool) -> Iterator[Finding]:
        encoded = column.dictionary_encode()
        told: dict[int, list[tuple[str, str]]] = {}
        for odd in odd_texts(encoded.dictionary, self._on.intersection(_CATEGORY_CHECKS)):
            told.setdefault(odd.place, []).append((odd.check, odd.detail))
        suspected = self._rules.typos.get(name, {})
        if suspected and self._limits.action("category_typo") != "fix":
            for place, cell in enumerate(encoded.dictionary.to_pylist()):
                for part in categories_in(cell) if several else (cell,):
                    if typo := suspected.get(part):
                        detail = (
                            f"'{short(typo.written)}' ({typo.n_written:,}) is one edit away from "
                            f"'{short(typo.meant)}' ({typo.n_meant:,})"
                        )
                        told.setdefault(place, []).append(("category_typo", detail))
        if not told:
            return
        for row, place in enumerate(encoded.indices.to_pylist()):
            for check, detail in told.get(place, ()):
                yield Finding(row, name, check, detail)

    def _break_number_limits(self, name: str, column: pa.Array, faults: dict[int, Fault]) -> None:
        for row in places_of(pc.invert(pc.is_finite(column))):
            detail = f"{column[row].as_py()} is no finite number"
            faults.setdefault(row, Fault(name, "non_finite", detail))
        if name not in self._rules.declared.limits:
            return
        low, high = self._rules.declared.limits[name]
        for limit, beyond, word in ((low, pc.less, "under"), (high, pc.greater, "over")):
            if limit is None:
                continue
            for row in places_of(beyond(column, limit)):
                detail = f"{column[row].as_py():.6g}, {word} {limit:g}"
                faults.setdefault(row, Fault(name, "out_of_range", detail))

    def _odd_numbers(self, name: str, column: pa.Array) -> Iterator[Finding]:
        usual = self._rules.usual.get(name)
        if usual is None:
            return
        values = column.to_numpy(zero_copy_only=False)
        jumped: NDArray[np.bool_] = np.zeros(len(values), dtype=bool)
        if usual.jump is not None:
            jumped = in_other_unit(values, usual.jump)
            for row in np.flatnonzero(jumped).tolist():
                detail = (
                    f"{values[row]:.6g} is of the part that is about {usual.jump.factor:,.0f} "
                    f"times {'larger' if usual.jump.above else 'smaller'}"
                )
                yield Finding(row, name, "unit_jump", detail)
        far = ((values < usual.low) | (values > usual.high)) & np.isfinite(values) & ~jumped
        for row in np.flatnonzero(far).tolist():
            detail = f"{values[row]:.6g}, where the median is {number(usual.median)}"
            yield Finding(row, name, "outlier", detail)

    def _odd_times(self, name: str, column: pa.Array) -> Iterator[Finding]:
        if name not in self._rules.times:
            return
        earliest, latest = self._rules.times[name]
        if column.null_count == len(column):
            return
        valid = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        times = microseconds(column.drop_null())
        for at in np.flatnonzero((times < earliest) | (times > latest)).tolist():
            side = "earlier" if times[at] < earliest else "later"
            detail = f"{moment(int(times[at]))}, far {side} than the others"
            yield Finding(int(valid[at]), name, "implausible_time", detail)

    def _media(
        self, name: str, column: pa.Array, kind: MediaKind, faults: dict[int, Fault]
    ) -> Iterator[Finding]:
        digests = column.to_pylist()
        for row, verdict in enumerate(self._verdicts.of(digests, kind)):
            if verdict is None:
                continue
            if verdict.reason:
                faults.setdefault(row, Fault(name, verdict.reason, verdict.detail, digests[row]))
            for check, detail in verdict.flags:
                yield Finding(row, name, check, detail, digests[row])

    def _odd_readings(self, source: SensorSource, batch: pa.RecordBatch) -> Iterator[Finding]:
        for series, readings in readings_of(source, batch, self._row):
            steps = steps_between(readings.times, self._last_times.get(series))
            self._last_times[series] = int(readings.times[-1])
            longest = self._rules.longest_step_seconds(series)
            rows = readings.rows - self._row
            for at in np.flatnonzero(steps.seconds > longest).tolist():
                detail = f"{number(steps.seconds[at])} s after the reading before it"
                yield Finding(int(rows[at]), "time", "sensor_gap", detail)
            for at in np.flatnonzero(steps.repeats).tolist():
                detail = "it has the time of the reading before it"
                yield Finding(int(rows[at]), "time", "duplicate_time", detail)
            for at in np.flatnonzero(steps.goes_back).tolist():
                detail = "it is earlier than the reading before it"
                yield Finding(int(rows[at]), "time", "unsorted_time", detail)
            yield from self._stuck(series, readings.rows)

    def _stuck(self, series: str, rows: NDArray[np.int64]) -> Iterator[Finding]:
        """Yield the first reading of each stuck value, or all where they are to be dropped."""
        sensor = self._rules.sensor
        all_of_it = self._limits.action("stuck_sensor") == "drop"
        for stuck in sensor.stuck if sensor else ():
            if stuck.series != series or stuck.last < rows[0] or stuck.first > rows[-1]:
                continue
            last = stuck.last if all_of_it else stuck.first
            for row in rows[(rows >= stuck.first) & (rows <= last)].tolist():
                yield Finding(row - self._row, stuck.column, "stuck_sensor", _frozen(stuck))


def _frozen(stuck: Stuck) -> str:
    return (
        f"{number(stuck.value)} for {number(stuck.seconds)} s "
        f"({stuck.n_readings:,} readings in a row)"
    )
