"""nerfstudio's and instant-ngp's `transforms.json`, and Blender's `transforms_train.json`."""

import codecs
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenestyle.capture import lenses, poses
from scenestyle.capture.capture import MIN_PHOTOS, Capture, Photo, counted, some, view_names
from scenestyle.capture.locate import Tree, lies_outside, locate
from scenestyle.capture.masks import MASK_FOLDERS, masks_by_name, match
from scenestyle.capture.pictures import open_picture, shown_size
from scenestyle.errors import InputError

if TYPE_CHECKING:
    import pycolmap

NAMES = ("transforms.json", "transforms_train.json", "transforms_test.json", "transforms_val.json")
"""the first one that is there is read"""
_CARRIED = ("orientation_override", "applied_scale")
_HELD_OUT = ("test_filenames", "val_filenames")
"""views that nerfstudio does not train on; here they are held out"""
_UNUSED = ("depth_file_path", "ply_file_path")


def read_transforms(tree: Tree, file: Path) -> Capture:
    """Read a data set whose poses stand in a JSON file; nothing is decoded.

    Intrinsics may stand at the top or per frame, in pixels or as fields of view.

    Args:
        tree: Of the data set.
        file: The JSON file, relative to it.

    Raises:
        InputError: If the file is not such a data set.
    """
    meta, frames = parse_frames(tree.root / file)
    near = file.parent
    paths = locate([str(frame["file_path"]) for frame in frames], tree, near)
    found = [(f, tree.root / path) for f, path in zip(frames, paths, strict=True) if path]
    lost = [str(f["file_path"]) for f, path in zip(frames, paths, strict=True) if not path]
    outside = [text for text in lost if lies_outside(text, tree, near)]
    once = {path: frame for frame, path in reversed(found)}
    frames_by_path = {path: once[path] for _, path in found}
    masks, mask_faults = _masks(tree, near, frames_by_path)
    model, photos, notes = _cameras(meta, frames_by_path, masks)
    left_out = [
        *([f"{counted(len(lost), 'listed photo')} without a file ({some(lost)})"] if lost else []),
        *_other_sets(tree, file),
        *(f"`{key}`" for key in _UNUSED if key in meta or any(key in f for f in frames)),
    ]
    if repeated := len(found) - len(frames_by_path):
        left_out.append(f"{counted(repeated, 'frame')} of photos that are listed before")
    return Capture(
        layout="transforms.json" if file.name == "transforms.json" else "Blender set",
        photos=tuple(photos),
        model=model,
        description=(tree.root / file,),
        listed=len(frames),
        left_out=tuple(left_out),
        changed=tuple(notes.changed()),
        warnings=tuple(notes.warnings()),
        faults=(
            *notes.faults,
            *mask_faults,
            *(f"{text}: lies outside of {tree.root}; copy it into that" for text in outside),
        ),
        panoramas=any(c.model_name == lenses.EQUIRECTANGULAR for c in model.cameras.values()),
        carried=_carried(meta, frames_by_path, photos),
    )


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


def parse_frames(path: Path) -> tuple[dict[str, Any], list[Mapping[str, Any]]]:
    """All of a JSON file of nerfstudio's form, and its frames, each with a `file_path`.

    Raises:
        InputError: If the file is not of this form.
    """
    wanted = (
        "; wanted is nerfstudio's form: an object with a list `frames`, each with `file_path` and "
        "`transform_matrix`."
    )
    meta = read_json(path, wanted)
    if not isinstance(meta, dict):
        raise InputError(f"{path} holds no object{wanted}")
    frames = meta.get("frames")
    if not isinstance(frames, list):
        raise InputError(f"{path} has no list `frames`{wanted}")
    if not all(isinstance(f, dict) and isinstance(f.get("file_path"), str) for f in frames):
        raise InputError(f"{path} has frames without a `file_path`{wanted}")
    return meta, frames


