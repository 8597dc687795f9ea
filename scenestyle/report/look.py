"""A look round the scene in the report: clouds of points under a camera that the reader moves.

`viewer/viewer.js` draws them; `viewer/viewer.min.js` is that program with the parts of three.js
that it uses, bundled by `make viewer`.
"""

import json
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from jaxtyping import Float

from scenestyle.cameras import PinholeCamera

_LEVELS = 2**16 - 1


@dataclass(frozen=True)
class Cloud:
    """Coloured points as the viewer reads them."""

    content: bytes
    """three uint16 per point, its place as shares of the box, then three uint8 per point, its
    RGB"""
    layout: str
    """JSON: how many points, the box's lowest corner and its side, and the side of a drawn point,
    scene units"""


@dataclass(frozen=True)
class Look:
    """What the reader can look round."""

    before: Cloud
    after: Cloud
    camera: str
    """JSON: where the look begins"""


def pack_cloud(points: Float[np.ndarray, "n 3"], colours: Float[np.ndarray, "n 3"]) -> Cloud:
    """Round positions to 1/65535 of the cloud's longest side and colours to 8 bits.

    Args:
        points: Scene units; at least two different ones, about evenly spaced.
        colours: RGB in [0, 1].
    """
    low = points.min(axis=0)
    size = float(np.ptp(points, axis=0).max())
    places = np.rint((points - low) / size * _LEVELS).astype("<u2")
    rgb = np.rint(np.clip(colours, 0, 1) * 255).astype(np.uint8)
    layout = {
        "count": len(points),
        "low": [round(float(x), 6) for x in low],
        "size": round(size, 6),
        "spacing": round(_spacing(points), 6),
    }
    return Cloud(places.tobytes() + rgb.tobytes(), json.dumps(layout))


def start_at(
    camera: PinholeCamera,
    *,
    focus: Float[np.ndarray, " 3"],
    radius: float,
    up: Float[np.ndarray, " 3"],
) -> str:
    """The viewer's first camera: at a camera's place, turned to `focus`.

    Args:
        camera: A camera in the field's frame.
        focus: The point that the look turns about.
        radius: Distance from the focus up to which points are evenly spaced, scene units.
        up: The scene's up direction.
    """
    fov = 2 * np.degrees(np.arctan(camera.height / 2 / camera.fy))
    numbers = {"position": camera.c2w_opengl[:3, 3], "focus": focus, "up": up}
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
