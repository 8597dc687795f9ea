"""The demo scene: a still life of our own, photographed along an arc.

    python -m training.procedural.demo_scene --out data/scenes/demo --truth CAMERAS.json

writes the photos that the repository holds, and beside them the cameras that structure from motion
should find. No gloss and one exposure, so that a surface has one colour from everywhere. Textures
do not repeat, so that a keypoint has one place; they are coarse, so that a short training learns
them, and cover every surface, so that it learns its depth too.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from scenestyle.cameras import PinholeCamera
from training.procedural.raycast import Room, Scene, field_of_view_camera, look_at, render
from training.procedural.solids import Primitive
from training.procedural.textures import Texture

NUM_PHOTOS = 32
WIDTH, HEIGHT = 384, 288
"""pixels"""

_ARC = np.radians(120)
_TARGET = (0.05, 0.45, 0.0)
_HORIZONTAL_FOV = np.radians(54)
_HOUSE_YAW = 0.5
_SAMPLES_PER_AXIS = 3
_JPEG_QUALITY = 92


def demo_scene() -> Scene:
    """House, ball, striped cone, column, ring and a stack of blocks on a meadow, in a room."""
    house = (-0.62, -0.42)
    column = (0.42, -1.0)
    stack = (1.12, 0.62)
    return Scene(
        primitives=(
            Primitive(
                "box",
                centre=(house[0], 0.42, house[1]),
                radius=0.44,
                half_height=0.42,
                texture=Texture((0.86, 0.76, 0.58), (0.5, 0.36, 0.26), "bricks", 3.6, 0.1, 1.0),
                yaw=_HOUSE_YAW,
            ),
            Primitive(
                "cone",
                centre=(house[0], 1.14, house[1]),
                radius=0.68,
                half_height=0.3,
                texture=Texture((0.8, 0.16, 0.1), (0.5, 0.08, 0.08), "camouflage", 5.0, 0.1, 4.0),
            ),
            Primitive(
                "box",
                centre=_on_wall(house, 0.44, _HOUSE_YAW, height=0.22),
                radius=0.12,
                half_height=0.22,
                texture=Texture((0.3, 0.17, 0.08), (0.5, 0.3, 0.14), "planks", 18.0, 0.1, 11.0),
                yaw=_HOUSE_YAW,
            ),
            Primitive(
                "box",
                centre=_on_wall(house, 0.44, _HOUSE_YAW + np.pi / 2, height=0.52),
                radius=0.11,
                half_height=0.11,
                texture=Texture((0.12, 0.2, 0.34), (0.4, 0.62, 0.8), "marble", 7.0, 0.05, 12.0),
                yaw=_HOUSE_YAW,
            ),
            Primitive(
                "sphere",
                centre=(0.62, 0.4, -0.02),
                radius=0.4,
                half_height=0.4,
                texture=Texture((0.1, 0.3, 0.82), (0.95, 0.85, 0.2), "camouflage", 3.5, 0.075, 9.0),
                yaw=0.4,
            ),
            Primitive(
                "cone",
                centre=(-0.85, 0.42, 0.75),
                radius=0.36,
                half_height=0.42,
                texture=Texture((0.95, 0.45, 0.06), (0.96, 0.93, 0.88), "stripes", 3.0, 0.1, 14.0),
            ),
            Primitive(
                "cylinder",
                centre=(column[0], 0.6, column[1]),
                radius=0.27,
                half_height=0.6,
                texture=Texture((0.14, 0.5, 0.26), (0.75, 0.86, 0.6), "marble", 4.0, 0.1, 17.0),
            ),
            Primitive(
                "sphere",
                centre=(column[0], 1.41, column[1]),
                radius=0.22,
                half_height=0.22,
                texture=Texture((0.95, 0.75, 0.15), (0.7, 0.4, 0.05), "marble", 6.0, 0.075, 21.0),
            ),
            Primitive(
                "torus",
                centre=(0.12, 0.42, 0.85),
                radius=0.42,
                half_height=0.0,
                texture=Texture(
                    (0.75, 0.15, 0.5), (0.96, 0.7, 0.8), "camouflage", 4.0, 0.075, 24.0
                ),
                yaw=0.35,
                tilt=np.pi / 2,
            ),
            Primitive(
                "box",
                centre=(stack[0], 0.24, stack[1]),
                radius=0.27,
                half_height=0.24,
                texture=Texture((0.42, 0.2, 0.62), (0.85, 0.75, 0.95), "checker", 4.1, 0.1, 27.0),
                yaw=0.2,
            ),
            Primitive(
                "box",
                centre=(stack[0], 0.66, stack[1]),
                radius=0.19,
                half_height=0.18,
                texture=Texture((0.08, 0.6, 0.62), (0.9, 0.95, 0.9), "marble", 5.0, 0.1, 30.0),
                yaw=0.9,
            ),
            Primitive(
                "sphere",
                centre=(stack[0], 1.0, stack[1]),
                radius=0.16,
                half_height=0.16,
                texture=Texture((0.9, 0.2, 0.16), (0.98, 0.9, 0.8), "camouflage", 7.0, 0.075, 33.0),
            ),
        ),
        ground=Texture((0.44, 0.52, 0.24), (0.72, 0.66, 0.42), "marble", 6.0, 0.14, 3.0),
        surroundings=Room(
            half_width=5.2,
            half_depth=5.2,
            height=4.6,
            wall=Texture((0.5, 0.62, 0.71), (0.78, 0.75, 0.68), "marble", 3.0, 0.1, 6.0),
        ),
        light_direction=tuple(np.array([0.45, 0.8, 0.4]) / np.linalg.norm([0.45, 0.8, 0.4])),
        ambient=0.5,
    )


def _on_wall(
    house: tuple[float, float], half_width: float, yaw: float, *, height: float
) -> tuple[float, float, float]:
    """Centre of a box that stands out of the house's wall whose normal is turned by `yaw`."""
    reach = half_width - 0.09
    return house[0] + reach * np.sin(yaw), height, house[1] + reach * np.cos(yaw)


