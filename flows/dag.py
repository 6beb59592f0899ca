"""The DAG of dvc.yaml, and whether a stage changed, asked of DVC in this process.

``dvc.repo`` is not a public interface of DVC; this is the only module that touches it. Asking here
takes a fraction of a second where a `dvc status` takes several.
"""

import logging
import threading
from pathlib import Path
from typing import Any

import networkx as nx
from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo

from tasks.errors import PipelineError, listing, nearest

# What DVC warns of here, the command that reproduces a stage warns of too, in the stage's own log.
logging.getLogger("dvc").setLevel(logging.ERROR)


class Dag:
    """The stages of one project, in order, and what each of them reads.

    The methods may be called from several threads; one at a time gets an answer.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._turn = threading.Lock()
        self._repo: Repo | None = None
        self._upstream = self._read()

    def stages_in_order(self, until: str | None = None) -> tuple[str, ...]:
        """Return the stages so that each comes after those it reads from.

        Args:
            until: Only this stage and what it needs; every stage where None.

        Raises:
            PipelineError: There is no stage ``until``.
        """
        if until is None:
            return tuple(self._upstream)
        if until not in self._upstream:
            raise PipelineError(
                f"dvc.yaml has no stage '{until}'; it has {listing(self._upstream)}."
                f"{nearest(until, self._upstream)}"
            )
        needed = {until}
        for stage in reversed(self._upstream):
            if stage in needed:
                needed.update(self._upstream[stage])
        return tuple(stage for stage in self._upstream if stage in needed)

    def upstream(self, stage: str) -> tuple[str, ...]:
        """Return the stages that a stage reads from directly."""
        return self._upstream[stage]

    def changed(self, stage: str) -> bool:
        """Tell whether a stage must be reproduced, because of its code, data, settings or outputs.

        Where another DVC command holds what would have to be looked at, the answer is yes: the
        command that reproduces the stage finds out, and waits.
        """
        with self._turn:
            repo = self._open()
            try:
                with repo.lock:
                    return bool(self._stages(repo)[stage].changed())
            except LockError:
                return True

    def forget(self) -> None:
        """Read dvc.lock afresh at the next question: a stage has run since."""
        with self._turn:
            if self._repo is not None:
                self._repo.close()
                self._repo = None

    def _open(self) -> Repo:
        if self._repo is None:
            try:
                self._repo = Repo(str(self._root))
            except DvcException as fault:
                raise PipelineError(f"{self._root}: {fault}; run `dvc init` there") from None
        return self._repo

    def _stages(self, repo: Repo) -> dict[str, Any]:
        return {self._name(stage): stage for stage in repo.index.stages}

    def _name(self, stage: Any) -> str:
        """Return what a stage is called in the folder of the project, whatever the present one."""
        in_dvc_yaml = Path(stage.path) == self._root.resolve() / "dvc.yaml"
        return str(stage.name if in_dvc_yaml else stage.addressing)

    def _read(self) -> dict[str, tuple[str, ...]]:
        with self._turn:
            repo = self._open()
            try:
                graph = repo.index.graph
            except DvcException as fault:
                raise PipelineError(f"{self._root / 'dvc.yaml'}: {fault}") from None
        position = {stage: i for i, stage in enumerate(repo.index.stages)}
        rank = position.__getitem__
        order = nx.lexicographical_topological_sort(graph.reverse(copy=False), key=rank)
        return {
            self._name(stage): tuple(
                self._name(above) for above in sorted(graph.successors(stage), key=rank)
            )
            for stage in order
        }
