"""Which part of the views an edit may change: masks that someone drew, or what lies in a box."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from scenestyle.artifacts import View, ViewsFolder, check_same_views, check_size
from scenestyle.cameras import PinholeCamera
from scenestyle.errors import ArtifactError, ParamsError, reason
from scenestyle.geometry import unproject
from scenestyle.params import Box, FinetuneNerf

Mask = Float[np.ndarray, "_height _width"]


def read_regions(source: ViewsFolder, params: FinetuneNerf) -> list[Mask]:
    """Per view, 1 where it is to change and 0 where it is to stay.

    Raises:
        ParamsError: If the box and the masks leave nothing to change in any view.
        ArtifactError: If a mask is missing, surplus, unreadable or not of its view's size.
    """
    posed = source.views
    regions = [np.ones((view.camera.height, view.camera.width), np.float32) for view in posed]
    if params.region_masks is not None:
        masks = read_masks(Path(params.region_masks), posed)
        regions = [region * mask for region, mask in zip(regions, masks, strict=True)]
    if params.region_box is not None:
        regions = [
            region * box_mask(view.camera, source.depth_z(view), box)
            for region, view in zip(regions, posed, strict=True)
            for box in [params.region_box]
        ]
    if not any(region.any() for region in regions):
        raise ParamsError(
            f"finetune_nerf: no view shows anything of the region (region_box "
            f"{params.region_box}, region_masks {params.region_masks}), so nothing could change. "
            "Corners are in the frame of the trained field, the one that ns-viewer shows."
        )
    return regions


def read_masks(folder: Path, posed: Sequence[View]) -> list[Mask]:
    """Masks `NAME.png` of all views: white is to change, black is to stay, grey in between.

    Raises:
        ArtifactError: If a mask is missing, surplus, unreadable or not of its view's size.
    """
    check_same_views(
        folder, [view.name for view in posed], suffix=".png", stage="whatever draws the masks"
    )
    return [_read_mask(folder / f"{view.name}.png", view) for view in posed]


def box_mask(camera: PinholeCamera, depth_z: Mask, box: Box) -> Mask:
    """1 where the surface that the camera sees lies between the two corners of the box.

    An object in front of the box hides it, as the box is compared with the surface and not drawn.
    """
    points = unproject(depth_z, camera)
    lower, upper = np.minimum(*box), np.maximum(*box)
    return np.asarray(((points >= lower) & (points <= upper)).all(-1), dtype=np.float32)


def _read_mask(path: Path, view: View) -> Mask:
    try:
        with Image.open(path) as image:
            mask = np.asarray(image.convert("L"), dtype=np.float32) / 255
    except (OSError, SyntaxError) as error:  # Pillow calls damaged PNG chunks a SyntaxError
        raise ArtifactError(f"{path} cannot be read as a picture ({reason(error)}).") from error
    way_out = "Draw masks on the pictures in the views' rgb folder."
    check_size(path, mask, view, way_out=way_out)
    return mask
