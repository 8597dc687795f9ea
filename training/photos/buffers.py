"""What a style filter needs to know of a picture, estimated from any photograph with depth.

A made-up scene's buffers are exact; these are guesses, as good as a filter needs: light is the
picture's brightness smoothed within its edges, colour is what remains, the shape's normals follow
from depth, things are regions of one colour. Every photograph is training data by them, and every
view of a capture has a picture that is wanted of it.
"""

import cv2
import numpy as np
from jaxtyping import Float, Int

from training.procedural.arrays import floats
from training.procedural.filters import blur, brightness
from training.procedural.raycast import FIRST_OBJECT, SKY, Buffers, Map, VectorMap

_REGION_SCALE, _REGION_PIXELS = 120.0, 60
"""of felzenszwalb's segmentation, at the sizes that the model is trained at and used at"""
_SMOOTHED_SHARE = 0.02
"""of the longer side: half the window in which depth follows the picture"""
_EVEN = 2e-3
"""variance of brightness below which depth does not follow it"""
_FAINTEST_EDGE = 0.22
"""share of the strong edges below which an edge is no outline"""
_LEAST_STRONG_COLOUR_EDGE, _LEAST_STRONG_DEPTH_EDGE = 12.0, 0.04
"""what counts as strong at least, so that noise in a plain picture makes no outlines: CIELAB units,
share of the disparity"""


def estimate(picture: VectorMap, depth_z: Map, focal: float) -> Buffers:
    """Buffers of a photograph.

    Args:
        picture: RGB in 0..1.
        depth_z: Of the same pixels along the optical axis, in any unit; infinite where there is
            nothing (sky).
        focal: Focal length in pixels.

    Returns:
        Buffers whose `rgb` is the picture. World and camera frame are one, as if the camera were
        held level.
    """
    picture = floats(np.clip(picture, 0, 1))
    hit = np.isfinite(depth_z)
    filled = _filled(floats(depth_z), hit)
    followed = _following(picture, filled)
    direction, position = _rays_and_points(followed, focal)
    normal = _normals(position) * hit[..., None]
    albedo, shading = _colour_and_light(picture)
    regions = np.where(hit, _regions(picture), SKY)
    outline = np.maximum(_depth_edges(followed), _colour_edges(picture))
    return Buffers(
        rgb=picture,
        albedo=albedo,
        shading=shading,
        sunlight=np.clip(shading - np.float32(0.55), 0, 1),
        specular=floats(0.5 * np.clip(normal[..., 2], 0, 1) ** 8),
        depth_z=np.where(hit, floats(depth_z), np.float32(np.inf)),
        normal=normal,
        normal_camera=normal,
        ids=regions,
        position=position * hit[..., None],
        direction=direction,
        haze=np.zeros_like(shading),
        outline=outline,
    )


def resized_depth(depth_z: Map, size: tuple[int, int]) -> Map:
    """Depth at another size (height, width); what is empty stays so, and nothing else does."""
    wanted = (size[1], size[0])
    empty = cv2.resize(floats(~np.isfinite(depth_z)), wanted, interpolation=cv2.INTER_NEAREST) > 0
    filled = _filled(floats(depth_z), np.isfinite(depth_z))
    disparity = cv2.resize(1 / filled, wanted, interpolation=cv2.INTER_LINEAR)
    return np.where(empty, np.float32(np.inf), 1 / disparity)


def _filled(depth_z: Map, hit: np.ndarray) -> Map:
    """Depth without infinities and without the outliers that fields have in empty space."""
    if not hit.any():
        return np.ones_like(depth_z)
    low, high = np.percentile(depth_z[hit], [1, 99])
    return floats(np.clip(np.where(hit, depth_z, high), max(low, 1e-6), max(high, 1e-6)))


