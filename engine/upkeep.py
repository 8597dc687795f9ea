"""What would run, and what nothing needs any more."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.pipeline import DELETED, Pipeline
from scenestyle.files import PARTIAL, is_locked
from scenestyle.project.layout import Layout


@dataclass(frozen=True)
class Foretold:
    """What bringing everything up to date would do, in an order in which each finds its inputs."""

    runs: tuple[str, ...]
    """stage instances that run, or whose earlier result the run-cache has"""
    restored: tuple[str, ...]
    """those whose deleted result comes back from the cache"""


def foretell(
    needs: Mapping[str, set[str]],
    stale: Mapping[str, Sequence[str]],
    outputs: Mapping[str, Sequence[Path]],
) -> Foretold:
    """Tell stages that would run, by themselves or since one before them does, from lost results.

    Args:
        needs: Stage instance -> those whose results it reads, these first.
        stale: Stage instances that are not up to date -> why, as `Pipeline.stale` says it.
        outputs: Stage instance -> what it writes.
    """
    made = {path for paths in outputs.values() for path in paths}
    runs: dict[str, None] = {}
    restored = []
    for name, upstream in needs.items():
        reasons = stale.get(name, ())
        deleted = [Path(why.removeprefix(DELETED)) for why in reasons if why.startswith(DELETED)]
        comes_back = len(deleted) == len(reasons) and all(
            not made.isdisjoint((path, *path.parents)) for path in deleted
        )
        if not comes_back or not runs.keys().isdisjoint(upstream):
            runs[name] = None
        elif not set(outputs[name]).isdisjoint(deleted):
            restored.append(name)
    return Foretold(tuple(runs), tuple(restored))


@dataclass(frozen=True)
class Leftovers:
    """What lies in a project without use."""

    stages: tuple[str, ...]
    """recorded stage instances that dvc.yaml does not have any more"""
    paths: tuple[Path, ...]
    """their results, half-written ones, and checkpoints of runs that nobody continues; relative to
    the root"""


def find_leftovers(root: Path, pipeline: Pipeline) -> Leftovers:
    """Look for what results of removed scenes and edits, and killed runs, have left behind."""
    living = {path for outs in pipeline.outputs().values() for path in outs}
    dead = {
        name: outs for name, outs in pipeline.recorded().items() if name not in pipeline.needs()
    }
    results = [path for outs in dead.values() for path in outs if path not in living]
    half = Layout(root).data.glob(f"*/**/{PARTIAL}*")
    stages = {name.split("@")[0] for name in pipeline.needs()}
    checkpoints = [path for stage in stages for path in (Layout(root).work / stage).glob("*")]
    paths = [
        *(path for path in results if (root / path).exists()),
        *(path.relative_to(root) for path in half),
        *(path.relative_to(root) for path in checkpoints if path.is_dir() and not is_locked(path)),
    ]
    return Leftovers(tuple(sorted(dead)), tuple(sorted(paths)))


def remove(root: Path, pipeline: Pipeline, leftovers: Leftovers) -> None:
    """Delete them; results stay in the cache."""
    pipeline.forget(leftovers.stages)
    for path in leftovers.paths:
        if (root / path).is_dir():
            shutil.rmtree(root / path)
        else:
            (root / path).unlink(missing_ok=True)
        for parent in (root / path).parents:
            if parent == Layout(root).data or root not in parent.parents or any(parent.iterdir()):
                break
            parent.rmdir()
