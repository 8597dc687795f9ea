"""Folders of photos without poses, with sub-folders and masks."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageOps

from scenestyle.capture.capture import (
    MIN_PHOTOS,
    Capture,
    Photo,
    counted,
    natural_order,
    some,
    view_names,
)
from scenestyle.capture.frames import beside_masks
from scenestyle.capture.locate import Tree, reduction
from scenestyle.capture.masks import doubts_of_match, faults_of_match, masks_by_name, match
from scenestyle.capture.panoramas import is_panorama
from scenestyle.capture.pictures import PHOTO_SUFFIXES, is_deep, open_picture, shown_size
from scenestyle.errors import InputError

_TWIN_LEVELS = 3.0
"""mean difference of two thumbnails, of 255, up to which they show one photo: a JPEG of quality 60
differs by 0.5 from its original, neighbouring photos of fern, kitchen and flower by 17 to 39"""
_DECLARED = ("images", "input")
"""folders that hold the photos of a data set by convention"""


def read_photos(tree: Tree, masks: Path | None = None) -> Capture:
    """Find the photos of a folder and of the folders in it; nothing is decoded.

    A folder `images` or `input` with enough photos is the whole capture; otherwise all photos are,
    wherever they lie. Of exact copies, and of one photo in two formats, one is taken.

    Args:
        tree: Of the folder.
        masks: Folder of masks from elsewhere; none: what lies in a folder `masks`.

    Raises:
        InputError: If most of the photos are of a kind that cannot be read.
    """
    folders = tree.folders_of_photos()
    root, chosen = _choose(folders)
    reduced = sorted(f for f in folders if f not in chosen)
    files = [file for folder in sorted(chosen, key=natural_order) for file in folders[folder]]
    files, twins = _without_twins(tree.root, files)
    files, copies = _without_copies(tree.root, files)
    known = _masks(tree, root, masks)
    used = [match(file.relative_to(root), known) for file in files]
    many = len({file.parent for file in files}) > 1
    stems = [
        "_".join(file.relative_to(root).with_suffix("").parts) if many else file.stem
        for file in files
    ]
    photos, faults = [], []
    for name, file, mask in zip(view_names(stems), files, used, strict=True):
        try:
            photos.append(_photo(tree, root, name, file, mask))
        except InputError as error:
            faults.append(str(error))
    if known and files:
        faults += faults_of_match(known, used, files)
    raw = tree.unreadable_photos()
    others = [
        file for file in tree.files if file.suffix.lower() not in PHOTO_SUFFIXES and file not in raw
    ]
    beside = [file for folder in reduced for file in folders[folder]]
    if len(raw) > len(files):
        raise InputError(
            f"{tree.root}: {counted(len(raw), 'raw photo')} ({some([f.name for f in raw])}) cannot "
            f"be read, and only {len(files)} others are there. Convert them to JPEG or TIFF."
        )
    return Capture(
        layout="photos",
        photos=tuple(photos),
        listed=len(files) + len(beside) + len(twins) + len(copies) + len(raw),
        left_out=(
            *_said(beside, "photo", "in other folders"),
            *_said(twins, "photo", "there in a second format"),
            *_said(copies, "photo", "the same as others"),
            *_said(raw, "raw photo", "(convert them to JPEG or TIFF to use them)"),
            *_said(tree.broken, "link", "to nothing"),
            *_said(others, "other file", ""),
        ),
        changed=(
            (f"photos of {counted(len(chosen), 'folder')} taken together, each with its own lens",)
            if many
            else ()
        ),
        warnings=() if faults else doubts_of_match(known, used),
        faults=tuple(faults),
        panoramas=bool(photos) and all(is_panorama(photo.path) for photo in photos[:MIN_PHOTOS]),
    )


def too_few(root: Path, capture: Capture) -> str:
    """The sentence for a folder that holds fewer photos than a scene needs."""
    count = len(capture.photos)
    found = {0: "no photos", 1: "only 1 photo"}.get(count, f"only {count} photos")
    beside = f" (left out: {'; '.join(capture.left_out)})" if capture.left_out else ""
    return (
        f"{root} holds {found}{beside}; at least {MIN_PHOTOS} of one scene from different places "
        "are needed, and 20 to 100 give a good result."
    )


def _choose(folders: dict[Path, list[Path]]) -> tuple[Path, list[Path]]:
    """The folder that the photos are named from, and the folders that count."""
    for name in _DECLARED:
        inside = [folder for folder in folders if folder.parts[:1] == (name,)]
        if sum(len(folders[folder]) for folder in inside) >= MIN_PHOTOS:
            return Path(name), inside
    full = [f for f in folders if reduction(f) == 1]
    return Path(), full or sorted(folders, key=reduction)[:1]


def _photo(tree: Tree, root: Path, name: str, file: Path, mask: Path | None) -> Photo:
    with open_picture(tree.root / file) as image:
        size = shown_size(image, upright=True)
        transparent, deep = image.has_transparency_data, is_deep(image)
    camera = file.parent.relative_to(root).as_posix()
    camera = "" if camera == "." else camera
    return Photo(name, tree.root / file, size, mask, transparent, deep, upright=True, camera=camera)


def _masks(tree: Tree, root: Path, masks: Path | None) -> dict[str, Path]:
    if masks is not None:
        inside = Tree.of(masks).files
        return masks_by_name(masks, inside)
    return beside_masks(tree, root)


def _without_twins(root: Path, files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """One file of each photo that lies there in two formats, of one size and look."""
    kept: dict[Path, Path] = {}
    twins = []
    for file in files:
        other = kept.get(file.with_suffix(""))
        if other is None or not _is_twin(root / other, root / file):
            kept.setdefault(file if other else file.with_suffix(""), file)
        else:
            twins.append(file)
    return list(kept.values()), twins


def _is_twin(one: Path, other: Path) -> bool:
    if one.suffix.lower() == other.suffix.lower():
        return False
    try:
        with open_picture(one) as a, open_picture(other) as b:
            same_size = shown_size(a, upright=True) == shown_size(b, upright=True)
            return same_size and bool(np.abs(_thumbnail(a) - _thumbnail(b)).mean() < _TWIN_LEVELS)
    except (InputError, OSError):
        return False


def _thumbnail(image: Image.Image) -> Float[np.ndarray, "64 64"]:
    small = ImageOps.exif_transpose(image).convert("L").resize((64, 64), Image.Resampling.BOX)
    return np.asarray(small, dtype=float)


def _without_copies(root: Path, files: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Files of distinct content; only files of equal length are read."""
    files = list(files)
    lengths: dict[int, int] = {}
    for file in files:
        length = (root / file).stat().st_size
        lengths[length] = lengths.get(length, 0) + 1
    kept, copies, seen = [], [], set()
    for file in files:
        length = (root / file).stat().st_size
        if length and lengths[length] > 1:
            try:
                digest = hashlib.sha256((root / file).read_bytes()).digest()
            except OSError:
                digest = file.as_posix().encode()  # it is reported when it is opened
            if digest in seen:
                copies.append(file)
                continue
            seen.add(digest)
        kept.append(file)
    return kept, copies


def _said(files: Iterable[Path], noun: str, why: str) -> list[str]:
    names = [file.as_posix() for file in files]
    return [f"{counted(len(names), noun)} {why}".rstrip() + f" ({some(names)})"] if names else []
