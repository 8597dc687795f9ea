"""What a folder holds, checked as `estimate_poses` will check it, before anything is computed."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scenestyle.errors import InputError
from scenestyle.sfm.photos import decode, find_photos, raise_faults
from scenestyle.sfm.posed import colmap_folder, read_colmap, read_transforms


@dataclass(frozen=True)
class Source:
    """A scene's photos or posed dataset, found usable."""

    kind: Literal["photos", "transforms.json", "COLMAP model"]
    """what poses will come from; `photos`: from structure from motion"""
    images: tuple[Path, ...]
    """the pictures"""
    sizes: tuple[tuple[int, int], ...]
    """their distinct widths and heights, pixels"""
    ignored: tuple[str, ...]
    """names of files beside the photos that are not used"""


def inspect_source(folder: Path) -> Source:
    """Check a folder of photos or a posed dataset; every picture is decoded.

    Raises:
        InputError: If it is no folder, or its pictures or poses cannot be used; all faults in one message.
    """
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "does not exist"
        raise InputError(f"{folder} {found}; wanted is a folder of photos or a posed dataset.")
    if (folder / "transforms.json").is_file():
        return _posed(folder, "transforms.json")
    if colmap_folder(folder) is not None:
        return _posed(folder, "COLMAP model")
    photos, ignored = find_photos(folder)
    images = tuple(photo.path for photo in photos)
    return Source("photos", images, _sizes(images), tuple(ignored))


def _posed(folder: Path, kind: Literal["transforms.json", "COLMAP model"]) -> Source:
    with tempfile.TemporaryDirectory() as copies:
        if kind == "transforms.json":
            _, photos = read_transforms(folder, Path(copies))
        else:
            _, photos = read_colmap(colmap_folder(folder) or folder, folder, Path(copies))
    images = tuple(photo.path for photo in photos)
    return Source(kind, images, _sizes(images), ())


def _sizes(images: tuple[Path, ...]) -> tuple[tuple[int, int], ...]:
    sizes, faults = set(), []
    for path in images:
        try:
            sizes.add(decode(path).size)
        except InputError as error:
            faults.append(str(error))
    raise_faults(
        faults,
        f"{len(faults)} of {len(images)} photos cannot be used",
        "Remove these files or put intact copies in their place; nothing was changed.",
    )
    return tuple(sorted(sizes))
