"""Datasets with poses, nerfstudio's or COLMAP's: checked and converted."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenestyle.errors import InputError
from scenestyle.geometry import invert_rigid, is_rigid, opencv_from_opengl
from scenestyle.sfm.photos import (
    MIN_PHOTOS,
    PHOTO_SUFFIXES,
    Photo,
    decode,
    raise_faults,
    to_rgb,
    view_names,
)

if TYPE_CHECKING:
    import pycolmap

_MODEL_FOLDERS = ("sparse/0", "sparse", "colmap/sparse/0", ".")
_POLYNOMIAL_MODELS = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")
"""nerfstudio reads all of these with the same distortion polynomial"""
_DISTORTION_KEYS = ("k1", "k2", "k3", "k4", "p1", "p2")
_REPAIR = "Repair or remove these frames; nothing was changed."


def colmap_folder(source: Path) -> Path | None:
    """The folder inside `source` that holds a COLMAP model, binary or text, if there is one."""
    for folder in _MODEL_FOLDERS:
        for suffix in ("bin", "txt"):
            if all(
                (source / folder / f"{part}.{suffix}").is_file() for part in ("cameras", "images")
            ):
                return source / folder
    return None


def read_transforms(source: Path, images: Path) -> "tuple[pycolmap.Reconstruction, list[Photo]]":
    """Check a nerfstudio dataset and write its images as `images/NAME.png`.

    Intrinsics may stand at the top or per frame, or be a `camera_angle_x`; distortion is kept.

    Returns:
        A model without points, in the dataset's world frame, and the frames' images.

    Raises:
        InputError: Naming every frame whose image, size, pose or intrinsics cannot be used.
    """
    import pycolmap

    try:
        meta = json.loads((source / "transforms.json").read_text(encoding="utf-8"))
        frames = list(meta["frames"])
        files = [_picture(source, str(frame["file_path"])) for frame in frames]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{source / 'transforms.json'} is not a nerfstudio dataset ({error!r}): wanted is an "
            "object with a list `frames`, each with `file_path` and `transform_matrix`."
        ) from error
    photos = _photos(files)
    model, faults = pycolmap.Reconstruction(), []
    for number, (frame, photo) in enumerate(zip(frames, photos, strict=True), start=1):
        try:
            width, height = _copy(photo, source, images)
            camera = _camera({**meta, **frame}, width, height)
            pose = _cam_from_world(frame)
        except InputError as error:
            faults.append(str(error))
            continue
        camera.camera_id = number
        model.add_camera_with_trivial_rig(camera)
        model.add_image_with_trivial_frame(
            pycolmap.Image(name=f"{photo.name}.png", camera_id=number, image_id=number), pose
        )
    raise_faults(faults, f"{len(faults)} of {len(frames)} frames cannot be used", _REPAIR)
    _check_count(source, len(photos))
    return model, photos


def read_colmap(
    folder: Path, source: Path, images: Path
) -> "tuple[pycolmap.Reconstruction, list[Photo]]":
    """Check a COLMAP model and write its images as `images/NAME.png`.

    Returns:
        The model, its images renamed, and the images.

    Raises:
        InputError: If the model cannot be read, or naming every image that cannot be used.
    """
    import pycolmap

    pycolmap.logging.minloglevel = pycolmap.logging.Level.FATAL.value
    try:
        model = pycolmap.Reconstruction(folder)
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(f"{folder} is not a readable COLMAP model ({error}).") from error
    entries = sorted(model.images.values(), key=lambda image: image.name)
    root = source / "images" if (source / "images").is_dir() else source
    photos = _photos([root / image.name for image in entries])
    faults = []
    for image, photo in zip(entries, photos, strict=True):
        try:
            size = _copy(photo, source, images)
            _check_registered(image, model.camera(image.camera_id), size)
        except InputError as error:
            faults.append(str(error))
        image.name = f"{photo.name}.png"
    raise_faults(faults, f"{len(faults)} of {len(photos)} images cannot be used", _REPAIR)
    _check_count(source, model.num_reg_images())
    return model, photos


def _photos(files: list[Path]) -> list[Photo]:
    names = view_names(path.stem for path in files)
    return [Photo(name, path) for name, path in zip(names, files, strict=True)]


def _picture(source: Path, file_path: str) -> Path:
    """Some datasets leave the suffix out."""
    path = source / file_path
    candidates = [path, *(path.with_name(path.name + suffix) for suffix in sorted(PHOTO_SUFFIXES))]
    return next((candidate for candidate in candidates if candidate.is_file()), path)


def _copy(photo: Photo, source: Path, images: Path) -> tuple[int, int]:
    """Write the image as its camera saw it, not turned by EXIF; returns width and height."""
    if not photo.path.resolve().is_relative_to(source.resolve()):
        raise InputError(f"{photo.path}: lies outside the dataset")
    if not photo.path.is_file():
        raise InputError(f"{photo.path.relative_to(source)}: no such file")
    image = decode(photo.path)
    images.mkdir(parents=True, exist_ok=True)
    to_rgb(image).save(images / f"{photo.name}.png")
    return image.size


def _camera(frame: Mapping[str, Any], width: int, height: int) -> "pycolmap.Camera":
    """Intrinsics of a frame; the image's own size and middle stand in for missing ones.

    Raises:
        InputError: One line, with the frame's name.
    """
    import pycolmap

    name = frame["file_path"]
    try:
        stated = int(frame.get("w", width)), int(frame.get("h", height))
        focal_x, focal_y = _focal_lengths(frame, width)
        centre = float(frame.get("cx", width / 2)), float(frame.get("cy", height / 2))
        distortion = {key: float(frame.get(key, 0)) for key in _DISTORTION_KEYS}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{name}: intrinsics missing or not numbers ({error!r})") from error
    if stated != (width, height):
        raise InputError(
            f"{name}: the picture has {width}x{height} pixels, its camera {stated[0]}x{stated[1]}"
        )
    pinhole = [focal_x, focal_y, *centre]
    if not np.isfinite([*pinhole, *distortion.values()]).all() or min(focal_x, focal_y) <= 0:
        raise InputError(f"{name}: intrinsics are not finite, or a focal length is not positive")
    kind = frame.get("camera_model", "OPENCV")
    fitting = _colmap_model(kind, **distortion)
    if fitting is None:
        raise InputError(f"{name}: camera model {kind!r} with {distortion} cannot be undistorted")
    model, coefficients = fitting
    return pycolmap.Camera(
        model=model, width=width, height=height, params=[*pinhole, *coefficients]
    )


def _colmap_model(
    kind: str, *, k1: float, k2: float, k3: float, k4: float, p1: float, p2: float
) -> tuple[str, list[float]] | None:
    """COLMAP's simplest camera model with this distortion, and its coefficients; or None."""
    if kind == "OPENCV_FISHEYE":
        return kind, [k1, k2, k3, k4]
    if kind not in _POLYNOMIAL_MODELS or k4 != 0:
        return None
    if k3 != 0:
        return "FULL_OPENCV", [k1, k2, p1, p2, k3, 0.0, 0.0, 0.0]
    if any((k1, k2, p1, p2)):
        return "OPENCV", [k1, k2, p1, p2]
    return "PINHOLE", []


