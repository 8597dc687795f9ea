"""Intrinsics as data sets write them, as COLMAP's cameras; and whether they can be right."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scenestyle.errors import InputError

if TYPE_CHECKING:
    import pycolmap

EQUIRECTANGULAR = "EQUIRECTANGULAR"

_POLYNOMIAL_MODELS = (
    "OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "FULL_OPENCV", "PERSPECTIVE",
)  # fmt: skip
"""nerfstudio reads all of these with the same distortion polynomial"""
_KNOWN = f"{', '.join(_POLYNOMIAL_MODELS)}, OPENCV_FISHEYE, {EQUIRECTANGULAR}"
_DISTORTION_KEYS = ("k1", "k2", "k3", "k4", "p1", "p2")
"""also the order of nerfstudio's list `distortion_params`"""
_UNREAD_KEYS = ("k5", "k6", "b1", "b2", "s1", "s2", "s3", "s4")
_REACH = 1.2
"""how much farther from the axis than its corners a picture's lens is needed"""
_MAX_FIT_PX = 0.1
_NARROW, _WIDE = 1.0, 170.0
"""fields of view beyond these are doubtful, degrees"""
_MIN_KEPT = 0.5
"""undistortion that keeps a smaller fraction of a side is doubtful"""


def camera_of(frame: Mapping[str, Any], size: tuple[int, int]) -> "pycolmap.Camera":
    """Camera of a nerfstudio or instant-ngp frame, at the size of its picture.

    Intrinsics that were written for a larger or smaller picture of the same shape are scaled. The
    picture's own size and middle stand in for missing ones.

    Args:
        frame: Keys of the frame, and those at the top that it has not.
        size: Of the picture, pixels.

    Raises:
        InputError: One line, without the frame's name.
    """
    import pycolmap

    width, height = size
    kind = "OPENCV_FISHEYE" if frame.get("is_fisheye") else str(frame.get("camera_model", "OPENCV"))
    kind = kind.upper()
    if kind == EQUIRECTANGULAR:
        return pycolmap.Camera(model=kind, width=width, height=height, params=[width, height])
    try:
        stated = int(float(frame.get("w", width))), int(float(frame.get("h", height)))
        focal_x, focal_y = _focal_lengths(frame, *stated)
        centre = float(frame.get("cx", stated[0] / 2)), float(frame.get("cy", stated[1] / 2))
        distortion = _distortion(frame)
    except KeyError as error:
        raise InputError(f"its camera has no {error.args[0]}") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError("its camera has intrinsics that are not numbers") from error
    pinhole = [focal_x, focal_y, *centre]
    if not np.isfinite([*pinhole, *distortion.values()]).all() or min(focal_x, focal_y) <= 0:
        raise InputError("its camera is not finite, or a focal length is not positive")
    if distortion["k4"] and kind in _POLYNOMIAL_MODELS:
        reach = _REACH * np.hypot(*stated) / 2 / min(focal_x, focal_y)
        model, coefficients = "FULL_OPENCV", _as_quotient(distortion, reach, focal_x)
    else:
        model, coefficients = _colmap_model(kind, **distortion)
    camera = pycolmap.Camera(
        model=model, width=stated[0], height=stated[1], params=[*pinhole, *coefficients]
    )
    return fitted(camera, size)


def fitted(camera: "pycolmap.Camera", size: tuple[int, int]) -> "pycolmap.Camera":
    """The camera at the size of its picture, which must have the same shape within a pixel.

    Raises:
        InputError: If the shapes differ; one line, without the picture's name.
    """
    import pycolmap

    if (camera.width, camera.height) == size:
        return camera
    if not is_same_shape((camera.width, camera.height), size):
        raise InputError(
            f"the picture has {size[0]}x{size[1]} pixels, its camera {camera.width}x"
            f"{camera.height}: another shape"
        )
    scaled = pycolmap.Camera(camera.todict())
    scaled.rescale(*size)
    return scaled


