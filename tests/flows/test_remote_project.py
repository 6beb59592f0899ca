"""A project whose data lies elsewhere, under DVC: fetched once, then known to be unchanged."""

import subprocess
import sys

import pytest
from dvc_project import REPOSITORY, environment
from loopback_server import loopback_server
from ruamel.yaml import YAML

from flows.sources import require_source
from tasks.errors import SourceError
from tasks.params import load_params

ROWS = "text,label\n" + "".join(f"row {n},{'xy'[n % 2]}\n" for n in range(6))


def write_project(root, path):
    """Write a project of one stage, collect, as dvc.yaml has it, and its settings."""
    yaml = YAML(typ="safe")
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc/config").write_text("[core]\n    analytics = false\n    no_scm = true\n")
    stage = yaml.load((REPOSITORY / "dvc.yaml").read_text())["stages"]["collect"]
    stage["deps"] = [dep for dep in stage["deps"] if dep.startswith("$")]
    with (root / "dvc.yaml").open("w") as file:
        yaml.dump({"stages": {"collect": stage}}, file)
    columns = {"text": "text", "label": "category"}
    source = {"kind": "table", "name": "rows", "path": path, "columns": columns}
    settings = {
        "project": {"name": "far", "seed": 1, "cpu_threads": 1, "max_bad_fraction": 0.2},
        "collect": {
            "root": "raw/far",
            "sources": [source],
            "remote": {"allow_private_addresses": True},
        },
        "align": {"base": "rows", "inputs": ["text"], "target": "label"},
        "split": {},
    }
    with (root / "params.yaml").open("w") as file:
        yaml.dump({**yaml.load((REPOSITORY / "params.yaml").read_text()), **settings}, file)


def repro(root):
    ended = subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "collect"],
        cwd=root,
        env=environment(PYTHONPATH=str(REPOSITORY)),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


def test_dvc_fetches_once_and_wants_the_folder(tmp_path):
    with loopback_server() as server:
        write_project(tmp_path, server.file("/rows.csv", ROWS.encode()))
        code, said = repro(tmp_path)
        assert code != 0
        assert "raw/far" in said

        words = []
        require_source(tmp_path, load_params(tmp_path / "params.yaml"), words.append)
        assert "empty folder raw/far" in words[0]
        code, said = repro(tmp_path)
        assert code == 0, said
        assert (tmp_path / "data/collect/remote.parquet").is_file()
        assert server.asked["/rows.csv"] == 1

        code, said = repro(tmp_path)
        assert code == 0
        assert "didn't change" in said
        assert server.asked["/rows.csv"] == 1


def test_the_folder_is_made_only_where_all_lies_elsewhere(tmp_path):
    write_project(tmp_path, "rows.csv")
    with pytest.raises(SourceError, match="found no 'raw/far'"):
        require_source(tmp_path, load_params(tmp_path / "params.yaml"), print)
    assert not (tmp_path / "raw").exists()
