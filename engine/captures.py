"""Captures under DVC: their photos are in the cache and, once pushed, in the remote."""

import subprocess
from collections.abc import Collection
from pathlib import Path

from engine.runner import dvc_process
from scenestyle.errors import ScenestyleError
from scenestyle.project.layout import Layout


class CaptureError(ScenestyleError):
    """DVC could not take a capture."""


def track(root: Path, scenes: Collection[str]) -> list[str]:
    """Put the photos of scenes under DVC, those aside that git keeps; again if they changed.

    Args:
        root: The project.
        scenes: Ids of scenes whose folders exist.

    Returns:
        Their `.dvc` files, relative to the root: what git has to keep.

    Raises:
        CaptureError: If DVC refuses, with its reason.
    """
    kept = _kept_by_git(root)
    captures = [Layout().scene(scene).as_posix() for scene in scenes if scene not in kept]
    if captures and not (root / ".dvc").is_dir():
        raise CaptureError(f"{root.resolve()} is no DVC project: dvc init")
    if captures:
        with dvc_process(["--wait-for-lock", "add", *captures], root) as process:
            said, _ = process.communicate()
        if process.returncode != 0:
            reasons = [line for line in said.splitlines() if line.startswith("ERROR: ")]
            raise CaptureError(f"dvc add: {' '.join(reasons or [said]).removeprefix('ERROR: ')}")
    return [f"{capture}.dvc" for capture in captures]


def _kept_by_git(root: Path) -> set[str]:
    by_git = subprocess.run(
        ["git", "ls-files", str(Layout().scenes)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    places = (Path(line).parts for line in by_git.stdout.splitlines())
    return {parts[2] for parts in places if len(parts) > 3}
