"""Changes drawn anew for each batch, on the device: what the augment stage asked for on-line.

What is drawn depends on the seed, the epoch and the rows of the batch alone, and the generators of
torch are left as they were. So training that was killed goes on exactly as it would have.

A value that several samples of a batch share is changed once for all of them, as it is encoded
once. Inputs of frozen encoders come as kept features; those cannot be changed, and it is said.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tasks.errors import listing
from tasks.models.batches import Batch
from tasks.models.heads.prediction import prediction_loss
from tasks.models.prepared import PreparedInput
from tasks.models.processors.audio import ExtractorProcessor, LogMelProcessor
from tasks.models.processors.base import Processor
from tasks.models.processors.image import ImageProcessor
from tasks.models.processors.tabular import TabularProcessor
from tasks.models.processors.text import TextProcessor
from tasks.params.augment import FLIP, FlipRules, OnlinePolicy
from tasks.samples.schema import TARGET, InputSpec, SampleSchema
from tasks.samples.side_words import SideWords

DROPPED_TOKENS = 0.1
"""How often a token of a text is left out."""

LONGEST_MASK = 0.125
"""The longest mask, as a part of a spectrogram's frames or bands."""

NOISE = 0.1
"""Standard deviation of noise on standardised numbers and channels."""

SWAPPED_VALUES = 0.15
"""How often a value of a row is that of another row of the batch."""


@dataclass(frozen=True)
class Mixing:
    """Pairs of samples of a batch.

    Attributes:
        partner: ``(n,)`` the partner of each sample; itself where it has none.
        own: How much of a sample is its own, 0 to 1; the rest is its partner's.
        vectors: Whether the projected inputs are mixed, by input; images that were mixed as pixels
            are not mixed again.
    """

    partner: Tensor
    own: float
    vectors: tuple[bool, ...]


@dataclass(frozen=True)
class Drawn:
    """What is to happen to a batch.

    Attributes:
        hidden: By input: ``(n,)`` samples from which it is hidden.
        keeps_sides: By image: ``(n,)`` samples whose images must not be flipped.
        partner: ``(n,)`` partners to mix with; None for no mixing.
        own: How much of a sample is its own.
        box: Left, top, width and height of the rectangle to cut, as parts of the image; None where
            vectors are mixed.
        flips_together: Whether all images of the batch are flipped; None where each has its coin.
        seed: For everything drawn on the device.
    """

    hidden: Mapping[str, NDArray[np.bool_]]
    keeps_sides: NDArray[np.bool_]
    partner: NDArray[np.int64] | None
    own: float
    box: tuple[float, float, float, float] | None
    flips_together: bool | None
    seed: int


