"""Photos and masks as the stage works on them: upright, 8-bit, `NAME.png`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from scenestyle.cameras import fit_within
from scenestyle.capture import Photo
from scenestyle.capture.pictures import (
    decode,
    read_mask,
    resized,
    to_rgb_or_rgba,
    turned,
)
from scenestyle.resample import area_averaged

_FULL_FRAME_DIAGONAL_MM = 43.27


@dataclass(frozen=True)
class Lens:
    """What is known about the camera of a photo; photos of equal lenses share their intrinsics."""

    width: int
    """pixels, of the reduced photo"""
    height: int
    """pixels, of the reduced photo"""
    focal_px: float | None
    """focal length as the EXIF data tells it, pixels of the reduced photo"""
    body: str
    """make and model; where unknown the folder that the photo came in, or empty"""


def write_photos(
    photos: Sequence[Photo], images: Path, masks: Path, *, max_side: int | None
) -> list[Lens]:
    """Write every photo as `NAME.png`, and of what is not to be looked at a mask `NAME.png.png`.

    Photos are turned as their `upright` says, RGB, or RGBA if cut out. Masks, so named for COLMAP,
    are 255 where a photo is used and 0 where it is hidden; only photos that have a mask get one.

    Args:
        photos: Of a capture that `read_capture` found usable.
        images: Folder of the photos; made if need be.
        masks: Folder of the masks; made if need be.
        max_side: Larger photos are reduced to this many pixels along the long side; none: kept.

    Returns:
        One lens per photo.
    """
    images.mkdir(parents=True, exist_ok=True)
    masks.mkdir(parents=True, exist_ok=True)
    lenses = []
    for photo in photos:
        file = decode(photo.path)
        image = to_rgb_or_rgba(turned(file, upright=photo.upright))
        size = fit_within(*image.size, max_side or max(image.size))
        resized(image, size).save(images / f"{photo.name}.png")
        if photo.mask is not None:
            mask = read_mask(photo.mask, upright=photo.upright)
            reduce_mask(mask, size).save(masks / f"{photo.name}.png.png")
        lenses.append(_lens(file.getexif(), photo, *size))
    return lenses


def reduce_mask(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resample a mask; a pixel is used only if all that went into it is."""
    if mask.size == size:
        return mask
    hidden_share = area_averaged((np.asarray(mask) < 255).astype(np.float32), size)
    return Image.fromarray(np.where(hidden_share == 0, 255, 0).astype(np.uint8))


def write_feature_masks(photos: Sequence[Photo], images: Path, masks: Path, out: Path) -> bool:
    """Write COLMAP's masks `NAME.png.png`: no features where a photo is hidden or cut out.

    Returns:
        Whether any photo has such a place; otherwise nothing is written.
    """
    names = [photo.name for photo in photos if photo.mask is not None or photo.transparent]
    if not names:
        return False
    out.mkdir(parents=True, exist_ok=True)
    for photo in photos:
        with Image.open(images / f"{photo.name}.png") as image:
            alpha = image.getchannel("A") if image.mode == "RGBA" else None
            used = np.full((image.height, image.width), 255, np.uint8)
        if alpha is not None:
            used[np.asarray(alpha) == 0] = 0
        if (mask := masks / f"{photo.name}.png.png").is_file():
            with Image.open(mask) as hidden:
                used[np.asarray(hidden) == 0] = 0
        Image.fromarray(used).save(out / f"{photo.name}.png.png")
    return True


def _lens(exif: Image.Exif, photo: Photo, width: int, height: int) -> Lens:
    body = " ".join(str(exif.get(tag, "")) for tag in (ExifTags.Base.Make, ExifTags.Base.Model))
    return Lens(width, height, _focal_px(exif, width, height), body.strip() or photo.camera)


def _focal_px(exif: Image.Exif, width: int, height: int) -> float | None:
    focal_mm = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.FocalLengthIn35mmFilm)
    if not isinstance(focal_mm, int) or focal_mm <= 0:
        return None
    return focal_mm / _FULL_FRAME_DIAGONAL_MM * (width**2 + height**2) ** 0.5
