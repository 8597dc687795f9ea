"""The posed photos of a run: reduced, then split and posed by nerfstudio's dataparser."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from torch import Tensor

from scenestyle.artifacts import (
    Split,
    View,
    is_transparent,
    read_json,
    read_mask,
    read_points,
    read_rgb,
    write_json,
    write_mask,
    write_points,
)
from scenestyle.cameras import PinholeCamera, fit_within
from scenestyle.errors import ArtifactError, InputError, reason
from scenestyle.nerfstudio_plugin.quick_config import dataparser_config
from scenestyle.resample import area_averaged

if TYPE_CHECKING:
    from nerfstudio.cameras.rays import RayBundle
    from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs

_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")
MIN_VIEWS = 3
"""fewer leave nothing to hold out"""
FRAME_KEY = "keeps_frame"
"""key of a run's `transforms.json`: its field has the frame of that file, not one of its own"""
_SHARED = (
    FRAME_KEY,
    "applied_transform",
    "applied_scale",
    "orientation_override",
    "train_filenames",
    "test_filenames",
)
"""what the dataparser reads beside the frames; views named for a test are held out"""
_INTRINSICS = ("fl_x", "fl_y", "cx", "cy", "w", "h")


def write_dataset(poses: Path, run: Path, *, max_image_side: int) -> None:
    """Write the posed photos into the run's folder, reduced by area averaging.

    What a mask hides is black in the reduced photos, and so has no part in any pixel; reduced
    pixels are hidden if any part of them is. Transparency is kept.

    Args:
        poses: Folder with `transforms.json`, undistorted images, and masks if frames name them.
        run: Folder that gets `transforms.json`, `images/NAME.png`, `masks/NAME.png` likewise, and
            the poses' points, if any.
        max_image_side: Longest side afterwards, pixels.

    Raises:
        ArtifactError: If a photo or mask is missing or unreadable, or a camera is not a pinhole; if
            a mask is not of its photo's size or hides all of it.
        InputError: If there are too few views to hold one out.
    """
    meta = read_json(poses / "transforms.json")
    if len(meta["frames"]) < MIN_VIEWS:
        raise InputError(
            f"{poses}: {len(meta['frames'])} posed photos, wanted at least {MIN_VIEWS} (one is "
            "held out). Add photos that overlap with the others."
        )
    (run / "images").mkdir(parents=True, exist_ok=True)
    frames = [
        _write_frame(poses, run, {**meta, **frame}, max_image_side) for frame in meta["frames"]
    ]
    points = read_points(poses)
    if points is not None:
        write_points(run, points)
    write_json(
        run / "transforms.json",
        {
            "camera_model": "PINHOLE",
            "frames": sorted(frames, key=lambda frame: frame["file_path"]),
            **{key: meta[key] for key in _SHARED if key in meta},
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
        with Image.open(source) as image:
            photo = image.convert("RGBA" if is_transparent(image) else "RGB")
    except OSError as error:
        raise ArtifactError(
            f"{source} cannot be read as a picture ({reason(error)}). Rerun estimate_poses."
        ) from error
    width, height = fit_within(*photo.size, max_image_side)
    target, mask = Path("images") / f"{source.stem}.png", Path("masks") / f"{source.stem}.png"
    if "mask_path" in frame:
        is_used = _behind(photo, poses / frame["mask_path"], (width, height))
        write_mask(run / mask, is_used)
    _reduced(photo, (width, height)).save(run / target, compress_level=1)
    return {
        **_sized_frame(frame, width, height),
        **({"mask_path": mask.as_posix()} if "mask_path" in frame else {}),
    }


def _reduced(photo: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The photo at another size; what is transparent has no part in the colours."""
    if size == photo.size:
        return photo
    solid = photo.convert("RGBa") if photo.mode == "RGBA" else photo
    return Image.fromarray(area_averaged(np.asarray(solid), size), solid.mode).convert(photo.mode)


def reduced_frame(frame: dict[str, Any], max_image_side: int) -> dict[str, Any]:
    """A posed pinhole of `transforms.json`, its images at most this many pixels long."""
    return _sized_frame(frame, *fit_within(frame["w"], frame["h"], max_image_side))


def _sized_frame(frame: dict[str, Any], width: int, height: int) -> dict[str, Any]:
    across, down = width / frame["w"], height / frame["h"]
    scales = (across, down, across, down)
    intrinsics = {key: frame[key] * scale for key, scale in zip(_INTRINSICS, scales, strict=False)}
    return {
        "file_path": f"images/{Path(frame['file_path']).stem}.png",
        "transform_matrix": frame["transform_matrix"],
        **intrinsics,
        "w": width,
        "h": height,
    }


def _behind(
    photo: Image.Image, mask: Path, size: tuple[int, int]
) -> Bool[np.ndarray, "height width"]:
    """Blacken what the mask hides of a photo; which pixels of another width and height are used."""
    is_used = read_mask(mask)
    if is_used.shape[::-1] != photo.size:
        height, width = is_used.shape
        fault = f"is {width}x{height} pixels, its photo {photo.width}x{photo.height}"
    elif not read_mask(mask, size).any():
        fault = "hides all of its photo"
    else:
        photo.paste((0,) * len(photo.getbands()), mask=Image.fromarray(~is_used))
        return read_mask(mask, size)
    raise ArtifactError(f"{mask} {fault}. Repair the mask of the capture, or leave the photo out.")


def parse_dataset(run: Path, split: Split, *, holdout_every: int) -> "DataparserOutputs":
    """Cameras and file names of one split, in nerfstudio's oriented, centred, scaled frame.

    That of a run which keeps its frame is neither turned, moved nor scaled.
    """
    dataparser = dataparser_config(
        run, holdout_every=holdout_every, keeps_frame=keeps_frame(run)
    ).setup()
    return dataparser.get_dataparser_outputs("train" if split == "train" else "test")


def keeps_frame(run: Path) -> bool:
    """Whether the field of a run has the frame of its `transforms.json`."""
    return bool(read_json(run / "transforms.json").get(FRAME_KEY))


def run_cameras(run: Path, *, holdout_every: int) -> dict[str, PinholeCamera]:
    """The camera of every view of a run, by name, in the field's frame, at training size."""
    return {path.stem: camera for path, _, camera in _posed(run, holdout_every)}


def read_run_views(run: Path, *, holdout_every: int) -> list[View]:
    """Every posed view of a run by name, in the field's frame, at training size."""
    views = [
        View(path.stem, split, camera, is_cut_out=_is_transparent_file(path))
        for path, split, camera in _posed(run, holdout_every)
    ]
    return sorted(views, key=lambda view: view.name)


def _posed(run: Path, holdout_every: int) -> Iterator[tuple[Path, Split, PinholeCamera]]:
    splits: tuple[Split, ...] = ("train", "held_out")
    for split in splits:
        outputs = parse_dataset(run, split, holdout_every=holdout_every)
        for path, camera in zip(outputs.image_filenames, _pinholes(outputs), strict=True):
            yield path, split, camera


def read_photo(run: Path, view: View) -> Float[np.ndarray, "height width 3"]:
    """The photo of a view at training size, colours in [0, 1]; a cut-out stands on black."""
    return read_rgb(run / "images" / f"{view.name}.png")


def read_is_used(run: Path, view: View) -> Bool[np.ndarray, "height width"] | None:
    """Where the photo of a view is not hidden; None where the run has no masks."""
    mask = run / "masks" / f"{view.name}.png"
    return read_mask(mask) if mask.parent.is_dir() else None


def _is_transparent_file(path: Path) -> bool:
    with Image.open(path) as image:
        return is_transparent(image)


def _read_rgba(run: Path, view: View) -> Float[np.ndarray, "height width 4"]:
    """The photo of a view with its opacity, 1 where it has none of its own."""
    with Image.open(run / "images" / f"{view.name}.png") as image:
        return np.asarray(image.convert("RGBA"), dtype=np.float32) / 255


def _pinholes(outputs: "DataparserOutputs") -> list[PinholeCamera]:
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
    images: Sequence[Float[Tensor, "_height _width _channels"]]
    """their colours in [0, 1], of all or none with the opacity as a fourth; sizes may differ"""
    are_used: Sequence[Bool[Tensor, "_height _width"]] | None = None
    """where they are not hidden; None: everywhere"""

    @classmethod
    def read(cls, run: Path, views: Sequence[View], device: torch.device) -> "TrainingViews":
        """The photos and masks of a run; with opacities if any of `views` was cut out."""
        read = _read_rgba if any(view.is_cut_out for view in views) else read_photo
        masks = [read_is_used(run, view) for view in views]
        return cls(
            views,
            [torch.from_numpy(read(run, view)).to(device) for view in views],
            [torch.from_numpy(mask).to(device) for mask in masks if mask is not None] or None,
        )

    @property
    def device(self) -> torch.device:
        """Where the pixels lie."""
        return self.images[0].device

    def random_rays(
        self, num_rays: int, generator: torch.Generator
    ) -> "tuple[RayBundle, Float[Tensor, 'rays _channels']]":
        """Rays through used pixels drawn from all views with replacement, and their colours."""
        from scenestyle.nerfstudio_plugin.rays import ray_bundle

        num_pixels = len(self._colours if self._used is None else self._used)
        pixels = torch.randint(num_pixels, (num_rays,), generator=generator).to(self.device)
        if self._used is not None:
            pixels = self._used[pixels]
        index = torch.searchsorted(self._ends, pixels, right=True)
        width, intrinsics, c2w = self._widths[index], self._intrinsics[index], self._c2w[index]
        within = pixels - self._ends[index] + self._counts[index]
        x = (within % width + 0.5 - intrinsics[:, 2]) / intrinsics[:, 0]
        y = (within // width + 0.5 - intrinsics[:, 3]) / intrinsics[:, 1]
        in_camera = torch.stack([x, -y, -torch.ones_like(x)], dim=-1)
        directions = torch.nn.functional.normalize((c2w[:, :, :3] @ in_camera[..., None])[..., 0])
        rays = ray_bundle(c2w[:, :, 3], directions, index[:, None])
        return rays, self._colours[pixels]

    def rays(self, index: int, *, rows: slice, columns: slice) -> "RayBundle":
        """Rays of a rectangle of the view at `index`, row by row."""
        from scenestyle.nerfstudio_plugin.rays import camera_rays

        camera = self.views[index].camera
        return camera_rays(camera, self.device, rows=rows, columns=columns, camera_index=index)

    @cached_property
    def _colours(self) -> Float[Tensor, "pixels _channels"]:
        return torch.cat([image.flatten(0, 1) for image in self.images])

    @cached_property
    def _used(self) -> Int[Tensor, " used"] | None:
        """Numbers of the pixels that are not hidden."""
        if self.are_used is None:
            return None
        return torch.cat([each.flatten() for each in self.are_used]).nonzero()[:, 0]

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