def read_json(path: Path, wanted: str = ".") -> Any:
    """Read a JSON file of another program, in UTF-8 or UTF-16.

    Raises:
        InputError: If it cannot be read; ends with `wanted`.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} may not be read ({error.strerror}).") from error
    is_utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return json.loads(raw.decode("utf-16" if is_utf16 else "utf-8-sig"))
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path} is not JSON (line {error.lineno}, column {error.colno}: {error.msg}){wanted}"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text in UTF-8{wanted}") from error


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


def _cameras(
    meta: Mapping[str, Any],
    frames: Mapping[Path, Mapping[str, Any]],
    masks: Mapping[Path, Path | None],
) -> "tuple[pycolmap.Reconstruction, list[Photo], _Notes]":
    import pycolmap

    model, photos, notes = pycolmap.Reconstruction(), [], _Notes()
    names = view_names(path.stem for path in frames)
    for number, (name, (path, frame)) in enumerate(zip(names, frames.items(), strict=True), 1):
        try:
            photo = _photo(name, path, {**meta, **frame}, masks[path], notes)
            camera = lenses.camera_of({**meta, **frame}, photo.size)
            c2w_opengl, scale = poses.c2w_of(frame)
        except InputError as error:
            said = str(error)
            place = frame["file_path"]
            notes.faults.append(said if said.startswith(path.name) else f"{place}: {said}")
            continue
        if scale != 1:
            notes.scales.append(scale)
        unread = lenses.unread_keys({**meta, **frame})
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
        transparent = image.has_transparency_data
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
    return Photo(name, path, size, mask, transparent, upright=is_turned)


def stated_size(frame: Mapping[str, Any]) -> tuple[int, int] | None:
    """Width and height as a frame tells them, if it does."""
    try:
        return int(float(frame["w"])), int(float(frame["h"]))
    except (KeyError, TypeError, ValueError):
        return None


def _masks(
    tree: Tree, near: Path, frames: Mapping[Path, Mapping[str, Any]]
) -> tuple[dict[Path, Path | None], list[str]]:
    """Masks of the frames: those they name, else those of a folder `masks` beside the file."""
    listed = {path: str(f["mask_path"]) for path, f in frames.items() if f.get("mask_path")}
    if listed:
        places = locate(list(listed.values()), tree, near)
        named = dict(zip(listed, places, strict=True))
        faults = [
            f"{listed[path]}: no such file, but {path.name} names it as its mask"
            for path, place in named.items()
            if place is None
        ]
        return {p: tree.root / m if (m := named.get(p)) else None for p in frames}, faults
    beside = beside_masks(tree, near)
    return {path: match(path.relative_to(tree.root), beside) for path in frames}, []


def beside_masks(tree: Tree, near: Path) -> dict[str, Path]:
    """Masks of a folder `masks` in `near` or at the top, by name."""
    for folder in (place / name for place in (near, Path()) for name in MASK_FOLDERS):
        if inside := [f.relative_to(folder) for f in tree.files if f.is_relative_to(folder)]:
            return masks_by_name(tree.root / folder, inside)
    return {}


def _other_sets(tree: Tree, file: Path) -> list[str]:
    beside = [tree.root / f for f in tree.files if f.parent == file.parent and f.name in NAMES]
    return [
        f"{other.name} ({counted(len(parse_frames(other)[1]), 'view')} for evaluation)"
        for other in beside
        if other.name != file.name and other.name != "transforms.json"
    ]


def _carried(
    meta: Mapping[str, Any], frames: Mapping[Path, Mapping[str, Any]], photos: Sequence[Photo]
) -> dict[str, Any]:
    """Keys that go on; the split into training and held-out views with their new names."""
    carried: dict[str, Any] = {key: meta[key] for key in _CARRIED if key in meta}
    if "applied_transform" in meta:
        carried["applied_transform"] = meta["applied_transform"]
    views = {str(frames[photo.path]["file_path"]): f"images/{photo.name}.png" for photo in photos}
    splits = [meta[key] for key in _HELD_OUT if isinstance(meta.get(key), list)]
    held_out = {views[name] for listed in splits for name in listed if name in views}
    trained_on = [view for view in views.values() if view not in held_out]
    if held_out and len(trained_on) >= MIN_PHOTOS:
        carried |= {"train_filenames": trained_on, "test_filenames": sorted(held_out)}
    return carried
