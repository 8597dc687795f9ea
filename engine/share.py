"""Stages that run in another clone of the project, on another machine perhaps.

The record of a result (its entry in dvc.lock) travels with the task, its data through DVC's default
remote, together with the run-cache. So any clone that has the code of the same commit can run any
stage, and dvc.lock needs no merging.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine import lockfile
from engine.captures import track
from engine.pipeline import Pipeline
from engine.runner import Outcome, dvc_process, run_stage
from scenestyle.errors import ScenestyleError
from scenestyle.files import write_whole
from scenestyle.project.layout import Layout


class ShareError(ScenestyleError):
    """DVC's remote could not be reached, or lacks what is needed."""


@dataclass(frozen=True)
class Parcel:
    """What another clone must know to run a stage."""

    params: str
    """text of params.yaml"""
    captures: Mapping[str, str] = field(default_factory=dict)
    """path of a `.dvc` file of a capture -> its text"""
    entries: Mapping[str, Any] = field(default_factory=dict)
    """stage instance whose result is read -> its entry in dvc.lock"""


def parcel(root: Path, upstream: Collection[str], scenes: Collection[str]) -> Parcel:
    """Push upstream results and captures to the remote; return their records."""
    entries = lockfile.read(Layout(root).record)
    captures = track(root, scenes)
    _dvc(root, "push", *captures, *upstream)
    return Parcel(
        (Layout(root).params).read_text(encoding="utf-8"),
        {name: (root / name).read_text(encoding="utf-8") for name in captures},
        {name: entries[name] for name in upstream},
    )


def run_shared(
    name: str, root: Path, parcel: Parcel, upstream: Mapping[str, Any], **options: Any
) -> Outcome:
    """Run a stage in this clone for another one.

    Args:
        name: The stage instance.
        root: This clone.
        parcel: What the other clone packed.
        upstream: Entries of results that were made after it was packed.
        options: Further arguments of `run_stage`.

    Returns:
        The outcome, with the entry of the result, which the remote holds now.

    Raises:
        ShareError: If the remote fails.
        StageError: If the stage does.
    """
    unpack(root, parcel, {**parcel.entries, **upstream})
    outcome = run_stage(name, root=root, pull=True, **options)
    _dvc(root, "push", "--run-cache", name)
    return replace(outcome, entry=lockfile.read(Layout(root).record)[name])


def unpack(root: Path, parcel: Parcel, entries: Mapping[str, Any]) -> None:
    """Bring parameters, captures and results of another clone into this one."""
    write_whole(Layout(root).params, parcel.params)
    for name, text in parcel.captures.items():
        write_whole(root / name, text)
    take_over(root, entries, [*parcel.captures])


def take_over(root: Path, entries: Mapping[str, Any], more: Collection[str] = ()) -> None:
    """Record results that were made elsewhere, and fetch them.

    Args:
        root: This clone.
        entries: Stage instance -> its entry in dvc.lock.
        more: Other targets of `dvc pull`.
    """
    if entries:
        Pipeline(root).remember(entries)
    _dvc(root, "pull", "--force", *more, *entries)


def bring_back(root: Path, folder: Path) -> bool:
    """Restore a folder that `track` put into the cache; whether that was possible."""
    if not (root / f"{folder}.dvc").is_file():
        return False
    try:
        _dvc(root, "checkout", "--force", f"{folder}.dvc")
    except ShareError:  # its bytes are gone
        return False
    return (root / folder).is_dir()


def _dvc(root: Path, command: str, *arguments: str) -> None:
    if not any(not argument.startswith("-") for argument in arguments):
        return
    with dvc_process(["--wait-for-lock", command, "-q", *arguments], root) as process:
        said, _ = process.communicate()
    if process.returncode != 0:
        raise ShareError(f"dvc {command} failed: {said.strip()}. See: dvc remote list")