def _focal_lengths(frame: Mapping[str, Any], width: int) -> tuple[float, float]:
    if "fl_x" not in frame and "camera_angle_x" in frame:
        focal = width / 2 / float(np.tan(float(frame["camera_angle_x"]) / 2))
        return focal, focal
    return float(frame["fl_x"]), float(frame.get("fl_y", frame["fl_x"]))


def _cam_from_world(frame: Mapping[str, Any]) -> "pycolmap.Rigid3d":
    import pycolmap

    name = frame["file_path"]
    try:
        c2w_opengl = np.array(frame["transform_matrix"], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{name}: no transform_matrix of numbers ({error!r})") from error
    if c2w_opengl.shape == (3, 4):
        c2w_opengl = np.vstack([c2w_opengl, [0, 0, 0, 1]])
    if c2w_opengl.shape != (4, 4) or not is_rigid(c2w_opengl):
        raise InputError(f"{name}: transform_matrix is not a finite rotation and translation")
    return pycolmap.Rigid3d(invert_rigid(opencv_from_opengl(c2w_opengl))[:3])


def _check_registered(
    image: "pycolmap.Image", camera: "pycolmap.Camera", size: tuple[int, int]
) -> None:
    """Raises InputError, one line, if pose or size do not fit."""
    if size != (camera.width, camera.height):
        raise InputError(
            f"{image.name}: the picture has {size[0]}x{size[1]} pixels, "
            f"its camera {camera.width}x{camera.height}"
        )
    if image.has_pose and not np.isfinite(image.cam_from_world().matrix()).all():
        raise InputError(f"{image.name}: the pose is not finite")


def _check_count(source: Path, num_posed: int) -> None:
    if num_posed < MIN_PHOTOS:
        raise InputError(
            f"{source} holds {num_posed} posed images; at least {MIN_PHOTOS} from different "
            "places are needed."
        )
