"""Time digits-qa from a fresh clone: cold, then with everything cached; compare two clones.

    python benchmarks/end_to_end.py [--once]

Clones the committed state of this repository to temporary folders and uses the environment that
runs this script. ``--once`` leaves the second clone out.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ruamel.yaml import YAML

REPOSITORY = Path(__file__).parents[1]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        first = clone(Path(folder) / "first")
        run(first, "flows", "demo-data")
        cold = run(first, "flows", "run")
        by_flow = run(first, "flows", "run")
        by_dvc = run(first, "dvc", "repro")
        print(f"cold run                   {cold:6.1f} s")
        print(f"warm run by the flow       {by_flow:6.1f} s   {cold / by_flow:5.1f} times faster")
        print(f"warm run by dvc repro      {by_dvc:6.1f} s   {cold / by_dvc:5.1f} times faster")
        if "--once" in sys.argv[1:]:
            return
        second = clone(Path(folder) / "second")
        run(second, "flows", "demo-data")
        run(second, "dvc", "repro")
        one, two = hashes(first), hashes(second)
        equal = sum(one[out] == two[out] for out in one)
        print(f"equal hashes in dvc.lock   {equal} of {len(one)} outputs")
        for out in sorted(one):
            if one[out] != two[out]:
                print(f"  differs: {out}")


def clone(folder: Path) -> Path:
    subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(folder)], check=True)
    return folder


def run(folder: Path, *command: str) -> float:
    """Run a module of the environment in a folder; return the seconds it took."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return time.monotonic() - started


def hashes(folder: Path) -> dict[str, str]:
    lock = YAML(typ="safe").load((folder / "dvc.lock").read_text())
    return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}


if __name__ == "__main__":
    main()
