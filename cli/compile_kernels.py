"""Compile what is compiled at its first use, so that a first run takes no longer than later ones.

    python -m cli.compile_kernels          # `make setup` ends with it

A field of each kind is trained on noise for two steps and rendered, in the very code that a scene
takes; the compiled kernels then lie beside their sources, where numba keeps them.
"""

import logging
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import get_args

import numpy as np

from engine.troubles import told
from scenestyle.artifacts import pose_frame, write_json, write_rgb
from scenestyle.cameras import PinholeCamera
from scenestyle.device import VARIABLE, let_idle_threads_sleep
from scenestyle.geometry.poses import look_at
from scenestyle.params import TrainNerf

_SIDE = 48
_NUM_VIEWS = 6


def cameras_round() -> dict[str, PinholeCamera]:
    """Cameras on a circle, by the name of their photo."""
    centre, up = np.zeros(3), np.array([0.0, 0, 1])
    angles = np.linspace(0, 2 * np.pi, _NUM_VIEWS, endpoint=False)
    eyes = np.stack([np.cos(angles), np.sin(angles), np.full(_NUM_VIEWS, 0.5)], axis=1)
    half = _SIDE / 2
    return {
        f"photo_{index}": PinholeCamera(
            look_at(eye, centre, up), _SIDE, _SIDE, half, half, _SIDE, _SIDE
        )
        for index, eye in enumerate(eyes)
    }


def write_noise(poses: Path) -> None:
    """A poses folder whose photos are noise."""
    generator = np.random.default_rng(0)
    frames = []
    for name, camera in cameras_round().items():
        write_rgb(poses / "images" / f"{name}.png", generator.random((_SIDE, _SIDE, 3)))
        frames.append(pose_frame(name, camera))
    write_json(poses / "transforms.json", {"camera_model": "PINHOLE", "frames": frames})


def use(folder: Path, params: TrainNerf) -> None:
    """Train a field, render a view, and compare it with itself on a plane before the camera."""
    from scenestyle.metrics.warp import link_views, warp_errors
    from scenestyle.nerf.field import load_field
    from scenestyle.nerf.train import train

    poses, run = folder / "poses", folder / params.field
    if not poses.exists():
        write_noise(poses)
    run.mkdir()
    train(poses, run, params, work=folder / "work" / params.field)
    field = load_field(run)
    camera = field.views[0].camera
    rgb = field.render(camera).rgb
    plane_z = np.ones(rgb.shape[:2], np.float32)
    links = link_views([plane_z, plane_z], [camera, camera], gap=1, tau=0.02)
    warp_errors([rgb, rgb], links)


def compile_kernels() -> None:
    """Use every kernel that a scene takes from its photos to its report."""
    fields = get_args(TrainNerf.__annotations__["field"])
    with tempfile.TemporaryDirectory() as folder:
        for field in fields:
            params = TrainNerf(field=field, iterations=2, max_image_side=_SIDE, holdout_every=3)
            use(Path(folder), params)


def main() -> None:
    """Command line."""
    os.environ[VARIABLE] = "cpu"  # whose kernels they are, whatever else the machine has
    let_idle_threads_sleep()
    # Of there being no points, and of what libraries find old in each other: nothing is kept here.
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    sys.exit(told(compile_kernels))


if __name__ == "__main__":
    main()
