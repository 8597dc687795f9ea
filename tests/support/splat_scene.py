"""The demo scene as splats, one per visible pixel of its cameras, and these cameras; no training."""

from pathlib import Path

import numpy as np

from scenestyle.artifacts import write_json, write_map, write_rgb, write_views
from scenestyle.cameras import PinholeCamera
from scenestyle.geometry import opencv_from_opengl, unproject
from scenestyle.params import EstimatePoses, TrainNerf
from scenestyle.splat_file import SplatFile, write_splats
from training.procedural.demo_scene import demo_cameras, demo_scene
from training.procedural.raycast import render

_SH_0 = 0.28209479177387814
PARAMS = TrainNerf(field="nerfacto", max_image_side=48, holdout_every=4)
"""of nerfacto, which such a scene ignores"""


def splat_cameras(num_views: int = 8) -> dict[str, PinholeCamera]:
    """Cameras of 48x36 pixels, by name."""
    chosen = list(demo_cameras().items())[:: 32 // num_views]
    return {name: camera.resized(48, 36) for name, camera in chosen}


def demo_splats(bases: int = 1, *, per_view: int = 200) -> SplatFile:
    """Opaque balls on the surface, with random small higher harmonics, quaternions of any length."""
    generator = np.random.default_rng(0)
    means, sizes, colours = [], [], []
    for camera in splat_cameras().values():
        buffers = render(demo_scene(), camera)
        rows, columns = np.nonzero(buffers.hit)
        chosen = generator.permutation(len(rows))[:per_view]
        at = rows[chosen], columns[chosen]
        means.append(unproject(buffers.depth_z, camera)[at])
        sizes.append(1.5 * buffers.depth_z[at] / camera.fx)
        colours.append(buffers.rgb[at])
    xyz = np.concatenate(means)
    harmonics = 0.02 * generator.normal(size=(len(xyz), bases, 3))
    harmonics[:, 0] = (np.concatenate(colours) - 0.5) / _SH_0
    parts = (
        xyz,
        3 * generator.normal(size=(len(xyz), 4)),
        np.log(np.concatenate(sizes))[:, None].repeat(3, axis=1),
        np.full(len(xyz), 3.0),
        harmonics,
    )
    return SplatFile(*(part.astype(np.float32) for part in parts))


def write_scene(folder: Path, splats: SplatFile | None = None) -> SplatFile:
    """What 3DGS's training leaves: splats after some steps, its cameras, the points it began at."""
    splats = demo_splats(16) if splats is None else splats
    write_splats(folder / "point_cloud" / "iteration_30000" / "point_cloud.ply", splats)
    write_json(folder / "cameras.json", [by_3dgs(*each) for each in splat_cameras().items()])
    return splats


def write_tiny_splat_scene(root: Path) -> None:
    """`source`, of degree 3 with some splats that nobody can see, taken over: `poses`, `nerf`,
    `views`, and their negatives in `stylized`."""
    from scenestyle.nerf.field import load_field
    from scenestyle.nerf.train import train
    from scenestyle.sfm import estimate_poses

    splats = demo_splats(16)
    splats.logits[::50] = -30
    write_scene(root / "source", splats)
    for name in ("poses", "nerf"):
        (root / name).mkdir()
    estimate_poses(root / "source", root / "poses", EstimatePoses(), work=root / "work")
    train(root / "poses", root / "nerf", PARAMS, work=root / "work")
    field = load_field(root / "nerf")
    for view in field.views:
        seen = field.render(view.camera)
        write_rgb(root / "views/rgb" / f"{view.name}.png", seen.rgb)
        write_map(root / "views/depth_z" / f"{view.name}.npy", seen.depth_z)
        write_map(root / "views/opacity" / f"{view.name}.npy", seen.opacity)
        write_rgb(root / "stylized/rgb" / f"{view.name}.png", 1 - seen.rgb)
    write_views(root / "views", field.views)


def by_3dgs(name: str, camera: PinholeCamera) -> dict[str, object]:
    """A camera as 3DGS's training writes it."""
    c2w_opencv = opencv_from_opengl(camera.c2w_opengl)
    return {
        "id": 0,
        "img_name": name,
        "width": camera.width,
        "height": camera.height,
        "position": c2w_opencv[:3, 3].tolist(),
        "rotation": c2w_opencv[:3, :3].tolist(),
        "fx": camera.fx,
        "fy": camera.fy,
    }
