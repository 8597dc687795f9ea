"""What the style filters are made of: colour arithmetic, and maps of what a photograph shows.

Regular patterns have the period of the 8-pixel blocks behind the latents, so that a pattern looks
the same in every latent and a model can learn it.
"""

import cv2
import numpy as np
from jaxtyping import Float, Int

from training.procedural.arrays import floats
from training.procedural.raycast import Buffers

BLOCK = 8
"""pixels per latent along each axis"""

Map = Float[np.ndarray, "height width"]
Picture = Float[np.ndarray, "height width 3"]
Labels = Int[np.ndarray, "height width"]


def blur(values: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur; `sigma` in pixels."""
    return cv2.GaussianBlur(floats(values), (0, 0), sigma)


def brightness(colour: Picture) -> Map:
    """Brightness as ITU-R BT.601 weighs it."""
    return colour @ floats([0.299, 0.587, 0.114])


def pixel_indices(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of every pixel."""
    indices = np.indices(shape)
    return indices[0], indices[1]


def mix(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> Picture:
    """From `first` at share 0 to `second` at share 1."""
    weight = np.asarray(share, np.float32)[..., None]
    return first * (1 - weight) + second * weight


def to_hsv(colour: Picture) -> Picture:
    """Hue in degrees, saturation and value in 0..1."""
    return cv2.cvtColor(np.clip(colour, 0, 1).astype(np.float32), cv2.COLOR_RGB2HSV)


def to_rgb(hsv: Picture) -> Picture:
    """Inverse of `to_hsv`."""
    return cv2.cvtColor(hsv.astype(np.float32), cv2.COLOR_HSV2RGB)


def saturated(colour: Picture, factor: float) -> Picture:
    """The colour moved away from its grey (factor above 1) or towards it."""
    grey = brightness(colour)[..., None]
    return grey + (colour - grey) * np.float32(factor)


def grain(rng: np.random.Generator, buffers: Buffers, sigma: float) -> Map:
    """Random field of unit standard deviation, correlated over `sigma` pixels."""
    noise = blur(rng.standard_normal(buffers.hit.shape).astype(np.float32), sigma)
    return noise / (noise.std() + 1e-6)


def hatching(buffers: Buffers, slope: int) -> Map:
    """Diagonal lines, 0..1, whose period is the 8 pixels of one latent."""
    rows, columns = np.indices(buffers.hit.shape)
    return (0.5 + 0.5 * np.cos((rows + slope * columns) * (2 * np.pi / BLOCK))).astype(np.float32)


def tone_edges(colour: Picture) -> Map:
    """Strength of the brightness edges, about 1 at strong ones."""
    luma = blur(brightness(colour).astype(np.float32), 0.8)
    return np.hypot(cv2.Sobel(luma, -1, 1, 0), cv2.Sobel(luma, -1, 0, 1)) * np.float32(1.4)


def normalised_detail(buffers: Buffers) -> Map:
    """Brightness of the texture against its surroundings, in local standard deviations."""
    luma = np.log(brightness(buffers.albedo) + 0.05).astype(np.float32)
    smooth = blur(luma, 0.8)
    mean = cv2.blur(smooth, (33, 33))
    spread = np.sqrt(np.maximum(cv2.blur(np.square(smooth - mean), (33, 33)), 0) + 2e-4)
    return (smooth - mean) / spread


def segment_means(values: Picture, labels: Labels) -> Picture:
    """Every pixel's value replaced by the mean over all pixels of its label."""
    _, flat = np.unique(labels, return_inverse=True)
    flat = flat.ravel()
    sums = np.stack([np.bincount(flat, values[..., c].ravel()) for c in range(3)], -1)
    means = sums / np.bincount(flat)[:, None]
    return means[flat].reshape(values.shape).astype(np.float32)


def strokes(cos_double: Map, sin_double: Map) -> Map:
    """Brush strokes, -1..1, along a direction given as cosine and sine of twice its angle.

    The angle runs from the x axis (right) towards the y axis (down). Four stroke patterns of the
    period of one latent, blended by how near their direction is: a model has to place them, not to
    invent them.
    """
    rows, columns = floats(np.indices(cos_double.shape)) * np.float32(2 * np.pi / BLOCK)
    length = np.hypot(cos_double, sin_double) + 1e-3
    total = np.zeros_like(cos_double)
    for angle, phase, along in (
        (0, rows, columns),
        (45, rows - columns, rows + columns),
        (90, columns, rows),
        (135, rows + columns, rows - columns),
    ):
        double = np.deg2rad(2 * angle)
        nearness = (cos_double * np.cos(double) + sin_double * np.sin(double)) / length
        total = total + np.square(np.clip(nearness, 0, 1)) * np.cos(phase + 0.6 * np.cos(along / 2))
    return total.astype(np.float32)


def solid_tones(colour: Picture, buffers: Buffers, share: float) -> Picture:
    """The colour drawn towards the mean colour of its thing by `share`: areas become flat."""
    return colour + (segment_means(colour, buffers.ids) - colour) * np.float32(share)
