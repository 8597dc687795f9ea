"""The folders between stages: file names, dtypes and units, and how to read and write them.

| folder | files |
|---|---|
| poses | `images/NAME.png`, `transforms.json`, `points.npz`, `sparse/`, `sparse_pc.ply` |
| | `masks/NAME.png`, `report.json`, `cameras.png` |
| nerf, finetuned | `config.yml`, `nerfstudio_models/step-*.ckpt`, `metrics.json`, `losses.csv` |
| | `loss_curve.png`, `progress.png` |
| views | `cameras.json`, `rgb/NAME.png`, `depth_z/NAME.npy`, `opacity/NAME.npy`, `report.json` |
| poses, nerf, finetuned, views | where photos hide something, also `masks/NAME.png` |
| stylized | `rgb/NAME.png`, `contact_sheet.png`, `manifest.json` |
| results | `metrics.json`, `report.html`, `orbit.mp4`, `stills/` |

In each lies `provenance.json`, too: settings, commit, machine and versions of the run that made it.
A view keeps its NAME (the photo's stem) through all of them. Folder locations are not known here.
"""

import json
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from PIL import Image

from scenestyle.cameras import PinholeCamera
from scenestyle.errors import ArtifactError, reason
from scenestyle.files import whole_file, write_whole
from scenestyle.resample import area_averaged

MIN_OPACITY = 0.5
"""at or below it a pixel is empty space"""

SPLATS_KEY = "splats_file_path"
"""key of a `transforms.json` of poses: the file of splats that the scene came as, from its folder;
there are no photos then, and the field is to have the frame of the file"""

_COMPRESS_LEVEL = 4
"""of PNGs: as small as at the usual 6, in less than half of the time"""

Split = Literal["train", "held_out"]


@dataclass(frozen=True)
class View:
    """A posed camera of the scene, in the frame of its trained field."""

    name: str
    """the photo's file stem"""
    split: Split
    """whether the field was trained on it"""
    camera: PinholeCamera
    is_cut_out: bool = False
    """whether its photo has transparency: where that shows nothing, nothing is there"""


def write_json(path: Path, value: object) -> None:
    """Write readable, byte-stable JSON; never leaves a half-written file."""
    write_whole(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        ArtifactError: If the file is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} is missing; rerun the stage that writes it.") from error
    except ValueError as error:  # not JSON, or not UTF-8
        raise ArtifactError(
            f"{path} is not valid JSON ({reason(error)}); delete it and rerun."
        ) from error


def write_rgb(path: Path, rgb: Float[np.ndarray, "height width 3"]) -> None:
    """Write colours in [0, 1] as an 8-bit PNG, whole or not at all.

    They are rounded to nearest; values outside are clipped.
    """
    image = Image.fromarray(np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8))
    with whole_file(path) as partial:
        image.save(partial, compress_level=_COMPRESS_LEVEL)


def write_cut_out(
    path: Path,
    rgb: Float[np.ndarray, "height width 3"],
    opacity: Float[np.ndarray, "height width"],
) -> None:
    """Write colours on black with their opacity, both in [0, 1], as a transparent 8-bit PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    straight = rgb / np.maximum(opacity, 1e-6)[..., None]
    rgba = np.concatenate([straight, opacity[..., None]], axis=-1)
    Image.fromarray(np.rint(np.clip(rgba, 0, 1) * 255).astype(np.uint8)).save(path)


def read_rgb(path: Path) -> Float[np.ndarray, "height width 3"]:
    """Read a picture as float32 RGB in [0, 1]; what is transparent stands on black.

    Raises:
        ArtifactError: If the file is missing or not a picture.
    """
    try:
        with Image.open(path) as image:
            if is_transparent(image):
                rgba = np.asarray(image.convert("RGBA"), dtype=np.float32) / 255
                return rgba[..., :3] * rgba[..., 3:]
            return np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    except (OSError, SyntaxError) as error:  # Pillow calls damaged PNG chunks a SyntaxError
        raise ArtifactError(f"{path} cannot be read as a picture ({reason(error)}).") from error


def is_transparent(image: Image.Image) -> bool:
    """Whether an image says how opaque its pixels are."""
    return "A" in image.getbands()


def write_mask(path: Path, is_used: Bool[np.ndarray, "height width"]) -> None:
    """Write which pixels of a photo are used, 255, and which hidden, 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.where(is_used, 255, 0).astype(np.uint8)).save(path)


