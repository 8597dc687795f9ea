"""What DVC knows: the stage instances of dvc.yaml, their order, and which are out of date.

The only module that touches DVC's Python objects (3.67). It takes none of DVC's locks and writes nothing,
so it can ask while a stage runs.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenestyle.errors import ScenestyleError

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import Stage


class PipelineError(ScenestyleError):
    """The folder is not a project, or its dvc.yaml, params.yaml or dvc.lock cannot be read."""


class Pipeline:
    """The pipeline of the project at `root`. Safe to share between threads.

    Raises (every method):
        PipelineError: If DVC cannot read the project or does not know the stage.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._dvc_yaml = root.resolve() / "dvc.yaml"
        self._mutex = threading.RLock()  # DVC's Repo loses data when threads share it
        self._opened: Repo | None = None

    def needs(self) -> dict[str, set[str]]:
        """Every stage instance, such as `train_nerf@demo`, and those whose results it reads."""
        from dvc.stage import PipelineStage

        with self._repo() as repo:
            graph = repo.index.graph
            stages = [
                stage
                for stage in graph
                if isinstance(stage, PipelineStage) and stage.path == str(self._dvc_yaml)
            ]
            return {
                str(stage.name): {str(up.name) for up in graph.successors(stage) if up in stages}
                for stage in stages
            }

    def outputs(self, name: str) -> list[Path]:
        """What `name` writes, relative to the root."""
        with self._stage(name) as stage:
            return [Path(out.def_path) for out in stage.outs]

    def reasons(self, name: str) -> list[str]:
        """Why `name` has to run, such as `modified: styles.ukiyoe`; empty when it is up to date."""
        with self._stage(name) as stage:
            changes = [
                f"{change}: {what}"
                for part in (*stage.deps, *stage.outs)
                for what, change in _flat(part.status())
            ]
            return [*changes, *(["modified: command"] if stage.changed_stage() else [])]

    @contextmanager
    def _stage(self, name: str) -> "Iterator[Stage]":
        with self._repo() as repo:
            yield repo.stage.load_one(str(self._dvc_yaml), name)

    @contextmanager
    def _repo(self) -> "Iterator[Repo]":
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        with self._mutex:
            try:
                if self._opened is None:
                    self._opened = Repo(str(self._root))
                self._opened._reset()  # what lies on disk may have changed since
                yield self._opened
            except DvcException as error:
                raise PipelineError(f"{self._root}: {error}") from error


def _flat(status: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for what, change in status.items():
        if isinstance(change, dict):
            yield from _flat(change)
        else:
            yield what, change
