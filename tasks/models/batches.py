"""Batches in which samples that share an input sit together, so that it is encoded once."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.models.prepared import PreparedInput
from tasks.models.processors.base import Processor, as_tensor

Batch = dict[str, dict[str, torch.Tensor]]


class SharedInputBatches:
    """Batches of sample rows in an order fixed by seed and epoch.

    The distinct values of the shared input are shuffled, then the samples of each; samples that
    lack it are spread among them. Without a shared input it is a plain shuffle.
    """

    def __init__(
        self, rows: NDArray[np.int64], shared: NDArray[np.int64] | None, batch_size: int, seed: int
    ) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self.drop_last = False
        self._shared = shared
        self._seed = seed
        self._epoch = 0

    @property
    def epoch(self) -> int:
        """The epoch whose order is given."""
        return self._epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order is given next."""
        self._epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        order = self.rows[self._order()]
        for start in range(0, len(order), self.batch_size):
            yield order[start : start + self.batch_size].tolist()

    def _order(self) -> NDArray[np.int64]:
        generator = np.random.default_rng([self._seed, self._epoch])
        within = generator.random(len(self.rows))
        if self._shared is None:
            return np.argsort(within, kind="stable")
        values = self._shared[self.rows]
        rank = generator.random(int(values.max(initial=0)) + 1)
        return np.lexsort((within, np.where(values >= 0, rank[values], within)))


FEWEST_SHARED = 8
"""Batches built around an input hold at least this many values of it, or they are too alike."""


def shared_input(
    prepared: Mapping[str, PreparedInput],
    trained: Mapping[str, bool],
    rows: NDArray[np.int64],
    batch_size: int,
) -> str | None:
    """Return the input to build batches around: the one whose encoder is then spared most work.

    The work is what the encoder reads of it. A shuffled batch of ``b`` samples holds about
    ``n (1 - (1 - 1/n)^b)`` of ``n`` distinct values; one built around the input holds ``b``
    divided by how many samples share a value. Six questions are six in any batch, so nothing is
    gained by batches of one question; and nothing would be learned from them either.
    """
    spared = {}
    for name, p in prepared.items():
        there = p.index[rows][p.index[rows] >= 0]
        if not trained[name] or p.encoded or not len(there):
            continue
        n = len(np.unique(there))
        shuffled = n * (1 - (1 - 1 / n) ** batch_size)
        together = batch_size * n / len(there)
        if together >= FEWEST_SHARED and shuffled > 1.2 * together:
            spared[name] = (shuffled - together) * p.distinct[:1].size
    return max(spared, key=lambda name: spared[name]) if spared else None


def collate(
    rows: Sequence[int] | NDArray[np.int64],
    prepared: Mapping[str, PreparedInput],
    processors: Mapping[str, Processor],
    device: torch.device,
    hidden: Mapping[str, NDArray[np.bool_]] | None = None,
) -> Batch:
    """Return what :class:`FusionModel` takes for some samples.

    Args:
        rows: The samples.
        prepared: By input.
        processors: By input.
        device: Where the tensors go.
        hidden: By input: which of the samples are to lack it though they have it.
    """
    at = np.asarray(rows, dtype=np.int64)
    batch: Batch = {}
    for name, p in prepared.items():
        index = p.index[at]
        if hidden is not None:
            index = np.where(hidden[name], -1, index)
        present = index >= 0
        distinct, inverse = np.unique(index[present], return_inverse=True)
        batch[name] = {
            "present": as_tensor(present, device),
            "index": as_tensor(inverse.astype(np.int64), device),
        }
        if len(distinct):
            values = p.distinct[distinct]
            if p.encoded:
                batch[name]["features"] = as_tensor(values, device).to(torch.float32)
            else:
                batch[name]["values"] = processors[name].tensor(values, device)
    return batch
