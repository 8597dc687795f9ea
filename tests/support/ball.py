"""A scene that is known exactly: a ball coloured by its normal, before nothing."""

from collections.abc import Sequence

import numpy as np

from scenestyle.cameras import PinholeCamera
from scenestyle.geometry import pixel_rays
from scenestyle.nerf.field import Rendering
from training.procedural.raycast import field_of_view_camera, look_at

RADIUS = 0.7


def ball_seen_from(
    angles: Sequence[float], width: int = 96
) -> tuple[list[PinholeCamera], list[Rendering]]:
    """Exact renders of a ball at the origin, coloured by its normal, before nothing."""
    cameras = [
        field_of_view_camera(
            look_at((2.5 * np.sin(a), 0.8, 2.5 * np.cos(a)), (0.0, 0.0, 0.0)),
            width,
            width * 3 // 4,
            0.9,
        )
        for a in angles
    ]
    return cameras, [render_ball(camera) for camera in cameras]


def render_ball(camera: PinholeCamera) -> Rendering:
    rays, centre = pixel_rays(camera), camera.c2w_opengl[:3, 3]
    a, b, c = (rays**2).sum(-1), rays @ centre, centre @ centre - RADIUS**2
    root = b**2 - a * c
    depth_z = (-b - np.sqrt(np.maximum(root, 0))) / a
    hit = root > 0
    normals = (centre + depth_z[..., None] * rays) / RADIUS
    rgb = np.where(hit[..., None], (normals + 1) / 2, 0)
    return Rendering(rgb.astype(np.float32), depth_z.astype(np.float32), hit.astype(np.float32))
