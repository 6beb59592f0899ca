"""Batches: each sample once an epoch, the same order each time, sharers together."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.models.batches import SharedInputBatches, collate, shared_input
from tasks.models.prepared import PreparedInput


class Plain:
    """A processor whose arrays are already what an encoder takes."""

    def tensor(self, arrays: np.ndarray, device: torch.device) -> torch.Tensor:
        return torch.from_numpy(np.array(arrays)).to(device)


def input_of(index: list[int], width: int = 4, *, encoded: bool = False) -> PreparedInput:
    n = max(index, default=-1) + 1
    distinct = np.arange(n * width, dtype=np.float32).reshape(n, width)
    return PreparedInput(distinct, np.asarray(index, dtype=np.int64), encoded=encoded, key="")


@settings(max_examples=50)
@given(
    index=st.lists(st.integers(-1, 5), min_size=1, max_size=40),
    size=st.integers(1, 9),
    epoch=st.integers(0, 3),
)
def test_every_sample_is_in_one_batch_of_an_epoch(index: list[int], size: int, epoch: int) -> None:
    rows = np.arange(len(index))
    batches = SharedInputBatches(rows, np.asarray(index), size, seed=1)
    batches.set_epoch(epoch)
    drawn = list(batches)
    assert sorted(row for batch in drawn for row in batch) == rows.tolist()
    assert len(drawn) == len(batches)
    assert drawn == list(batches)


def test_another_epoch_has_another_order() -> None:
    batches = SharedInputBatches(np.arange(64), None, 8, seed=1)
    first = list(batches)
    batches.set_epoch(1)
    assert first != list(batches)


def test_samples_that_share_an_input_sit_together() -> None:
    index = np.tile(np.arange(10), 6)
    batches = SharedInputBatches(np.arange(60), index, 6, seed=1)
    assert [len(set(index[batch])) for batch in batches] == [1] * 10


def test_batches_are_built_around_the_trained_input_that_saves_most() -> None:
    rows = np.arange(600)
    prepared = {
        "image": input_of([i // 4 for i in rows], width=100),
        "tone": input_of([i // 4 for i in rows], width=50),
        "question": input_of([i % 6 for i in rows], width=4000),
        "alone": input_of(rows.tolist(), width=1000),
    }
    everything = dict.fromkeys(prepared, True)
    assert shared_input(prepared, everything, rows, 64) == "image"
    assert shared_input(prepared, everything | {"image": False}, rows, 64) == "tone"
    assert shared_input({"alone": prepared["alone"]}, everything, rows, 64) is None


def test_batches_are_never_built_around_a_handful_of_values() -> None:
    rows = np.arange(600)
    few = {"question": input_of([i % 6 for i in rows], width=4000)}
    assert shared_input(few, {"question": True}, rows, 64) is None
    shared_by_many = {"image": input_of([i // 30 for i in rows], width=4000)}
    assert shared_input(shared_by_many, {"image": True}, rows, 64) is None
    assert shared_input(shared_by_many, {"image": True}, rows, 300) == "image"


def test_a_batch_holds_each_distinct_value_once_and_says_who_has_it() -> None:
    prepared = {"image": input_of([0, 1, 0, -1, 1])}
    batch = collate([4, 3, 2, 0], prepared, {"image": Plain()}, torch.device("cpu"))["image"]
    assert batch["present"].tolist() == [True, False, True, True]
    assert len(batch["values"]) == 2
    restored = batch["values"][batch["index"]].numpy()
    np.testing.assert_array_equal(restored, prepared["image"].distinct[[1, 0, 0]])
