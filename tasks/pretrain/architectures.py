"""Small encoders that train in seconds on a CPU, each with the processor that goes with it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    PreTrainedTokenizerFast,
    ResNetConfig,
    ResNetModel,
    ViTImageProcessorPil,
)

from tasks.models.processors.audio import LogMelProcessor, LogMelSettings
from tasks.models.processors.base import Processor
from tasks.models.processors.image import ImageProcessor
from tasks.models.processors.text import TextProcessor
from tasks.params.pretrain import PretrainParams

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_MAX_WORD_PIECES = 8000
_MEL_BANDS = 64


@dataclass(frozen=True)
class SmallEncoder:
    """An encoder before it is trained.

    Attributes:
        model: What is trained; for text it has a head that is left behind.
        encoder: The part of it that is saved.
        processor: Makes the arrays it reads.
    """

    model: Any
    encoder: Any
    processor: Processor


def small_image_encoder(params: PretrainParams) -> SmallEncoder:
    """Return a ResNet of three blocks for square colour pictures."""
    side = params.image_size_pixels
    model = ResNetModel(_resnet(params.width_features, n_channels=3))
    size = {"height": side, "width": side}
    processor = ViTImageProcessorPil(size=size, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    return SmallEncoder(model, model, ImageProcessor(processor))


def small_audio_encoder(params: PretrainParams) -> SmallEncoder:
    """Return a ResNet of three blocks for log-mel pictures."""
    rate = params.audio_rate_hz
    hop = round(0.01 * rate)
    window = round(0.025 * rate)
    settings = LogMelSettings(
        sample_rate=rate,
        frame_length=window,
        hop_length=hop,
        fft_length=1 << (2 * window - 1).bit_length(),
        mel_bins=_MEL_BANDS,
        mel_low_hz=60.0,
        mel_high_hz=0.49 * rate,
        log_offset=0.001,
        patch_frames=max(32, round(params.audio_seconds * rate / hop)),
    )
    model = ResNetModel(_resnet(params.width_features, n_channels=1))
    return SmallEncoder(model, model, LogMelProcessor(settings))


def small_text_encoder(params: PretrainParams, texts: Iterable[str]) -> SmallEncoder:
    """Return a BERT of two layers, with a vocabulary learned from the texts."""
    tokenizer = learn_tokenizer(texts, params.text_tokens)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=params.width_features,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=4 * params.width_features,
        max_position_embeddings=max(512, params.text_tokens),
        pad_token_id=tokenizer.pad_token_id,
    )
    model = BertForMaskedLM(config)
    return SmallEncoder(model, model.bert, TextProcessor(tokenizer, params.text_tokens))


def learn_tokenizer(texts: Iterable[str], n_tokens: int) -> PreTrainedTokenizerFast:
    """Learn word pieces from texts; no text is unreadable, since any byte is a piece.

    Pieces are learned over bytes because the library's trainer for pieces with a "##" in front
    numbers them in another order each time.

    Source:
        Sennrich et al. 2016, arXiv:1508.07909; over bytes as in Radford et al. 2019, section 2.2.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=_MAX_WORD_PIECES,
        special_tokens=list(_SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(set(texts)), trainer)
    ends = [(piece, tokenizer.token_to_id(piece)) for piece in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=ends
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max(512, n_tokens),
        pad_token="[PAD]",  # noqa: S106
        unk_token="[UNK]",  # noqa: S106
        cls_token="[CLS]",  # noqa: S106
        sep_token="[SEP]",  # noqa: S106
        mask_token="[MASK]",  # noqa: S106
    )


def _resnet(width: int, n_channels: int) -> ResNetConfig:
    return ResNetConfig(
        num_channels=n_channels,
        embedding_size=max(16, width // 4),
        hidden_sizes=[max(16, width // 4), max(16, width // 2), width],
        depths=[1, 1, 1],
        layer_type="basic",
    )
