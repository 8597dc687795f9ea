"""The front door: whatever describes a scene, as one `Capture`, checked for every stage at once."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from scenestyle.capture import poses
from scenestyle.capture.capture import MIN_PHOTOS, Capture, counted, some
from scenestyle.capture.colmap import models_in, read_colmap
from scenestyle.capture.folder import read_photos, too_few
from scenestyle.capture.frames import capture_of
from scenestyle.capture.layouts import find_listing, poses_not_read
from scenestyle.capture.locate import Tree
from scenestyle.capture.masks import faults_of_match, looks_inverted, masks_by_name, match
from scenestyle.capture.pictures import PHOTO_SUFFIXES, faults_of, read_mask
from scenestyle.capture.splat_cameras import has_cameras
from scenestyle.capture.splats import check_one, find_splats, read_splat_scene
from scenestyle.capture.transforms import NAMES, read_transforms
from scenestyle.errors import InputError

_MIN_SHARE = 0.5
"""a posed data set with files for a smaller fraction of its listed photos is refused"""
_DEPTH = 3
"""folders below the source in which a `transforms.json` is looked for"""
_MAX_FAULTS = 10


def read_capture(
    source: Path,
    *,
    masks: Path | None = None,
    cameras: Path | None = None,
    decode: bool = True,
) -> Capture:
    """Read and check a folder of photos, a posed data set or a scene of splats.

    Nothing is written. A `transforms.json` goes before a COLMAP model, a COLMAP model before bare
    photos. A folder without photos but with a .ply of 3DGS is a scene of splats.

    Args:
        source: The folder, which may hold the data set in a sub-folder; or a .ply file of splats.
        masks: Folder of masks for photos without poses; none: those that lie with the photos.
        cameras: File or folder with the cameras of splats; none: those in their folder, if any.
        decode: Whether every photo is decoded, which finds damaged files, and every mask read;
            otherwise only the heads of the files are.

    Raises:
        InputError: If it cannot be used; with all that is wrong, in one message.
    """
    if source.is_file() and source.suffix.lower() == ".ply":
        return _of_splats(source, source, cameras, masks, decode=decode)
    if not source.is_dir():
        kind = "is a file" if source.exists() else "does not exist"
        raise InputError(f"{source} {kind}; a folder of photos or a posed data set is needed.")
    try:
        tree = Tree.of(source)
    except OSError as error:
        raise InputError(
            f"{error.filename or source} may not be read ({error.strerror}). Change its rights."
        ) from error
    splats = [] if tree.folders_of_photos() else find_splats(tree)
    if splats:
        check_one(tree, splats)
        inside = source if cameras is None and has_cameras(tree) else cameras
        found = _of_splats(source, source / splats[0], inside, masks, decode=decode)
        left_out = [f"splats of {file.as_posix()}" for file in splats[1:]]
        return replace(found, left_out=tuple(left_out))
    if cameras is not None:
        raise InputError(
            f"{source} holds no splats (a .ply of 3DGS) without photos, and cameras are for those. "
            "Photos come with their poses in one folder."
        )
    capture = _read(tree, masks)
    damaged = set(faults_of([photo.path for photo in capture.photos])) if decode else set()
    faults = [*capture.faults, *sorted(damaged)]
    warnings = list(capture.warnings)
    if decode and not faults:
        mask_faults, mask_warnings = _check_masks(capture)
        faults += mask_faults
        warnings += mask_warnings
    raise_faults(faults, max(capture.listed, len(faults)))
    _check_count(source, capture)
    deep = sum(photo.deep for photo in capture.photos)
    reduced = [f"{counted(deep, 'photo')} of more than 8 bits reduced to 8"] if deep else []
    capture = replace(capture, changed=(*capture.changed, *reduced), warnings=tuple(warnings))
    return _centred(capture)


def _of_splats(
    source: Path, ply: Path, cameras: Path | None, masks: Path | None, *, decode: bool
) -> Capture:
    if masks is not None:
        raise InputError(f"{source} holds splats, and masks are for photos. Leave them out.")
    capture = read_splat_scene(ply, cameras, decode=decode)
    if capture.model is not None and capture.listed < MIN_PHOTOS:
        raise InputError(
            f"{cameras} holds {counted(capture.listed, 'camera')}; at least {MIN_PHOTOS} are "
            "needed. Give more, or none: then cameras are laid round the splats."
        )
    return capture


def raise_faults(faults: Sequence[str], number: int) -> None:
    """Report all faults in one error; does nothing if there are none.

    Args:
        faults: `NAME: what is wrong with it`, each.
        number: How many photos there are.

    Raises:
        InputError: Headline, a line per kind of fault with the first names, the way out.
    """
    if not faults:
        return
    names: dict[str, list[str]] = {}
    for fault in faults:
        name, _, reason = fault.partition(": ")
        names.setdefault(reason, []).append(name)
    kinds = [f"{some(alike)}: {reason}" for reason, alike in names.items()]
    more = len(kinds) - _MAX_FAULTS
    raise InputError(
        "\n".join(
            [
                f"{len(faults):,} of {number:,} photos cannot be used:",
                *(f"  - {kind}" for kind in kinds[:_MAX_FAULTS]),
                *([f"  and {more:,} more"] if more > 0 else []),
                "Repair or remove them, or put intact copies in their place; nothing was changed.",
            ]
        )
    )


def _read(tree: Tree, masks: Path | None) -> Capture:
    for name in NAMES:
        files = [file for file in tree.files if file.name == name and len(file.parts) <= _DEPTH + 1]
        if files:
            first = min(files, key=lambda file: len(file.parts))
            return _posed(tree, read_transforms(tree, first), masks)
    if models := models_in(tree):
        return _posed(tree, read_colmap(tree, models), masks)
    if listing := find_listing(tree):
        return _posed(tree, capture_of(tree, listing)[0], masks)
    photos, said = read_photos(tree, masks), poses_not_read(tree)
    return replace(photos, warnings=(*photos.warnings, said)) if said else photos


def _posed(tree: Tree, capture: Capture, masks: Path | None) -> Capture:
    """A posed data set with the user's masks, and what of its files is not used."""
    used = {file.relative_to(tree.root) for file in capture.files}
    rest = [file for file in tree.files if file not in used and file not in capture.told]
    photos = [file for file in rest if file.suffix.lower() in PHOTO_SUFFIXES]
    others = [file.as_posix() for file in rest if file.suffix.lower() not in PHOTO_SUFFIXES]
    left_out = [
        f"{counted(len(names), noun)} ({some(names)})"
        for noun, names in (
            ("unlisted photo", [file.as_posix() for file in photos]),
            ("other file", others),
        )
        if names
    ]
    return _with_masks(replace(capture, left_out=(*capture.left_out, *left_out)), masks)


