"""A folder of photos, read with the care that files from strangers need."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image, ImageOps

from scenestyle.cameras import fit_within
from scenestyle.errors import InputError

PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png"}
MIN_PHOTOS = 3
"""fewer cannot fix the shape of a scene and its cameras"""

_FULL_FRAME_DIAGONAL_MM = 43.27
_DEEP_GREY_MODES = {"I", "I;16", "I;16B", "I;16L", "I;16N", "F"}


@dataclass(frozen=True)
class Photo:
    """An image file and the name that its view bears from here on."""

    name: str
    """letters, digits, `_` and `-`; unique in the scene"""
    path: Path


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
    """make and model, empty where unknown"""


def find_photos(source: Path) -> tuple[list[Photo], list[str]]:
    """List the photos of a scene folder, in the natural order of their names.

    Photos lie in `source` itself or in `source/images`. JPEG and PNG count, in any letter case.

    Returns:
        The photos, and the names of the other files, hidden ones included, which are ignored.

    Raises:
        InputError: If there are fewer than `MIN_PHOTOS`.
    """
    folder = source
    if not _photo_files(source) and (source / "images").is_dir():
        folder = source / "images"
    files = _photo_files(folder)
    ignored = sorted(path.name for path in folder.iterdir() if path.is_file() and path not in files)
    if len(files) < MIN_PHOTOS:
        raise InputError(_too_few(folder, len(files), ignored))
    names = view_names(path.stem for path in files)
    return [Photo(name, path) for name, path in zip(names, files, strict=True)], ignored


def view_names(stems: Iterable[str]) -> list[str]:
    """Names fit for file systems, command lines and COLMAP's lists, unique in any letter case.

    Accents go, everything but letters, digits, `_` and `-` becomes `_`; of equal names the later
    ones get a number.
    """
    names: list[str] = []
    taken: set[str] = set()
    for stem in stems:
        plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
        base = re.sub(r"[^A-Za-z0-9_-]+", "_", plain).strip("_-") or "photo"
        name, number = base, 1
        while name.lower() in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name.lower())
        names.append(name)
    return names


def write_upright_photos(photos: list[Photo], out: Path, *, max_side: int) -> list[Lens]:
    """Decode every photo, turn it upright by its EXIF orientation, reduce it, write `NAME.png`.

    Returns:
        One lens per photo.

    Raises:
        InputError: Naming every photo that cannot be used, not just the first.
    """
    out.mkdir(parents=True, exist_ok=True)
    lenses, faults = [], []
    for photo in photos:
        try:
            lenses.append(_write_upright(photo, out / f"{photo.name}.png", max_side=max_side))
        except InputError as error:
            faults.append(str(error))
    raise_faults(faults, f"{len(faults)} of {len(photos)} photos cannot be used", _REPLACE_PHOTOS)
    return lenses


def decode(path: Path) -> Image.Image:
    """Read a whole image file; its pixels are not turned and its mode is kept.

    Raises:
        InputError: If it is no image, cut short, or deeper than 8 bits; one line, with the name.
    """
    try:
        image = Image.open(path)
        image.load()
    # Pillow reports a damaged PNG as SyntaxError, and a bomb as an exception of its own.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path.name}: {_reason(path, error)}") from error
    if image.mode in _DEEP_GREY_MODES:
        raise InputError(f"{path.name}: 16-bit or float greyscale; save it with 8 bits")
    return image


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB; transparent pixels become white."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def raise_faults(faults: list[str], headline: str, way_out: str) -> None:
    """Report all faults in one error; does nothing if there are none.

    Raises:
        InputError: Headline, one line per fault, the way out.
    """
    if faults:
        raise InputError("\n".join([f"{headline}:", *(f"  - {f}" for f in faults), way_out]))


_REPLACE_PHOTOS = "Remove these files or put intact copies in their place; nothing was changed."


def _photo_files(folder: Path) -> list[Path]:
    return sorted(
        (
            path
            for path in folder.iterdir()
            if path.suffix.lower() in PHOTO_SUFFIXES
            and not path.name.startswith(".")
            and path.is_file()
        ),
        key=_natural_order,
    )


def _natural_order(path: Path) -> tuple[list[tuple[int, str]], str]:
    """2 before 10; the name itself decides between `1.jpg` and `01.jpg`."""
    parts = re.findall(r"\d+|\D+", path.name.lower())
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in parts], path.name


def _too_few(folder: Path, count: int, ignored: list[str]) -> str:
    found = {0: "no photos", 1: "only 1 photo"}.get(count, f"only {count} photos")
    others = f", but {len(ignored)} other files ({', '.join(ignored[:5])})" if ignored else ""
    heic = any(name.lower().endswith((".heic", ".heif")) for name in ignored)
    convert = " Convert HEIC photos to JPEG first." if heic else ""
    return (
        f"{folder} holds {found}{others}; at least {MIN_PHOTOS} JPEG or PNG photos of one scene "
        f"from different places are needed, and 20 to 60 give a good result.{convert}"
    )


def _reason(path: Path, error: Exception) -> str:
    if path.stat().st_size == 0:
        return "empty file"
    if isinstance(error, Image.UnidentifiedImageError):
        return "not a JPEG or PNG picture"
    return f"damaged ({error})"


def _write_upright(photo: Photo, out: Path, *, max_side: int) -> Lens:
    image = decode(photo.path)
    exif = image.getexif()
    upright = to_rgb(ImageOps.exif_transpose(image))
    width, height = fit_within(*upright.size, max_side)
    upright.resize((width, height), Image.Resampling.LANCZOS).save(out)
    body = " ".join(str(exif.get(tag, "")) for tag in (ExifTags.Base.Make, ExifTags.Base.Model))
    return Lens(width, height, _focal_px(exif, width, height), body.strip())


def _focal_px(exif: Image.Exif, width: int, height: int) -> float | None:
    focal_mm = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.FocalLengthIn35mmFilm)
    if not isinstance(focal_mm, int) or focal_mm <= 0:
        return None
    return focal_mm / _FULL_FRAME_DIAGONAL_MM * (width**2 + height**2) ** 0.5
