"""The poses folder of a scene that came as splats: its cameras, and the splats themselves."""

import shutil
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from scenestyle.artifacts import SPLATS_KEY, SparsePoints, write_json, write_points
from scenestyle.cameras import fit_within
from scenestyle.capture import Capture
from scenestyle.capture.frames import frame_of
from scenestyle.capture.splats import SPLATS
from scenestyle.errors import InputError
from scenestyle.files import whole_file
from scenestyle.params import EstimatePoses
from scenestyle.sfm.plan import seen_from_above
from scenestyle.splat_file import SplatFile, read_splats
from scenestyle.viz.plan import camera_plan

if TYPE_CHECKING:
    import pycolmap

_MAX_POINTS = 20_000
_MIN_OPACITY = 0.1
_SH_0 = 0.28209479177387814


def write_splat_poses(
    capture: Capture, source: Path, out: Path, params: EstimatePoses
) -> dict[str, object]:
    """Write the poses folder of a scene of splats, in their own frame.

    It holds what that of photos holds, but for the photos: in their place lies the file of splats,
    which `transforms.json` names. Masks hide nothing, and the points are centres of splats.

    Args:
        capture: With splats.
        source: Folder that it was read from.
        out: Existing empty folder.
        params: Largest size of the views.

    Returns:
        The headlines of `report.json`.

    Raises:
        InputError: If the splats have no cameras.
    """
    start = time.monotonic()
    assert capture.splats is not None
    if capture.model is None:
        raise InputError(
            f"{source} holds splats without cameras. Take it in with scenestyle add-scene, which "
            "lays cameras round them."
        )
    model = capture.model
    for camera in model.cameras.values():
        camera.rescale(*fit_within(camera.width, camera.height, params.max_image_side))
    for folder in ("images", "masks", "sparse"):
        (out / folder).mkdir()
    shutil.copyfile(capture.splats, out / "images" / SPLATS)
    views = sorted(model.images.values(), key=lambda view: view.name)
    for view in views:
        camera = model.camera(view.camera_id)
        Image.new("L", (camera.width, camera.height), 255).save(out / "masks" / view.name)
    splats = read_splats(capture.splats)
    names = [Path(view.name).stem for view in views]
    points = _points(splats, names)
    write_points(out, points)
    _add_points(model, points)
    model.write(out / "sparse")
    write_json(
        out / "transforms.json",
        {
            "camera_model": "PINHOLE",
            SPLATS_KEY: f"images/{SPLATS}",
            "frames": [frame_of(view, model.camera(view.camera_id)) for view in views],
        },
    )
    headlines = {
        "source": capture.layout,
        "splats": len(splats.means),
        "cameras": len(views),
        "changed": list(capture.changed),
        "left_out": list(capture.left_out),
        "warnings": list(capture.warnings),
        "versions": {name: version(name) for name in ("pycolmap", "pillow")},
    }
    plan: Any = seen_from_above(model, [], {name: name for name in names})
    headlines["seconds"] = round(time.monotonic() - start, 1)
    write_json(out / "report.json", {**headlines, "seen_from_above": plan})
    with whole_file(out / "cameras.png") as file:
        file.write_bytes(camera_plan(plan))
    return headlines


def _points(splats: SplatFile, names: list[str]) -> SparsePoints:
    """Centres of some splats that show; which view sees which is not known."""
    chosen = np.flatnonzero(splats.opacities >= min(_MIN_OPACITY, splats.opacities.max()))
    chosen = chosen[:: -(-len(chosen) // _MAX_POINTS)]
    return SparsePoints(
        xyz=splats.means[chosen],
        rgb=(_SH_0 * splats.harmonics[chosen, 0] + 0.5).clip(0, 1),
        error_px=np.zeros(len(chosen), np.float32),
        names=names,
        sightings=np.empty((0, 2), np.int32),
    )


def _add_points(model: "pycolmap.Reconstruction", points: SparsePoints) -> None:
    import pycolmap

    colours = np.rint(255 * points.rgb).astype(np.uint8)
    for xyz, colour in zip(points.xyz.astype(np.float64), colours, strict=True):
        model.add_point3D(xyz, pycolmap.Track(), colour)
