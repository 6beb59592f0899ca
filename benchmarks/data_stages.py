"""Measure how the data stages grow: CPU time, peak memory and bytes written, by number of rows.

    python benchmarks/data_stages.py [--rows 100000 1000000] [--images 5000 50000]

Writes tables (two sources joined by key; text, numbers and categories) and folders of pictures to a
temporary folder, runs each stage as DVC would, in a process of its own, and prints for each stage
what ten times the rows cost. The baseline of the same run is a plain copy of the Parquet records.
"""

import argparse
import io
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from PIL import Image
from ruamel.yaml import YAML

STAGES = ("collect", "clean", "align", "split", "augment")
N_WORDS = 5_000


@dataclass(frozen=True)
class Cost:
    """What one stage took."""

    cpu_seconds: float
    peak_mb: float
    written_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs=2, default=(100_000, 1_000_000))
    parser.add_argument("--images", type=int, nargs=2, default=(5_000, 50_000))
    arguments = parser.parse_args()
    if arguments.rows[1]:
        compare("table rows", arguments.rows, write_tables)
    if arguments.images[1]:
        compare("images", arguments.images, write_images)


def compare(what: str, sizes: tuple[int, int], write: Any) -> None:
    small, large = (measured(n, write) for n in sizes)
    print(f"\n{what}: {sizes[0]:,} and {sizes[1]:,}")
    print(f"{'stage':<9}{'CPU s':>16}{'ratio':>8}{'peak MB':>16}{'ratio':>8}{'written MB':>12}")
    for stage in small:
        a, b = small[stage], large[stage]
        print(
            f"{stage:<9}{a.cpu_seconds:8.1f}{b.cpu_seconds:8.1f}"
            f"{b.cpu_seconds / max(a.cpu_seconds, 1e-9):8.1f}"
            f"{a.peak_mb:8.0f}{b.peak_mb:8.0f}{b.peak_mb / a.peak_mb:8.2f}{b.written_mb:12.1f}"
        )
    later = sum(cost.written_mb for stage, cost in large.items() if stage in STAGES[1:])
    collected = large["collect"].written_mb
    print(f"written after collect: {later:.1f} MB, {100 * later / collected:.1f} % of collect's")


def measured(n: int, write: Any) -> dict[str, Cost]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        params = write(root / "data" / "raw", n)
        with (root / "params.yaml").open("w") as file:
            YAML().dump(params, file)
        costs = {stage: run_stage(root, stage) for stage in STAGES}
        costs["copy"] = in_child(root, lambda: copy_records(root))
        return costs


def run_stage(root: Path, stage: str) -> Cost:
    def run() -> None:
        os.chdir(root)
        os.execv(sys.executable, [sys.executable, "-m", "tasks", stage])

    cost = in_child(root, run)
    return Cost(cost.cpu_seconds, cost.peak_mb, size_of(root / "data" / stage) / 1e6)


def in_child(root: Path, work: Any) -> Cost:
    """Do work in a process of its own; return its CPU time and its largest resident size."""
    child = os.fork()
    if child == 0:
        log = os.open(root / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        work()
        os._exit(0)
    _, status, used = os.wait4(child, 0)
    if status:
        sys.exit((root / "log.txt").read_text()[-3000:])
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, 0.0)


def copy_records(root: Path) -> None:
    for path in sorted((root / "data" / "collect" / "records").iterdir()):
        file = pq.ParquetFile(path, memory_map=True, pre_buffer=False)
        with pq.ParquetWriter(root / "copy.parquet", file.schema_arrow, compression="zstd") as to:
            for batch in file.iter_batches(4096):
                to.write_batch(batch)


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def write_tables(raw: Path, n: int) -> dict[str, Any]:
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    letters = rng.integers(97, 123, (N_WORDS, 7), dtype=np.uint8)
    vocabulary = np.array([bytes(word).decode() for word in letters])
    with (raw / "visits.csv").open("wb") as file:
        for start in range(0, n, 50_000):
            m = min(50_000, n - start)
            words = vocabulary[np.minimum(rng.zipf(1.3, size=(m, 8)), N_WORDS) - 1]
            table = pa.table(
                {
                    "visit": [f"v{start + i}" for i in range(m)],
                    "person": [f"p{i}" for i in rng.integers(n // 5, size=m)],
                    "note": [" ".join(row) for row in words.tolist()],
                    "weight": rng.normal(70, 10, m).round(2),
                    "ward": rng.choice(["north", "south", "east"], m),
                    "outcome": rng.choice(["well", "ill", "moved"], m, p=[0.6, 0.3, 0.1]),
                }
            )
            options = pyarrow.csv.WriteOptions(include_header=start == 0)
            pyarrow.csv.write_csv(table, file, options)
    people = n // 5
    table = pa.table(
        {"person": [f"p{i}" for i in range(people)], "age": rng.integers(1, 99, people)}
    )
    pyarrow.csv.write_csv(table, raw / "people.csv")
    return {
        "project": {"name": "rows", "seed": 7, "cpu_threads": 1, "max_bad_fraction": 0.2},
        "collect": {
            "root": "data/raw",
            "sources": [
                {
                    "kind": "table",
                    "name": "visits",
                    "path": "visits.csv",
                    "id": "visit",
                    "columns": {
                        "visit": "key",
                        "person": "key",
                        "note": "text",
                        "weight": "number",
                        "ward": "category",
                        "outcome": "category",
                    },
                },
                {
                    "kind": "table",
                    "name": "people",
                    "path": "people.csv",
                    "id": "person",
                    "columns": {"person": "key", "age": "number"},
                },
            ],
        },
        "align": {
            "base": "visits",
            "joins": [{"on": "key", "right": "people", "left_on": "person"}],
            "inputs": ["note", "weight", "ward", "age"],
            "target": "outcome",
        },
        "split": {"group_by": ["visits.person"]},
        "augment": {"copies": 1, "text": ["drop_word"]},
        **REST,
    }


def write_images(raw: Path, n: int) -> dict[str, Any]:
    """Write pictures of 320 × 240, a pattern of their own each, as JPEG."""
    rng = np.random.default_rng(0)
    for i in range(n):
        folder = raw / "photos" / ("cat" if i % 3 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=80)
        (folder / f"{i:06d}.jpg").write_bytes(buffer.getvalue())
    return {
        "project": {"name": "images", "seed": 7, "cpu_threads": 1, "max_bad_fraction": 0.2},
        "collect": {
            "root": "data/raw",
            "sources": [
                {"kind": "folder", "name": "photos", "path": "photos", "modality": "image"}
            ],
        },
        "align": {"base": "photos", "inputs": ["file"], "target": "label"},
        "split": {},
        "augment": {"copies": 1},
        **REST,
    }


REST: dict[str, Any] = {"clean": {}, "pretrain": {}, "finetune": {}, "evaluate": {}}


if __name__ == "__main__":
    started = time.monotonic()
    main()
    print(f"\n{time.monotonic() - started:.0f} s in all")
