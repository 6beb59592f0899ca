"""Settings of the augment stage: what is added to training rows, and how they are balanced."""

from typing import Literal

from pydantic import Field, model_validator

from tasks.params.section import Section

FLIP = "flip_horizontal"


class OnlineParams(Section):
    """Changes drawn anew for each batch, on the device, while the model trains.

    A value that several samples of a batch share is changed once for all of them. Inputs of frozen
    encoders are encoded once and for all, so they cannot be changed here; the report says which.
    """

    image: tuple[
        Literal[
            "flip_horizontal",
            "rotate",
            "crop",
            "colour",
            "blur",
            "erase",
            "noise",
            "randaugment",
        ],
        ...,
    ] = ()
    audio: tuple[Literal["time_mask", "frequency_mask", "noise", "gain"], ...] = ()
    """Masks need an encoder that reads a spectrogram; noise and gain one that reads a waveform."""

    text: tuple[Literal["drop_token"], ...] = ()
    tabular: tuple[Literal["noise", "swap"], ...] = ()
    timeseries: tuple[Literal["jitter", "scale"], ...] = ()

    mixup: float = Field(default=0.0, ge=0, le=10)
    """Mix the projected inputs and the targets of pairs of samples; how evenly, as the parameter of
    a beta distribution: 0 for never, 0.2 for mostly one of the two."""

    cutmix: float = Field(default=0.0, ge=0, le=10)
    """The same, but images are mixed by a rectangle cut out of the partner's."""

    modality_dropout: float = Field(default=0.0, ge=0, lt=1)
    """How often an input of a sample is hidden; one is always left."""

    @property
    def any(self) -> bool:
        """Whether anything is to be done."""
        return self != OnlineParams()


class FlipRules(Section):
    """What else a horizontal flip of an image changes.

    Where a sample has several images, all of them are flipped or none.
    """

    swap_words: tuple[tuple[str, str], ...] = (("left", "right"),)
    """Pairs of words that change places; write those of your language."""

    texts: Literal["swap", "refuse", "ignore"] = "swap"
    """For a sample whose text has such a word: swap it, refuse the flip, or leave it."""

    target: Literal["refuse", "swap", "ignore"] = "refuse"
    """The same for a sample whose target has such a word."""

    negate: tuple[str, ...] = ()
    """Numbers whose sign changes with a flip, such as a steering angle: inputs, or the target."""

    swap_inputs: tuple[tuple[str, str], ...] = ()
    """Pairs of images that change places, such as those of a left and a right camera."""


class OnlinePolicy(Section):
    """What finetune does to its batches, as data/augment/online.json tells it.

    ``{}`` stands for nothing.
    """

    changes: OnlineParams = OnlineParams()
    flip: FlipRules = FlipRules()


class JointParams(Section):
    """What changes together with an input."""

    flip_horizontal: FlipRules = FlipRules()


class SynonymsFile(Section):
    """A CSV file without a header: a word, then its synonyms, each in a cell of its own."""

    path: str
    """Relative to the project's folder."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Digest of the file (``sha256sum FILE``), so that another file is another setting."""


class AugmentParams(Section):
    """Copies of training samples with changed inputs; validation and test are never touched."""

    copies: int = Field(0, ge=0, le=100)
    """Augmented copies of each training sample."""

    image: tuple[
        Literal[
            "shift",
            "rotate",
            "flip_horizontal",
            "crop",
            "colour",
            "blur",
            "noise",
            "erase",
            "jpeg",
            "randaugment",
        ],
        ...,
    ] = ("shift", "rotate", "noise")
    """What is done to the images of copies, in this order."""

    audio: tuple[Literal["noise", "gain", "shift", "time_mask", "frequency_mask", "speed"], ...] = (
        "noise",
        "gain",
        "shift",
    )
    text: tuple[Literal["drop_word", "swap_words", "synonym", "masked_words"], ...] = ()
    tabular: tuple[Literal["noise", "swap"], ...] = ()
    """``noise`` adds a tenth of a number's spread in the training rows; ``swap`` takes one value in
    seven from another training row."""

    timeseries: tuple[Literal["jitter", "scale", "warp"], ...] = ("jitter", "scale")

    synonyms: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """For ``synonym``: words, in lower case, and what may stand for each."""

    synonyms_file: SynonymsFile | None = None
    """For ``synonym``: a table of them in a file."""

    masked_words_checkpoint: str | None = None
    """For ``masked_words``: a masked language model, as a folder or ``hub:NAME@REVISION``."""

    joint: JointParams = JointParams()
    online: OnlineParams = OnlineParams()

    balance: Literal["none", "classes", "modalities", "classes_and_modalities"] = "none"
    """What is to be equally frequent in training: classes, the sets of inputs that samples have, or
    both at once."""

    balance_by: Literal["oversample", "undersample", "weights"] = "oversample"
    """``oversample`` gives what is rare more copies, ``undersample`` leaves out rows of what is
    common, ``weights`` lets what is rare count more in the loss."""

    max_balance_copies: int = Field(10, ge=1)
    """For ``oversample``: the most copies of one sample."""

    max_imbalance: float = Field(1.0, ge=1)
    """For ``undersample``: the commonest stays at most this many times the rarest."""

    effective_number_beta: float = Field(0.999, ge=0, lt=1)
    """For ``weights``: 0 counts every row alike, towards 1 the weight is one over the frequency."""

    @model_validator(mode="after")
    def _words_come_from_somewhere(self) -> "AugmentParams":
        if "synonym" in self.text and not (self.synonyms or self.synonyms_file):
            raise ValueError("text 'synonym' needs 'synonyms', or 'synonyms_file'")
        if "masked_words" in self.text and not self.masked_words_checkpoint:
            raise ValueError(
                "text 'masked_words' needs 'masked_words_checkpoint', a folder or "
                "hub:NAME@REVISION of a masked language model"
            )
        return self

    @model_validator(mode="after")
    def _batches_flip_images_alone(self) -> "AugmentParams":
        rules = self.joint.flip_horizontal
        if FLIP in self.online.image and (rules.negate or rules.swap_inputs):
            raise ValueError(
                "online.image 'flip_horizontal' cannot change the sign of numbers or swap inputs, "
                "which joint.flip_horizontal asks for; flip copies instead, under 'image'"
            )
        return self
