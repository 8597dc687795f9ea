"""A posed scene, a source field and stylized views of it, small enough to train in seconds."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from scenestyle.artifacts import (
    SparsePoints,
    read_json,
    read_rgb,
    read_views,
    write_json,
    write_map,
    write_points,
    write_rgb,
    write_views,
)
from scenestyle.cameras import PinholeCamera
from scenestyle.geometry import unproject
from scenestyle.params import TrainNerf
from training.procedural.demo_scene import demo_cameras, demo_scene
from training.procedural.raycast import render

SOURCE_STEPS = 60
PARAMS = TrainNerf(
    field="nerfacto",
    iterations=SOURCE_STEPS,
    rays_per_batch=256,
    max_image_side=48,
    holdout_every=4,
    num_levels=4,
    max_resolution=64,
    log2_hashmap_size=10,
    proposal_log2_hashmap_size=10,
    hidden_dim=16,
    num_proposal_samples=(16,),
    num_samples=8,
    anneal_iterations=20,
)


SPLATS = TrainNerf(
    field="splats",
    iterations=150,
    max_image_side=48,
    holdout_every=4,
    num_gaussians=900,
    start_pixels=200,
)


def write_tiny_points(folder: Path) -> None:
    """Points of the demo scene's surface, as the views of `write_tiny_poses` see them."""
    generator = np.random.default_rng(0)
    xyz, rgb, names, sightings = [], [], [], []
    for frame in read_json(folder / "transforms.json")["frames"]:
        camera = PinholeCamera(
            np.array(frame["transform_matrix"]),
            *(frame[key] for key in ("fl_x", "fl_y", "cx", "cy", "w", "h")),
        )
        buffers = render(demo_scene(), camera)
        rows, columns = (generator.integers(0, side, 40) for side in buffers.depth_z.shape)
        begin = len(names) * 40
        xyz.append(unproject(buffers.depth_z, camera)[rows, columns])
        rgb.append(buffers.rgb[rows, columns])
        sightings += [(len(names), begin + index) for index in range(40)]
        names.append(Path(frame["file_path"]).stem)
    points = SparsePoints(
        np.concatenate(xyz).astype(np.float32),
        np.concatenate(rgb).astype(np.float32),
        np.zeros(40 * len(names), np.float32),
        names,
        np.array(sightings, np.int32),
    )
    write_points(folder, points)


def write_tiny_poses(folder: Path, *, num_views: int = 8) -> None:
    """Photos of the demo scene, 48x36, at their true poses, as estimate_poses writes them."""
    frames = []
    for name, camera in list(demo_cameras().items())[:: 32 // num_views]:
        small = camera.resized(48, 36)
        write_rgb(folder / "images" / f"{name}.png", render(demo_scene(), small).rgb)
        frames.append(
            {
                "file_path": f"images/{name}.png",
                "transform_matrix": small.c2w_opengl.tolist(),
                "fl_x": small.fx,
                "fl_y": small.fy,
                "cx": small.cx,
                "cy": small.cy,
                "w": small.width,
                "h": small.height,
            }
        )
    write_json(folder / "transforms.json", {"camera_model": "PINHOLE", "frames": frames})


def write_tiny_source(folder: Path, params: TrainNerf = PARAMS) -> None:
    """A source run in `folder/nerf`, its views in `folder/views`, their negatives in `folder/stylized`."""
    from scenestyle.nerf.field import load_field
    from scenestyle.nerf.train import train

    poses, nerf, views = (folder / name for name in ("poses", "nerf", "views"))
    write_tiny_poses(poses)
    write_tiny_points(poses)
    nerf.mkdir()
    train(poses, nerf, params, work=folder / "work")
    field = load_field(nerf)
    posed = [replace(view, camera=view.camera.resized(48, 36)) for view in field.views]
    for view in posed:
        rendering = field.render(view.camera)
        write_rgb(views / "rgb" / f"{view.name}.png", rendering.rgb)
        write_map(views / "depth_z" / f"{view.name}.npy", rendering.depth_z)
        write_map(views / "opacity" / f"{view.name}.npy", rendering.opacity)
    write_views(views, posed)
    for view in read_views(views):
        negative = 1 - read_rgb(views / "rgb" / f"{view.name}.png")
        write_rgb(folder / "stylized" / "rgb" / f"{view.name}.png", negative.astype(np.float32))
