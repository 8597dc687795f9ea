"""Image files from strangers: which formats are read, decoding, masks, checks in parallel."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from scenestyle.errors import InputError

PHOTO_SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".tif", ".tiff", ".avif", ".heic",
    ".heif", ".hif", ".bmp",
}  # fmt: skip
"""how the names of photos end that can be read, in lower case"""
RAW_SUFFIXES = {
    ".dng", ".cr2", ".cr3", ".arw", ".nef", ".orf", ".rw2", ".raf", ".pef", ".srw", ".jxl",
}  # fmt: skip
"""how the names of photos end that cannot be read"""

_SIXTEEN_BIT = {"I;16", "I;16B", "I;16L", "I;16N"}
_MAX_PIXELS = (
    400_000_000  # phones take 200 megapixels; Pillow's own limit would call that an attack
)
_DRAFT = 8


@cache
def _open_every_format() -> None:
    import pi_heif

    pi_heif.register_heif_opener()
    Image.MAX_IMAGE_PIXELS = _MAX_PIXELS


def open_picture(path: Path) -> Image.Image:
    """Read the head of an image file.

    Raises:
        InputError: If it is no image; one line, with the name.
    """
    _open_every_format()
    try:
        return Image.open(path)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path.name}: {_reason(path, error)}") from error


def decode(path: Path) -> Image.Image:
    """Read a whole image file; its pixels are not turned. 16-bit greyscale becomes 8-bit.

    Raises:
        InputError: If it is no image, cut short, or float; one line, with the name.
    """
    image = open_picture(path)
    _load(path, image)
    if image.mode in _SIXTEEN_BIT:
        eight_bit = Image.fromarray((np.asarray(image).astype(np.float32) / 257).astype(np.uint8))
        eight_bit.info.update({key: image.info[key] for key in ("exif",) if key in image.info})
        return eight_bit
    return image


def _load(path: Path, image: Image.Image) -> None:
    try:
        image.load()
    # Pillow reports a damaged PNG as SyntaxError, and a bomb as an exception of its own.
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise InputError(f"{path.name}: {_reason(path, error)}") from error
    if image.mode in {"I", "F"}:
        raise InputError(f"{path.name}: 32-bit or float pixels; save it with 8 or 16 bits")


def shown_size(image: Image.Image, *, upright: bool) -> tuple[int, int]:
    """Width and height, after turning by the EXIF orientation if `upright`; nothing is decoded."""
    width, height = image.size
    # Pillow would decode a PNG to look for EXIF data at its end.
    has_head = image.format != "PNG" or "exif" in image.info
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1) if upright and has_head else 1
    return (height, width) if orientation in (5, 6, 7, 8) else (width, height)


def is_deep(image: Image.Image) -> bool:
    """Whether a file has more than 8 bits per channel, by its head."""
    # Pillow's mode of 16-bit colours is that of 8; how it unpacks them stands in the tiles.
    stored = " ".join(str(tile.args) for tile in getattr(image, "tile", ()))
    return ";16" in f"{image.mode} {stored}" or (image.info.get("bit_depth") or 8) > 8


def turned(image: Image.Image, *, upright: bool) -> Image.Image:
    """The image turned by its EXIF orientation if `upright`, else as it is."""
    return ImageOps.exif_transpose(image) if upright else image


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB; transparent pixels become white."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def to_rgb_or_rgba(image: Image.Image) -> Image.Image:
    """8-bit RGB, or RGBA where anything is transparent; white where nothing is seen."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = np.array(image.convert("RGBA"))
    if rgba[..., 3].min() == 255:
        return Image.fromarray(rgba[..., :3])
    rgba[rgba[..., 3] == 0, :3] = 255
    return Image.fromarray(rgba)


def resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resample RGB or RGBA; colours count by their alpha, so that no invisible one bleeds in."""
    if image.size == size:
        return image
    if image.mode != "RGBA":
        return image.resize(size, Image.Resampling.LANCZOS)
    smooth = image.convert("RGBa").resize(size, Image.Resampling.LANCZOS).convert("RGBA")
    return to_rgb_or_rgba(smooth)


def read_mask(path: Path, *, upright: bool = True) -> Image.Image:
    """Read a mask as 8-bit greyscale of 255 (used) and 0 (hidden).

    Values from the middle up count as used; in a file of zeros and ones, the ones do.

    Raises:
        InputError: If it is no image; one line, with the name.
    """
    values = np.asarray(turned(decode(path), upright=upright).convert("L"))
    threshold = 1 if values.max() <= 1 else 128
    return Image.fromarray(np.where(values >= threshold, 255, 0).astype(np.uint8))


def faults_of(paths: Sequence[Path]) -> list[str]:
    """Decode every file, in parallel; why some cannot be, a line each."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [fault for fault in pool.map(_fault_of, paths) if fault]


def _fault_of(path: Path) -> str:
    try:
        image = open_picture(path)
        # JPEG: reads every byte but computes an eighth of the size.
        image.draft(image.mode, (image.width // _DRAFT, image.height // _DRAFT))
        _load(path, image)
    except InputError as error:
        return str(error)
    return ""


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, PermissionError):
        return "may not be read; change its permissions"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if path.stat().st_size == 0:
        return "empty file"
    if isinstance(error, Image.UnidentifiedImageError):
        return "not a picture in a format that can be read"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {2 * _MAX_PIXELS // 10**6} megapixels; reduce it"
    return f"damaged ({error})"
