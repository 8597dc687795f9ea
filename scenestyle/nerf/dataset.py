"""The posed photos of a run: reduced, then split and posed by nerfstudio's dataparser."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from PIL import Image
from torch import Tensor

from scenestyle.artifacts import (
    Split,
    View,
    read_json,
    read_points,
    read_rgb,
    write_json,
    write_points,
)
from scenestyle.cameras import PinholeCamera, fit_within
from scenestyle.errors import ArtifactError, InputError
from scenestyle.nerfstudio_plugin.config import dataparser_config
from scenestyle.nerfstudio_plugin.rays import camera_rays, ray_bundle

_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")
_MIN_VIEWS = 3
_INTRINSICS = ("fl_x", "fl_y", "cx", "cy", "w", "h")


def write_dataset(poses: Path, run: Path, *, max_image_side: int) -> None:
    """Write the posed photos into the run's folder, reduced by area averaging.

    Args:
        poses: Folder with `transforms.json` and undistorted images.
        run: Folder that gets `transforms.json`, `images/NAME.png` and the poses' points, if any.
        max_image_side: Longest side afterwards, pixels.

    Raises:
        ArtifactError: If a photo is missing or unreadable, or its camera is not a pinhole.
        InputError: If there are too few views to hold one out.
    """
    meta = read_json(poses / "transforms.json")
    if len(meta["frames"]) < _MIN_VIEWS:
        raise InputError(
            f"{poses}: {len(meta['frames'])} posed photos, wanted at least {_MIN_VIEWS} (one is "
            "held out). Add photos that overlap with the others."
        )
    (run / "images").mkdir(parents=True, exist_ok=True)
    frames = [
        _write_frame(poses, run, {**meta, **frame}, max_image_side) for frame in meta["frames"]
    ]
    points = read_points(poses)
    if points is not None:
        write_points(run, points)
    shared = ("applied_transform", "applied_scale", "orientation_override")
    write_json(
        run / "transforms.json",
        {
            "camera_model": "PINHOLE",
            "frames": sorted(frames, key=lambda frame: frame["file_path"]),
            **{key: meta[key] for key in shared if key in meta},
        },
    )


def _write_frame(
    poses: Path, run: Path, frame: dict[str, Any], max_image_side: int
) -> dict[str, Any]:
    source = poses / frame["file_path"]
    if any(frame.get(key) for key in _DISTORTION):
        raise ArtifactError(
            f"{poses}/transforms.json: the camera of {frame['file_path']} has lens distortion, "
            "wanted an undistorted pinhole. Rerun estimate_poses, which undistorts."
        )
    try:
        with Image.open(source) as photo:
            width, height = fit_within(*photo.size, max_image_side)
            reduced = photo.convert("RGB").resize((width, height), Image.Resampling.BOX)
    except OSError as error:
        raise ArtifactError(
            f"{source} cannot be read as a picture ({error}). Rerun estimate_poses."
        ) from error
    target = Path("images") / f"{source.stem}.png"
    reduced.save(run / target)
    across, down = width / frame["w"], height / frame["h"]
    scales = (across, down, across, down)
    intrinsics = {key: frame[key] * scale for key, scale in zip(_INTRINSICS, scales, strict=False)}
    return {
        "file_path": target.as_posix(),
        "transform_matrix": frame["transform_matrix"],
        **intrinsics,
        "w": width,
        "h": height,
    }


def parse_dataset(run: Path, split: Split, *, holdout_every: int) -> DataparserOutputs:
    """Cameras and file names of one split, in nerfstudio's oriented, centred, scaled frame."""
    dataparser = dataparser_config(run, holdout_every=holdout_every).setup()
    return dataparser.get_dataparser_outputs("train" if split == "train" else "test")


def read_run_views(run: Path, *, holdout_every: int) -> list[View]:
    """Every posed view of a run by name, in the field's frame, at training size."""
    views = [
        View(name=path.stem, split=split, camera=camera)
        for split in ("train", "held_out")
        for outputs in [parse_dataset(run, split, holdout_every=holdout_every)]
        for path, camera in zip(outputs.image_filenames, _pinholes(outputs), strict=True)
    ]
    return sorted(views, key=lambda view: view.name)


