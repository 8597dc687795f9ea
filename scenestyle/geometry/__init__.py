"""Poses, depth and camera paths as pure NumPy functions; frames are converted only here."""

from scenestyle.geometry.bulk import bulk
from scenestyle.geometry.depth import (
    correspondences,
    disparity_from_z,
    pixel_rays,
    project,
    ray_from_z_depth,
    sample_bilinear,
    scaled_disparity,
    unproject,
    z_from_ray_depth,
)
from scenestyle.geometry.harmonics import harmonics, rotated_harmonics
from scenestyle.geometry.paths import focus_from_depths, smooth_orbit
from scenestyle.geometry.poses import (
    PoseErrors,
    Similarity,
    align_similarity,
    common_up,
    extent,
    invert_rigid,
    is_rigid,
    look_at,
    opencv_from_opengl,
    opengl_from_opencv,
    pose_errors,
    rotation_angle_degrees,
)
from scenestyle.geometry.relative_depth import fit_line, on_one_scale

__all__ = [
    "PoseErrors",
    "Similarity",
    "align_similarity",
    "bulk",
    "common_up",
    "correspondences",
    "disparity_from_z",
    "extent",
    "fit_line",
    "focus_from_depths",
    "harmonics",
    "invert_rigid",
    "is_rigid",
    "look_at",
    "on_one_scale",
    "opencv_from_opengl",
    "opengl_from_opencv",
    "pixel_rays",
    "pose_errors",
    "project",
    "ray_from_z_depth",
    "rotated_harmonics",
    "rotation_angle_degrees",
    "sample_bilinear",
    "scaled_disparity",
    "smooth_orbit",
    "unproject",
    "z_from_ray_depth",
]