def read_mask(path: Path, size: tuple[int, int] | None = None) -> Bool[np.ndarray, "_ _"]:
    """Which pixels of a photo are used and not hidden.

    Args:
        path: Greyscale image, 255 where used; anything else is hidden.
        size: Width and height wanted; a pixel is used there if no hidden one has a part in it.

    Raises:
        ArtifactError: If the file is missing or not a picture.
    """
    try:
        with Image.open(path) as image:
            is_hidden = np.asarray(image.convert("L")) < 255
    except (OSError, SyntaxError) as error:  # Pillow calls damaged PNG chunks a SyntaxError
        raise ArtifactError(f"{path} cannot be read as a mask ({reason(error)}).") from error
    if size is None or size == is_hidden.shape[::-1]:
        return ~is_hidden
    return area_averaged(is_hidden.astype(np.float32), size) == 0


def write_map(path: Path, values: Float[np.ndarray, "height width"]) -> None:
    """Write a depth or opacity map as float32 `.npy`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values.astype(np.float32), allow_pickle=False)


def read_map(path: Path) -> Float[np.ndarray, "height width"]:
    """Read a depth or opacity map.

    Raises:
        ArtifactError: If the file is missing or not an array.
    """
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ArtifactError(f"{path} cannot be read as an array ({reason(error)}).") from error


def write_views(folder: Path, views: Sequence[View]) -> None:
    """Write `cameras.json`: name, split, intrinsics in pixels and c2w (OpenGL axes) per view."""
    write_json(
        folder / "cameras.json",
        [
            {
                "name": view.name,
                "split": view.split,
                "c2w_opengl": view.camera.c2w_opengl.tolist(),
                **{key: getattr(view.camera, key) for key in _INTRINSICS},
                **({"is_cut_out": True} if view.is_cut_out else {}),
            }
            for view in views
        ],
    )


def read_views(folder: Path) -> list[View]:
    """Read `cameras.json`, in the order it was written.

    Raises:
        ArtifactError: If the file is missing or a camera lacks a field.
    """
    path = folder / "cameras.json"
    try:
        return [
            View(
                name=entry["name"],
                split=entry["split"],
                camera=PinholeCamera(
                    c2w_opengl=np.asarray(entry["c2w_opengl"], dtype=np.float64),
                    **{key: entry[key] for key in _INTRINSICS},
                ),
                is_cut_out=entry.get("is_cut_out", False),
            )
            for entry in read_json(path)
        ]
    except (KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path} does not describe cameras ({reason(error)}); rerun render_views."
        ) from error


def pose_frame(name: str, camera: PinholeCamera) -> dict[str, Any]:
    """A view as a frame of `transforms.json`: OpenGL axes, intrinsics in pixels."""
    return {
        "file_path": f"images/{name}.png",
        "transform_matrix": camera.c2w_opengl.tolist(),
        "fl_x": camera.fx,
        "fl_y": camera.fy,
        "cx": camera.cx,
        "cy": camera.cy,
        "w": camera.width,
        "h": camera.height,
    }


def came_as_splats(poses: Path) -> bool:
    """Whether the scene of a poses folder came as splats, so that there are no photos of it.

    Raises:
        ArtifactError: If the folder has no `transforms.json`.
    """
    return SPLATS_KEY in read_json(poses / "transforms.json")


@dataclass(frozen=True)
class ViewsFolder:
    """A folder that render_views wrote and that is complete; its images are read when asked for."""

    folder: Path
    views: Sequence[View]
    """in the order of its `cameras.json`"""

    @classmethod
    def open(cls, folder: Path) -> "ViewsFolder":
        """Read the cameras and look for a file of every view.

        Raises:
            ArtifactError: If files are missing or surplus, or the cameras cannot be read.
        """
        views = read_views(folder)
        for part, suffix in _PARTS.items():
            names = [view.name for view in views]
            if part != "masks" or (folder / part).is_dir():
                check_same_views(folder / part, names, suffix=suffix, stage="render_views")
        return cls(folder, views)

    @property
    def names(self) -> list[str]:
        """Of the views."""
        return [view.name for view in self.views]

    @property
    def held_out(self) -> list[View]:
        """The views that the field was not trained on."""
        return [view for view in self.views if view.split == "held_out"]

    def rgb(self, view: View) -> Float[np.ndarray, "_height _width 3"]:
        """Colours of a view, 0..1; raises as all reading here if they are not of its size."""
        return self._checked(read_rgb, "rgb", view)

    def depth_z(self, view: View) -> Float[np.ndarray, "_height _width"]:
        """z-depth of a view, scene units; means nothing where there is no surface."""
        return self._checked(read_map, "depth_z", view)

    def opacity(self, view: View) -> Float[np.ndarray, "_height _width"]:
        """How much of the light a view's pixels stop, 0..1."""
        return self._checked(read_map, "opacity", view)

    def is_used(self, view: View) -> Bool[np.ndarray, "_height _width"]:
        """Where the photo of a view is not hidden; elsewhere nothing is known of the scene."""
        if not (self.folder / "masks").is_dir():
            return np.ones((view.camera.height, view.camera.width), bool)
        return self._checked(read_mask, "masks", view)

    def is_known(self, view: View) -> Bool[np.ndarray, "_height _width"]:
        """Where a view shows something to judge: not hidden, and not known to be empty."""
        is_used = self.is_used(view)
        return is_used & (self.opacity(view) > MIN_OPACITY) if view.is_cut_out else is_used

    def is_surface(self, view: View) -> Bool[np.ndarray, "_height _width"]:
        """Where a view sees a surface and not empty space; nowhere where it is hidden."""
        return (self.opacity(view) > MIN_OPACITY) & self.is_used(view)

    def surface_z(self, view: View) -> Float[np.ndarray, "_height _width"]:
        """z-depth of a view where it sees a surface, NaN elsewhere."""
        return np.where(self.is_surface(view), self.depth_z(view), np.float32(np.nan))

    def _checked(self, read: Callable[[Path], np.ndarray], part: str, view: View) -> np.ndarray:
        path = self.folder / part / f"{view.name}{_PARTS[part]}"
        values = read(path)
        check_size(path, values, view, way_out="Rerun render_views.")
        return values


