"""Camera paths that were drawn in nerfstudio's viewer."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from scenestyle.cameras import PinholeCamera
from scenestyle.capture.field_frame import FIELD_FRAME, read_field_frame
from scenestyle.capture.poses import c2w_of
from scenestyle.capture.texts import read_json
from scenestyle.errors import InputError, reason

_WANTED = (
    "; wanted is a camera_path.json of nerfstudio's viewer: render_width, render_height, fps and a "
    "list camera_path, each with camera_to_world and fov"
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DrawnPath:
    """What the viewer wrote."""

    cameras: list[PinholeCamera]
    """one per frame, in the frame of the field that the viewer showed"""
    fps: int
    """frames per second"""


def read_camera_path(path: Path) -> DrawnPath:
    """Read a path as `ns-render camera-path` does: a camera per frame, its field of view vertical.

    Raises:
        InputError: If it is no such file, has no frames, or is of cameras without a pinhole.
    """
    meta = read_json(path, f"{_WANTED}.")
    if not isinstance(meta, dict):
        raise InputError(f"{path} holds no object{_WANTED}.")
    kind = str(meta.get("camera_type", "perspective")).lower()
    if kind != "perspective":
        raise InputError(
            f"{path} is a path of {kind} cameras, and only perspective ones are rendered here. "
            "Choose Perspective in the viewer and save it again."
        )
    try:
        width, height = int(meta["render_width"]), int(meta["render_height"])
        fps, frames = round(float(meta["fps"])), list(meta["camera_path"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is incomplete ({reason(error)}){_WANTED}.") from error
    if not frames or min(width, height, fps) <= 0:
        raise InputError(
            f"{path} has {len(frames)} frames of {width}x{height} pixels at {fps} per second. "
            "Set at least two keyframes in the viewer and save it again."
        )
    if "crop" in meta:
        _log.warning("%s: its crop is ignored, the whole scene is rendered", path)
    cameras, faults = [], []
    for number, frame in enumerate(frames):
        try:
            cameras.append(_camera(frame, width, height))
        except InputError as error:
            faults.append(f"frame {number}: {error}")
    if faults:
        shown = "; ".join(faults[:3])
        raise InputError(f"{path}: {len(faults)} of {len(frames)} frames are broken ({shown}).")
    return DrawnPath(cameras, fps)


def moved_to_run(cameras: list[PinholeCamera], drawn_in: Path, run: Path) -> list[PinholeCamera]:
    """Take cameras from the frame of one run's field to that of another run of the same data set.

    Args:
        cameras: In the frame of the field of `drawn_in`.
        drawn_in: A run of nerfstudio.
        run: Another one, whose data set is posed in the same coordinates.

    Raises:
        InputError: If either run does not tell its frame.
    """
    theirs, ours = (read_field_frame(folder / FIELD_FRAME) for folder in (drawn_in, run))
    back = theirs.inverse()
    poses = np.stack([camera.c2w_opengl for camera in cameras])
    moved = ours.apply_to_poses(back.apply_to_poses(poses))
    return [replace(c, c2w_opengl=pose) for c, pose in zip(cameras, moved, strict=True)]


def _camera(frame: Any, width: int, height: int) -> PinholeCamera:
    if not isinstance(frame, Mapping):
        raise InputError("it is no object")
    try:
        fov = np.radians(float(frame["fov"]))
        matrix = np.array(frame["camera_to_world"], dtype=np.float64).reshape(4, 4)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("it lacks camera_to_world (16 numbers) or fov (degrees)") from error
    if not 0 < fov < np.pi:
        raise InputError(f"its fov is {np.degrees(fov):g} degrees, wanted between 0 and 180")
    c2w_opengl, _ = c2w_of({"transform_matrix": matrix})
    focal = height / 2 / float(np.tan(fov / 2))
    return PinholeCamera(c2w_opengl, focal, focal, width / 2, height / 2, width, height)
