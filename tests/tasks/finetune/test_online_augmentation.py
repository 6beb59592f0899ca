"""Changes to training batches: right in themselves, exact when resumed, and never silent."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_project import tiny_params, write_tiny_project

from tasks.__main__ import run_stage
from tasks.errors import DataError
from tasks.finetune.training import FusionTrainer
from tasks.models.heads.prediction import prediction_loss
from tasks.models.online_augmentation import (
    Mixing,
    OnlineAugmentation,
    _flipped,
    changed_images,
    changed_recordings,
    changed_rows,
    changed_windows,
    cut_and_paste,
    drop_tokens,
    hidden_inputs,
    mixed_inputs,
    mixed_loss,
    own_randomness,
)
from tasks.models.prepared import PreparedInput
from tasks.params import Params
from tasks.params.augment import OnlinePolicy
from tasks.samples.folders import folder_digest, write_manifest
from tasks.samples.schema import SampleSchema
from tasks.samples.tables import read_table, write_table

EVERYTHING = {
    "image": [
        "flip_horizontal",
        "rotate",
        "crop",
        "colour",
        "blur",
        "erase",
        "noise",
        "randaugment",
    ],
    "audio": ["time_mask", "frequency_mask"],
    "text": ["drop_token"],
    "tabular": ["noise", "swap"],
    "mixup": 0.4,
    "cutmix": 1.0,
    "modality_dropout": 0.3,
}
quick = settings(max_examples=30, deadline=None)


@pytest.fixture(autouse=True)
def _without_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSELINE_TRACKING", "off")


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny-online")
    run_stage("pretrain", write_tiny_project(root, n_scenes=24), root)
    return root


@pytest.fixture
def project(pretrained: Path, tmp_path: Path) -> Path:
    shutil.copytree(pretrained, tmp_path, dirs_exist_ok=True)
    return tmp_path


def ask_for(root: Path, **changes: Any) -> None:
    """Write what the augment stage would tell finetune to do."""
    folder = root / "data" / "augment"
    policy = OnlinePolicy.model_validate_json(json.dumps({"changes": changes}))
    (folder / "online.json").write_text(policy.model_dump_json())
    write_manifest(folder)


def with_settings(**changed: Any) -> Params:
    small = {"epochs": 3, "learning_rate": 3.0e-3, "early_stopping_epochs": 9}
    return tiny_params(finetune={**small, **changed})


def told(root: Path) -> Any:
    return json.loads((root / "reports" / "finetune.json").read_text())


def test_killed_training_with_changed_batches_resumes_to_the_same_bytes(
    pretrained: Path, project: Path, tmp_path_factory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    whole = tmp_path_factory.mktemp("uninterrupted")
    shutil.copytree(pretrained, whole, dirs_exist_ok=True)
    for root in (whole, project):
        ask_for(root, **EVERYTHING)
    run_stage("finetune", with_settings(), whole)

    saved = []
    save = FusionTrainer._save_checkpoint

    def save_then_die(self: FusionTrainer, *args: Any, **kwargs: Any) -> None:
        save(self, *args, **kwargs)
        saved.append(self.state.global_step)
        if len(saved) == 2:  # the newest checkpoint is written, but not sealed
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(FusionTrainer, "_save_checkpoint", save_then_die)
        with pytest.raises(Killed):
            run_stage("finetune", with_settings(), project)
    run_stage("finetune", with_settings(), project)
    assert folder_digest(project / "data/finetune") == folder_digest(whole / "data/finetune")
    assert len(told(whole)["online"]) == 7


def test_changed_batches_give_another_model_and_say_what_was_done(project: Path) -> None:
    run_stage("finetune", with_settings(epochs=1), project)
    plain = folder_digest(project / "data" / "finetune")
    assert told(project)["online"] == []
    ask_for(project, image=["rotate"], mixup=0.2)
    run_stage("finetune", with_settings(epochs=1), project)
    assert folder_digest(project / "data" / "finetune") != plain
    assert told(project)["online"] == ["picture: rotate", "mixup 0.2"]


def test_kept_features_cannot_be_changed_and_it_is_said(project: Path) -> None:
    ask_for(project, image=["rotate"], text=["drop_token"], cutmix=1.0, tabular=["noise"])
    run_stage("finetune", with_settings(train_encoders="none", epochs=1), project)
    notices = "\n".join(told(project)["notices"])
    assert "input 'picture': 'rotate' in the batch left out, since its encoder is frozen" in notices
    assert "input 'question': 'drop_token' in the batch left out" in notices
    assert "cutmix left out" in notices
    assert told(project)["online"] == ["tabular: noise"]


def test_steps_that_do_not_fit_what_an_encoder_reads_are_left_out_and_it_is_said(
    project: Path,
) -> None:
    ask_for(project, audio=["gain", "time_mask"], cutmix=1.0)
    run_stage("finetune", with_settings(epochs=1, fusion="cross_attention"), project)
    notices = "\n".join(told(project)["notices"])
    assert "'gain' in the batch left out, since its encoder reads a spectrogram" in notices
    assert "cutmix left out: this fusion reads the tokens" in notices
    assert told(project)["online"] == ["tone: time_mask"]


def test_mixing_works_where_tokens_are_fused_and_for_numbers(tmp_path: Path) -> None:
    write_tiny_project(tmp_path, n_scenes=16, target="price")
    params = tiny_params(
        align={"target": "price"},
        finetune={"epochs": 1, "fusion": "cross_attention", "batch_size_samples": 16},
    )
    ask_for(tmp_path, mixup=1.0, modality_dropout=0.5)
    run_stage("pretrain", params, tmp_path)
    run_stage("finetune", params, tmp_path)
    assert told(tmp_path)["online"] == ["mixup 1", "modality dropout 0.5"]
    assert np.isfinite(told(tmp_path)["best_validation_loss"])


def with_column(root: Path, name: str, values: list[Any]) -> None:
    path = root / "data" / "augment" / "samples.parquet"
    samples = read_table(path)
    column = pa.array(values)
    at = samples.schema.get_field_index(name)
    changed = (
        samples.append_column(name, column) if at < 0 else samples.set_column(at, name, column)
    )
    write_table(SampleSchema.of(samples).attach(changed), path)
    write_manifest(path.parent)


def test_weights_change_what_is_learned_but_not_how_it_is_validated(project: Path) -> None:
    samples = read_table(project / "data" / "augment" / "samples.parquet")
    split, target = samples["split"].to_pylist(), samples["target"].to_pylist()
    run_stage("finetune", with_settings(epochs=1), project)
    plain = told(project)
    with_column(project, "weight", [1.0 if s == "train" else None for s in split])
    run_stage("finetune", with_settings(epochs=1), project)
    alike = told(project)
    assert alike["weighted"]
    assert alike["best_validation_loss"] == pytest.approx(plain["best_validation_loss"], rel=1e-4)
    rare = [
        None if s != "train" else 3.0 if t == "red" else 0.5
        for s, t in zip(split, target, strict=True)
    ]
    with_column(project, "weight", rare)
    run_stage("finetune", with_settings(epochs=1), project)
    assert told(project)["best_validation_loss"] != plain["best_validation_loss"]


def test_a_training_sample_without_a_weight_is_refused(project: Path) -> None:
    n = read_table(project / "data" / "augment" / "samples.parquet").num_rows
    with_column(project, "weight", [0.0] * n)
    with pytest.raises(DataError, match=r"have no positive weight \(first: 's"):
        run_stage("finetune", with_settings(), project)


def test_a_missing_policy_is_refused(project: Path) -> None:
    (project / "data" / "augment" / "online.json").unlink()
    write_manifest(project / "data" / "augment")
    with pytest.raises(DataError, match=r"online\.json: missing; run `dvc repro --force augment`"):
        run_stage("finetune", with_settings(), project)


def test_torch_goes_on_as_if_nothing_had_been_drawn() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with own_randomness(5, torch.device("cpu")):
        torch.rand(100)
    assert torch.equal(torch.rand(3), expected)


class _Plain:
    """What is asked of an image processor."""

    mean = np.array([0.4, 0.5, 0.6])
    std = np.array([0.2, 0.3, 0.25])
    factor = 1 / 255


def _normalised(n: int = 4, side: int = 24) -> torch.Tensor:
    levels = torch.rand((n, 3, side, side), generator=torch.Generator().manual_seed(0))
    mean, std = (
        torch.tensor(v, dtype=torch.float32).view(1, 3, 1, 1) for v in (_Plain.mean, _Plain.std)
    )
    return (levels - mean) / std


@pytest.mark.parametrize("step", [s for s in EVERYTHING["image"] if s != "flip_horizontal"])
def test_image_steps_keep_shape_and_range_and_repeat_with_their_seed(step: str) -> None:
    values = _normalised()
    results = []
    for seed in (1, 1, 2):
        with own_randomness(seed, torch.device("cpu")):
            results.append(changed_images(values, _Plain(), [step], None))  # type: ignore[arg-type]
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], values)
    assert not torch.equal(results[0], results[2])
    assert results[0].shape == values.shape
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (_Plain.mean, _Plain.std))
    levels = results[0] * std + mean
    assert -1e-4 <= levels.min() <= levels.max() <= 1 + 1e-4


def test_only_the_chosen_images_are_flipped() -> None:
    values = _normalised()
    flip = torch.tensor([True, False, True, False])
    after = changed_images(values, _Plain(), ["flip_horizontal"], flip)  # type: ignore[arg-type]
    assert torch.allclose(after[0], values[0].flip(-1), atol=1e-5)
    assert torch.allclose(after[1], values[1], atol=1e-5)


@given(seed=st.integers(0, 2**32), lengths=st.lists(st.integers(0, 12), min_size=1, max_size=6))
@quick
def test_dropped_tokens_leave_specials_an_order_and_one_word(seed: int, lengths: list[int]) -> None:
    special = [1, 2]
    texts = torch.full((len(lengths), 16), -1)
    for row, n in enumerate(lengths):
        texts[row, : n + 2] = torch.tensor([1, *range(10, 10 + n), 2])
    with own_randomness(seed, torch.device("cpu")):
        after = drop_tokens(texts, special)
    for row, n in enumerate(lengths):
        kept = [t for t in after[row].tolist() if t >= 0]
        assert after[row, len(kept) :].eq(-1).all()
        assert (kept[0], kept[-1]) == (1, 2)
        assert kept[1:-1] == sorted(kept[1:-1])
        assert set(kept[1:-1]) <= set(range(10, 10 + n))
        assert bool(kept[1:-1]) == bool(n)


@given(
    seed=st.integers(0, 2**32), n=st.integers(1, 20), inputs=st.integers(1, 5), p=st.floats(0, 0.95)
)
@quick
def test_an_input_is_hidden_only_where_it_is_there_and_never_all(
    seed: int, n: int, inputs: int, p: float
) -> None:
    rng = np.random.default_rng(seed)
    there = rng.random((n, inputs)) < 0.7
    hidden = hidden_inputs(there, p, rng)
    assert not (hidden & ~there).any()
    assert ((there & ~hidden).any(axis=1) == there.any(axis=1)).all()


def test_inputs_are_hidden_as_often_as_asked_for() -> None:
    rng = np.random.default_rng(0)
    hidden = hidden_inputs(np.ones((20_000, 4), dtype=bool), 0.2, rng)
    assert hidden.mean() == pytest.approx(0.2, abs=0.01)


def test_masks_cover_an_eighth_at_most_with_the_mean() -> None:
    pictures = torch.rand((50, 1, 40, 16))
    after = changed_recordings(pictures, (2, 3), ["time_mask"])
    masked = (after != pictures).all(dim=3).squeeze(1)
    assert 0 < masked.sum(1).max() <= 5
    row = int(masked.sum(1).argmax())
    assert torch.allclose(after[row, 0][masked[row]], pictures[row].mean())
    assert torch.equal(after[:, 0][~masked], pictures[:, 0][~masked])


def test_waveforms_get_noise_of_their_ratio_and_gain() -> None:
    waves = torch.randn((200, 4000))
    noise = changed_recordings(waves, None, ["noise"]) - waves
    ratio = 10 * torch.log10(waves.square().mean(1) / noise.square().mean(1))
    assert 14.5 < ratio.min() < 18
    assert 32 < ratio.max() < 35.5
    gain = changed_recordings(waves, None, ["gain"]) / waves
    assert torch.allclose(gain, gain[:, :1].expand_as(gain), rtol=1e-3)
    assert 0.5 <= gain.min() < gain.max() <= 2.0


def test_a_swapped_number_takes_along_whether_it_is_missing() -> None:
    n = 2000
    missing = (torch.arange(n) % 2).float().unsqueeze(1)
    rows = torch.cat([torch.where(missing > 0, 0.0, torch.arange(1.0, n + 1).unsqueeze(1)), missing,
                      torch.arange(n).float().unsqueeze(1)], dim=1)  # fmt: skip
    after = changed_rows(rows, 1, ["swap"])
    assert ((after[:, 0] == 0) == (after[:, 1] == 1)).all()
    assert (after[:, 2] != rows[:, 2]).float().mean() == pytest.approx(0.15, abs=0.03)
    assert set(after[:, 2].tolist()) <= set(rows[:, 2].tolist())


def test_noise_leaves_missing_numbers_and_categories_alone() -> None:
    rows = torch.tensor([[0.5, 0.0, 0.0, 1.0, 3.0]]).repeat(500, 1)
    after = changed_rows(rows, 2, ["noise"])
    assert torch.equal(after[:, 1:], rows[:, 1:])
    assert float(after[:, 0].std()) == pytest.approx(0.1, rel=0.2)


def test_windows_are_changed_where_there_is_something() -> None:
    windows = torch.cat([torch.ones((8, 2, 30)), torch.zeros((8, 2, 30))], dim=1)
    windows[:, 0, :5], windows[:, 2, :5] = 0.0, 1.0
    for step in ("jitter", "scale"):
        after = changed_windows(windows, [step])
        assert torch.equal(after[:, 2:], windows[:, 2:])
        assert not after[:, 0, :5].any()
        assert (after[:, 0, 5:] != 1).all()


def test_cutmix_pastes_the_partners_rectangle_and_tells_how_much_is_left() -> None:
    images = torch.stack([torch.full((3, 10, 20), float(i)) for i in range(2)])
    given_batch = {
        "values": images,
        "index": torch.tensor([0, 1, 0]),
        "present": torch.tensor([True, True, False, True]),
    }
    partner = torch.tensor([1, 3, 2, 0])
    own = cut_and_paste(given_batch, partner, (0.25, 0.5, 0.5, 0.5))
    assert own == pytest.approx(0.75)
    after = given_batch["values"]
    assert given_batch["index"].tolist() == [0, 1, 2]
    assert after[0, 0, 5:, 5:15].eq(1).all()
    assert after[1, 0, 5:, 5:15].eq(0).all()
    assert after[0].sum() == 3 * 5 * 10
    assert after[2].sum() == 0


@pytest.mark.parametrize("reads_tokens", [True, False])
def test_what_is_fused_is_mixed_with_the_partner(reads_tokens: bool) -> None:
    class Fusion(torch.nn.Module):
        def forward(self, vectors: torch.Tensor, there: torch.Tensor) -> Any:
            return vectors, there

    fusion = Fusion()
    vectors = torch.arange(12.0).view(3, 2, 2)
    there = torch.tensor([[True, True], [True, False], [True, True]])
    mixing = Mixing(torch.tensor([1, 0, 2]), 0.75, (True, reads_tokens))
    with mixed_inputs(fusion, reads_tokens, mixing):
        mixed, seen = fusion(vectors, there)
    assert torch.allclose(mixed[0, 0], 0.75 * vectors[0, 0] + 0.25 * vectors[1, 0])
    assert torch.allclose(mixed[2, 0], vectors[2, 0])
    if reads_tokens:  # the second token of the partner is not there
        assert torch.allclose(mixed[0, 1], 0.75 * vectors[0, 1])
    else:  # the second input was mixed as pixels
        assert torch.equal(mixed[:, 1], vectors[:, 1])
    assert seen.all()
    unmixed, _ = fusion(vectors, there)
    assert torch.equal(unmixed, vectors)


@pytest.mark.parametrize("objective", ["classification", "regression"])
def test_the_mixed_loss_is_that_of_both_labels_in_their_parts(objective: str) -> None:
    outputs = torch.randn((4, 3 if objective == "classification" else 1))
    labels = torch.tensor([0, 2, 1, 0]) if outputs.shape[1] == 3 else torch.randn(4)
    partner = torch.tensor([1, 0, 3, 2])
    weights = torch.tensor([2.0, 0.5, 1.0, 0.5])
    mixing = Mixing(partner, 0.7, (True,))
    each = [
        prediction_loss(outputs[i : i + 1], label[i : i + 1], objective) * weight[i]
        for label, weight, part in (
            (labels, weights, 0.7),
            (labels[partner], weights[partner], 0.3),
        )
        for i in range(4)
    ]
    expected = 0.7 * sum(each[:4]) / 4 + 0.3 * sum(each[4:]) / 4
    assert torch.allclose(mixed_loss(outputs, labels, objective, mixing, weights), expected)
    alike = mixed_loss(outputs, labels, objective, None, torch.ones(4))
    assert torch.allclose(alike, prediction_loss(outputs, labels, objective))


def planned(root: Path, **changes: Any) -> Any:
    """Return the plan for the pictures of a project, without a model."""
    samples = read_table(root / "data" / "augment" / "samples.parquet")
    index = pc.fill_null(samples["rows.picture"].combine_chunks().dictionary_encode().indices, -1)
    pictures = PreparedInput(np.zeros((99, 3, 8, 8)), index.to_numpy(), encoded=False, key="")
    rows = PreparedInput(np.zeros((99, 3)), np.arange(len(index)), encoded=False, key="")
    prepared = dict.fromkeys(("picture", "tone", "question", "tabular"), rows)
    policy = OnlinePolicy.model_validate_json(json.dumps({"changes": changes}))
    return OnlineAugmentation.plan(
        policy, samples, prepared | {"picture": pictures}, dict.fromkeys(prepared), 3, False
    )


def test_images_of_samples_that_name_a_side_are_never_flipped(project: Path) -> None:
    samples = read_table(project / "data" / "augment" / "samples.parquet")
    questions = ["on the Left?" if i % 3 == 0 else "which?" for i in range(len(samples))]
    with_column(project, "rows.question", questions)
    plan = planned(project, image=["flip_horizontal"])
    assert plan.keeps_sides.tolist() == [i % 3 == 0 for i in range(len(samples))]
    assert "16 samples name a side" in plan.notices[0]
    drawn = plan.drawn([0, 1, 2, 3], epoch=0)
    given_batch = {
        "values": torch.zeros((2, 3, 4, 4)),
        "index": torch.tensor([0, 1, 1, 0]),
        "present": torch.ones(4, dtype=torch.bool),
    }
    assert drawn.keeps_sides.tolist() == [True, False, False, True]
    flips = torch.stack([_flipped(given_batch, drawn) for _ in range(40)])
    assert not flips[:, 0].any()
    assert flips[:, 1].any()
    assert not flips[:, 1].all()


def test_what_is_drawn_depends_on_seed_epoch_and_rows_alone(project: Path) -> None:
    plan = planned(project, mixup=0.4, modality_dropout=0.3)

    def told_of(rows: list[int], epoch: int) -> Any:
        drawn = plan.drawn(rows, epoch)
        hidden = {name: values.tolist() for name, values in drawn.hidden.items()}
        return drawn.seed, drawn.own, drawn.partner.tolist(), hidden

    first = told_of([1, 5, 7, 2], 0)
    told_of([3, 4], 0)
    assert told_of([1, 5, 7, 2], 0) == first
    assert told_of([1, 5, 7, 2], 1) != first
    assert told_of([5, 1, 7, 2], 0) != first


def test_partners_of_cut_images_have_images(project: Path) -> None:
    plan = planned(project, cutmix=1.0)
    index = plan.prepared["picture"].index
    rows = np.arange(len(index))
    assert (index < 0).any()
    for epoch in range(5):
        drawn = plan.drawn(rows.tolist(), epoch)
        assert sorted(drawn.partner.tolist()) == rows.tolist()
        without = index < 0
        assert (drawn.partner[without] == rows[without]).all()
        assert drawn.box[2] ** 2 == pytest.approx(1 - drawn.own)
        assert 0 <= drawn.box[0] <= drawn.box[0] + drawn.box[2] <= 1 + 1e-9
