"""360 degree pictures split into the pinhole views that every stage works on."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import ExifTags, Image

from scenestyle.artifacts import write_json
from scenestyle.capture import Capture, Photo
from scenestyle.capture.pictures import decode, read_mask, to_rgb_or_rgba, turned
from scenestyle.geometry import invert_rigid, opengl_from_opencv

VIEWS = 8
"""views of each picture: a circle of four that look up, and one of four in between that look down;
as in COLMAP's example panorama_sfm"""
_PITCH = np.radians(35.0)
_FOCAL_35MM = 15  # of a view 90 degrees wide and high, by the diagonal
_JPEG_QUALITY = 95


def split_panoramas(capture: Capture, out: Path) -> None:
    """Write the views of equirectangular pictures, with their poses if the pictures have any.

    Views are 90 degrees wide and high and have the picture's resolution in their middle; straight
    up and straight down, the last 10 degrees, nothing sees. Their files bear the dates of their
    pictures.

    Args:
        capture: With `panoramas`.
        out: An existing, empty folder; gets `images/`, `masks/` and `transforms.json`.
    """
    (out / "images").mkdir()
    poses = _poses(capture)
    frames = []
    for photo in capture.photos:
        stat = photo.path.stat()
        for number, (image, mask) in enumerate(_split(photo)):
            name = f"{photo.name}_{number}"
            file = out / "images" / f"{name}{'.png' if image.mode == 'RGBA' else '.jpg'}"
            image.save(file, quality=_JPEG_QUALITY, exif=_exif(photo))
            written = [file]
            if mask is not None:
                (out / "masks").mkdir(exist_ok=True)
                written.append(out / "masks" / f"{name}.png")
                mask.save(written[-1])
            for path in written:
                os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
            if photo.name in poses:
                frames.append(_frame(file, image.width, poses[photo.name], number))
    if frames:
        write_json(out / "transforms.json", {"camera_model": "PINHOLE", "frames": frames})


def view_rotations() -> Float[np.ndarray, "views 3 3"]:
    """Rotation from each view's axes to the picture's; both x right, y down, z forwards.

    The middle of the picture is its z axis.
    """
    yaws = [(np.pi / 2) * (k % 4) + (np.pi / 4) * (k // 4) for k in range(VIEWS)]
    pitches = [_PITCH if k < VIEWS // 2 else -_PITCH for k in range(VIEWS)]
    return np.stack([_turn(yaw) @ _nod(pitch) for yaw, pitch in zip(yaws, pitches, strict=True)])


def view_side(width: int) -> int:
    """Pixels along a side of the views of a picture this wide: as dense as it in their middle."""
    return max(2, int(width / np.pi) // 2 * 2)


def _split(photo: Photo) -> Iterator[tuple[Image.Image, Image.Image | None]]:
    picture = np.asarray(to_rgb_or_rgba(turned(decode(photo.path), upright=photo.upright)))
    mask = None
    if photo.mask is not None:
        mask = np.asarray(read_mask(photo.mask, upright=photo.upright))
    for rotation in view_rotations():
        x, y = _places(rotation, picture.shape[1], picture.shape[0])
        view = _sampled(picture, x, y)
        yield (
            Image.fromarray(view),
            None
            if mask is None
            else Image.fromarray(np.where(_sampled(mask, x, y) == 255, 255, 0).astype(np.uint8)),
        )


def _places(
    rotation: Float[np.ndarray, "3 3"], width: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where the pixel centres of a view lie in the picture, in cv2's indices of pixels."""
    side = view_side(width)
    across = (np.arange(side) + 0.5) / side * 2 - 1
    rays = np.stack([*np.meshgrid(across, across), np.ones((side, side))], axis=-1) @ rotation.T
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    u = (np.arctan2(rays[..., 0], rays[..., 2]) / (2 * np.pi) + 0.5) * width
    v = (np.arcsin(rays[..., 1]) / np.pi + 0.5) * height
    return (u - 0.5).astype(np.float32), (v - 0.5).astype(np.float32)


def _sampled(picture: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    import cv2

    # The right edge goes on at the left one.
    wrapped = np.concatenate([picture[:, -1:], picture, picture[:, :1]], axis=1)
    return cv2.remap(wrapped, x + 1, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _turn(yaw: float) -> Float[np.ndarray, "3 3"]:
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def _nod(pitch: float) -> Float[np.ndarray, "3 3"]:
    c, s = np.cos(pitch), np.sin(pitch)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def _exif(photo: Photo) -> Image.Exif:
    """So that all views share a lens whose field of view is known."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "panorama", f"{photo.size[0]} pixels"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = _FOCAL_35MM
    return exif


def _poses(capture: Capture) -> dict[str, Float[np.ndarray, "4 4"]]:
    """c2w_opencv by the photo's name."""
    if capture.model is None:
        return {}
    poses = {}
    for image in capture.model.images.values():
        if image.has_pose:
            w2c_opencv = np.eye(4)
            w2c_opencv[:3] = image.cam_from_world().matrix()
            poses[Path(image.name).stem] = invert_rigid(w2c_opencv)
    return poses


def _frame(
    file: Path, side: int, c2w_opencv: Float[np.ndarray, "4 4"], number: int
) -> dict[str, object]:
    pose = c2w_opencv.copy()
    pose[:3, :3] = c2w_opencv[:3, :3] @ view_rotations()[number]
    return {
        "file_path": f"images/{file.name}",
        "transform_matrix": opengl_from_opencv(pose).tolist(),
        "fl_x": side / 2,
        "fl_y": side / 2,
        "cx": side / 2,
        "cy": side / 2,
        "w": side,
        "h": side,
    }
