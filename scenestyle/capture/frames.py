"""What a posed data set lists, in one form, whatever program wrote it; and that as a `Capture`.

The form is nerfstudio's: frames with a `file_path`, a `transform_matrix` and the keys of a lens. A
reader of a layout translates into it; where the photos lie, sizes, lenses, masks and faults are
looked after here, once for all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenestyle.capture import lenses, poses
from scenestyle.capture.capture import Capture, Photo, counted, some, view_names
from scenestyle.capture.locate import Tree, lies_outside, locate
from scenestyle.capture.masks import MASK_FOLDERS, doubts_of_match, masks_by_name, match
from scenestyle.capture.pictures import is_deep, open_picture, shown_size
from scenestyle.errors import InputError

if TYPE_CHECKING:
    import pycolmap

Frame = Mapping[str, Any]
"""one photo: `file_path`; `transform_matrix`, c2w_opengl; keys of its lens as `lenses.camera_of`
reads them; `mask_path` if it has a mask"""


@dataclass(frozen=True)
class Listing:
    """The photos and cameras that a data set lists."""

    layout: str
    """what the data set is, in words"""
    frames: Sequence[Frame]
    """in the order in which the views are to come"""
    files: Sequence[Path]
    """that they were read from, relative to the tree"""
    near: Path
    """folder to which their paths are relative, relative to the tree"""
    common: Frame = field(default_factory=dict)
    """keys of every frame that has none of its own"""
    without_pose: Sequence[str] = ()
    """photos that the data set lists without a pose"""
    left_out: Sequence[str] = ()
    """what else of it is not used, a phrase each"""


def capture_of(tree: Tree, listing: Listing) -> tuple[Capture, dict[Path, Frame]]:
    """The capture that a data set lists, and the frame of each photo; nothing is decoded.

    Args:
        tree: Of the data set.
        listing: What its files say.
    """
    frames, near = listing.frames, listing.near
    paths = locate([str(frame["file_path"]) for frame in frames], tree, near)
    found = [(f, tree.root / path) for f, path in zip(frames, paths, strict=True) if path]
    lost = [str(f["file_path"]) for f, path in zip(frames, paths, strict=True) if not path]
    outside = [text for text in lost if lies_outside(text, tree, near)]
    once = {path: frame for frame, path in reversed(found)}
    frames_by_path = {path: once[path] for _, path in found}
    masks, mask_faults, mask_doubts = _masks(tree, near, frames_by_path)
    model, photos, notes = _cameras(listing.common, frames_by_path, masks)
    unposed = listing.without_pose
    unposed_files = locate(list(unposed), tree, near)
    left_out = [
        *([f"{counted(len(lost), 'listed photo')} without a file ({some(lost)})"] if lost else []),
        *(
            [f"{counted(len(unposed), 'photo')} without a pose ({some(unposed)})"]
            if unposed
            else []
        ),
        *listing.left_out,
    ]
    if repeated := len(found) - len(frames_by_path):
        left_out.append(f"{counted(repeated, 'frame')} of photos that are listed before")
    capture = Capture(
        layout=listing.layout,
        photos=tuple(photos),
        model=model,
        description=tuple(tree.root / file for file in listing.files),
        listed=len(frames),
        left_out=tuple(left_out),
        told=tuple(path for path in unposed_files if path is not None),
        changed=tuple(notes.changed()),
        warnings=(*notes.warnings(), *mask_doubts),
        faults=(
            *notes.faults,
            *mask_faults,
            *(f"{text}: lies outside of {tree.root}; copy it into that" for text in outside),
        ),
        panoramas=any(c.model_name == lenses.EQUIRECTANGULAR for c in model.cameras.values()),
    )
    return capture, frames_by_path


def listed_sizes(tree: Tree, listed: Sequence[str], near: Path) -> list[tuple[int, int] | None]:
    """Width and height of listed photos, for data sets whose lenses are in parts of them, pixels.

    None for a photo that is not there or cannot be read.
    """
    sizes: list[tuple[int, int] | None] = []
    for path in locate(listed, tree, near):
        try:
            sizes.append(None if path is None else open_picture(tree.root / path).size)
        except InputError:
            sizes.append(None)  # it is named when it is opened again
    return sizes


def frame_of(view: "pycolmap.Image", camera: "pycolmap.Camera") -> dict[str, Any]:
    """A posed pinhole as a frame of nerfstudio's form."""
    return {
        "file_path": f"images/{view.name}",
        "transform_matrix": poses.c2w_opengl_of(view).tolist(),
        "fl_x": camera.focal_length_x,
        "fl_y": camera.focal_length_y,
        "cx": camera.principal_point_x,
        "cy": camera.principal_point_y,
        "w": camera.width,
        "h": camera.height,
    }


