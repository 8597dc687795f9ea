"""What ControlNets are shown of rendered views, and how a pipeline is told."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

from scenestyle.diffusion.control_nets import UNION_MODES
from scenestyle.params import Control, ControlKind

if TYPE_CHECKING:
    from torch import Tensor

Drawing = UInt8[np.ndarray, "height width"]

_CANNY_THRESHOLDS = 100, 200
"""of the gradient, grey levels a pixel: what published ControlNets for Canny edges are shown"""
_LINE_WIDTH = 6 / 512
"""std of the blur that a line is darker than, in units of the shorter side"""
_FAINTEST_LINE = 8
"""grey levels"""
_LINE_LEVEL = 127
"""grey level of a line as dark as the middle one"""


def control_pictures(
    controls: Sequence[Control],
    images: "Float[Tensor, 'views 3 _ _']",
    disparity: "Float[Tensor, 'views 1 _ _']",
    sizes: Sequence[tuple[int, int]],
) -> "list[Float[Tensor, 'views 3 _ _']]":
    """What each control shows of all views, 0..1.

    Args:
        controls: Whose kinds count.
        images: The views, 0..1, each in the upper left corner of a row as large as the largest.
        disparity: Of the same pixels, near is bright.
        sizes: Width and height of each view.
    """
    # Antialiasing may overshoot where a view is brought to another size.
    images = images.clamp(0, 1)
    drawings = {"lineart": dark_lines, "canny": edges}

    def picture(kind: ControlKind) -> "Tensor":
        if kind == "tile":
            return images
        if kind == "depth":
            return disparity.expand(-1, 3, -1, -1)
        return _drawn(drawings[kind], images, sizes)

    return [picture(control.kind) for control in controls]


def control_arguments(
    controls: Sequence[Control],
    pictures: "Sequence[Float[Tensor, 'views 3 _ _']]",
    scale: float,
    *,
    union: bool,
) -> Mapping[str, Any]:
    """What to call a pipeline of diffusers with.

    Args:
        controls: In the order of its ControlNets.
        pictures: From `control_pictures`.
        scale: Factor on the scale of each.
        union: Whether one network sees all of them.
    """
    lists = {
        "control_image": list(pictures),
        "controlnet_conditioning_scale": [scale * control.scale for control in controls],
        "control_guidance_start": [control.start for control in controls],
        "control_guidance_end": [control.end for control in controls],
    }
    if union:
        return {**lists, "control_mode": [UNION_MODES[control.kind] for control in controls]}
    return lists if len(controls) > 1 else {name: values[0] for name, values in lists.items()}


def edges(rgb: UInt8[np.ndarray, "height width 3"]) -> Drawing:
    """Edges, white on black (Canny 1986, "A computational approach to edge detection")."""
    import cv2

    return cv2.Canny(rgb, *_CANNY_THRESHOLDS)


def dark_lines(rgb: UInt8[np.ndarray, "height width 3"]) -> Drawing:
    """Lines that are darker than what is round them in every channel, white on black.

    How much darker they are than the blurred image, in units of the median over all that is a line
    at all, as ControlNet's preprocessor `lineart_standard` has it.
    """
    import cv2

    picture = rgb.astype(np.float32)
    around = cv2.GaussianBlur(picture, (0, 0), _LINE_WIDTH * min(rgb.shape[:2]))
    darker = (around - picture).min(axis=2).clip(0, 255)
    lines = darker[darker > _FAINTEST_LINE]
    middle = max(2.0 * _FAINTEST_LINE, float(np.median(lines)) if lines.size else 0.0)
    return (darker / middle * _LINE_LEVEL).clip(0, 255).astype(np.uint8)


def _drawn(
    draw: Callable[[np.ndarray], Drawing],
    images: "Float[Tensor, 'views 3 _ _']",
    sizes: Sequence[tuple[int, int]],
) -> "Float[Tensor, 'views 3 _ _']":
    import torch

    shown = torch.zeros_like(images)
    for row, image, (width, height) in zip(shown, images, sizes, strict=True):
        view = image[:, :height, :width].movedim(0, -1).numpy()
        drawing = draw(np.ascontiguousarray((view * 255).round().astype(np.uint8)))
        row[:, :height, :width] = torch.from_numpy(drawing).to(row) / 255
    return shown