def _with_masks(capture: Capture, masks: Path | None) -> Capture:
    """Masks that the user names, in place of the data set's own."""
    if masks is None:
        return capture
    known = masks_by_name(masks, Tree.of(masks).files)
    used = [match(photo.path, known) for photo in capture.photos]
    photos = [replace(p, mask=m) for p, m in zip(capture.photos, used, strict=True)]
    faults = faults_of_match(known, used, [photo.path for photo in capture.photos])
    return replace(capture, photos=tuple(photos), faults=(*capture.faults, *faults))


def _check_masks(capture: Capture) -> tuple[list[str], list[str]]:
    """Sizes of the masks, and whether they hide nearly everything."""
    faults, hidden = [], []
    for photo in capture.photos:
        if photo.mask is None:
            continue
        try:
            mask = read_mask(photo.mask, upright=photo.upright)
        except InputError as error:
            faults.append(str(error))
            continue
        if mask.size != photo.size:
            faults.append(
                f"{photo.mask.name}: the mask has {mask.width}x{mask.height} pixels, its photo "
                f"{photo.path.name} has {photo.size[0]}x{photo.size[1]}"
            )
            continue
        hidden.append(float((np.asarray(mask) == 0).mean()))
        if hidden[-1] == 1:
            faults.append(
                f"{photo.mask.name}: the mask hides all of {photo.path.name}; white is used, black "
                "is hidden"
            )
    warnings = []
    if hidden and looks_inverted(float(np.median(hidden))):
        warnings.append(
            f"The masks hide {np.median(hidden):.0%} of the photos: white is used and black is "
            "hidden; invert them if that is the wrong way round."
        )
    return faults, warnings


def _check_count(source: Path, capture: Capture) -> None:
    if capture.model is None:
        if len(capture.photos) < MIN_PHOTOS:
            raise InputError(too_few(source, capture))
        return
    if len(capture.photos) < MIN_PHOTOS:
        raise InputError(
            f"{source} holds {len(capture.photos)} posed images with a file, of "
            f"{capture.listed} listed; at least {MIN_PHOTOS} from different places are needed."
            + (f" Left out: {'; '.join(capture.left_out)}." if capture.left_out else "")
            + " Put the photos where the data set lists them."
        )
    if len(capture.photos) < _MIN_SHARE * capture.listed:
        raise InputError(
            f"{source}: only {len(capture.photos)} of {capture.listed} listed photos have a file, "
            f"wanted at least {_MIN_SHARE:.0%}. Left out: {'; '.join(capture.left_out)}. Put the "
            "photos where the data set lists them."
        )
    if poses.stand_in_one_place(poses.centres_of(capture.model)):
        raise InputError(
            f"{source}: all {counted(len(capture.photos), 'camera')} stand in one place, so that "
            "nothing tells how far away things are. Move the camera between photos; if it did "
            "move, the poses were not recorded: give the photos alone."
        )


def _centred(capture: Capture) -> Capture:
    """The capture with its world near the origin, if it was far from it."""
    if capture.model is None:
        return capture
    centre = poses.far_centre(poses.centres_of(capture.model))
    if centre is None:
        return capture
    poses.moved(capture.model, centre)
    before = np.vstack([capture.carried.get("applied_transform", np.eye(4)[:3]), [0, 0, 0, 1]])
    shift = np.eye(4)
    shift[:3, 3] = -centre
    place = ", ".join(f"{value:.1f}" for value in centre)
    return replace(
        capture,
        changed=(*capture.changed, f"the world moved by its centre ({place}) to the origin"),
        carried={**capture.carried, "applied_transform": (shift @ before)[:3].tolist()},
    )