def stated_size(frame: Mapping[str, Any]) -> tuple[int, int] | None:
    """Width and height as a frame tells them, if it does."""
    try:
        return int(float(frame["w"])), int(float(frame["h"]))
    except (KeyError, TypeError, ValueError):
        return None


def beside_masks(tree: Tree, near: Path) -> dict[str, Path]:
    """Masks of a folder `masks` in `near` or at the top, by name."""
    for folder in (place / name for place in (near, Path()) for name in MASK_FOLDERS):
        if inside := [f.relative_to(folder) for f in tree.files if f.is_relative_to(folder)]:
            return masks_by_name(tree.root / folder, inside)
    return {}


class _Notes:
    """What is to be said of the frames, collected one by one."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.scaled: list[str] = []
        self.turned: list[str] = []
        self.scales: list[float] = []
        self.doubts: dict[str, list[str]] = {}

    def changed(self) -> list[str]:
        """Phrases."""
        scaled, turned = (counted(len(names), "photo") for names in (self.scaled, self.turned))
        scale = f"a scale of {self.scales[0]:.4g}" if self.scales else ""
        phrases = {
            f"intrinsics of {scaled} scaled to smaller pictures": self.scaled,
            f"{turned} turned by EXIF data to fit their cameras": self.turned,
            f"{scale} taken out of the rotations": self.scales,
        }
        return [phrase for phrase, happened in phrases.items() if happened]

    def warnings(self) -> list[str]:
        """Sentences."""
        return [f"{some(names)}: {doubt}." for doubt, names in self.doubts.items()]


def _cameras(
    common: Frame,
    frames: Mapping[Path, Frame],
    masks: Mapping[Path, Path | None],
) -> "tuple[pycolmap.Reconstruction, list[Photo], _Notes]":
    import pycolmap

    model, photos, notes = pycolmap.Reconstruction(), [], _Notes()
    names = view_names(path.stem for path in frames)
    for number, (name, (path, frame)) in enumerate(zip(names, frames.items(), strict=True), 1):
        try:
            photo = _photo(name, path, {**common, **frame}, masks[path], notes)
            camera = lenses.camera_of({**common, **frame}, photo.size)
            c2w_opengl, scale = poses.c2w_of(frame)
        except InputError as error:
            said = str(error)
            place = frame["file_path"]
            notes.faults.append(said if said.startswith(path.name) else f"{place}: {said}")
            continue
        if scale != 1:
            notes.scales.append(scale)
        unread = lenses.unread_keys({**common, **frame})
        doubt = f"distortion {', '.join(unread)} is not read" if unread else lenses.doubts(camera)
        if doubt:
            notes.doubts.setdefault(doubt, []).append(path.name)
        camera.camera_id = number
        model.add_camera_with_trivial_rig(camera)
        model.add_image_with_trivial_frame(
            pycolmap.Image(name=f"{name}.png", camera_id=number, image_id=number),
            poses.cam_from_world(c2w_opengl),
        )
        photos.append(photo)
    return model, photos, notes


def _photo(
    name: str, path: Path, frame: Mapping[str, Any], mask: Path | None, notes: _Notes
) -> Photo:
    """A photo as its camera saw it: turned by EXIF only if its camera has the turned shape."""
    with open_picture(path) as image:
        plain, upright = (shown_size(image, upright=turn) for turn in (False, True))
        transparent, deep = image.has_transparency_data, is_deep(image)
    stated = stated_size(frame)
    is_turned = (
        stated is not None
        and plain != upright
        and not lenses.is_same_shape(stated, plain)
        and lenses.is_same_shape(stated, upright)
    )
    size = upright if is_turned else plain
    if is_turned:
        notes.turned.append(path.name)
    if stated is not None and stated != size:
        notes.scaled.append(path.name)
    return Photo(name, path, size, mask, transparent, deep, upright=is_turned)


def _masks(
    tree: Tree, near: Path, frames: Mapping[Path, Mapping[str, Any]]
) -> tuple[dict[Path, Path | None], list[str], tuple[str, ...]]:
    """Masks of the frames: those they name, else those of a folder `masks` beside the file.

    With what is wrong about them, and what is doubtful.
    """
    listed = {path: str(f["mask_path"]) for path, f in frames.items() if f.get("mask_path")}
    if listed:
        photos = {path.relative_to(tree.root) for path in frames}
        places = locate(list(listed.values()), tree, near, masks_of=photos)
        named = dict(zip(listed, places, strict=True))
        faults = [
            f"{listed[path]}: no such file, but {path.name} names it as its mask"
            for path, place in named.items()
            if place is None
        ]
        return {p: tree.root / m if (m := named.get(p)) else None for p in frames}, faults, ()
    beside = beside_masks(tree, near)
    used = {path: match(path.relative_to(tree.root), beside) for path in frames}
    return used, [], doubts_of_match(beside, list(used.values()))