@dataclass
class OnlineAugmentation:
    """Changes batches as a policy says.

    Attributes:
        policy: What the augment stage asked for.
        prepared: The inputs, as they are batched.
        processors: By input.
        seed: Of the project.
        keeps_sides: ``(n_samples,)`` samples whose images must not be flipped.
        steps: By input: what is done to it.
        mixes, cuts, hides: Whether samples are mixed, images cut, inputs hidden.
        notices: What was asked for and cannot be done, and why.
    """

    policy: OnlinePolicy
    prepared: Mapping[str, PreparedInput]
    processors: Mapping[str, Processor]
    seed: int
    keeps_sides: NDArray[np.bool_]
    steps: dict[str, tuple[str, ...]] = field(default_factory=dict)
    images: tuple[str, ...] = ()
    mixes: bool = False
    cuts: bool = False
    notices: tuple[str, ...] = ()

    @classmethod
    def plan(
        cls,
        policy: OnlinePolicy,
        samples: pa.Table,
        prepared: Mapping[str, PreparedInput],
        processors: Mapping[str, Processor],
        seed: int,
        reads_tokens: bool,
    ) -> "OnlineAugmentation":
        """Find out what of a policy can be done.

        Args:
            policy: What is asked for.
            samples: All samples, in the order of the prepared inputs.
            prepared: By input.
            processors: By input.
            seed: Fixes all that is drawn.
            reads_tokens: Whether the fusion reads the tokens of all inputs as one sequence.
        """
        schema = SampleSchema.of(samples)
        told = cls(policy, prepared, processors, seed, keeps_sides(samples, schema, policy.flip))
        told.notices = tuple(told._choose(schema, reads_tokens))
        return told

    def _choose(self, schema: SampleSchema, reads_tokens: bool) -> Iterator[str]:
        """Choose what is done; yield what cannot be."""
        changes = self.policy.changes
        for spec in schema.inputs:
            wanted: tuple[str, ...] = getattr(changes, spec.modality)
            if not wanted or not self.prepared[spec.name].n_distinct:
                continue
            if self.prepared[spec.name].encoded:
                yield (
                    f"input '{spec.name}': {listing(wanted)} in the batch left out, since its "
                    "encoder is frozen and its features are kept; train it, or augment copies"
                )
                continue
            fit = fitting_steps(spec, wanted, self.processors[spec.name], self.prepared[spec.name])
            if left_out := [step for step in wanted if step not in fit]:
                yield (
                    f"input '{spec.name}': {listing(left_out)} in the batch left out, since its "
                    f"encoder reads {_reads(self.processors[spec.name], self.prepared[spec.name])}"
                )
            if fit:
                self.steps[spec.name] = fit
        n_kept = int(self.keeps_sides.sum())
        if any(FLIP in steps for steps in self.steps.values()) and n_kept:
            yield (
                f"{n_kept:,} samples name a side in a text or in the target: their images are "
                "never flipped in a batch"
            )
        images = tuple(spec.name for spec in schema.inputs if spec.modality == "image")
        self.images = images
        self.mixes = changes.mixup > 0
        if changes.cutmix > 0:
            if not images:
                yield "cutmix left out: there is no image among the inputs"
            elif any(self.prepared[name].encoded for name in images):
                yield "cutmix left out: the encoder of an image is frozen and its features are kept"
            elif reads_tokens and len(schema.inputs) > len(images):
                yield (
                    "cutmix left out: this fusion reads the tokens of all inputs as one sequence, "
                    "so that what is no image cannot be mixed apart; use mixup"
                )
            else:
                self.cuts = True
        if changes.modality_dropout > 0 and len(schema.inputs) < 2:
            yield "modality_dropout left out: there is one input"

    @property
    def any(self) -> bool:
        """Whether anything is done."""
        hides = self.policy.changes.modality_dropout > 0 and len(self.prepared) > 1
        return bool(self.steps) or self.mixes or self.cuts or hides

    def words(self) -> tuple[str, ...]:
        """Say what is done."""
        changes = self.policy.changes
        told = [f"{name}: {', '.join(steps)}" for name, steps in self.steps.items()]
        told += [f"mixup {changes.mixup:g}"] if self.mixes else []
        told += [f"cutmix {changes.cutmix:g}"] if self.cuts else []
        if changes.modality_dropout > 0 and len(self.prepared) > 1:
            told.append(f"modality dropout {changes.modality_dropout:g}")
        return tuple(told)

    def drawn(self, rows: Sequence[int], epoch: int) -> Drawn:
        """Draw what happens to a batch."""
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, epoch, *rows]))
        at = np.asarray(rows, dtype=np.int64)
        there = np.stack([p.index[at] >= 0 for p in self.prepared.values()], axis=1)
        hidden = hidden_inputs(there, self.policy.changes.modality_dropout, rng)
        keeps = self.keeps_sides[at]
        together = None
        coin = bool(rng.random() < 0.5)
        if len(self.images) > 1:
            together = coin and not keeps.any()
        names = list(self.prepared)
        partner, own, box = self._pairs(there & ~hidden, names, rng)
        return Drawn(
            hidden={name: hidden[:, i] for i, name in enumerate(names)},
            keeps_sides=keeps,
            partner=partner,
            own=own,
            box=box,
            flips_together=together,
            seed=int(rng.integers(2**63)),
        )

    def _pairs(
        self, there: NDArray[np.bool_], names: list[str], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64] | None, float, tuple[float, float, float, float] | None]:
        """Draw partners and how much they give; for cutmix only among samples with all images."""
        n = len(there)
        if n < 2 or not (self.mixes or self.cuts):
            return None, 1.0, None
        cut = self.cuts and (not self.mixes or bool(rng.random() < 0.5))
        changes = self.policy.changes
        strength = changes.cutmix if cut else changes.mixup
        own = float(rng.beta(strength, strength))
        if not cut:
            return rng.permutation(n), own, None
        complete = np.flatnonzero(there[:, [names.index(name) for name in self.images]].all(axis=1))
        partner = np.arange(n)
        partner[complete] = rng.permutation(complete)
        side = float(np.sqrt(1 - own))
        x, y = rng.random(2) * (1 - side)
        return partner, own, (float(x), float(y), side, side)

    def changed(self, batch: Batch, drawn: Drawn) -> tuple[Batch, Mixing | None]:
        """Change the values of a batch on its device; return how its samples are mixed."""
        device = next(iter(batch.values()))["present"].device
        after = {name: dict(given) for name, given in batch.items()}
        with own_randomness(drawn.seed, device):
            for name, steps in self.steps.items():
                if "values" in after[name]:
                    after[name]["values"] = self._changed_values(name, after[name], steps, drawn)
        if drawn.partner is None:
            return after, None
        partner = torch.from_numpy(drawn.partner).to(device)
        own = drawn.own
        if drawn.box is not None:
            for name in self.images:
                own = cut_and_paste(after[name], partner, drawn.box)
        vectors = tuple(drawn.box is None or name not in self.images for name in after)
        return after, Mixing(partner, own, vectors)

    def _changed_values(
        self, name: str, given: dict[str, Tensor], steps: tuple[str, ...], drawn: Drawn
    ) -> Tensor:
        values, processor = given["values"], self.processors[name]
        if isinstance(processor, ImageProcessor):
            flip = None
            if FLIP in steps:
                flip = _flipped(given, drawn)
            return changed_images(values, processor, steps, flip)
        if isinstance(processor, TextProcessor):
            return drop_tokens(values, processor.tokenizer.all_special_ids)
        if isinstance(processor, TabularProcessor):
            return changed_rows(values, len(processor.numbers), steps)
        if isinstance(processor, LogMelProcessor | ExtractorProcessor):
            return changed_recordings(values, spectrum_axes(processor, values.shape), steps)
        return changed_windows(values, steps)


