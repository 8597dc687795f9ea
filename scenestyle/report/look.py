"""A look round the scene in the report: points or Gaussians under a camera that the reader moves.

`viewer/viewer.js` draws them; `viewer/viewer.min.js` is that program with the parts of three.js
that it uses, bundled by `make viewer`.
"""

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

import numpy as np
from jaxtyping import Float

from scenestyle.cameras import PinholeCamera

Kind = Literal["points", "splats"]

_LEVELS = 2**16 - 1
_BYTE = 2**8 - 1
_LEAST_OPACITY = 1 / 255
"""what is fainter is never drawn"""
_SH_0, _SH_1 = np.sqrt(0.25 / np.pi), np.sqrt(0.75 / np.pi)
"""factors of the spherical harmonics of degree 0 and 1"""


@dataclass(frozen=True)
class Cloud:
    """Coloured points or Gaussians as the viewer reads them."""

    content: bytes
    """array after array; `pack_points` and `pack_splats` say which"""
    layout: str
    """JSON: how many there are, and what turns the rounded numbers back"""
    kind: Kind = "points"


@dataclass(frozen=True)
class Look:
    """What the reader can look round."""

    before: Cloud
    after: Cloud
    camera: str
    """JSON: where the look begins"""
    aspect: float = 4 / 3
    """width over height of the view that it begins with"""


def pack_points(points: Float[np.ndarray, "n 3"], colours: Float[np.ndarray, "n 3"]) -> Cloud:
    """Round positions to 1/65535 of the cloud's longest side and colours to 8 bits.

    Three uint16 per point, its place as shares of the box, then three uint8 per point, its RGB; the
    layout tells the box's lowest corner and its side, and the side of a drawn point, scene units.

    Args:
        points: Scene units; at least two different ones, about evenly spaced.
        colours: RGB in [0, 1].
    """
    places, box = _places(points)
    rgb = np.rint(np.clip(colours, 0, 1) * _BYTE).astype(np.uint8)
    layout = {"count": len(points), **box, "spacing": round(_spacing(points), 6)}
    return Cloud(places.tobytes() + rgb.tobytes(), json.dumps(layout))


def pack_splats(
    places: Float[np.ndarray, "n 3"],
    *,
    quats: Float[np.ndarray, "n 4"],
    log_scales: Float[np.ndarray, "n 3"],
    logits: Float[np.ndarray, " n"],
    harmonics: Float[np.ndarray, "n bases 3"],
) -> Cloud:
    """Round Gaussians to 17 bytes each, or to 26 where colours change with the direction.

    Per Gaussian three uint16, its place as shares of the box; then, array after array, in uint8 its
    opacity, three log scales, the quaternion (int8), its RGB, and what the direction adds to that.
    The layout tells the box, and the lowest value and step of scales, colours and harmonics. Those
    too faint to be drawn are dropped.

    Args:
        places: Centres in contracted space, about the viewer's focus: there, rounding moves what is
            far no more than what is near, as the viewer sees it.
        quats: Rotations (w, x, y, z) of length 1.
        log_scales: Log of the standard deviations along the Gaussian's own axes, scene units.
        logits: Opacities before the sigmoid.
        harmonics: Spherical harmonics of the colour, 1 or 4 bases.
    """
    opacities = 1 / (1 + np.exp(-logits.astype(np.float64)))
    drawn = opacities >= _LEAST_OPACITY
    rounded_places, box = _places(places[drawn])
    scales, of_scales = _bytes_of(log_scales[drawn])
    first, *others = np.moveaxis(harmonics[drawn], 1, 0)
    colours, of_colours = _bytes_of(np.clip(_SH_0 * first + 0.5, None if others else 0, None))
    rest, of_rest = _bytes_of(_SH_1 * harmonics[drawn, 1:])
    content = [
        rounded_places,
        np.rint(opacities[drawn] * _BYTE).astype(np.uint8),
        scales,
        np.rint(quats[drawn] * 127).astype(np.int8),
        colours,
        rest,
    ]
    layout = {
        "count": int(drawn.sum()),
        **box,
        "bases": harmonics.shape[1],
        "scales": of_scales,
        "colours": of_colours,
        "harmonics": of_rest,
    }
    return Cloud(b"".join(each.tobytes() for each in content), json.dumps(layout), "splats")


def start_at(
    camera: PinholeCamera,
    *,
    focus: Float[np.ndarray, " 3"],
    radius: float,
    up: Float[np.ndarray, " 3"],
) -> str:
    """The viewer's first camera: a camera of the scene, but upright.

    It turns about the point in front of it, on its axis, that is nearest to `focus`.

    Args:
        camera: A camera in the field's frame.
        focus: The middle of what the cameras look at.
        radius: Distance from the focus up to which points are evenly spaced, scene units.
        up: The scene's up direction.
    """
    fov = 2 * np.degrees(np.arctan(camera.height / 2 / camera.fy))
    position, forward = camera.c2w_opengl[:3, 3], -camera.c2w_opengl[:3, 2]
    away = max(forward @ (focus - position), 0.5 * np.linalg.norm(focus - position))
    target = position + away * forward
    numbers = {"position": position, "target": target, "focus": focus, "up": up}
    rounded = {name: [round(float(x), 6) for x in value] for name, value in numbers.items()}
    return json.dumps({**rounded, "radius": round(radius, 6), "fov": round(float(fov), 3)})


def viewer_program() -> str:
    """The bundled program, to be put into a page's script element."""
    return files("scenestyle.report").joinpath("viewer/viewer.min.js").read_text(encoding="ascii")


def _spacing(points: Float[np.ndarray, "n 3"]) -> float:
    """Lower quartile of the nearest-neighbour distance, from a sample of a thousand points."""
    from scipy.spatial import KDTree

    some = points[:: max(1, len(points) // 1000)]
    distances, _ = KDTree(points).query(some, k=2)
    return float(np.percentile(distances[:, 1], 25))


def _places(points: Float[np.ndarray, "n 3"]) -> tuple[np.ndarray, dict[str, object]]:
    """Points as shares of the cube that holds them, uint16, and its lowest corner and side."""
    low = points.min(axis=0)
    size = float(np.ptp(points, axis=0).max())
    shares = np.rint((points - low) / size * _LEVELS).astype("<u2")
    return shares, {"low": [round(float(x), 6) for x in low], "size": round(size, 6)}


def _bytes_of(values: Float[np.ndarray, "..."]) -> tuple[np.ndarray, list[float]]:
    """Numbers as uint8, and the lowest value and the step that turn them back."""
    if values.size == 0:
        return np.empty(values.shape, np.uint8), [0.0, 0.0]
    low = float(values.min())
    step = max(float(np.ptp(values)) / _BYTE, 1e-9)
    return np.rint((values - low) / step).astype(np.uint8), [round(low, 6), round(step, 9)]
