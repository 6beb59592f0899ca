"""The path of images through clean, against bare decoding; and through collect and clean at scale.

    python benchmarks/image_path.py            rate and peak memory, one process, one thread
    python benchmarks/image_path.py --scale    5,000 and 50,000 small images through both stages

Clean verifies, checks and sketches each image from one decode. Bare decoding is Pillow's: open,
load, convert to RGB. Images are made here and look like photographs of 640 × 480; where
FUSELINE_SHARED names a folder with real data sets, those of bccd are read too. Seconds are those of
the processor.
"""

import argparse
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from near_duplicates import encoded, photo
from PIL import Image

from tasks.__main__ import run_stage
from tasks.clean.media import judge_image
from tasks.params import Params
from tasks.params.clean import CleanParams

LIMITS = CleanParams()
ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", action="store_true")
    parser.add_argument("--stages", nargs=2, metavar=("FOLDER", "STAGE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stages:
        run_alone(Path(options.stages[0]), options.stages[1])
    elif options.scale:
        scale()
    else:
        rates()


def rates() -> None:
    print(f"{'':<26}{'bare/s':>9}{'clean/s':>9}{'ratio':>7}")
    sets = {
        "JPEG 640 × 480": [encoded(photo(s), "JPEG", quality=88) for s in range(120)],
        "JPEG 640 × 480, prog.": [
            encoded(photo(s), "JPEG", quality=88, progressive=1) for s in range(60)
        ],
        "PNG 640 × 480": [encoded(photo(s), "PNG") for s in range(30)],
        "PNG 64 × 64": [encoded(photo(s, 64, 64), "PNG") for s in range(300)],
    }
    shared = Path(os.environ.get("FUSELINE_SHARED", "../shared")) / "data" / "bccd" / "JPEGImages"
    if shared.is_dir():
        sets["bccd, JPEG 640 × 480"] = [path.read_bytes() for path in sorted(shared.iterdir())]
    for name, contents in sets.items():
        bare, clean = rate(bare_decode, contents), rate(judged, contents)
        print(f"{name:<26}{bare:>9,.0f}{clean:>9,.0f}{clean / bare:>7.2f}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def bare_decode(content: bytes) -> None:
    image = Image.open(io.BytesIO(content))
    image.load()
    image.convert("RGB")


def judged(content: bytes) -> None:
    judge_image(content, LIMITS)


def rate(act: Callable[[bytes], None], contents: Sequence[bytes]) -> float:
    """Return items a second, the best of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        for content in contents:
            act(content)
        best = min(best, time.process_time() - started)
    return len(contents) / best


def scale() -> None:
    print(
        f"{'images':>8}{'collect':>10}{'clean':>10}{'peak':>9}{'peak':>9}{'media':>9}{'clean/':>9}"
    )
    print(f"{'':>8}{'s':>10}{'s':>10}{'collect':>9}{'clean':>9}{'MB':>9}{'MB':>9}")
    seen = {}
    for n in (5_000, 50_000):
        with tempfile.TemporaryDirectory() as folder:
            make_images(Path(folder) / "raw", n)
            told = []
            for stage in ("collect", "clean"):
                command = [sys.executable, __file__, "--stages", folder, stage]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                told.append([float(value) for value in done.stdout.split()[-2:]])
            media = size(Path(folder) / "data" / "collect" / "media")
            cleaned = size(Path(folder) / "data" / "clean")
        (collect_s, collect_mb), (clean_s, clean_mb) = told
        seen[n] = (collect_s + clean_s, collect_mb, clean_mb)
        print(
            f"{n:>8,}{collect_s:>10.1f}{clean_s:>10.1f}{collect_mb:>9.0f}{clean_mb:>9.0f}"
            f"{media:>9.1f}{cleaned:>9.2f}"
        )
    few, many = seen.values()
    print(
        f"time {many[0] / few[0]:.1f} times, peak memory of collect {many[1] / few[1]:.2f} times, "
        f"of clean {many[2] / few[2]:.2f} times, for ten times the images"
    )


def make_images(folder: Path, n: int) -> None:
    """Write small images, all different, as many PNG as JPEG."""
    folder.mkdir()
    random = np.random.default_rng(0)
    rows = ["image,label"]
    for place in range(n):
        coarse = Image.fromarray(random.integers(0, 255, (9, 9, 3), dtype=np.uint8))
        kind = ("PNG", "JPEG")[place % 2]
        image = coarse.resize((72, 72), Image.Resampling.BICUBIC)
        (folder / f"{place}.{kind.lower()}").write_bytes(encoded(image, kind))
        rows.append(f"{place}.{kind.lower()},{place % 3}")
    (folder / "rows.csv").write_text("\n".join(rows) + "\n")


def run_alone(root: Path, stage: str) -> None:
    source = {
        "kind": "table",
        "name": "rows",
        "path": "rows.csv",
        "columns": {"image": "image", "label": "category"},
    }
    params = Params.model_validate(
        {
            "project": {},
            "collect": {"root": "raw", "sources": (source,)},
            "align": {"base": "rows", "inputs": ("image",), "target": "label"},
            **{
                name: {}
                for name in ("clean", "split", "augment", "pretrain", "finetune", "evaluate")
            },
        }
    )
    started = time.process_time()
    run_stage(stage, params, root)
    seconds = time.process_time() - started
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def size(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


if __name__ == "__main__":
    main()
