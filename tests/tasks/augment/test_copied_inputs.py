"""What is changed in texts, numbers, categories and windows, and what depends on what."""

import csv
import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

from tasks.errors import ModelError, ParamsError
from tasks.params.augment import AugmentParams
from tasks.samples.folders import sha256
from tasks.samples.schema import InputSpec, SampleSchema, TabularColumn
from tasks.samples.transforms import apply_recipe

quick = settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
N = 60
SPLIT = ["train"] * 50 + ["validation"] * 5 + ["test"] * 5
EVERYTHING = {
    "copies": 2,
    "image": (
        "shift", "rotate", "flip_horizontal", "crop", "colour", "blur", "noise", "erase", "jpeg",
        "randaugment",
    ),
    "audio": ("noise", "gain", "shift", "time_mask", "frequency_mask", "speed"),
    "text": ("drop_word", "swap_words", "synonym"),
    "synonyms": {"even": ("pair", "not odd")},
    "tabular": ("noise", "swap"),
    "timeseries": ("jitter", "scale", "warp"),
    "balance": "classes",
}  # fmt: skip


def many(split_samples):
    """Samples with every modality, some of them lacking inputs."""
    target = [("a", "a", "b")[i % 3] for i in range(N)]
    age = [None if i % 7 == 0 else float(i) for i in range(N)]
    image = [None if i % 5 == 0 else f"img{i // 3}" for i in range(N)]
    samples = split_samples(target, SPLIT, age=age, image=image)
    samples = samples.append_column("q.place", [[("x", "y", None)[i % 3] for i in range(N)]])
    samples = samples.append_column("w.window", [[f"window{i}" for i in range(N)]])
    schema = SampleSchema.of(samples)
    place = TabularColumn(name="q.place", kind="category")
    inputs = [
        spec.model_copy(update={"columns": (*spec.columns, place)})
        if spec.modality == "tabular"
        else spec
        for spec in schema.inputs
    ]
    inputs.append(
        InputSpec(
            name="w", modality="timeseries", column="w.window", channels=("x", "y"), n_steps=20
        )
    )
    return schema.model_copy(update={"inputs": tuple(inputs)}).attach(samples)


def test_everything_at_once_gives_recipes_that_can_be_applied(augmenting, split_samples):
    report = augmenting.run(many(split_samples), **EVERYTHING)
    window = np.random.default_rng(0).normal(0, 1, (20, 2)).astype(np.float32)
    names = {"image": set(), "tone": set(), "w": set()}
    for row in augmenting.copies().values():
        recipe = json.loads(row["recipe"])
        assert set(recipe) <= set(names)
        for name, steps in recipe.items():
            names[name] |= {step["name"] for step in steps}
        assert (apply_recipe(window, recipe["w"], "timeseries") != window).any()
    assert names["w"] == {"jitter", "scale", "warp"}
    assert names["tone"] == set(EVERYTHING["audio"])
    assert set(EVERYTHING["image"]) - {"randaugment"} <= names["image"]
    assert {"posterize", "shear"} <= names["image"]
    assert report.n_texts_changed == report.n_added
    assert report.n_tabular_changed > 0.8 * report.n_added


@given(seed=st.integers(0, 2**32))
@quick
def test_row_order_has_no_say_and_the_same_seed_gives_the_same_bytes(
    augmenting, split_samples, seed
):
    samples = many(split_samples)
    augmenting.run(samples, **EVERYTHING)
    before = augmenting.copies()
    bytes_before = (augmenting.root / "data/augment/samples.parquet").read_bytes()
    page = (augmenting.root / "reports/augment.html").read_text()
    augmenting.run(samples, **EVERYTHING)
    assert (augmenting.root / "data/augment/samples.parquet").read_bytes() == bytes_before
    assert (augmenting.root / "reports/augment.html").read_text() == page
    order = np.random.default_rng(seed).permutation(N)
    augmenting.run(samples.take(order), **EVERYTHING)
    assert augmenting.copies() == before


def test_copies_are_of_training_rows_and_other_rows_keep_their_bytes(augmenting, split_samples):
    samples = many(split_samples)
    augmenting.run(samples, **EVERYTHING)
    written = augmenting.read()
    copied = written.filter(pa.compute.is_valid(written["parent_id"]))
    assert set(copied["split"].to_pylist()) == {"train"}
    assert set(copied["parent_id"].to_pylist()) == {f"s{i}" for i in range(50)}
    others = written.filter(pa.compute.is_null(written["parent_id"]))
    assert others.drop_columns(["parent_id", "recipe"]).equals(samples)


def test_numbers_get_a_tenth_of_their_spread_and_what_is_missing_stays_so(
    augmenting, split_samples
):
    ages = [None if i == 0 else float(i) for i in range(400)]
    samples = split_samples(["a", "b"] * 200, ["train"] * 400, age=ages, inputs=("tabular",))
    report = augmenting.run(samples, copies=1, tabular=("noise",))
    copies = augmenting.copies()
    assert copies["s0~1"]["q.age"] is None
    noise = [copies[f"s{i}~1"]["q.age"] - i for i in range(1, 400)]
    spread = np.std(np.arange(1, 400))
    assert np.std(noise) == pytest.approx(0.1 * spread, rel=0.1)
    assert report.n_tabular_changed == 399
    assert report.n_plain_repetitions == 1


def test_a_swapped_value_is_that_of_another_training_row(augmenting, split_samples):
    ages = [float(i) for i in range(400)]
    split = ["train"] * 390 + ["test"] * 10
    samples = split_samples(["a", "b"] * 200, split, age=ages, inputs=("tabular",))
    augmenting.run(samples, copies=1, tabular=("swap",))
    copies = augmenting.copies()
    swapped = [row["q.age"] for name, row in copies.items() if row["q.age"] != float(name[1:-2])]
    assert len(swapped) / 390 == pytest.approx(0.15, abs=0.06)
    assert set(swapped) <= set(ages[:390])