def demo_cameras() -> dict[str, PinholeCamera]:
    """The cameras by photo name, in the order of the walk; world frame of the scene, y up.

    The walk is closed: along the arc at one height and back at another, so that every view has
    neighbours on both sides and parallax in both directions. It starts an eighth of a turn in,
    which keeps every eighth view away from the ends of the arc.
    """
    phase = 2 * np.pi * (np.arange(NUM_PHOTOS) / NUM_PHOTOS + 1 / 8)
    azimuth = np.pi / 2 + _ARC / 2 * np.sin(phase)
    elevation = np.radians(27 + 9 * np.cos(phase))
    distance = 4.1 + 0.25 * np.cos(2 * phase)
    eyes = np.array(_TARGET) + distance[:, None] * np.stack(
        [
            np.cos(elevation) * np.cos(azimuth),
            np.sin(elevation),
            np.cos(elevation) * np.sin(azimuth),
        ],
        axis=-1,
    )
    return {
        f"photo_{number:02d}": field_of_view_camera(
            look_at(eye, _TARGET), WIDTH, HEIGHT, _HORIZONTAL_FOV
        )
        for number, eye in enumerate(eyes)
    }


def write_photos(out: Path, cameras: dict[str, PinholeCamera]) -> None:
    """Render and write `NAME.jpg` for every camera; same code, same bytes."""
    out.mkdir(parents=True, exist_ok=True)
    scene = demo_scene()
    for name, camera in cameras.items():
        rgb = render(scene, camera, samples_per_axis=_SAMPLES_PER_AXIS).rgb
        photo = Image.fromarray(np.rint(rgb * 255).astype(np.uint8))
        photo.save(out / f"{name}.jpg", quality=_JPEG_QUALITY, subsampling=0)


def write_truth(path: Path, cameras: dict[str, PinholeCamera]) -> None:
    """Write a JSON list of names, intrinsics (pixels) and c2w (OpenGL axes, scene frame)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = [
        {
            "name": name,
            "c2w_opengl": camera.c2w_opengl.tolist(),
            **{key: getattr(camera, key) for key in ("fx", "fy", "cx", "cy", "width", "height")},
        }
        for name, camera in cameras.items()
    ]
    path.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


def main(argv: Iterable[str] | None = None) -> None:
    """Write photos and truth."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the photos")
    parser.add_argument("--truth", type=Path, required=True, help="JSON file for the cameras")
    options = parser.parse_args(None if argv is None else list(argv))
    cameras = demo_cameras()
    write_photos(options.out, cameras)
    write_truth(options.truth, cameras)


if __name__ == "__main__":
    main()