def _following(picture: VectorMap, depth_z: Map) -> Map:
    """Depth, smooth but for where the picture has edges, too.

    A field's depth is bumpy where its pictures are even. Guided filter of disparity by brightness
    (He, Sun, Tang 2010, https://doi.org/10.1007/978-3-642-15549-9_1): around every pixel disparity
    is a straight line over brightness.
    """
    disparity = 1 / depth_z
    scale = disparity.max()
    disparity = disparity / scale
    guide = blur(brightness(picture), 0.8)
    window = 2 * max(2, round(max(depth_z.shape) * _SMOOTHED_SHARE)) + 1

    def mean(values: np.ndarray) -> Map:
        return cv2.blur(floats(values), (window, window))

    guide_mean, disparity_mean = mean(guide), mean(disparity)
    variance = mean(guide * guide) - guide_mean**2
    covariance = mean(guide * disparity) - guide_mean * disparity_mean
    slope = covariance / (variance + np.float32(_EVEN))
    offset = disparity_mean - slope * guide_mean
    smooth = np.maximum(mean(slope) * guide + mean(offset), np.float32(0.02))
    return floats(1 / (smooth * scale))


def _rays_and_points(depth_z: Map, focal: float) -> tuple[VectorMap, VectorMap]:
    """Unit view rays and surface points in OpenGL axes (x right, y up, z towards the viewer)."""
    height, width = depth_z.shape
    rows, columns = floats(np.indices((height, width)))
    right = (columns + 0.5 - width / 2) / focal
    up = (height / 2 - rows - 0.5) / focal
    rays = floats(np.stack([right, up, -np.ones_like(right)], -1))
    smooth = blur(depth_z, 1.2)
    return rays / np.linalg.norm(rays, axis=-1, keepdims=True), rays * smooth[..., None]


def _normals(position: VectorMap) -> VectorMap:
    """Unit normals of the surface through the points, turned towards the viewer."""
    right, down = np.gradient(position, axis=1), np.gradient(position, axis=0)
    normal = np.cross(right, -down)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + np.float32(1e-12)
    return floats(normal * np.where(normal[..., 2:] < 0, -1, 1))


def _colour_and_light(picture: VectorMap) -> tuple[VectorMap, Map]:
    """Albedo and shading, whose product is roughly the picture."""
    smooth = cv2.bilateralFilter(floats(brightness(picture)), 9, 0.15, 9)
    bright = max(float(np.percentile(smooth, 95)), 0.2)
    shading = floats(np.clip(0.35 + 0.65 * smooth / bright, 0.2, 1.1))
    albedo = np.clip(picture / (0.45 + 0.55 * shading[..., None]), 0, 1)
    return floats(albedo), shading


def _regions(picture: VectorMap) -> Int[np.ndarray, "height width"]:
    from skimage.segmentation import felzenszwalb

    regions = felzenszwalb(
        picture, scale=_REGION_SCALE, sigma=0.8, min_size=_REGION_PIXELS, channel_axis=-1
    )
    return regions + FIRST_OBJECT


def _depth_edges(depth_z: Map) -> Map:
    disparity = 1 / depth_z
    disparity = blur(disparity / disparity.max(), 1.0)
    return _outlines(_gradient(disparity), _LEAST_STRONG_DEPTH_EDGE)


def _colour_edges(picture: VectorMap) -> Map:
    lab = blur(cv2.cvtColor(picture, cv2.COLOR_RGB2LAB), 1.0)
    strength = sum((_gradient(lab[..., channel]) for channel in range(3)), np.zeros((), np.float32))
    return _outlines(floats(strength), _LEAST_STRONG_COLOUR_EDGE)


def _outlines(strength: Map, least_strong: float) -> Map:
    """Thin the edges' strength: without its flanks a soft edge becomes a line, not a band."""
    strong = max(float(np.percentile(strength, 97)), least_strong)
    ridge = strength / strong - 0.55 * blur(strength / strong, 2.5)
    return floats(np.clip(1.5 * (ridge - _FAINTEST_EDGE), 0, 1))


def _gradient(values: Map) -> Float[np.ndarray, "height width"]:
    """Change per pixel, its length over both axes."""
    return np.hypot(cv2.Sobel(values, -1, 1, 0), cv2.Sobel(values, -1, 0, 1)) / np.float32(8)