def test_a_statistic_never_sees_the_test_rows(augmenting, split_samples):
    plain = split_samples(["a", "b"] * 20, ["train"] * 38 + ["test"] * 2, inputs=("tabular",))
    augmenting.run(plain, copies=1, tabular=("noise", "swap"))
    before = augmenting.copies()
    ages = [*(float(i) for i in range(38)), 1e9, -1e9]
    planted = split_samples(
        ["a", "b"] * 20, ["train"] * 38 + ["test"] * 2, age=ages, inputs=("tabular",)
    )
    augmenting.run(planted, copies=1, tabular=("noise", "swap"))
    assert augmenting.copies() == before


def test_where_nothing_is_listed_it_is_said_what_to_list(augmenting, split_samples):
    samples = split_samples(["a", "b"], ["train"] * 2, inputs=("question", "tabular"))
    report = augmenting.run(samples, copies=2)
    assert report.n_added == 0
    assert report.notices == (
        "augment.copies added nothing: no transform is listed for the inputs that there are; "
        "list some under augment.tabular or augment.text",
    )


def test_synonyms_come_from_the_settings_and_from_a_file(augmenting, split_samples):
    path = augmenting.root / "synonyms.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["Number", "figure", "numeral"], ["even", "from the file"]])
    samples = split_samples(["a", "b"] * 20, ["train"] * 40)
    augmenting.run(
        samples,
        copies=1,
        text=("synonym",),
        synonyms={"even": ("pair",)},
        synonyms_file={"path": "synonyms.csv", "sha256": sha256(path)},
    )
    found = set()
    for row in augmenting.copies().values():
        number = row["parent_id"][1:]
        found.add(row["q.question"].replace(f" {number} ", " # "))
    assert found == {"is figure # even ?", "is numeral # even ?", "is number # pair ?"}


@pytest.mark.parametrize(
    ("content", "digest", "message"),
    [
        (None, "0" * 64, "found nothing at 'synonyms.csv'"),
        ("big,large\n", "0" * 64, "has the digest .* not 0000"),
        ("big,large\nsmall\n", None, "synonyms.csv:2: expected a word and its synonyms"),
        (b"gro\xdf,big\n", None, "expected UTF-8"),
    ],
)
def test_a_file_of_synonyms_that_is_not_as_declared_is_refused(
    augmenting, split_samples, content, digest, message
):
    path = augmenting.root / "synonyms.csv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    file = {"path": "synonyms.csv", "sha256": digest or sha256(path)}
    with pytest.raises(ParamsError, match=message):
        augmenting.run(
            split_samples(["a"], ["train"]), copies=1, text=("synonym",), synonyms_file=file
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [("synonym", "needs 'synonyms'"), ("masked_words", "needs 'masked_words_checkpoint'")],
)
def test_words_must_come_from_somewhere(text, message):
    with pytest.raises(ValueError, match=message):
        AugmentParams.model_validate({"text": (text,)})


WORDS = ["is", "number", "even", "odd", "big", "small", "figure", "##er", "?", "0", "1", "2"]


@pytest.fixture
def tiny_bert(augmenting):
    """Write a random masked language model of a dozen words."""
    folder = augmenting.root / "bert"
    folder.mkdir()
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    tokenizer = BertTokenizerFast(vocab={word: i for i, word in enumerate(vocabulary)})
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=32,
    )  # fmt: skip
    import torch

    torch.manual_seed(0)
    BertForMaskedLM(config).save_pretrained(folder)
    return folder


def test_a_masked_language_model_puts_other_words_in(augmenting, split_samples, tiny_bert):
    samples = split_samples(["a", "b"] * 20, ["train"] * 40)
    asked = {"copies": 1, "text": ("masked_words",), "masked_words_checkpoint": "bert"}
    report = augmenting.run(samples, **asked)
    before = augmenting.copies()
    assert report.n_texts_changed == 40
    assert len(report.masked_words_weights) == 64
    for row in before.values():
        old, new = f"is number {row['parent_id'][1:]} even ?".split(), row["q.question"].split()
        (place,) = [i for i, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
        assert new[place] in {"is", "number", "even", "odd", "big", "small", "figure"}
    augmenting.run(samples.take(list(range(40))[::-1]), **asked)
    assert augmenting.copies() == before


def test_an_encoder_without_the_head_is_refused(augmenting, split_samples, tiny_bert):
    from transformers import AutoModel

    AutoModel.from_pretrained(tiny_bert).save_pretrained(tiny_bert)
    with pytest.raises(ModelError, match="without the head that predicts masked words"):
        augmenting.run(
            split_samples(["a"], ["train"]),
            copies=1,
            text=("masked_words",),
            masked_words_checkpoint="bert",
        )


def test_what_batches_are_to_do_is_handed_on(augmenting, split_samples):
    samples = split_samples(["a", "b"], ["train"] * 2)
    online = augmenting.root / "data" / "augment" / "online.json"
    augmenting.run(samples)
    assert json.loads(online.read_text()) == {}
    report = augmenting.run(
        samples,
        online={"image": ("rotate",), "mixup": 0.2},
        joint={"flip_horizontal": {"swap_words": (("links", "rechts"),)}},
    )
    told = json.loads(online.read_text())
    assert told["changes"]["image"] == ["rotate"]
    assert told["changes"]["mixup"] == 0.2
    assert told["flip"]["swap_words"] == [["links", "rechts"]]
    assert report.online == ("image: rotate", "mixup 0.2")
    assert report.n_added == 0