def keeps_sides(samples: pa.Table, schema: SampleSchema, flip: FlipRules) -> NDArray[np.bool_]:
    """Tell which samples must not have their images flipped: those with a word that names a side.

    The words of a batch are tokens already, so they cannot be swapped there.
    """
    sides = SideWords(flip.swap_words)
    columns = [s.column for s in schema.inputs if s.modality == "text" and flip.texts != "ignore"]
    if schema.target_kind != "number" and flip.target != "ignore":
        columns.append(TARGET)
    named = np.zeros(samples.num_rows, dtype=bool)
    for name in columns:
        encoded = samples[name].combine_chunks().dictionary_encode()
        # The last entry stands for no text at all.
        found = [sides.are_in(text) for text in encoded.dictionary.to_pylist()] + [False]
        named |= np.asarray(found)[encoded.indices.fill_null(len(found) - 1).to_numpy()]
    return named


def fitting_steps(
    spec: InputSpec, wanted: tuple[str, ...], processor: Processor, prepared: PreparedInput
) -> tuple[str, ...]:
    """Return the steps that fit what an encoder reads; for audio, a spectrogram or a waveform."""
    if spec.modality != "audio":
        return wanted
    shape = (1, *prepared.distinct.shape[1:])
    of_waveforms = ("noise", "gain")
    if len(shape) == 2:
        return tuple(step for step in wanted if step in of_waveforms)
    if spectrum_axes(processor, shape) is None:
        return ()
    return tuple(step for step in wanted if step not in of_waveforms)


