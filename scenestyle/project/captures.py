"""A folder of captures, looked through for a catalog."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scenestyle.capture import read_capture
from scenestyle.errors import InputError
from scenestyle.project.archive import is_zip
from scenestyle.project.video import inspect_video

_OF_ONE_SCENE = ("images", "input", "sparse")  # how folders of a data set are called
_LONGEST_ID = 60  # of 64; the rest for a number


@dataclass(frozen=True)
class Captures:
    """What lies in a folder."""

    taken: Mapping[str, Path]
    """id made of the name -> folder of photos, posed dataset, video or splats, absolute"""
    left_out: Mapping[str, str]
    """name of anything else -> why it is no capture"""


def find_captures(folder: Path) -> Captures:
    """Look at every sub-folder and file for a capture; photos are counted, not decoded.

    Raises:
        InputError: If there is no such folder, or it is a capture itself.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; wanted is one that holds captures.")
    if _is_capture(folder):
        raise InputError(
            f"{folder} is a capture itself. Give the folder that holds it, or take this one: "
            f"scenestyle add-scene NAME {folder} --caption '...'"
        )
    taken: dict[str, Path] = {}
    left_out: dict[str, str] = {}
    for path in sorted(folder.resolve().iterdir()):
        if path.name.startswith("."):
            continue
        if (reason := _why_not(path)) is None:
            taken[_new_id(path, taken)] = path
        else:
            left_out[path.name] = reason
    return Captures(taken, left_out)


def catalog_text(captures: Mapping[str, Path], styles: Sequence[str]) -> str:
    """The CSV of a catalog with a row per capture, all in the same styles.

    A caption is the capture's name in words. The text begins with the mark by which Excel knows
    UTF-8, if it needs that.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["scene", "source", "caption", "styles"])
    for scene, path in captures.items():
        caption = re.sub(r"[\s_-]+", " ", path.stem if path.is_file() else path.name).strip()
        table.writerow([scene, path, caption, "; ".join(styles)])
    return text.getvalue() if text.getvalue().isascii() else f"\ufeff{text.getvalue()}"


def _is_capture(folder: Path) -> bool:
    """Whether a folder holds the photos or poses of one scene, and not only folders that do."""
    try:
        capture = read_capture(folder, decode=False)
    except InputError:
        return False
    places = [file.relative_to(folder).parts for file in capture.files]
    return any(len(parts) == 1 or parts[0].startswith(_OF_ONE_SCENE) for parts in places)


def _why_not(path: Path) -> str | None:
    try:
        if path.is_dir() or path.suffix.lower() == ".ply":
            read_capture(path, decode=False)
        elif not is_zip(path):
            inspect_video(path)
    except InputError as error:
        return str(error).splitlines()[0]
    return None


def _new_id(path: Path, taken: Mapping[str, Path]) -> str:
    name = path.stem if path.is_file() else path.name
    base = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:_LONGEST_ID] or "scene"
    used = {scene.lower() for scene in taken}
    number, scene = 1, base
    while scene.lower() in used:
        number += 1
        scene = f"{base}_{number}"
    return scene
