"""Near duplicates: recall, false groups and speed, beside imagehash, imagededup and datasketch.

    python benchmarks/near_duplicates.py [--images N] [--texts N] [--codes N]

The peers are installed into an environment of their own in a temporary folder. Images are made
here, look like photographs, and are planted in eight forms; where FUSELINE_SHARED names a folder
with real data sets, false groups are counted in these too. Seconds are those of the processor.
"""

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from tasks.clean.media import judge_audio, judge_image
from tasks.clean.near_duplicates.audio import group_recordings
from tasks.clean.near_duplicates.grouping import hamming_grouping, members
from tasks.clean.near_duplicates.images import group_images
from tasks.clean.near_duplicates.texts import TextBook, plain, text_ids
from tasks.params.clean import CleanParams

PEERS = Path(__file__).with_name("near_duplicates_peers.py")
DISTANCES = {
    "imagehash phash": 4,
    "imagehash dhash": 4,
    "imagededup PHash": 10,
    "imagededup DHash": 10,
}
"""imagededup's own default is 10 bits; imagehash has none, and 4 is what is compared here."""

EDITS: dict[str, Callable[[Image.Image], bytes]] = {
    "resize": lambda i: encoded(i.resize((i.width // 2, i.height // 2)), "PNG"),
    "q30": lambda i: encoded(i, "JPEG", quality=30),
    "grey": lambda i: encoded(i.convert("L"), "JPEG", quality=90),
    "blur": lambda i: encoded(i.filter(ImageFilter.GaussianBlur(2)), "JPEG", quality=90),
    "crop 5 %": lambda i: encoded(cropped(i, 0.025, 0.025), "JPEG", quality=90),
    "crop 10 %": lambda i: encoded(cropped(i, 0.05, 0.05), "JPEG", quality=90),
    "corner 5 %": lambda i: encoded(cropped(i, 0.05, 0.0), "JPEG", quality=90),
    "mirror": lambda i: encoded(i.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "JPEG", quality=90),
}
LIMITS = CleanParams()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--texts", type=int, default=50_000)
    parser.add_argument("--codes", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        grouping(options.codes)
        peer = environment(Path(folder) / "peers")
        compare_texts(options.texts, peer, Path(folder))
        compare_images(options.images, peer, Path(folder))
    shared = Path(os.environ.get("FUSELINE_SHARED", "../shared")) / "data"
    if shared.is_dir():
        false_groups(shared)


def environment(folder: Path) -> Path:
    """Install the peers; imagededup without torchvision, which its hashes do not need."""
    run = [sys.executable, "-m", "uv"]
    python = folder / "bin" / "python"
    needed = ["imagehash", "datasketch", "scikit-learn", "tqdm", "matplotlib"]
    for command in (
        ["venv", "--quiet", str(folder)],
        ["pip", "install", "--quiet", "--python", str(python), *needed],
        ["pip", "install", "--quiet", "--python", str(python), "--no-deps", "imagededup"],
    ):
        subprocess.run([*run, *command], check=True)
    return python


def ask(python: Path, what: str, place: Path) -> dict:
    done = subprocess.run(
        [str(python), str(PEERS), what, str(place)], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def grouping(n: int) -> None:
    random = np.random.default_rng(0)
    codes = random.integers(0, 2**64, n, dtype=np.uint64)
    planted = n // 20
    for k in range(planted):
        bits = random.choice(64, 4, replace=False)
        codes[n - 1 - k] = codes[k] ^ np.uint64(sum(1 << int(bit) for bit in bits))
    started = time.process_time()
    labels = hamming_grouping(codes, 4).labels
    seconds = time.process_time() - started
    found = (labels[:planted] == labels[n - 1 - np.arange(planted)]).mean()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{n:,} codes within 4 of 64 bits: {seconds:.1f} s, peak {peak:.2f} GB, recall {found:.3f}"
    )
    codes[: n // 3] = codes[0]
    for _ in range(3):
        codes[: n // 3] ^= np.uint64(1) << random.integers(0, 64, n // 3).astype(np.uint64)
    started = time.process_time()
    groups = members(hamming_grouping(codes, 4).labels)
    seconds = time.process_time() - started
    largest = max(map(len, groups))
    print(f"a third of them in one cluster: {seconds:.1f} s, largest group {largest:,}")


def compare_texts(n: int, peer: Path, folder: Path) -> None:
    random = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(["".join(random.choice(letters, k)) for k in random.integers(2, 10, 30_000)])
    chances = 1 / np.arange(1, len(words) + 1)
    chances /= chances.sum()
    texts = [" ".join(random.choice(words, k, p=chances)) for k in random.integers(30, 130, n)]
    planted = n // 10
    for k in range(planted):
        changed = texts[k].split()
        share = random.choice([0.01, 0.02, 0.04, 0.06])
        for at in random.choice(len(changed), max(1, round(share * len(changed))), replace=False):
            changed[at] = random.choice(words)
        texts[n - planted + k] = " ".join(changed)
    similar = {
        (k, n - planted + k)
        for k in range(planted)
        if jaccard(texts[k], texts[n - planted + k]) >= 0.8
    }

    started = time.process_time()
    book = TextBook(folder)
    for at in range(0, n, 4096):
        forms = plain(pa.array(texts[at : at + 4096]))
        book.add(forms, text_ids(forms))
    groups = members(book.group(0.8).labels)
    ours = time.process_time() - started
    book.close()
    found = {(int(a), int(b)) for group in groups for a in group for b in group if a < b}
    file = folder / "texts.txt"
    file.write_text("\n".join(texts))
    answer = ask(peer, "texts", file)
    theirs = {tuple(pair) for pair in answer["pairs"]}
    size = np.mean([len(text) for text in texts])
    print(
        f"\n{n:,} texts of {size:.0f} characters, {len(similar):,} pairs of similarity 0.8 or more"
    )
    print(f"{'':<12}{'texts/s':>10}{'recall':>9}{'false pairs':>13}")
    for name, seconds, pairs in (
        ("here", ours, found),
        ("datasketch", answer["seconds"], theirs),
    ):
        wrong = sum(jaccard(texts[a], texts[b]) < 0.75 for a, b in pairs)
        recall = len(similar & pairs) / len(similar)
        print(f"{name:<12}{n / seconds:>10,.0f}{recall:>9.3f}{wrong:>13,}")
    print(f"{answer['seconds'] / ours:.1f} times as fast as datasketch")


def jaccard(one: str, other: str) -> float:
    a, b = ({*words, *pairwise(words)} for words in (one.split(), other.split()))
    return len(a & b) / len(a | b)


def compare_images(n: int, peer: Path, folder: Path) -> None:
    originals = [photo(seed) for seed in range(n)]
    contents = [encoded(image, "JPEG", quality=92) for image in originals]
    contents += [edit(image) for edit in EDITS.values() for image in originals]
    files = folder / "images"
    files.mkdir()
    for place, content in enumerate(contents):
        (files / f"{place:06d}").write_bytes(content)
    started = time.process_time()
    labels = image_labels(contents)
    ours = time.process_time() - started
    same = {"here": [labels[n * k : n * (k + 1)] == labels[:n] for k in range(1, len(EDITS) + 1)]}
    false = {"here": int(sum(len(group) for group in members(labels[:n])))}
    seconds = {"here": ours}
    for name, answer in ask(peer, "images", files).items():
        codes = np.array([int(code, 16) for code in answer["codes"]], np.uint64)
        near = np.bitwise_count(codes[:n, None] ^ codes[None, :n]) <= DISTANCES[name]
        false[name] = int((near.sum(axis=1) > 1).sum())
        forms = codes.reshape(-1, n)
        same[name] = [np.bitwise_count(form ^ forms[0]) <= DISTANCES[name] for form in forms[1:]]
        seconds[name] = answer["seconds"]
    print(f"\nrecall on {n:,} images of 640 × 480, planted in {len(EDITS)} forms")
    print(f"{'':<18}" + "".join(f"{edit:>11}" for edit in EDITS) + f"{'false':>7}{'images/s':>10}")
    for name in same:
        told = "".join(f"{found.mean():>11.3f}" for found in same[name])
        rate = len(contents) / seconds[name]
        print(f"{name:<18}{told}{false[name]:>7}{rate:>10,.0f}")
    print("(here: verified, checked, sketched and grouped; peers: hashed only)")


def false_groups(shared: Path) -> None:
    print("\nreal data without planted copies: values in a group")
    for name, pattern in (
        ("easy_vqa", "images/**/*.png"),
        ("av_mnist", "images/**/*.png"),
        ("bccd", "JPEGImages/*"),
        ("driving_sim", "IMG/*"),
        ("im2latex_sample", "images/**/*.png"),
    ):
        contents = [path.read_bytes() for path in sorted((shared / name).glob(pattern))]
        if contents:
            told(f"{name} images", image_labels(contents))
    told("digits, 8 × 8", image_labels(digits()))
    sounds = [path.read_bytes() for path in sorted((shared / "av_mnist" / "audio").rglob("*.wav"))]
    if sounds:
        sketches = np.stack([judge_audio(content, LIMITS).sketch for content in sounds])
        told("av_mnist recordings", group_recordings(len(sketches), lambda at: sketches[at]).labels)


def told(name: str, labels: NDArray[np.int64]) -> None:
    n = sum(len(group) for group in members(labels))
    print(f"{name:<24}{n:>6,} of {len(labels):>6,} ({100 * n / len(labels):.2f} %)")


def digits() -> list[bytes]:
    from sklearn.datasets import load_digits

    scans = np.unique(load_digits().images.reshape(-1, 64), axis=0)
    return [encoded(Image.fromarray((s.reshape(8, 8) * 15).astype(np.uint8)), "PNG") for s in scans]


def image_labels(contents: Sequence[bytes]) -> NDArray[np.int64]:
    judged = [judge_image(content, LIMITS).sketch for content in contents]
    sketches = np.stack([sketch for sketch in judged if sketch is not None])
    defaults = LIMITS.near_duplicates
    return group_images(
        len(sketches),
        lambda at: sketches[at],
        defaults.image_distance_bits,
        defaults.symmetries,
    ).labels


def photo(seed: int, width: int = 640, height: int = 480) -> Image.Image:
    """Return a picture with large and small parts, as photographs have them."""
    random = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), np.float32)
    for cell, share in ((160, 0.5), (40, 0.25), (10, 0.15), (2, 0.1)):
        coarse = random.integers(
            0, 255, (max(2, height // cell), max(2, width // cell), 3), np.uint8
        )
        layer = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        picture += share * np.asarray(layer, np.float32)
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def cropped(image: Image.Image, near: float, far: float) -> Image.Image:
    w, h = image.size
    return image.crop((round(near * w), round(near * h), w - round(far * w), h - round(far * h)))


if __name__ == "__main__":
    main()