def _reads(processor: Processor, prepared: PreparedInput) -> str:
    shape = (1, *prepared.distinct.shape[1:])
    if len(shape) == 2:
        return "a waveform"
    return "a spectrogram" if spectrum_axes(processor, shape) else "features of an unknown kind"


def spectrum_axes(processor: Processor, shape: Sequence[int]) -> tuple[int, int] | None:
    """Return the axes of time and frequency in what an audio processor makes, None if unknown."""
    if isinstance(processor, LogMelProcessor):
        return 2, 3
    if not isinstance(processor, ExtractorProcessor) or len(shape) != 3:
        return None
    settings: Any = processor.extractor
    n_bands = getattr(settings, "num_mel_bins", None) or getattr(settings, "feature_size", None)
    bands = [axis for axis in (1, 2) if shape[axis] == n_bands]
    return (3 - bands[0], bands[0]) if len(bands) == 1 else None


def hidden_inputs(
    there: NDArray[np.bool_], probability: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Choose which inputs are hidden; a sample keeps at least one of those it has.

    Args:
        there: ``(n, n_inputs)`` which inputs each sample has.
        probability: Of hiding one.
        rng: What to draw from.

    Source:
        Neverova et al. 2016, arXiv:1501.00102, section 3.4.
    """
    hidden = there & (rng.random(there.shape) < probability)
    spared = np.where(there, rng.random(there.shape), -1.0).argmax(axis=1)
    bare = (hidden == there).all(axis=1) & there.any(axis=1)
    hidden[bare, spared[bare]] = False
    return hidden


@contextmanager
def own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch for a while, and leave its generators as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _flipped(given: dict[str, Tensor], drawn: Drawn) -> Tensor:
    """Toss a coin for each distinct image; those of samples that name a side stay as they are."""
    n = len(given["values"])
    device = given["values"].device
    coins = torch.rand(n, device=device) < 0.5
    if drawn.flips_together is not None:
        return torch.full((n,), drawn.flips_together, device=device)
    keeps = torch.from_numpy(drawn.keeps_sides).to(device)[given["present"]]
    coins[given["index"][keeps]] = False
    return coins


def changed_images(
    values: Tensor, processor: ImageProcessor, steps: Sequence[str], flip: Tensor | None
) -> Tensor:
    """Change normalised images ``(n, 3, height, width)``; levels stay within their range.

    Args:
        values: As the processor made them.
        processor: Tells how they were normalised.
        steps: What is done, in this order.
        flip: ``(n,)`` which of them are mirrored.
    """
    shape = (1, 3, 1, 1)
    mean = torch.as_tensor(processor.mean, dtype=values.dtype, device=values.device).view(shape)
    std = torch.as_tensor(processor.std, dtype=values.dtype, device=values.device).view(shape)
    scale = processor.factor * 255
    levels = ((values * std + mean) / scale).clamp(0, 1)
    for step in steps:
        if step == FLIP:
            assert flip is not None
            levels = torch.where(flip.view(-1, 1, 1, 1), levels.flip(-1), levels)
        else:
            levels = _image_step(step, levels.shape[-2], levels.shape[-1])(levels)
    return (levels.clamp(0, 1) * scale - mean) / std


@lru_cache(maxsize=64)
def _image_step(step: str, height: int, width: int) -> nn.Module:
    """Return kornia's module for a step on images with levels from 0 to 1."""
    import kornia.augmentation as kornia

    if step == "randaugment":
        return _randaugment()
    kernel = max(3, 2 * (min(height, width) // 20) + 1)
    made: dict[str, Callable[[], nn.Module]] = {
        "rotate": lambda: kornia.RandomAffine(12.0, padding_mode="border", p=1.0),
        "crop": lambda: kornia.RandomResizedCrop(
            (height, width), scale=(0.64, 1.0), ratio=(0.9, 1.1), cropping_mode="resample"
        ),
        "colour": lambda: kornia.ColorJitter(0.25, 0.25, 0.25, p=1.0),
        "blur": lambda: kornia.RandomGaussianBlur((kernel, kernel), (0.1, kernel / 4), p=0.5),
        "erase": lambda: kornia.RandomErasing((0.01, 0.06), (0.5, 2.0), value=0.5, p=0.5),
        "noise": lambda: kornia.RandomGaussianNoise(std=0.03, p=1.0),
    }
    return made[step]()


def _randaugment() -> nn.Module:
    """Two operations, the same two for the images of a batch, each with its own strength.

    Source:
        Cubuk et al. 2020, arXiv:1909.13719, section 3; without inverting and solarising.
    """
    from kornia.augmentation.auto import RandAugment

    operations = [
        ("auto_contrast", 0, 1),
        ("equalize", 0, 1),
        ("rotate", -12.0, 12.0),
        ("posterize", 4, 8),
        ("color", 0.5, 1.5),
        ("contrast", 0.6, 1.4),
        ("brightness", 0.7, 1.3),
        ("sharpness", 0.3, 1.7),
        ("shear_x", -0.15, 0.15),
        ("shear_y", -0.15, 0.15),
        ("translate_x", -0.1, 0.1),
        ("translate_y", -0.1, 0.1),
    ]
    module: nn.Module = RandAugment(n=2, m=10, policy=[[operation] for operation in operations])
    return module


def changed_recordings(
    values: Tensor, axes: tuple[int, int] | None, steps: Sequence[str]
) -> Tensor:
    """Mask spectrograms, or change waveforms ``(n, n_samples)``.

    Source:
        Park et al. 2019, arXiv:1904.08779, section 2; a mask takes the mean of its spectrogram.
    """
    for step in steps:
        if step == "noise":
            power = values.square().mean(1, keepdim=True)
            snr_db = 15 + 20 * torch.rand_like(power)
            values = values + torch.randn_like(values) * (power / 10 ** (snr_db / 10)).sqrt()
        elif step == "gain":
            values = values * 10 ** ((12 * torch.rand_like(values[:, :1]) - 6) / 20)
        elif axes is not None:
            values = _masked(values, axes[0] if step == "time_mask" else axes[1])
    return values


def _masked(values: Tensor, axis: int) -> Tensor:
    n, length = len(values), values.shape[axis]
    width = (torch.rand(n, device=values.device) * (LONGEST_MASK * length + 1)).floor()
    start = (torch.rand(n, device=values.device) * (length - width + 1)).floor()
    at = torch.arange(length, device=values.device)
    inside = (at >= start.unsqueeze(1)) & (at < (start + width).unsqueeze(1))
    shape = [n, *(length if i == axis else 1 for i in range(1, values.ndim))]
    mean = values.mean(dim=tuple(range(1, values.ndim)), keepdim=True)
    return torch.where(inside.view(shape), mean, values)


def drop_tokens(values: Tensor, special: Sequence[int]) -> Tensor:
    """Leave tokens out of texts ``(n, length)``, -1 behind their ends; the rest close up.

    Special tokens stay, and so does one other token of each text.
    """
    words = (values >= 0) & ~torch.isin(values, torch.as_tensor(special, device=values.device))
    drawn = torch.rand(values.shape, device=values.device)
    dropped = words & (drawn < DROPPED_TOKENS)
    bare = (dropped == words).all(1) & words.any(1)
    spared = torch.where(words, drawn, -1.0).argmax(1)
    dropped[bare, spared[bare]] = False
    order = dropped.to(torch.int8).argsort(dim=1, stable=True)
    return values.masked_fill(dropped, -1).gather(1, order)


def changed_rows(values: Tensor, n_numbers: int, steps: Sequence[str]) -> Tensor:
    """Change tabular rows ``(n, 2 n_numbers + n_categories)``; what is missing stays so with noise.

    Source:
        Yoon et al. 2020, "VIME", section 4: values swapped for those of other rows.
    """
    for step in steps:
        if step == "noise":
            values = values.clone()
            there = 1 - values[:, n_numbers : 2 * n_numbers]
            noise = NOISE * torch.randn_like(there)
            values[:, :n_numbers] += noise * there
        else:
            n, n_columns = len(values), values.shape[1] - n_numbers
            swapped = torch.rand((n, n_columns), device=values.device) < SWAPPED_VALUES
            donors = torch.rand((n, n_columns), device=values.device).argsort(0)
            # A number and whether it is missing go together.
            parts = [*range(n_numbers), *range(n_columns)]
            swapped, donors = swapped[:, parts], donors[:, parts]
            values = torch.where(swapped, values.gather(0, donors), values)
    return values


def changed_windows(values: Tensor, steps: Sequence[str]) -> Tensor:
    """Change standardised windows ``(n, 2 n_channels, n_steps)``; what is missing stays so.

    Source:
        Um et al. 2017, arXiv:1706.00527, section 3.
    """
    n_channels = values.shape[1] // 2
    channels, missing = values[:, :n_channels], values[:, n_channels:]
    for step in steps:
        if step == "jitter":
            channels = channels + NOISE * torch.randn_like(channels) * (1 - missing)
        else:
            channels = channels * (1 + NOISE * torch.randn_like(channels[:, :, :1]))
    return torch.cat([channels, missing], dim=1)


def cut_and_paste(
    given: dict[str, Tensor], partner: Tensor, box: tuple[float, float, float, float]
) -> float:
    """Paste a rectangle of each partner's image; return how much of each image is its own.

    Images that samples share become one for each sample, since their partners differ.

    Source:
        Yun et al. 2019, arXiv:1905.04899, section 3.1.
    """
    if "values" not in given:
        return 1.0
    present, index = given["present"], given["index"]
    images = given["values"][index]
    place = present.long().cumsum(0) - 1
    others = images[place[partner[present]]]
    height, width = images.shape[-2:]
    left, top = round(box[0] * width), round(box[1] * height)
    right, bottom = round((box[0] + box[2]) * width), round((box[1] + box[3]) * height)
    images[..., top:bottom, left:right] = others[..., top:bottom, left:right]
    given["values"], given["index"] = images, torch.arange(len(images), device=index.device)
    return 1 - (right - left) * (bottom - top) / (width * height)


@contextmanager
def mixed_inputs(fusion: nn.Module, reads_tokens: bool, mixing: Mixing | None) -> Iterator[None]:
    """Mix what a fusion reads of each sample with what it reads of its partner.

    All inputs of a sample are mixed with the same partner in the same part, so that they still
    belong together. Where the fusion reads tokens, those at the same place are mixed.

    Source:
        Verma et al. 2019, arXiv:1806.05236, section 2.
    """
    if mixing is None:
        yield
        return

    def mix(_module: nn.Module, given: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        vectors, there = given
        own, partner = mixing.own, mixing.partner
        if reads_tokens:
            weights = there.to(vectors.dtype).unsqueeze(2)
            tokens = vectors * weights
            if not any(mixing.vectors):
                return vectors, there
            return own * tokens + (1 - own) * tokens[partner], there | there[partner]
        mixed = own * vectors + (1 - own) * vectors[partner]
        chosen = torch.tensor(mixing.vectors, device=vectors.device).view(1, -1, 1)
        return torch.where(chosen, mixed, vectors), there | there[partner]

    handle = fusion.register_forward_pre_hook(mix)
    try:
        yield
    finally:
        handle.remove()


def mixed_loss(
    outputs: Tensor,
    labels: Tensor,
    objective: str,
    mixing: Mixing | None,
    weights: Tensor | None,
) -> Tensor:
    """Return the loss of a batch whose samples may be mixed and may count differently.

    A mixed sample's loss is that of its own label and that of its partner's, in their parts.

    Args:
        outputs: As of the model.
        labels: ``(n,)`` class indices or standardised values.
        objective: As of the model.
        mixing: How samples were mixed.
        weights: ``(n,)`` how much each counts; None for all alike.
    """
    own = prediction_loss(outputs, labels, objective, weights)
    if mixing is None:
        return own
    partner = mixing.partner
    other = prediction_loss(
        outputs, labels[partner], objective, None if weights is None else weights[partner]
    )
    return mixing.own * own + (1 - mixing.own) * other
