"""What every reader of a layout returns."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pycolmap

MIN_PHOTOS = 3
"""fewer cannot fix the shape of a scene and its cameras"""

_NAMES_IN_A_SENTENCE = 5


@dataclass(frozen=True)
class Photo:
    """An image file and the name that its view bears from here on."""

    name: str
    """letters, digits, `_` and `-`; unique in the scene"""
    path: Path
    size: tuple[int, int] = (0, 0)
    """width and height as they are used, pixels; zero where the file's head cannot be read"""
    mask: Path | None = None
    """image of the same size: white is used, black is hidden; none: all is used"""
    transparent: bool = False
    """whether it has an alpha channel"""
    deep: bool = False
    """whether it has more than 8 bits per channel, of which 8 are used"""
    upright: bool = True
    """whether it is turned by its EXIF orientation; a posed one is left as its camera saw it"""
    camera: str = ""
    """photos without poses: the folder they came in; photos of one folder may share a lens"""


@dataclass(frozen=True)
class Capture:
    """A scene's photos, their poses if it comes with any, and what a person must be told of it."""

    layout: str
    """`photos`, `transforms.json`, `Blender set`, `COLMAP model` or `splats`"""
    photos: tuple[Photo, ...]
    """every photo that is used, in order"""
    model: "pycolmap.Reconstruction | None" = None
    """cameras and poses; its images are named `NAME.png` after the photos, its cameras have the
    sizes of the files; none: poses are to be found"""
    description: tuple[Path, ...] = ()
    """files that tell cameras and poses"""
    listed: int = 0
    """number of photos that the capture names or holds, used or not"""
    left_out: tuple[str, ...] = ()
    """what is not used, a phrase each"""
    told: tuple[Path, ...] = ()
    """files that `left_out` names already, relative to the folder of the capture"""
    changed: tuple[str, ...] = ()
    """what was changed in order to use it, a phrase each"""
    warnings: tuple[str, ...] = ()
    """what is used but doubtful, a sentence each"""
    faults: tuple[str, ...] = ()
    """why it cannot be used, a line each"""
    panoramas: bool = False
    """whether the photos are equirectangular; they have to be split before use"""
    splats: Path | None = None
    """a .ply file of 3DGS that is the scene itself, which has no photos then; `model` holds cameras
    in its frame, or is none if they are to be laid round it"""
    carried: Mapping[str, Any] = field(default_factory=dict)
    """keys of nerfstudio's format that go on to the poses folder"""

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Distinct widths and heights of the photos, the most frequent first, pixels."""
        counts: dict[tuple[int, int], int] = {}
        for photo in self.photos:
            counts[photo.size] = counts.get(photo.size, 0) + 1
        return tuple(sorted(counts, key=lambda size: (-counts[size], size)))

    @property
    def lens(self) -> str:
        """Camera models and their number, in words."""
        if self.model is None:
            return "lens to be found"
        kinds = sorted({camera.model_name for camera in self.model.cameras.values()})
        bent = any(not camera.is_undistorted() for camera in self.model.cameras.values())
        distortion = "distortion is removed" if bent else "no distortion"
        return f"lens {', '.join(kinds)} ({distortion})"

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that is read: photos, masks, splats and description."""
        photos = [photo.path for photo in self.photos]
        masks = [photo.mask for photo in self.photos if photo.mask is not None]
        splats = [] if self.splats is None else [self.splats]
        return tuple(dict.fromkeys([*photos, *masks, *splats, *self.description]))


def counted(number: int, noun: str) -> str:
    """`1 photo`, `2 photos`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(names[:_NAMES_IN_A_SENTENCE])
    more = len(names) - _NAMES_IN_A_SENTENCE
    return f"{shown} and {more:,} more" if more > 0 else shown


def view_names(stems: Iterable[str]) -> list[str]:
    """Names fit for file systems, command lines and COLMAP's lists, unique in any letter case.

    Accents go, everything but letters, digits, `_` and `-` becomes `_`; of equal names the later
    ones get a number.
    """
    names: list[str] = []
    taken: set[str] = set()
    for stem in stems:
        plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
        base = re.sub(r"[^A-Za-z0-9_-]+", "_", plain).strip("_-") or "photo"
        name, number = base, 1
        while name.lower() in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name.lower())
        names.append(name)
    return names


def natural_order(path: Path) -> tuple[list[list[tuple[int, str]]], str]:
    """Sort key: 2 before 10, folder by folder; the name itself decides between `1` and `01`."""
    parts = [re.findall(r"\d+|\D+", part.lower()) for part in path.parts]
    key = [[(int(p), "") if p.isdecimal() else (-1, p) for p in part] for part in parts]
    return key, path.as_posix()
