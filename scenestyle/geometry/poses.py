"""Rigid poses: axis conventions, inversion, and how far one set of poses is from another.

A pose is a 4x4 `c2w` (camera-to-world) or `w2c`; its name ends in the axes of the camera:
`_opengl` is x right, y up, z backwards (nerfstudio), `_opencv` is x right, y down, z forwards
(COLMAP).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from scenestyle.errors import ShapeError

_AGREEMENT = 0.7
"""length of the mean of y axes, 0 to 1, from which most cameras agree on what is up"""
_ON_ITS_SIDE = 0.7
"""cosine between up and a camera's x axis from which it lies on its side"""
_FLIP_Y_AND_Z = np.array([1.0, -1.0, -1.0, 1.0])


def opengl_from_opencv(
    c2w_opencv: Float[np.ndarray, "*poses 4 4"],
) -> Float[np.ndarray, "*poses 4 4"]:
    """Express camera-to-world poses of OpenCV cameras with OpenGL camera axes; the world stays."""
    return c2w_opencv * _FLIP_Y_AND_Z


def opencv_from_opengl(
    c2w_opengl: Float[np.ndarray, "*poses 4 4"],
) -> Float[np.ndarray, "*poses 4 4"]:
    """Express camera-to-world poses of OpenGL cameras with OpenCV camera axes; the world stays."""
    return c2w_opengl * _FLIP_Y_AND_Z


def invert_rigid(pose: Float[np.ndarray, "*poses 4 4"]) -> Float[np.ndarray, "*poses 4 4"]:
    """Turn c2w into w2c or back; exact for rotations, without a general matrix inverse."""
    rotation_t = np.swapaxes(pose[..., :3, :3], -1, -2)
    inverse = np.zeros_like(pose)
    inverse[..., :3, :3] = rotation_t
    inverse[..., :3, 3] = -(rotation_t @ pose[..., :3, 3:])[..., 0]
    inverse[..., 3, 3] = 1
    return inverse


def is_rigid(pose: Float[np.ndarray, "4 4"], *, tolerance: float = 1e-3) -> bool:
    """Whether the pose is finite and a proper rotation (determinant +1) with a translation.

    `tolerance` bounds the largest entry of R R^T - I.
    """
    if not np.isfinite(pose).all() or np.abs(pose[3] - [0, 0, 0, 1]).max() > tolerance:
        return False
    rotation = pose[:3, :3]
    is_orthonormal = np.abs(rotation @ rotation.T - np.eye(3)).max() <= tolerance
    return bool(is_orthonormal and np.linalg.det(rotation) > 0)


@dataclass(frozen=True)
class Similarity:
    """The map x -> scale * rotation @ x + translation."""

    scale: float
    """positive, target units per source unit"""
    rotation: Float[np.ndarray, "3 3"]
    """proper rotation"""
    translation: Float[np.ndarray, " 3"]
    """target units"""

    def apply(self, points: Float[np.ndarray, "*points 3"]) -> Float[np.ndarray, "*points 3"]:
        """Map points of the source frame into the target frame."""
        return self.scale * points @ self.rotation.T + self.translation

    def inverse(self) -> "Similarity":
        """The map back."""
        back = self.rotation.T
        return Similarity(1 / self.scale, back, -back @ self.translation / self.scale)

    def apply_to_poses(
        self, c2w: Float[np.ndarray, "*poses 4 4"]
    ) -> Float[np.ndarray, "*poses 4 4"]:
        """Map camera-to-world poses of either axis convention; they stay rigid."""
        mapped = c2w.copy()
        mapped[..., :3, :3] = self.rotation @ c2w[..., :3, :3]
        mapped[..., :3, 3] = self.apply(c2w[..., :3, 3])
        return mapped


def align_similarity(
    source: Float[np.ndarray, "points 3"], target: Float[np.ndarray, "points 3"]
) -> Similarity:
    """Similarity that maps `source` onto `target` with the least sum of squared distances.

    Args:
        source: Points (camera centres) in one frame.
        target: The same points in another frame, in the same order.

    Raises:
        ShapeError: If there are fewer than three points, or the source points lie on one line
            (the rotation about that line would be arbitrary).

    Source: Umeyama 1991, "Least-Squares Estimation of Transformation Parameters Between Two Point
        Patterns", equations 38 to 43.
    """
    if len(source) < 3:
        raise ShapeError(f"A similarity needs at least 3 point pairs, got {len(source)}.")
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    source_centred, target_centred = source - source_mean, target - target_mean
    spread = np.linalg.svd(source_centred, compute_uv=False)
    if spread[1] <= 1e-9 * spread[0] or spread[0] == 0:
        raise ShapeError("A similarity needs points that do not all lie on one line.")
    u, singular, vt = np.linalg.svd(target_centred.T @ source_centred / len(source))
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u * signs @ vt
    scale = float((singular * signs).sum() / source_centred.var(axis=0).sum())
    return Similarity(scale, rotation, target_mean - scale * rotation @ source_mean)


