"""What a folder or a video holds, checked before anything is computed."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scenestyle.errors import InputError
from scenestyle.project.video import inspect_video
from scenestyle.sfm.photos import decode, find_photos, raise_faults
from scenestyle.sfm.posed import colmap_folder, read_colmap, read_transforms


@dataclass(frozen=True)
class Source:
    """A scene's photos or posed dataset, found usable."""

    kind: Literal["photos", "transforms.json", "COLMAP model", "video"]
    """what poses will come from; `photos` and `video`: from structure from motion"""
    images: tuple[Path, ...]
    """the images; none yet of a video"""
    sizes: tuple[tuple[int, int], ...]
    """their distinct widths and heights, pixels"""
    ignored: tuple[str, ...]
    """names of files beside the photos that are not used"""


def inspect_source(source: Path) -> Source:
    """Check a folder of photos, a posed dataset or a video; every image of a folder is decoded.

    Raises:
        InputError: If it is none of these, or its images or poses cannot be used; all faults in
            one message.
    """
    check_exists(source)
    if source.is_file():
        video = inspect_video(source)
        return Source("video", (), ((video.width, video.height),), ())
    return _inspect_folder(source)


def check_exists(source: Path) -> None:
    """Refuse a path at which nothing lies.

    Raises:
        InputError: With what is wanted.
    """
    if not source.exists():
        raise InputError(
            f"{source} does not exist; wanted is a folder of photos, a posed dataset or a video."
        )


def files_of(folder: Path) -> dict[str, Path]:
    """Files of a capture, by their names in the project: a whole posed dataset, or photos.

    Raises:
        InputError: If there are too few photos.
    """
    if (folder / "transforms.json").is_file() or colmap_folder(folder) is not None:
        return {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}
    photos, _ = find_photos(folder)
    return {photo.path.name: photo.path for photo in photos}


def _inspect_folder(folder: Path) -> Source:
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
