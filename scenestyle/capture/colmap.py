"""COLMAP models, as COLMAP, hloc, RealityScan, Metashape and the splat trainers lay them out."""

import shutil
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scenestyle.capture import lenses
from scenestyle.capture.capture import Capture, Photo, counted, natural_order, some, view_names
from scenestyle.capture.frames import beside_masks
from scenestyle.capture.locate import Tree, locate
from scenestyle.capture.masks import doubts_of_match, match
from scenestyle.capture.pictures import is_deep, open_picture, shown_size
from scenestyle.errors import InputError

if TYPE_CHECKING:
    import pycolmap

_DEPTH = 4
"""folders below the source in which a model is looked for"""
_PARTS = ("cameras", "images", "points3D", "rigs", "frames")
_USUAL = ("sparse/0", "sparse", "colmap/sparse/0", ".")
_UNREADABLE = (RuntimeError, ValueError, OSError, LookupError, TypeError, MemoryError)
"""what pycolmap throws at damaged files"""


@dataclass(frozen=True)
class _Model:
    folder: Path
    """relative to the tree"""
    suffix: str
    """`.bin` or `.txt`"""
    images: int
    """number of images with a pose"""


def models_in(tree: Tree) -> list[_Model]:
    """Every COLMAP model of a data set, the one to use first: with most images, then the usual."""
    found = []
    for file in tree.files:
        if file.stem != "cameras" or len(file.parts) > _DEPTH + 1:
            continue
        is_whole = file.suffix in (".bin", ".txt") and file.with_stem("images") in tree.files
        if is_whole and not (file.suffix == ".txt" and file.with_suffix(".bin") in tree.files):
            images = _num_images(tree.root / file.with_stem("images"))
            found.append(_Model(file.parent, file.suffix, images))
    return sorted(found, key=_preference)


def _preference(model: _Model) -> tuple[object, ...]:
    place = model.folder.as_posix()
    rank = _USUAL.index(place) if place in _USUAL else len(_USUAL)
    return -model.images, rank, len(model.folder.parts), natural_order(model.folder)


def _num_images(path: Path) -> int:
    if path.suffix == ".bin":
        with path.open("rb") as file:
            head = file.read(8)
        return struct.unpack("<Q", head)[0] if len(head) == 8 else 0
    return sum(1 for _ in _image_lines(path.read_text(encoding="utf-8-sig", errors="replace")))


def read_colmap(tree: Tree, models: list[_Model]) -> Capture:
    """Read the model with most images; nothing is decoded.

    Args:
        tree: Of the data set.
        models: As `models_in` gives them.

    Raises:
        InputError: If the model cannot be read.
    """
    best, *others = models
    model, names = load_model(tree.root / best.folder, best.suffix)
    entries = sorted(
        (image for image in model.images.values() if image.has_pose),
        key=lambda image: names[image.image_id],
    )
    listed = [names[image.image_id] for image in entries]
    near = best.folder
    while near.name in ("0", "sparse", "models") or near.name.isdecimal():
        near = near.parent
    places = locate(listed, tree, near)
    lost = [name for name, place in zip(listed, places, strict=True) if place is None]
    posed = [
        (image, tree.root / place)
        for image, place in zip(entries, places, strict=True)
        if place is not None
    ]
    masks = beside_masks(tree, near)
    photos, faults, scaled = [], [], 0
    for name, (image, path) in zip(view_names(p.stem for _, p in posed), posed, strict=True):
        camera = model.camera(image.camera_id)
        try:
            photo = _photo(name, path, camera, match(path.relative_to(tree.root), masks))
            lenses.fitted(camera, photo.size)
        except InputError as error:
            said = str(error)
            faults.append(said if said.startswith(path.name) else f"{path.name}: {said}")
            continue
        if not np.isfinite(image.cam_from_world().matrix()).all():
            faults.append(f"{path.name}: its pose is not finite")
            continue
        photos.append(photo)
        scaled += photo.size != (camera.width, camera.height)
        image.name = f"{name}.png"
    _drop(model, {f"{photo.name}.png" for photo in photos})
    _fit_cameras(model, {f"{photo.name}.png": photo.size for photo in photos})
    unposed = len(names) - len(entries)
    return Capture(
        layout="COLMAP model",
        photos=tuple(photos),
        model=model,
        description=tuple(_files(tree.root / best.folder, best.suffix)),
        listed=len(entries),
        left_out=(
            *(
                [f"{counted(len(lost), 'listed photo')} without a file ({some(lost)})"]
                if lost
                else []
            ),
            *([f"{counted(unposed, 'image')} of the model without a pose"] if unposed else []),
            *(
                f"the model {other.folder.as_posix()} with {counted(other.images, 'image')}, since "
                f"{best.folder.as_posix()} has {best.images:,}"
                for other in others
            ),
        ),
        changed=(
            (f"intrinsics of {counted(scaled, 'photo')} scaled to smaller pictures",)
            if scaled
            else ()
        ),
        warnings=(*_doubts(model), *doubts_of_match(masks, [p.mask for p in photos])),
        faults=tuple(faults),
        panoramas=any(c.model_name == lenses.EQUIRECTANGULAR for c in model.cameras.values()),
    )


def _photo(name: str, path: Path, camera: "pycolmap.Camera", mask: Path | None) -> Photo:
    """A photo as its camera saw it: turned by EXIF only if its camera has the turned shape."""
    with open_picture(path) as picture:
        plain, upright = (shown_size(picture, upright=turn) for turn in (False, True))
        transparent, deep = picture.has_transparency_data, is_deep(picture)
    stated = camera.width, camera.height
    turn = not lenses.is_same_shape(stated, plain) and lenses.is_same_shape(stated, upright)
    return Photo(name, path, upright if turn else plain, mask, transparent, deep, upright=turn)


