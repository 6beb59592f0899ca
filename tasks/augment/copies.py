"""How many copies of each training sample are made, and what is changed in each."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.augment.policies import audio_policies, image_policies, text_policies
from tasks.errors import DataError
from tasks.params.augment import AugmentParams
from tasks.samples.schema import (
    PARENT_ID,
    RECIPE,
    SAMPLE_ID,
    TARGET,
    InputSpec,
    SampleSchema,
)

COPIED_ROWS = 16_384
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Changes:
    """What is done to the inputs of samples.

    Attributes:
        media: Inputs that a recipe changes, with the names of its steps.
        texts: Inputs that are rewritten, with the names of the policies.
        seed: Fixes every number drawn.
    """

    media: tuple[tuple[InputSpec, tuple[str, ...]], ...]
    texts: tuple[tuple[InputSpec, tuple[str, ...]], ...]
    seed: int

    @classmethod
    def of(cls, schema: SampleSchema, params: AugmentParams, seed: int) -> "Changes":
        """Choose what the settings name for the inputs that there are."""
        names = {"image": params.image, "audio": params.audio, "text": params.text}
        chosen = [(s, tuple(names[s.modality])) for s in schema.inputs if s.modality in names]
        chosen = [(spec, steps) for spec, steps in chosen if steps]
        return cls(
            media=tuple((s, steps) for s, steps in chosen if s.modality != "text"),
            texts=tuple((s, steps) for s, steps in chosen if s.modality == "text"),
            seed=seed,
        )

    @property
    def any(self) -> bool:
        """Whether anything can be changed at all."""
        return bool(self.media or self.texts)


def copies_of_each(train: pa.Table, params: AugmentParams, can_change: bool) -> Counts:
    """Return how many copies of each training sample are made.

    With ``balance: classes`` each class is brought to what the largest has, as far as
    ``max_balance_copies`` allows. The samples of a class share the copies evenly; those that get
    one more are drawn by the hash of their id, so that row order has no say.

    Args:
        train: The training samples.
        params: The stage's settings.
        can_change: Whether any input can be changed; where none can, a copy would be a repetition,
            and only balancing makes those.

    Raises:
        DataError: Classes are to be balanced, but the target is a number.
    """
    ordinary = params.copies if can_change else 0
    copies = np.full(train.num_rows, ordinary, dtype=np.int64)
    if params.balance == "none":
        return copies
    if pa.types.is_floating(train[TARGET].type):
        raise DataError(
            "augment.balance: 'classes' expects a target that is a category, found a number; "
            "set augment.balance to none"
        )
    of_class = train[TARGET].combine_chunks().dictionary_encode().indices.to_numpy()
    sizes = np.bincount(of_class)
    goal = int(sizes.max()) * (1 + ordinary)
    most = max(ordinary, params.max_balance_copies)
    order = np.argsort([_hash(name) for name in train[SAMPLE_ID].to_pylist()], kind="stable")
    for c, size in enumerate(sizes.tolist()):
        each, left_over = divmod(goal - size, size)
        members = order[of_class[order] == c]
        copies[members] = min(each, most)
        if each < most:
            copies[members[:left_over]] += 1
    return copies


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def augmented_copies(train: pa.Table, copies: Counts, changes: Changes) -> Iterator[pa.Table]:
    """Yield the copies of training samples, in order of their parents.

    Texts are rewritten in the row; what is to be done to images and recordings is the recipe.
    """
    parents = np.repeat(np.arange(train.num_rows), copies)
    numbers = np.arange(len(parents)) - np.repeat(np.cumsum(copies) - copies, copies) + 1
    for start in range(0, len(parents), COPIED_ROWS):
        stop = start + COPIED_ROWS
        yield _changed(train.take(parents[start:stop]), numbers[start:stop].tolist(), changes)


def _changed(parents: pa.Table, numbers: list[int], changes: Changes) -> pa.Table:
    """Return copies of rows, the n-th of its parent where ``numbers`` says n."""
    ids = parents[SAMPLE_ID].to_pylist()
    table = parents
    for spec, policies in changes.texts:
        texts = [
            rewritten(text, policies, generator(changes.seed, spec.name, name, number))
            for text, name, number in zip(
                parents[spec.column].to_pylist(), ids, numbers, strict=True
            )
        ]
        table = _replaced(table, spec.column, texts)
    digests = {spec.name: parents[spec.column].to_pylist() for spec, _ in changes.media}
    recipes = [
        recipe({name: column[row] for name, column in digests.items()}, number, changes)
        for row, number in enumerate(numbers)
    ]
    table = _replaced(table, SAMPLE_ID, [f"{i}~{n}" for i, n in zip(ids, numbers, strict=True)])
    table = _replaced(table, PARENT_ID, ids)
    return _replaced(table, RECIPE, recipes)


def rewritten(text: str | None, policies: tuple[str, ...], rng: np.random.Generator) -> str | None:
    """Apply text policies to the text of one copy; no text stays none."""
    if text is None:
        return None
    for policy in policies:
        text = text_policies.get(policy)(text, rng)
    return text


def recipe(digests: dict[str, str | None], number: int, changes: Changes) -> str | None:
    """Draw what is to be done to the images and recordings of one copy, as JSON by input.

    Numbers are drawn by the medium, not by the sample: the n-th copies of samples that share an
    image share what is done to it, so it is still decoded and encoded once for all of them.
    """
    drawn = {
        spec.name: drawn_steps(changes.seed, spec, names, digest, number)
        for spec, names in changes.media
        if (digest := digests[spec.name]) is not None
    }
    told = [f"{json.dumps(name)}: {steps}" for name, steps in sorted(drawn.items()) if steps]
    return f"{{{', '.join(told)}}}" if told else None


@lru_cache(maxsize=65_536)
def drawn_steps(
    seed: int, spec: InputSpec, names: tuple[str, ...], digest: str, number: int
) -> str:
    """Draw the steps of one medium as JSON; "" where the dice leave it alone."""
    policies = image_policies if spec.modality == "image" else audio_policies
    rng = generator(seed, spec.name, digest, number)
    steps = [(name, policies.get(name)(rng)) for name in names]
    kept = [{"name": name, **numbers} for name, numbers in steps if numbers is not None]
    return json.dumps(kept, sort_keys=True) if kept else ""


def generator(seed: int, *of: object) -> np.random.Generator:
    """Return random numbers that depend on the seed and on what they are drawn for alone."""
    told = "\x00".join(map(str, (seed, *of)))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(told.encode()).digest()[:16], "big"))


def _replaced(table: pa.Table, column: str, values: list[str | None]) -> pa.Table:
    at = table.schema.get_field_index(column)
    return table.set_column(at, table.schema.field(at), pa.array(values, pa.string()))