def check_size(path: Path, values: np.ndarray, view: View, *, way_out: str) -> None:
    """Check that what was read from `path` is as large as its view.

    Raises:
        ArtifactError: If it is not; ends with the way out.
    """
    height, width = values.shape[:2]
    wanted = view.camera
    if (width, height) != (wanted.width, wanted.height):
        raise ArtifactError(
            f"{path} is {width}x{height} pixels, its view {wanted.width}x{wanted.height}. {way_out}"
        )


@dataclass(frozen=True)
class SparsePoints:
    """Points of a scene that structure from motion found, and which views saw them."""

    xyz: Float[np.ndarray, "n 3"]
    """in the world frame of `transforms.json`"""
    rgb: Float[np.ndarray, "n 3"]
    """colours in [0, 1]"""
    error_px: Float[np.ndarray, " n"]
    """mean distance of a point's projections from where they were seen, pixels of the photos"""
    names: Sequence[str]
    """of the views"""
    sightings: Int[np.ndarray, "m 2"]
    """position of the view in `names`, and of the point"""

    def seen_by(self, name: str) -> Int[np.ndarray, " k"]:
        """Positions of the points that a view saw; none if it is not among the views."""
        if name not in self.names:
            return np.empty(0, np.int32)
        views, points = self.sightings.T
        return points[views == self.names.index(name)]


def write_points(folder: Path, points: SparsePoints) -> None:
    """Write `points.npz`, whole or not at all."""
    with whole_file(folder / _POINTS) as partial, partial.open("wb") as file:
        np.savez(
            file,
            xyz=points.xyz.astype(np.float32),
            rgb=points.rgb.astype(np.float32),
            error_px=points.error_px.astype(np.float32),
            names=np.array(points.names, dtype=np.str_),
            sightings=points.sightings.astype(np.int32),
        )


def read_points(folder: Path) -> SparsePoints | None:
    """The points of a poses folder, or None if it has none.

    Raises:
        ArtifactError: If its file is damaged.
    """
    path = folder / _POINTS
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return SparsePoints(
                xyz=arrays["xyz"],
                rgb=arrays["rgb"],
                error_px=arrays["error_px"],
                names=[str(name) for name in arrays["names"]],
                sightings=arrays["sightings"],
            )
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise ArtifactError(
            f"{path} cannot be read as points ({reason(error)}). Rerun estimate_poses."
        ) from error


def surface_z(
    depth_z: Float[np.ndarray, "height width"], opacity: Float[np.ndarray, "height width"]
) -> Float[np.ndarray, "height width"]:
    """z-depth where there is a surface, NaN elsewhere."""
    return np.where(opacity > MIN_OPACITY, depth_z, np.float32(np.nan))


def check_same_views(folder: Path, names: Iterable[str], *, suffix: str, stage: str) -> None:
    """Check that `folder` holds exactly one file per view.

    Raises:
        ArtifactError: Naming up to five missing or surplus views and the `stage` to rerun.
    """
    wanted, found = set(names), {path.stem for path in folder.glob(f"*{suffix}")}
    if wanted != found:
        missing, surplus = sorted(wanted - found), sorted(found - wanted)
        raise ArtifactError(
            f"{folder}: {len(found)} files for {len(wanted)} views "
            f"(missing: {missing[:5]}, surplus: {surplus[:5]}). Rerun {stage}."
        )


_POINTS = "points.npz"
_PARTS = {"rgb": ".png", "depth_z": ".npy", "opacity": ".npy", "masks": ".png"}
"""Sub-folders of rendered views, and how their files end; masks only if photos hide something."""
_INTRINSICS = ("fx", "fy", "cx", "cy", "width", "height")
