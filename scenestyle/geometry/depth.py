"""Depth maps: along the ray or along the optical axis, as disparity, and as links between views.

`depth_z` is distance along the optical axis, `depth_ray` distance from the camera centre, both in
scene units, one value per pixel centre. Pixel coordinates are (x, y) with the centre of the first
pixel at (0.5, 0.5).
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from scenestyle.cameras import PinholeCamera
from scenestyle.errors import ArtifactError, ShapeError

Maps = Sequence[Float[np.ndarray, "_height _width"]]
"""one per view; views may differ in size"""


def pixel_rays(camera: PinholeCamera) -> Float[np.ndarray, "height width 3"]:
    """World-frame directions through the pixel centres, scaled to advance 1 along the optical axis.

    A surface at `depth_z` therefore lies at `centre + depth_z * ray`; the length of a ray is its
    ratio of depth along the ray to z-depth.
    """
    x = (np.arange(camera.width) + 0.5 - camera.cx) / camera.fx
    y = (np.arange(camera.height) + 0.5 - camera.cy) / camera.fy
    x, y = np.meshgrid(x, y)
    return np.stack([x, -y, -np.ones_like(x)], axis=-1) @ camera.c2w_opengl[:3, :3].T


def z_from_ray_depth(
    depth_ray: Float[np.ndarray, "height width"], camera: PinholeCamera
) -> Float[np.ndarray, "height width"]:
    """Turn distances from the camera centre (nerfacto's depth) into z-depth.

    Raises:
        ShapeError: If the map is not of the camera's size.
    """
    _check_size(depth_ray, camera)
    return (depth_ray / _ray_lengths(camera)).astype(depth_ray.dtype)


def ray_from_z_depth(
    depth_z: Float[np.ndarray, "height width"], camera: PinholeCamera
) -> Float[np.ndarray, "height width"]:
    """Turn z-depth into distances from the camera centre.

    Raises:
        ShapeError: If the map is not of the camera's size.
    """
    _check_size(depth_z, camera)
    return (depth_z * _ray_lengths(camera)).astype(depth_z.dtype)


def unproject(
    depth_z: Float[np.ndarray, "height width"], camera: PinholeCamera
) -> Float[np.ndarray, "height width 3"]:
    """World-frame surface points seen at the pixel centres.

    Raises:
        ShapeError: If the map is not of the camera's size.
    """
    _check_size(depth_z, camera)
    return camera.c2w_opengl[:3, 3] + depth_z[..., None] * pixel_rays(camera)


def project(
    points: Float[np.ndarray, "*points 3"], camera: PinholeCamera
) -> tuple[Float[np.ndarray, "*points 2"], Float[np.ndarray, "*points"]]:
    """Pixel coordinates and z-depth of world-frame points.

    Points in the camera's plane or behind it have z-depth <= 0 and NaN pixel coordinates.
    """
    rotation, centre = camera.c2w_opengl[:3, :3], camera.c2w_opengl[:3, 3]
    in_camera = (points - centre) @ rotation
    depth_z = -in_camera[..., 2]
    safe_z = np.where(depth_z > 0, depth_z, np.nan)
    x = camera.cx + camera.fx * in_camera[..., 0] / safe_z
    y = camera.cy - camera.fy * in_camera[..., 1] / safe_z
    return np.stack([x, y], axis=-1), depth_z


def disparity_from_z(
    depths_z: Maps,
    opacities: Maps,
    *,
    percentiles: tuple[float, float] = (1.0, 99.0),
    min_opacity: float = 0.5,
) -> list[Float[np.ndarray, "_height _width"]]:
    """Disparity (1 / z) of a whole scene scaled to [0, 1], near = bright 1.

    One scale serves all views: scaled view by view, the same surface would change its brightness,
    and a depth ControlNet its style, from view to view.

    Args:
        depths_z: z-depth of every view of the scene, scene units.
        opacities: Opacity of the same pixels, 0 to 1.
        percentiles: Percentiles of the disparities of all opaque pixels that become 0 and 1.
        min_opacity: Pixels at or below it are empty space: they count as infinitely far, 0.

    Raises:
        ArtifactError: If no pixel is opaque with a positive, finite depth.
    """
    surfaces = [
        (opacity > min_opacity) & np.isfinite(depth_z) & (depth_z > 0)
        for depth_z, opacity in zip(depths_z, opacities, strict=True)
    ]
    if not any(is_surface.any() for is_surface in surfaces):
        raise ArtifactError(
            f"None of the {sum(map(np.size, depths_z))} rendered depths lies on a surface (opacity "
            f"> {min_opacity}, 0 < depth < infinity); the field is empty. Train it for longer."
        )
    pairs = list(zip(depths_z, surfaces, strict=True))
    disparities = [1 / np.where(is_surface, depth_z, np.inf) for depth_z, is_surface in pairs]
    known = np.concatenate([1 / depth_z[is_surface] for depth_z, is_surface in pairs])
    return scaled_disparity(disparities, np.percentile(known, percentiles))


def scaled_disparity(
    disparities: Maps, ends: Float[np.ndarray, " 2"]
) -> list[Float[np.ndarray, "_height _width"]]:
    """Disparities of a scene scaled so that `ends`, far and near, are 0 and 1; clipped."""
    far, near = ends
    span = max(near - far, np.finfo(np.float32).tiny)
    return [np.clip((each - far) / span, 0, 1).astype(each.dtype) for each in disparities]


def correspondences(
    depth_z: Float[np.ndarray, "height width"],
    camera: PinholeCamera,
    other_depth_z: Float[np.ndarray, "other_height other_width"],
    other_camera: PinholeCamera,
    *,
    tau: float,
) -> tuple[Float[np.ndarray, "height width 2"], Bool[np.ndarray, "height width"]]:
    """Where the surface seen at each pixel of a view appears in another view, and whether it shows.

    The view is lifted to 3D by its depth and projected into the other view. A point shows there if
    it falls inside the image and its distance from the other camera agrees with the other view's
    depth within the fraction `tau`; otherwise something hides it, or one of the depths is wrong.

    Args:
        depth_z: z-depth of the view (frame j of the warp metrics).
        camera: Camera of the view.
        other_depth_z: z-depth of the other view (frame i).
        other_camera: Camera of the other view.
        tau: Tolerated fraction of the distance, for example 0.02.

    Returns:
        Pixel coordinates (x, y) in the other view, to be read with `sample_bilinear` (NaN behind
        its camera), and the mask of the points that show.
    """
    from scenestyle.geometry.depth_kernels import follow_surface

    _check_size(depth_z, camera)
    pixels = np.empty((*depth_z.shape, 2))
    is_visible = np.empty(depth_z.shape, bool)
    with np.errstate(divide="ignore"):
        # 1/z is affine over a plane's image, so its interpolation is exact where that of z would
        # bend.
        nearness = 1 / other_depth_z[..., None]
    # Along one ray, shares of z-depth and of distance are the same.
    follow_surface(
        np.ascontiguousarray(depth_z),
        _intrinsics(camera),
        camera.c2w_opengl,
        nearness,
        _intrinsics(other_camera),
        other_camera.c2w_opengl,
        tau,
        pixels,
        is_visible,
    )
    return pixels, is_visible


def sample_bilinear(
    image: Float[np.ndarray, "height width channels"], pixels: Float[np.ndarray, "*points 2"]
) -> Float[np.ndarray, "*points channels"]:
    """Read an image at (x, y) between pixel centres; NaN outside the image.

    The outer half pixel, beyond the outermost centres, repeats the border.
    """
    from scenestyle.geometry.depth_kernels import read_bilinear

    channels = image.shape[2]
    sampled = np.empty((pixels[..., 0].size, channels), image.dtype)
    places = np.ascontiguousarray(pixels).reshape(-1, 2)
    read_bilinear(np.ascontiguousarray(image), places, sampled)
    return sampled.reshape(*pixels.shape[:-1], channels)


def _intrinsics(camera: PinholeCamera) -> tuple[float, float, float, float]:
    return float(camera.fx), float(camera.fy), float(camera.cx), float(camera.cy)


def _ray_lengths(camera: PinholeCamera) -> Float[np.ndarray, "height width"]:
    return np.linalg.norm(pixel_rays(camera), axis=-1)


def _check_size(depth: Float[np.ndarray, "height width"], camera: PinholeCamera) -> None:
    if depth.shape != (camera.height, camera.width):
        raise ShapeError(
            f"A depth map of {depth.shape[1]}x{depth.shape[0]} pixels does not belong to a camera "
            f"of {camera.width}x{camera.height}."
        )
