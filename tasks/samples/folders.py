"""Where each stage reads and writes, and how what it writes appears whole or not at all."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import DataError

MANIFEST = "MANIFEST.json"


@dataclass(frozen=True)
class StageFolders:
    """The folders of one project.

    Attributes:
        root: The project's folder, which holds params.yaml, dvc.yaml, ``data`` and ``reports``.
        output: Where the running stage writes; it becomes ``data/<stage>`` when the stage is done.
    """

    root: Path
    output: Path

    def of(self, stage: str) -> Path:
        """Return the finished folder of an earlier stage.

        Raises:
            DataError: The stage has not run, or did not finish.
        """
        folder = self.root / "data" / stage
        if not (folder / MANIFEST).is_file():
            raise DataError(
                f"{folder}: the output of stage {stage} is not there or not whole; "
                f"run `dvc repro {stage}`"
            )
        return folder

    @property
    def reports(self) -> Path:
        """Where reports, metrics and plots go."""
        return self.root / "reports"

    @property
    def cache(self) -> Path:
        """What can be thrown away at any time: decoded inputs, features, training checkpoints."""
        return self.root / ".fuseline"


@contextmanager
def stage_output(root: Path, stage: str) -> Iterator[StageFolders]:
    """Give a stage a folder to write to, and make it ``data/<stage>`` only when all went well.

    A manifest with the size and SHA-256 of each file is written last. A stage that is killed leaves
    only a hidden folder, which the next run of the same stage removes.
    """
    data = root / "data"
    data.mkdir(parents=True, exist_ok=True)
    final, former = data / stage, data / f".{stage}.former.tmp"
    if former.exists() and not final.exists():
        former.replace(final)  # killed between the two renames below
    for stale in data.glob(f".{stage}.*.tmp"):
        shutil.rmtree(stale)
    unfinished = data / f".{stage}.{os.getpid()}.tmp"
    unfinished.mkdir()
    try:
        yield StageFolders(root=root, output=unfinished)
        write_manifest(unfinished)
        if final.exists():
            final.replace(former)
        unfinished.replace(final)
        _sync(data)
        shutil.rmtree(former, ignore_errors=True)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def write_manifest(folder: Path) -> None:
    """Seal a folder: record the size and SHA-256 of each file in it, durably."""
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    for name in files:
        _sync(folder / name)
    (folder / MANIFEST).write_text(json.dumps(files, indent=1, sort_keys=True) + "\n")
    _sync(folder / MANIFEST)
    _sync(folder)


def manifest_faults(folder: Path) -> list[str]:
    """Return what is wrong with a sealed folder: nothing, where every file is as it was sealed."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return [f"{manifest}: missing; the folder was never finished"]
    faults = []
    for name, sealed in json.loads(manifest.read_text()).items():
        path = folder / name
        if not path.is_file():
            faults.append(f"{path}: missing")
        elif path.stat().st_size != sealed["bytes"] or sha256(path) != sealed["sha256"]:
            faults.append(f"{path}: not the bytes that were written")
    return faults


def folder_digest(folder: Path) -> str:
    """Return one SHA-256 for a sealed folder: that of its manifest, which holds all others."""
    return sha256(folder / MANIFEST)


def write_text(path: Path, text: str) -> None:
    """Write a text file; it appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_text(text, encoding="utf-8")
        _sync(unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