@dataclass(frozen=True)
class PoseErrors:
    """Distance of estimated poses from true ones, after similarity alignment, per pose."""

    translation_share: Float[np.ndarray, " poses"]
    """distance of the camera centres as a share of the extent of the true centres"""
    rotation_degrees: Float[np.ndarray, " poses"]
    """angle between the orientations, 0 to 180"""


def pose_errors(
    estimated_c2w: Float[np.ndarray, "poses 4 4"], true_c2w: Float[np.ndarray, "poses 4 4"]
) -> PoseErrors:
    """Compare poses known up to a similarity with the truth; both in the same axis convention.

    Raises:
        ShapeError: If the centres do not determine a similarity (see `align_similarity`).
    """
    true_centres = true_c2w[:, :3, 3]
    aligned = align_similarity(estimated_c2w[:, :3, 3], true_centres).apply_to_poses(estimated_c2w)
    distances = np.linalg.norm(aligned[:, :3, 3] - true_centres, axis=-1)
    return PoseErrors(
        translation_share=distances / extent(true_centres),
        rotation_degrees=rotation_angle_degrees(aligned[:, :3, :3], true_c2w[:, :3, :3]),
    )


def rotation_angle_degrees(
    a: Float[np.ndarray, "*poses 3 3"], b: Float[np.ndarray, "*poses 3 3"]
) -> Float[np.ndarray, "*poses"]:
    """Angle of the rotation that takes `a` to `b`, 0 to 180; accurate near both ends."""
    chord = np.linalg.norm(a - b, axis=(-2, -1)) / np.sqrt(8)
    return np.degrees(2 * np.arcsin(np.clip(chord, 0, 1)))


def extent(points: Float[np.ndarray, "points 3"]) -> float:
    """Largest distance between two of the points."""
    return float(np.linalg.norm(points[:, None] - points[None], axis=-1).max())


def look_at(
    centre: Float[np.ndarray, " 3"], target: Float[np.ndarray, " 3"], up: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, "4 4"]:
    """c2w_opengl of a camera at `centre` that looks at `target`, its y axis as near `up` as can be.

    Raises:
        ShapeError: If the viewing direction is zero or parallel to `up`.
    """
    backwards, right = centre - target, np.cross(up, centre - target)
    if np.linalg.norm(right) <= 1e-9 * np.linalg.norm(up) * np.linalg.norm(backwards):
        raise ShapeError("A camera cannot look along its up direction, or at its own centre.")
    z_axis, x_axis = backwards / np.linalg.norm(backwards), right / np.linalg.norm(right)
    c2w_opengl = np.eye(4)
    c2w_opengl[:3] = np.stack([x_axis, np.cross(z_axis, x_axis), z_axis, centre], axis=-1)
    return c2w_opengl


def common_up(c2w_opengl: Sequence[Float[np.ndarray, "4 4"]]) -> Float[np.ndarray, " 3"]:
    """The scene's unit up direction, told from cameras that were held level.

    It is the direction most perpendicular to all x axes. Where these alone leave it open, as in a
    forward-facing capture, the mean of the y axes decides; that mean alone would lean towards the
    scene whenever cameras look down along less than a full circle.

    Where most cameras agree, those that lie on their side, as phones without orientation data leave
    them, count as if they were upright.
    """
    poses = np.stack(c2w_opengl)
    x_axes, y_axes = poses[:, :3, 0], poses[:, :3, 1]
    mean_y = y_axes.mean(axis=0)
    if np.linalg.norm(mean_y) > _AGREEMENT:
        rough = mean_y / np.linalg.norm(mean_y)
        side = x_axes @ rough
        lies = (np.abs(side) > np.abs(y_axes @ rough)) & (np.abs(side) > _ON_ITS_SIDE)
        x_axes, y_axes = (
            np.where(lies[:, None], y_axes, x_axes),
            np.where(lies[:, None], np.sign(side)[:, None] * x_axes, y_axes),
        )
        mean_y = y_axes.mean(axis=0)
    mean_y = mean_y / np.linalg.norm(mean_y)
    # The weight of the mean is small against the spread of x axes along even a short arc.
    scatter = x_axes.T @ x_axes / len(poses) - 0.01 * np.outer(mean_y, mean_y)
    up = np.linalg.eigh(scatter)[1][:, 0]
    return up if up @ mean_y > 0 else -up
