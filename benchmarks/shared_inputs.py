"""Samples per CPU-second of training: distinct inputs encoded once, against one by one.

    python benchmarks/shared_inputs.py PROJECT

PROJECT is a folder in which ``fuseline run`` has been up to pretrain, such as one that ran
``examples/easy-vqa``. The same model with the same weights is trained three ways:

plain      every sample's inputs decoded, processed and encoded by themselves, as a data set of
           dictionaries and a default collator do
decoded    decoded and processed once; encoded sample by sample
shared     decoded once, batches built around the shared input, each distinct input encoded once
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import torch

from tasks.finetune.building import build_model
from tasks.finetune.targets import learn_targets
from tasks.models.batches import Batch, SharedInputBatches, collate, shared_input
from tasks.models.features import with_frozen_features
from tasks.models.prepared import PreparedInput, prepare
from tasks.models.runtime import fix_randomness, quiet_libraries
from tasks.params import load_params
from tasks.samples.media import MediaStore
from tasks.samples.schema import SampleSchema
from tasks.samples.tables import read_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("project", type=Path)
    parser.add_argument("--steps", type=int, default=8)
    options = parser.parse_args()
    root = options.project.resolve()
    quiet_libraries()
    params = load_params(root / "params.yaml")
    samples = read_table(root / "data" / "augment" / "samples.parquet")
    schema = SampleSchema.of(samples)
    train = SampleSchema.of(samples).attach(samples.filter(pc.equal(samples["split"], "train")))
    targets = learn_targets(train, schema)
    labels = targets.labels(train)[0]
    media = MediaStore(root / "data" / "collect" / "media")
    size = params.finetune.batch_size_samples
    rows = np.arange(len(train))

    def fresh() -> tuple:
        fix_randomness(params.project.seed, params.project.cpu_threads)
        built = build_model(
            params.finetune, schema, train, targets, root / "data" / "pretrain", root
        )
        return built.model.train(), built.processors

    model, processors = fresh()
    prepared = prepare(train, schema.inputs, processors, media, None)
    alone = {n: one_by_one(p) for n, p in prepared.items()}
    plain_order = list(SharedInputBatches(rows, None, size, 0))[: options.steps]

    def plain() -> Iterator[tuple[Batch, list[int]]]:
        for batch in plain_order:
            each = [
                prepare(train.slice(r, 1), schema.inputs, processors, media, None) for r in batch
            ]
            joined = {
                name: PreparedInput(
                    padded([e[name].distinct for e in each]),
                    np.cumsum([e[name].n_distinct for e in each]) - 1,
                    encoded=False,
                    key="",
                )
                for name in prepared
            }
            yield collate(range(len(batch)), joined, processors, torch.device("cpu")), batch

    def decoded() -> Iterator[tuple[Batch, list[int]]]:
        for batch in plain_order:
            yield collate(batch, alone, processors, torch.device("cpu")), batch

    cached = with_frozen_features(model, prepared, processors, None)
    trained = {spec["name"]: spec["trained"] != "none" for spec in model.config.inputs}
    around = shared_input(cached, trained, rows, size)
    shared_index = cached[around].index if around else None
    shared_order = list(SharedInputBatches(rows, shared_index, size, 0))[: 10 * options.steps]

    def shared() -> Iterator[tuple[Batch, list[int]]]:
        for batch in shared_order:
            yield collate(batch, cached, processors, torch.device("cpu")), batch

    base = None
    for name, batches in (("plain", plain), ("decoded", decoded), ("shared", shared)):
        model, _ = fresh()
        rate = samples_per_cpu_second(model, batches, labels)
        base = base or rate
        print(f"{name:8} {rate:9,.0f} samples per CPU-second   {rate / base:6.1f} ×", flush=True)


def one_by_one(prepared: PreparedInput) -> PreparedInput:
    """Give every sample a value of its own, as if nothing were shared."""
    there = prepared.index >= 0
    index = np.where(there, np.cumsum(there) - 1, -1)
    return PreparedInput(prepared.distinct[prepared.index[there]], index, encoded=False, key="")


def padded(arrays: list[np.ndarray]) -> np.ndarray:
    width = max(a.shape[-1] for a in arrays)
    return np.concatenate(
        [
            np.pad(a, ((0, 0), (0, width - a.shape[1])), constant_values=-1) if a.ndim == 2 else a
            for a in arrays
        ]
    )


def samples_per_cpu_second(
    model: torch.nn.Module,
    batches: Callable[[], Iterator[tuple[Batch, list[int]]]],
    labels: np.ndarray,
) -> float:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    started, n = time.process_time(), 0
    for batch, rows in batches():
        optimizer.zero_grad()
        model(inputs=batch, labels=torch.from_numpy(labels[rows])).loss.backward()
        optimizer.step()
        n += len(rows)
    return n / (time.process_time() - started)


if __name__ == "__main__":
    main()