def _drop(model: "pycolmap.Reconstruction", kept: set[str]) -> None:
    """Take images that are not used out of the model, with what they see."""
    for image in list(model.images.values()):
        if image.has_pose and image.name not in kept:
            model.deregister_frame(image.frame_id)


def _fit_cameras(model: "pycolmap.Reconstruction", sizes: dict[str, tuple[int, int]]) -> None:
    """Scale cameras, and what was seen through them, to the sizes of their pictures."""
    for image in model.images.values():
        if image.name in sizes:
            camera = model.camera(image.camera_id)
            size = sizes[image.name]
            across, down = size[0] / camera.width, size[1] / camera.height
            if (across, down) != (1, 1):
                for point in image.points2D:
                    point.xy = point.xy * (across, down)
    fitting = {
        model.image(i).camera_id: sizes[model.image(i).name]
        for i in model.reg_image_ids()
        if model.image(i).name in sizes
    }
    for number, size in fitting.items():
        model.camera(number).rescale(*size)


def _doubts(model: "pycolmap.Reconstruction") -> Iterator[str]:
    for number, camera in sorted(model.cameras.items()):
        if doubt := lenses.doubts(camera):
            yield f"Camera {number}: {doubt}."


def _files(folder: Path, suffix: str) -> Iterator[Path]:
    for part in _PARTS:
        if (path := folder / f"{part}{suffix}").is_file():
            yield path


def load_model(folder: Path, suffix: str) -> "tuple[pycolmap.Reconstruction, dict[int, str]]":
    """Read a model, text or binary, and the names of its images by their numbers.

    pycolmap cuts names at a blank where it reads text, and wants a file of points; both are given
    to it in a copy of the model's text.

    Raises:
        InputError: If the model cannot be read.
    """
    import pycolmap

    pycolmap.logging.minloglevel = pycolmap.logging.Level.FATAL.value
    files = list(_files(folder, suffix))
    for file in files:
        if suffix == ".bin" and not _is_whole(file):
            raise InputError(f"{file} is cut short: not a readable COLMAP model. Export it again.")
    has_points = any(file.stem == "points3D" for file in files)
    try:
        if suffix == ".bin" and has_points:
            model = pycolmap.Reconstruction(folder)
            _check_lenses(folder, model)
            return model, {number: image.name for number, image in model.images.items()}
        with tempfile.TemporaryDirectory() as copy:
            for file in files:
                shutil.copy(file, Path(copy, file.name))
            if not has_points:
                _write_no_points(Path(copy, f"points3D{suffix}"))
            names = {}
            if suffix == ".txt":
                path = Path(copy, "images.txt")
                names = _number_names(path, keep_points=has_points)
            model = pycolmap.Reconstruction(copy)
    except _UNREADABLE as error:
        raise InputError(
            f"{folder} is not a readable COLMAP model: its files are cut short or do not belong "
            "together. Export it again."
        ) from error
    _check_lenses(folder, model)
    return model, names or {number: image.name for number, image in model.images.items()}


def _check_lenses(folder: Path, model: "pycolmap.Reconstruction") -> None:
    """Of cameras that are cut short, COLMAP fills up the numbers with zeros."""
    for number, camera in sorted(model.cameras.items()):
        if camera.model_name == lenses.EQUIRECTANGULAR:
            continue
        focal = camera.focal_length_x
        if not (
            np.isfinite(camera.params).all() and focal > 0 and min(camera.width, camera.height)
        ):
            raise InputError(
                f"{folder}: camera {number} has {camera.width}x{camera.height} pixels and a focal "
                f"length of {focal:g}: its file is damaged. Export it again."
            )


def _is_whole(path: Path) -> bool:
    """Whether a binary file holds all that it announces; COLMAP would read on for ever.

    Source: COLMAP's documentation, "Output Format", binary.
    """
    raw = path.read_bytes()
    try:
        (count,) = struct.unpack_from("<Q", raw)
        at = 8
        for _ in range(count if path.stem in ("images", "points3D") else 0):
            if path.stem == "images":
                # number, rotation, translation, camera; the name up to a zero; points of 24 bytes
                end = raw.index(0, at + 64)
                at = end + 9 + 24 * struct.unpack_from("<Q", raw, end + 1)[0]
            else:
                # number, place, colour, error; track of 8 bytes each
                at += 51 + 8 * struct.unpack_from("<Q", raw, at + 43)[0]
    except (struct.error, ValueError):
        return False
    return at <= len(raw)


def _write_no_points(path: Path) -> None:
    if path.suffix == ".bin":
        path.write_bytes(struct.pack("<Q", 0))
    else:
        path.write_text("# no points\n")


def _image_lines(text: str) -> Iterator[tuple[str, str]]:
    """Of each image of an `images.txt`: its line, and the line of the points it sees."""
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    for line in lines:
        if line.strip():
            yield line, next(lines, "")


def _number_names(path: Path, *, keep_points: bool) -> dict[int, str]:
    """Put numbers in place of the names in an `images.txt`; returns the names by number."""
    names, rewritten = {}, []
    for line, points in _image_lines(
        path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    ):
        *pose, name = line.strip().split(maxsplit=9)
        number = int(pose[0])
        names[number] = name
        rewritten += [" ".join([*pose, str(number)]), points if keep_points else ""]
    path.write_text("\n".join(rewritten) + "\n", encoding="utf-8")
    return names
