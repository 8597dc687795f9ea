"""nerfstudio's and instant-ngp's `transforms.json`, and Blender's `transforms_train.json`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scenestyle.capture.capture import MIN_PHOTOS, Capture, Photo, counted
from scenestyle.capture.frames import Listing, capture_of
from scenestyle.capture.locate import Tree
from scenestyle.capture.texts import read_json
from scenestyle.errors import InputError

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
    others, tested = _other_sets(tree, file), len(meta.get("test_frames") or ())
    listing = Listing(
        layout="transforms.json" if file.name == "transforms.json" else "Blender set",
        frames=frames,
        files=[file],
        near=file.parent,
        common=meta,
        left_out=[
            *(
                f"{other.name} ({counted(len(parse_frames(tree.root / other)[1]), 'view')} for "
                "evaluation)"
                for other in others
            ),
            *([f"`test_frames` ({counted(tested, 'view')} for evaluation)"] if tested else []),
            *(f"`{key}`" for key in _UNUSED if key in meta or any(key in f for f in frames)),
        ],
    )
    capture, frames_by_path = capture_of(tree, listing)
    carried = _carried(meta, frames_by_path, capture.photos)
    return replace(capture, carried=carried, told=(*capture.told, *others))


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


def _other_sets(tree: Tree, file: Path) -> list[Path]:
    beside = [other for other in tree.files if other.parent == file.parent and other != file]
    return [other for other in beside if other.name in NAMES and other.name != "transforms.json"]


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