def read_photo(run: Path, view: View) -> Float[np.ndarray, "height width 3"]:
    """The photo of a view at training size, colours in [0, 1]."""
    return read_rgb(run / "images" / f"{view.name}.png")


def _pinholes(outputs: DataparserOutputs) -> list[PinholeCamera]:
    cameras = outputs.cameras
    c2w_opengl = np.tile(np.eye(4), (len(cameras), 1, 1))
    c2w_opengl[:, :3] = cameras.camera_to_worlds.numpy()
    return [
        PinholeCamera(
            c2w_opengl=c2w_opengl[index],
            fx=float(cameras.fx[index]),
            fy=float(cameras.fy[index]),
            cx=float(cameras.cx[index]),
            cy=float(cameras.cy[index]),
            width=int(cameras.width[index]),
            height=int(cameras.height[index]),
        )
        for index in range(len(cameras))
    ]


@dataclass(frozen=True)
class TrainingViews:
    """Cameras and pixels that a field learns from, on one device."""

    views: Sequence[View]
    """the views of the training split, in order"""
    images: Sequence[Float[Tensor, "_height _width 3"]]
    """their colours in [0, 1]; sizes may differ"""

    @property
    def device(self) -> torch.device:
        """Where the pixels lie."""
        return self.images[0].device

    def random_rays(
        self, num_rays: int, generator: torch.Generator
    ) -> tuple[RayBundle, Float[Tensor, "rays 3"]]:
        """Rays through pixels drawn from all views with replacement, and the pixels' colours."""
        pixels = torch.randint(len(self._colours), (num_rays,), generator=generator).to(self.device)
        index = torch.searchsorted(self._ends, pixels, right=True)
        width, intrinsics, c2w = self._widths[index], self._intrinsics[index], self._c2w[index]
        within = pixels - self._ends[index] + self._counts[index]
        x = (within % width + 0.5 - intrinsics[:, 2]) / intrinsics[:, 0]
        y = (within // width + 0.5 - intrinsics[:, 3]) / intrinsics[:, 1]
        in_camera = torch.stack([x, -y, -torch.ones_like(x)], dim=-1)
        directions = torch.nn.functional.normalize((c2w[:, :, :3] @ in_camera[..., None])[..., 0])
        rays = ray_bundle(c2w[:, :, 3], directions, index[:, None])
        return rays, self._colours[pixels]

    def rays(self, index: int, *, rows: slice, columns: slice) -> RayBundle:
        """Rays of a rectangle of the view at `index`, row by row."""
        camera = self.views[index].camera
        return camera_rays(camera, self.device, rows=rows, columns=columns, camera_index=index)

    @cached_property
    def _colours(self) -> Float[Tensor, "pixels 3"]:
        return torch.cat([image.reshape(-1, 3) for image in self.images])

    @cached_property
    def _counts(self) -> Int[Tensor, " views"]:
        sizes = [view.camera.width * view.camera.height for view in self.views]
        return torch.tensor(sizes, device=self.device)

    @cached_property
    def _ends(self) -> Int[Tensor, " views"]:
        return self._counts.cumsum(0)

    @cached_property
    def _widths(self) -> Int[Tensor, " views"]:
        return torch.tensor([view.camera.width for view in self.views], device=self.device)

    @cached_property
    def _intrinsics(self) -> Float[Tensor, "views 4"]:
        rows = [[c.fx, c.fy, c.cx, c.cy] for c in (view.camera for view in self.views)]
        return torch.tensor(rows, device=self.device)

    @cached_property
    def _c2w(self) -> Float[Tensor, "views 3 4"]:
        stacked = np.stack([view.camera.c2w_opengl[:3] for view in self.views])
        return torch.as_tensor(stacked, dtype=torch.float32, device=self.device)
