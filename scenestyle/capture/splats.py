"""Scenes that come as Gaussian splats: a .ply of 3DGS, and cameras that look at it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from scenestyle.capture.capture import Capture, counted, natural_order, some
from scenestyle.capture.locate import Tree
from scenestyle.capture.splat_cameras import read_cameras
from scenestyle.errors import ArtifactError, InputError
from scenestyle.splat_file import SplatFile, is_splat_file, read_splats

if TYPE_CHECKING:
    import pycolmap

SPLATS = "scene.ply"
"""name of the file in the project"""
LAYOUT = "splats"
_ITERATION = re.compile(r"iteration_(\d+)")
_MIN_SEEN = 0.01
"""cameras that on average see a smaller fraction of the splats belong to another scene or frame"""


def find_splats(tree: Tree) -> list[Path]:
    """Files of splats in a data set, relative to its root, the longest trained first."""
    files = [file for file in tree.files if file.suffix.lower() == ".ply"]
    return sorted((f for f in files if is_splat_file(tree.root / f)), key=_preference)


def check_one(tree: Tree, found: Sequence[Path]) -> None:
    """Refuse several files of splats, unless they are steps of one training.

    Raises:
        InputError: Names them.
    """
    if len(found) > 1 and not all(map(_steps, found)):
        names = some([file.as_posix() for file in found])
        raise InputError(
            f"{tree.root} holds several files of splats ({names}). Give the one that is meant: "
            "scenestyle add-scene NAME FILE --cameras FOLDER"
        )


def _preference(file: Path) -> tuple[object, ...]:
    return -_steps(file), natural_order(file)


def _steps(file: Path) -> int:
    """After how many steps of 3DGS's training a file was written, by its folder; 0: not known."""
    found = [_ITERATION.fullmatch(part) for part in file.parts]
    return max((int(match[1]) for match in found if match), default=0)


def read_splat_scene(ply: Path, cameras: Path | None, *, decode: bool = True) -> Capture:
    """Read and check a file of splats and the cameras that go with it; nothing is written.

    Args:
        ply: Of 3DGS's fields.
        cameras: File or folder with cameras in the frame of the splats; none: there are none, and
            they have to be laid round the splats.
        decode: Whether the splats are read, which finds damage and cameras that see none of them.

    Raises:
        InputError: If the file holds no such splats, or the cameras cannot be used.
    """
    try:
        splats = read_splats(ply) if decode or not is_splat_file(ply) else None
    except ArtifactError as error:
        raise InputError(str(error)) from error
    if cameras is None:
        return Capture(layout=LAYOUT, photos=(), splats=ply)
    model, files, changed = read_cameras(cameras)
    warnings = _check_seen(cameras, splats, model) if splats is not None else ()
    return Capture(
        layout=LAYOUT,
        photos=(),
        splats=ply,
        model=model,
        description=tuple(files),
        listed=model.num_images(),
        changed=changed,
        warnings=warnings,
    )


def seen_share(
    splats: SplatFile, model: "pycolmap.Reconstruction"
) -> Float[np.ndarray, " cameras"]:
    """Fraction of the splats, by opacity, before each camera and within its image, 0 to 1."""
    weights = splats.opacities / splats.opacities.sum()
    shares = []
    for image in (model.images[number] for number in sorted(model.images)):
        camera = model.camera(image.camera_id)
        xyz = splats.means @ image.cam_from_world().matrix()[:, :3].T
        x, y, z = (xyz + image.cam_from_world().matrix()[:, 3]).T
        with np.errstate(divide="ignore", invalid="ignore"):
            column = camera.focal_length_x * x / z + camera.principal_point_x
            row = camera.focal_length_y * y / z + camera.principal_point_y
        is_inside = (z > 0) & (column >= 0) & (column < camera.width)
        shares.append(weights[is_inside & (row >= 0) & (row < camera.height)].sum())
    return np.array(shares)


def _check_seen(
    cameras: Path, splats: SplatFile, model: "pycolmap.Reconstruction"
) -> tuple[str, ...]:
    shares = seen_share(splats, model)
    if shares.mean() < _MIN_SEEN:
        raise InputError(
            f"{cameras}: its {counted(len(shares), 'camera')} see {shares.mean():.1%} of the "
            "splats on average, so they belong to another scene or frame. Give the cameras that "
            "the splats were trained with, or none: then cameras are laid round the splats."
        )
    blind = int((shares == 0).sum())
    if blind:
        return (f"{counted(blind, 'camera')} of {len(shares):,} see none of the splats.",)
    return ()
