import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenestyle.params import TrainNerf
from scenestyle.procedural.demo_scene import demo_cameras, demo_scene
from scenestyle.procedural.raycast import render

TINY = TrainNerf(
    iterations=12,
    rays_per_batch=128,
    max_image_side=24,
    holdout_every=4,
    num_levels=4,
    max_resolution=64,
    log2_hashmap_size=10,
    proposal_log2_hashmap_size=9,
    hidden_dim=16,
    num_proposal_samples=(16,),
    num_samples=8,
)


def write_poses(folder: Path, *, num_views: int = 8) -> Path:
    """Views of the demo scene with their true poses; the first photo is larger than the others."""
    (folder / "images").mkdir(parents=True)
    scene, frames = demo_scene(), []
    cameras = list(demo_cameras().items())
    for index, (name, camera) in enumerate(cameras[:: len(cameras) // num_views][:num_views]):
        camera = camera.resized(96, 72) if index == 0 else camera.resized(48, 36)
        rgb = np.rint(render(scene, camera).rgb * 255).astype(np.uint8)
        Image.fromarray(rgb).save(folder / "images" / f"{name}.png")
        frames.append(
            {
                "file_path": f"images/{name}.png",
                "transform_matrix": camera.c2w_opengl.tolist(),
                "fl_x": camera.fx,
                "fl_y": camera.fy,
                "cx": camera.cx,
                "cy": camera.cy,
                "w": camera.width,
                "h": camera.height,
            }
        )
    (folder / "transforms.json").write_text(
        json.dumps({"camera_model": "PINHOLE", "frames": frames}), encoding="utf-8"
    )
    return folder


@pytest.fixture(scope="session")
def poses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_poses(tmp_path_factory.mktemp("poses") / "demo")


@pytest.fixture(scope="session")
def params() -> TrainNerf:
    return TINY
