"""Whether images show the same structure, whatever their colours."""

import numpy as np
from jaxtyping import Float

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""ITU-R BT.601"""
_WINDOW = 11, 11
"""pixels"""
_C1, _C2 = 0.01**2, 0.03**2


def luminance_ssim(
    picture: Float[np.ndarray, "height width 3"], other: Float[np.ndarray, "height width 3"]
) -> float:
    """Structural similarity of the brightness of two images; 1 if equal, about 0 if unrelated.

    Mean over 11 x 11 Gaussian windows (sigma 1.5) of
    (2 m_x m_y + C1)(2 s_xy + C2) / ((m_x^2 + m_y^2 + C1)(s_x^2 + s_y^2 + C2)), with means m,
    (co)variances s, C1 = 0.01^2 and C2 = 0.03^2; beyond the border the image is mirrored, as in
    torchmetrics (whose import takes three seconds). Brightness is BT.601 luma.

    Args:
        picture: RGB in [0, 1], at least 11 pixels high and wide.
        other: Another image of the same size, RGB in [0, 1].

    Source: Wang et al. 2004, "Image Quality Assessment: From Error Visibility to Structural
        Similarity".
    """
    import cv2

    def mean(values: Float[np.ndarray, "height width"]) -> Float[np.ndarray, "height width"]:
        return cv2.GaussianBlur(values, _WINDOW, 1.5)

    # In double precision, as variances of flat surfaces are small differences of large squares.
    x, y = ((rgb @ _LUMA).astype(np.float64) for rgb in (picture, other))
    mean_x, mean_y = mean(x), mean(y)
    variances = mean(x * x + y * y) - mean_x**2 - mean_y**2
    covariance = mean(x * y) - mean_x * mean_y
    similarity = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    return float((similarity / ((mean_x**2 + mean_y**2 + _C1) * (variances + _C2))).mean())


def edge_correlation(
    picture: Float[np.ndarray, "height width 3"], other: Float[np.ndarray, "height width 3"]
) -> float:
    """Whether two images have their edges in the same places: 1 if equal, about 0 if unrelated.

    Correlation over all pixels of the strength of the brightness gradient (Sobel, after a Gaussian
    blur of 1.2 pixels).

    Args:
        picture: RGB in [0, 1].
        other: Another image of the same size, RGB in [0, 1].
    """
    return float((_edges(picture) * _edges(other)).mean())


def _edges(picture: Float[np.ndarray, "height width 3"]) -> Float[np.ndarray, "height width"]:
    """Strength of the gradient, of mean 0 and standard deviation 1."""
    import cv2

    brightness = cv2.GaussianBlur(picture.astype(np.float32).mean(-1), (0, 0), 1.2)
    strength = np.hypot(cv2.Sobel(brightness, -1, 1, 0), cv2.Sobel(brightness, -1, 0, 1))
    return (strength - strength.mean()) / (strength.std() + 1e-6)
