"""Poses as data sets write them, checked one by one and all together."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from scenestyle.errors import InputError
from scenestyle.geometry import invert_rigid, opencv_from_opengl, opengl_from_opencv

if TYPE_CHECKING:
    import pycolmap

_TOLERANCE = 1e-2
_FAR = 100.0
"""a world whose origin is this many times farther away than the cameras are spread is moved"""


def c2w_of(frame: Mapping[str, Any]) -> tuple[Float[np.ndarray, "4 4"], float]:
    """Camera-to-world matrix of a nerfstudio frame, OpenGL axes, and the scale it had.

    A scale that is the same along all axes, as other programs write it, is taken out of the
    rotation.

    Raises:
        InputError: One line, without the frame's name.
    """
    try:
        c2w_opengl = np.array(frame["transform_matrix"], dtype=np.float64)
    except KeyError as error:
        raise InputError("it has no transform_matrix") from error
    except (TypeError, ValueError) as error:
        raise InputError("its transform_matrix is not made of numbers") from error
    if c2w_opengl.shape == (3, 4):
        c2w_opengl = np.vstack([c2w_opengl, [0, 0, 0, 1]])
    if c2w_opengl.shape != (4, 4):
        raise InputError(f"its transform_matrix has the shape {c2w_opengl.shape}, wanted 4x4")
    if not np.isfinite(c2w_opengl).all():
        raise InputError("its transform_matrix is not finite")
    if np.abs(c2w_opengl[3] - [0, 0, 0, 1]).max() > _TOLERANCE:
        raise InputError("the last row of its transform_matrix is not 0 0 0 1")
    rotation = c2w_opengl[:3, :3]
    determinant = np.linalg.det(rotation)
    if determinant < 0:
        raise InputError(
            "its transform_matrix is mirrored (left-handed axes); one axis has the wrong sign"
        )
    scale = float(np.cbrt(determinant))
    if scale == 0 or np.abs(rotation @ rotation.T / scale**2 - np.eye(3)).max() > _TOLERANCE:
        raise InputError("its transform_matrix is no rotation (skewed or stretched)")
    u, _, vt = np.linalg.svd(rotation)
    is_exact = np.abs(rotation @ rotation.T - np.eye(3)).max() < 1e-6
    c2w_opengl[:3, :3] = rotation if is_exact else u @ vt
    return c2w_opengl, scale if abs(scale - 1) > _TOLERANCE else 1.0


def c2w_opengl_from(
    rotation: ArrayLike, *, translation: ArrayLike | None = None, centre: ArrayLike | None = None
) -> list[list[float]]:
    """Pose of a camera with OpenCV axes, as a frame's `transform_matrix`.

    Args:
        rotation: From world to camera, 3x3.
        translation: From world to camera; or
        centre: Where the camera stands, in the world.

    Raises:
        ValueError: If these are not so many numbers.
    """
    c2w_opencv = np.eye(4)
    c2w_opencv[:3, :3] = np.reshape(np.asarray(rotation, dtype=np.float64), (3, 3)).T
    if centre is None:
        place = -c2w_opencv[:3, :3] @ np.asarray(translation, dtype=np.float64).reshape(3)
    else:
        place = np.asarray(centre, dtype=np.float64).reshape(3)
    c2w_opencv[:3, 3] = place
    return opengl_from_opencv(c2w_opencv).tolist()


def cam_from_world(c2w_opengl: Float[np.ndarray, "4 4"]) -> "pycolmap.Rigid3d":
    """COLMAP's pose of a camera."""
    import pycolmap

    return pycolmap.Rigid3d(invert_rigid(opencv_from_opengl(c2w_opengl))[:3])


def c2w_opengl_of(view: "pycolmap.Image") -> Float[np.ndarray, "4 4"]:
    """Camera-to-world matrix of a posed image, OpenGL axes."""
    w2c_opencv = np.eye(4)
    w2c_opencv[:3] = view.cam_from_world().matrix()
    # Adding zero turns -0.0 into 0.0.
    return opengl_from_opencv(invert_rigid(w2c_opencv)) + 0.0


def centres_of(model: "pycolmap.Reconstruction") -> Float[np.ndarray, "cameras 3"]:
    """Where the cameras of a model stand, in the order of their numbers."""
    posed = [model.images[number] for number in sorted(model.images)]
    rows = [image.projection_center() for image in posed if image.has_pose]
    return np.array(rows).reshape(-1, 3)


def stand_in_one_place(centres: Float[np.ndarray, "cameras 3"]) -> bool:
    """Whether cameras do not differ in place beyond rounding; depth is unknown then."""
    spread = np.abs(centres - centres.mean(axis=0)).max()
    return bool(spread <= 1e-7 * max(1.0, float(np.abs(centres).max())))


def far_centre(centres: Float[np.ndarray, "cameras 3"]) -> Float[np.ndarray, " 3"] | None:
    """Middle of cameras that stand far from the origin, as georeferenced ones do; else none.

    Single precision, in which fields are trained, would round their places to a grid.
    """
    middle = centres.mean(axis=0)
    spread = np.abs(centres - middle).max()
    return middle if np.abs(middle).max() > _FAR * spread else None


def moved(model: "pycolmap.Reconstruction", centre: Float[np.ndarray, " 3"]) -> None:
    """Make `centre` the origin of the model's world, in double precision."""
    import pycolmap

    model.transform(pycolmap.Sim3d(1.0, pycolmap.Rotation3d(), -centre))
