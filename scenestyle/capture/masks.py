"""Which mask belongs to which photo."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from scenestyle.capture.capture import counted, some
from scenestyle.capture.pictures import PHOTO_SUFFIXES

MASK_FOLDERS = ("masks", "mask")
_INVERTED = 0.9
"""masks that hide a larger fraction than this are probably inverted"""


def masks_by_name(folder: Path, files: Iterable[Path]) -> dict[str, Path]:
    """Mask files by what their photos are called: path without suffix, in lower case.

    Args:
        folder: The folder of masks.
        files: Paths relative to it. `a/x.png`, `a/x.jpg.png` (COLMAP) and `a/x.mask.png` all belong
            to a photo `a/x.jpg`.
    """
    masks: dict[str, Path] = {}
    for file in files:
        if file.suffix.lower() in PHOTO_SUFFIXES:
            key = file.with_suffix("")
            while key.suffix.lower() in (*PHOTO_SUFFIXES, ".mask"):
                key = key.with_suffix("")
            masks.setdefault(key.as_posix().lower(), folder / file)
    return masks


def match(photo: Path, masks: Mapping[str, Path]) -> Path | None:
    """The mask of a photo, by its whole path or as much of its end as names a mask.

    Args:
        photo: Relative to a folder above the photos.
        masks: As `masks_by_name` gives them.
    """
    parts = photo.with_suffix("").as_posix().lower().split("/")
    tails = ("/".join(parts[first:]) for first in range(len(parts)))
    return next((masks[tail] for tail in tails if tail in masks), None)


def faults_of_match(
    masks: Mapping[str, Path], used: Iterable[Path | None], photos: Iterable[Path]
) -> list[str]:
    """Why a folder of masks does not fit the photos, a line each."""
    photos, used = list(photos), list(used)
    without = [path.name for path, mask in zip(photos, used, strict=True) if mask is None]
    if len(without) == len(photos):
        names = some(sorted(path.name for path in masks.values()))
        return [
            f"none of the {len(masks)} masks ({names}) is called like a photo: name them as the "
            f"photos, such as {photos[0].stem}.png"
        ]
    return []


def doubts_of_match(masks: Mapping[str, Path], used: Sequence[Path | None]) -> tuple[str, ...]:
    """What is doubtful about masks that lie with the photos, a sentence each."""
    without = sum(mask is None for mask in used)
    if masks and without == len(used):
        names = some(sorted(path.name for path in masks.values()))
        return (f"None of the {len(masks)} masks ({names}) is called like a photo; none is used.",)
    if 0 < without < len(used):
        return (f"{counted(without, 'photo')} of {len(used):,} have no mask; all of them is used.",)
    return ()


def looks_inverted(hidden: float) -> bool:
    """Whether masks that hide this fraction of the pixels are rather the wrong way round."""
    return hidden > _INVERTED
