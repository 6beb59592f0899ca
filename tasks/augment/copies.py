"""What is changed in each copy of a training sample.

Texts, numbers and categories are changed in the row; what is to be done to media is the recipe.
Everything drawn depends on the seed and on what it is drawn for, so row order has no say.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.augment.balancing import Counts
from tasks.augment.policies import (
    RANDAUGMENT,
    Draw,
    audio_policies,
    image_policies,
    randaugment,
    text_policies,
    timeseries_policies,
    with_synonym,
)
from tasks.augment.synonyms import read_synonyms
from tasks.augment.tabular import TabularChange
from tasks.params import Params
from tasks.params.augment import FLIP, FlipRules
from tasks.registry import Registry
from tasks.samples.schema import (
    PARENT_ID,
    RECIPE,
    SAMPLE_ID,
    TARGET,
    InputSpec,
    SampleSchema,
)
from tasks.samples.side_words import SideWords

COPIED_ROWS = 16_384
_MEDIA_POLICIES: Mapping[str, Registry[Draw]] = {
    "image": image_policies,
    "audio": audio_policies,
    "timeseries": timeseries_policies,
}
Texts = list[str | None]


class ReplacesWords(Protocol):
    """A masked language model that puts other words in the place of some."""

    def replaced(
        self, texts: Sequence[str], generators: Sequence[np.random.Generator]
    ) -> list[str]:
        """Return each text with a word replaced."""
        ...


@dataclass(frozen=True)
class Changes:
    """What is done to the inputs of samples.

    Attributes:
        media: Inputs that a recipe changes, with the names of its steps.
        texts: Inputs that are rewritten, with the names of the policies.
        tabular: What is done to numbers and categories; None for nothing.
        seed: Fixes every number drawn.
        flip: What else a horizontal flip changes.
        side_words: The words that it swaps.
        text_columns: All texts and categories that may name a side, rewritten or not.
        negated: Columns whose sign a flip changes.
        swapped: Pairs of columns that a flip swaps.
        synonyms: What may stand for each word.
        masked_words: What replaces words; None where nothing does.
    """

    media: tuple[tuple[InputSpec, tuple[str, ...]], ...]
    texts: tuple[tuple[InputSpec, tuple[str, ...]], ...]
    tabular: TabularChange | None
    seed: int
    flip: FlipRules
    side_words: SideWords
    text_columns: tuple[str, ...]
    negated: tuple[str, ...]
    swapped: tuple[tuple[str, str], ...] = ()
    synonyms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    masked_words: ReplacesWords | None = None

    @classmethod
    def of(cls, schema: SampleSchema, params: Params, donors: pa.Table, root: Path) -> "Changes":
        """Choose what the settings name for the inputs that there are."""
        settings = params.augment
        names: dict[str, tuple[str, ...]] = {
            "image": settings.image,
            "audio": settings.audio,
            "text": settings.text,
            "tabular": settings.tabular,
            "timeseries": settings.timeseries,
        }
        chosen = [(s, names[s.modality]) for s in schema.inputs if names[s.modality]]
        flip = settings.joint.flip_horizontal
        texts = tuple((s, steps) for s, steps in chosen if s.modality == "text")
        steps_of_texts = {step for _, steps in texts for step in steps}
        negated = [params.full_name(name) for name in flip.negate]
        return cls(
            media=tuple((s, steps) for s, steps in chosen if s.modality in _MEDIA_POLICIES),
            texts=texts,
            tabular=next(
                (
                    TabularChange.of(spec, steps, donors)
                    for spec, steps in chosen
                    if spec.modality == "tabular"
                ),
                None,
            ),
            seed=params.project.seed,
            flip=flip,
            side_words=SideWords(flip.swap_words),
            text_columns=(
                *(s.column for s in schema.inputs if s.modality == "text"),
                *(c.name for s in schema.inputs for c in s.columns if c.kind == "category"),
            ),
            negated=(*negated, *([TARGET] if schema.target_column in negated else [])),
            swapped=tuple(
                (params.full_name(one) + part, params.full_name(other) + part)
                for one, other in flip.swap_inputs
                for part in ("", ".path")
            ),
            synonyms=read_synonyms(settings, root) if "synonym" in steps_of_texts else {},
            masked_words=_masked_words(params, root) if "masked_words" in steps_of_texts else None,
        )

    @property
    def any(self) -> bool:
        """Whether anything can be changed at all."""
        return bool(self.media or self.texts or self.tabular)

    @property
    def flipped_images(self) -> tuple[str, ...]:
        """The columns of the images that may be flipped."""
        return tuple(
            spec.column for spec, names in self.media if spec.modality == "image" and FLIP in names
        )


def _masked_words(params: Params, root: Path) -> ReplacesWords:
    from tasks.models.masked_words import MaskedWords

    checkpoint = params.augment.masked_words_checkpoint
    assert checkpoint is not None
    return MaskedWords.load(checkpoint, root, params.project.cpu_threads)


@dataclass
class JointCounts:
    """What flips brought about.

    Attributes:
        n_refused: Flips that a word in a text or target forbade.
        n_swapped: Copies whose words were swapped.
        n_negated: Copies in which a number changed its sign.
    """

    n_refused: int = 0
    n_swapped: int = 0
    n_negated: int = 0


@dataclass(frozen=True)
class Copied:
    """Some copies, beside the rows they were made of.

    Attributes:
        parents: The rows they were made of, one for each copy.
        copies: The copies.
        at: ``(n,)`` the place of each parent among the training rows.
        numbers: ``(n,)`` the number of each copy.
    """

    parents: pa.Table
    copies: pa.Table
    at: Counts
    numbers: Counts


def augmented_copies(
    train: Iterator[tuple[pa.Table, int]], copies: Counts, changes: Changes, joint: JointCounts
) -> Iterator[Copied]:
    """Yield the copies of training samples, in order of their parents.

    Args:
        train: Training rows, and the place of the first of each batch among all training rows.
        copies: ``(n_train,)`` how many of each.
        changes: What is done to them.
        joint: Counts what flips bring about.
    """
    for rows, first in train:
        wanted = copies[first : first + rows.num_rows]
        parents = np.repeat(np.arange(rows.num_rows), wanted)
        numbers = np.arange(len(parents)) - np.repeat(np.cumsum(wanted) - wanted, wanted) + 1
        for start in range(0, len(parents), COPIED_ROWS):
            some = slice(start, start + COPIED_ROWS)
            before = rows.take(pa.array(parents[some])).combine_chunks()
            after = changed(before, numbers[some].tolist(), changes, joint)
            yield Copied(before, after, parents[some] + first, numbers[some])


def changed(
    parents: pa.Table, numbers: Sequence[int], changes: Changes, joint: JointCounts
) -> pa.Table:
    """Return copies of rows, the n-th of its parent where ``numbers`` says n."""
    ids = parents[SAMPLE_ID].to_pylist()
    flips = _flips(parents, numbers, changes)
    table = _mirrored(parents, flips, changes, joint) if any(flips) else parents
    for spec, policies in changes.texts:
        generators = [
            generator(changes.seed, spec.name, name, number)
            for name, number in zip(ids, numbers, strict=True)
        ]
        texts = rewritten(table[spec.column].to_pylist(), policies, generators, changes)
        table = _replaced(table, spec.column, texts)
    if changes.tabular:
        table = changes.tabular.changed(
            table,
            [
                generator(changes.seed, "\x00tabular", name, number)
                for name, number in zip(ids, numbers, strict=True)
            ],
        )
    table = _replaced(table, SAMPLE_ID, [f"{i}~{n}" for i, n in zip(ids, numbers, strict=True)])
    table = _replaced(table, PARENT_ID, ids)
    return _replaced(table, RECIPE, recipes(table, numbers, flips, changes))


def _flips(parents: pa.Table, numbers: Sequence[int], changes: Changes) -> list[bool]:
    """Toss a coin for each copy with images: by its images, so that sharing ones share the flip."""
    images = [parents[column].to_pylist() for column in changes.flipped_images]
    if not images:
        return [False] * len(numbers)
    return [
        any(digests) and _coin(changes.seed, FLIP, *digests, number)
        for *digests, number in zip(*images, numbers, strict=True)
    ]


def _coin(*of: object) -> bool:
    return bool(hashlib.sha256("\x00".join(map(str, of)).encode()).digest()[0] & 1)


def _mirrored(
    parents: pa.Table, flips: list[bool], changes: Changes, joint: JointCounts
) -> pa.Table:
    """Return rows with what a flip changes besides the image; take back the flips it forbids."""
    rules, sides = changes.flip, changes.side_words
    texts = {name: parents[name].to_pylist() for name in changes.text_columns}
    words = pa.types.is_string(parents[TARGET].type)
    targets: Texts = parents[TARGET].to_pylist() if words else [None] * parents.num_rows
    target_column = SampleSchema.of(parents).target_column
    for row, flip in enumerate(flips):
        if not flip:
            continue
        in_text = rules.texts != "ignore" and any(sides.are_in(t[row]) for t in texts.values())
        in_target = rules.target != "ignore" and sides.are_in(targets[row])
        if (in_text and rules.texts == "refuse") or (in_target and rules.target == "refuse"):
            flips[row] = False
            joint.n_refused += 1
            continue
        if in_text:
            for column in texts.values():
                column[row] = None if column[row] is None else sides.mirrored(column[row])
        if in_target:
            targets[row] = sides.mirrored(targets[row] or "")
        joint.n_swapped += in_text or in_target
    table = parents
    for name, column in texts.items():
        table = _replaced(table, name, column)
    if words:
        table = _replaced(table, TARGET, targets)
        if target_column in table.column_names:
            table = _replaced(table, target_column, targets)
    signs = pa.array(np.where(flips, -1.0, 1.0))
    for name in changes.negated:
        at = table.schema.get_field_index(name)
        if at >= 0:
            mirrored = pc.add(pc.multiply(table[name], signs), 0.0)  # no zero with a sign
            table = table.set_column(at, table.schema.field(at), mirrored)
    for one, other in changes.swapped:
        if {one, other} <= set(table.column_names):
            flipped = pa.array(flips)
            first = pc.if_else(flipped, table[other], table[one])
            second = pc.if_else(flipped, table[one], table[other])
            for name, column in ((one, first), (other, second)):
                at = table.schema.get_field_index(name)
                table = table.set_column(at, table.schema.field(at), column)
    joint.n_negated += sum(flips) if changes.negated else 0
    return table


def rewritten(
    texts: Texts,
    policies: tuple[str, ...],
    generators: Sequence[np.random.Generator],
    changes: Changes,
) -> Texts:
    """Apply text policies to the texts of copies; no text stays none."""
    there = [i for i, text in enumerate(texts) if text is not None]
    after: list[str] = [texts[i] or "" for i in there]
    given = [generators[i] for i in there]
    for policy in policies:
        if policy == "masked_words":
            assert changes.masked_words is not None
            after = changes.masked_words.replaced(after, given)
        elif policy == "synonym":
            table = changes.synonyms
            after = [with_synonym(t, rng, table) for t, rng in zip(after, given, strict=True)]
        else:
            rewrite = text_policies.get(policy)
            after = [rewrite(t, rng) for t, rng in zip(after, given, strict=True)]
    result: Texts = [None] * len(texts)
    for i, text in zip(there, after, strict=True):
        result[i] = text
    return result


def recipes(
    copies: pa.Table, numbers: Sequence[int], flips: Sequence[bool], changes: Changes
) -> Texts:
    """Draw what is to be done to the media of each copy, as JSON by input; None for nothing.

    Numbers are drawn by the medium, not by the sample: the n-th copies of samples that share an
    image share what is done to it, so it is still decoded and encoded once for all of them.
    """
    told: list[list[str]] = [[] for _ in numbers]
    for spec, names in sorted(changes.media, key=lambda chosen: chosen[0].name):
        label = json.dumps(spec.name)
        for row, digest in enumerate(copies[spec.column].to_pylist()):
            if digest is not None:
                flip = flips[row] if spec.modality == "image" else False
                steps = drawn_steps(
                    changes.seed, spec.name, spec.modality, names, digest, numbers[row], flip
                )
                if steps:
                    told[row].append(f"{label}: {steps}")
    return [f"{{{', '.join(inputs)}}}" if inputs else None for inputs in told]


@lru_cache(maxsize=65_536)
def drawn_steps(
    seed: int,
    name: str,
    modality: str,
    names: tuple[str, ...],
    digest: str,
    number: int,
    flip: bool,
) -> str:
    """Draw the steps of one medium as JSON; "" where the dice leave it alone."""
    rng = generator(seed, name, digest, number)
    steps = []
    for policy in names:
        if policy == FLIP:
            steps += [{"name": FLIP}] if flip else []
        elif policy == RANDAUGMENT:
            steps += randaugment(rng)
        else:
            drawn = _MEDIA_POLICIES[modality].get(policy)(rng)
            steps += [] if drawn is None else [{"name": policy, **drawn}]
    return json.dumps(steps, sort_keys=True) if steps else ""


def generator(seed: int, *of: object) -> np.random.Generator:
    """Return random numbers that depend on the seed and on what they are drawn for alone."""
    told = "\x00".join(map(str, (seed, *of)))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(told.encode()).digest()[:16], "big"))


def _replaced(table: pa.Table, column: str, values: Texts) -> pa.Table:
    at = table.schema.get_field_index(column)
    return table.set_column(at, table.schema.field(at), pa.array(values, pa.string()))