def is_same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether one size is the other one, reduced and rounded to whole pixels."""
    (w, h), (wide, tall) = sorted([one, other])
    if min(w, h) <= 0:
        return False
    return min(abs(wide * h / tall - w), abs(tall * w / wide - h)) <= 1


def unread_keys(frame: Mapping[str, Any]) -> list[str]:
    """Lens keys that are not zero and that no camera model here has."""
    return [key for key in _UNREAD_KEYS if frame.get(key)]


def doubts(camera: "pycolmap.Camera") -> str:
    """What makes a camera doubtful, a phrase; empty if nothing."""
    import pycolmap

    width, height = camera.width, camera.height
    if camera.model_name == EQUIRECTANGULAR:
        is_whole = abs(width - 2 * height) <= 1
        return "" if is_whole else f"a 360 degree picture is 2 to 1, this one {width}x{height}"
    centre = camera.principal_point_x, camera.principal_point_y
    if not (0 <= centre[0] <= width and 0 <= centre[1] <= height):
        return f"the principal point ({centre[0]:g}, {centre[1]:g}) lies outside of the picture"
    view = 2 * np.degrees(np.arctan(width / 2 / camera.focal_length_x))
    if not _NARROW <= view <= _WIDE and "FISHEYE" not in camera.model_name:
        return f"a focal length of {camera.focal_length_x:g} pixels sees {view:.3g} degrees"
    if not camera.is_undistorted():
        straight = pycolmap.undistort_camera(pycolmap.UndistortCameraOptions(), camera)
        if min(straight.width / width, straight.height / height) < _MIN_KEPT:
            return (
                f"without its distortion the picture shrinks from {width}x{height} to "
                f"{straight.width}x{straight.height} pixels"
            )
    return ""


def _distortion(frame: Mapping[str, Any]) -> dict[str, float]:
    listed = frame.get("distortion_params")
    if listed is not None:
        values = [float(value) for value in listed]
        padded = [*values, *[0.0] * (len(_DISTORTION_KEYS) - len(values))]
        return dict(zip(_DISTORTION_KEYS, padded, strict=True))
    return {key: float(frame.get(key, 0)) for key in _DISTORTION_KEYS}


def _colmap_model(
    kind: str, *, k1: float, k2: float, k3: float, k4: float, p1: float, p2: float
) -> tuple[str, list[float]]:
    """COLMAP's simplest camera model with this distortion, and its coefficients."""
    if kind == "OPENCV_FISHEYE":
        return kind, [k1, k2, k3, k4]
    if kind not in _POLYNOMIAL_MODELS:
        raise InputError(f"camera model {kind!r} cannot be undistorted; known are {_KNOWN}")
    if k3 != 0:
        return "FULL_OPENCV", [k1, k2, p1, p2, k3, 0.0, 0.0, 0.0]
    if any((k1, k2, p1, p2)):
        return "OPENCV", [k1, k2, p1, p2]
    return "PINHOLE", []


def _as_quotient(distortion: Mapping[str, float], reach: float, focal: float) -> list[float]:
    """Coefficients of FULL_OPENCV nearest to a polynomial with a fourth one, which COLMAP lacks.

    Args:
        distortion: Of the polynomial.
        reach: Up to which distance from the axis it is needed, in focal lengths.
        focal: Pixels.

    Raises:
        InputError: If the two differ by more than a tenth of a pixel.
    """
    squared = np.linspace(0, reach, 100)[1:] ** 2
    powers = np.stack([squared, squared**2, squared**3], axis=-1)
    radial = np.array([distortion[key] for key in ("k1", "k2", "k3", "k4")])
    wanted = 1 + np.column_stack([powers, squared**4]) @ radial
    # numerator(r) = wanted(r) * denominator(r), both with 1 in front
    both = np.column_stack([powers, -wanted[:, None] * powers])
    (k1, k2, k3, k4, k5, k6), *_ = np.linalg.lstsq(both, wanted - 1, rcond=None)
    found = (1 + powers @ [k1, k2, k3]) / (1 + powers @ [k4, k5, k6])
    error = np.abs(found - wanted) * np.sqrt(squared) * focal
    if error.max() > _MAX_FIT_PX:
        raise InputError(f"a lens with k4 = {distortion['k4']:g} cannot be undistorted")
    return [k1, k2, distortion["p1"], distortion["p2"], k3, k4, k5, k6]


def _focal_lengths(frame: Mapping[str, Any], width: int, height: int) -> tuple[float, float]:
    """From pixels or from the fields of view, which Blender and instant-ngp write."""
    along = {}
    for axis, side in (("x", width), ("y", height)):
        if f"fl_{axis}" in frame:
            along[axis] = float(frame[f"fl_{axis}"])
        elif f"camera_angle_{axis}" in frame:
            along[axis] = side / 2 / float(np.tan(float(frame[f"camera_angle_{axis}"]) / 2))
    if not along:
        raise KeyError("fl_x or camera_angle_x")
    return along.get("x", along.get("y", 0.0)), along.get("y", along.get("x", 0.0))
