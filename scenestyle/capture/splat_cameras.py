"""Cameras without photos, in the files that come with splats; see `read_cameras`."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenestyle.capture import lenses, poses
from scenestyle.capture.capture import counted, natural_order, some, view_names
from scenestyle.capture.colmap import load_model, models_in
from scenestyle.capture.field_frame import FIELD_FRAME, read_field_frame
from scenestyle.capture.frames import frame_of, stated_size
from scenestyle.capture.locate import Tree
from scenestyle.capture.pictures import PHOTO_SUFFIXES
from scenestyle.capture.texts import read_json
from scenestyle.capture.transforms import parse_frames
from scenestyle.errors import InputError
from scenestyle.geometry import Similarity, opengl_from_opencv

if TYPE_CHECKING:
    import pycolmap

_BY_3DGS = "cameras.json"
_BY_NERFSTUDIO = "transforms.json"
_WANTED = (
    "wanted is a cameras.json of 3DGS, a transforms.json of nerfstudio, or a COLMAP model, in the "
    "frame of the splats"
)

Frames = Mapping[str, Mapping[str, Any]]
"""name of a view -> frame as nerfstudio writes it, with a size"""


def has_cameras(tree: Tree) -> bool:
    """Whether a folder holds cameras of any kind that is known."""
    return any(f.name in (_BY_3DGS, _BY_NERFSTUDIO) for f in tree.files) or bool(models_in(tree))


def read_cameras(
    place: Path,
) -> "tuple[pycolmap.Reconstruction, Sequence[Path], tuple[str, ...]]":
    """Read cameras of a file or folder, as pinholes; photos are not looked for.

    Of a folder, a `transforms.json` goes before 3DGS's `cameras.json`, that before a COLMAP model.
    A `dataparser_transforms.json` beside a `transforms.json` takes its cameras to the frame of
    nerfstudio's field, in which nerfstudio exports splats.

    Returns:
        The cameras, the files they were read from, and what was changed, a phrase each.

    Raises:
        InputError: If there are none, or some cannot be used; all of these are named.
    """
    if not place.exists():
        raise InputError(f"{place} does not exist; {_WANTED}.")
    if place.is_file():
        is_list = isinstance(read_json(place, f"; {_WANTED}."), list)
        return _of_file(place, _frames_of_3dgs if is_list else _frames_of_nerfstudio)
    tree = Tree.of(place)
    for name, read in ((_BY_NERFSTUDIO, _frames_of_nerfstudio), (_BY_3DGS, _frames_of_3dgs)):
        if found := [file for file in tree.files if file.name == name]:
            return _of_file(tree.root / min(found, key=lambda path: len(path.parts)), read)
    if models := models_in(tree):
        folder = tree.root / models[0].folder
        model, changed = _model_of_colmap(folder, models[0].suffix)
        return model, sorted(folder.glob(f"*{models[0].suffix}")), changed
    raise InputError(f"{place} holds no cameras that are known; {_WANTED}.")


def _of_file(
    path: Path, read: Callable[[Path], tuple[Frames, Sequence[Path], tuple[str, ...]]]
) -> "tuple[pycolmap.Reconstruction, Sequence[Path], tuple[str, ...]]":
    frames, files, changed = read(path)
    return _model_of(path, frames), files, changed


def _frames_of_3dgs(path: Path) -> tuple[Frames, Sequence[Path], tuple[str, ...]]:
    """What 3DGS's training writes beside its splats: camera-to-world with OpenCV axes.

    Source: `camera_to_JSON` of the published code of Kerbl et al. 2023, arXiv:2308.04079.
    """
    entries = read_json(path)
    keys = {"img_name", "width", "height", "position", "rotation", "fx", "fy"}
    wanted = f"wanted is a list of objects with {', '.join(sorted(keys))}, as 3DGS writes it"
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise InputError(f"{path} is no list of cameras; {wanted}.")
    lacking = [number for number, each in enumerate(entries) if not keys <= each.keys()]
    if lacking:
        missing = ", ".join(sorted(keys - entries[lacking[0]].keys()))
        raise InputError(
            f"{path}: {len(lacking):,} of {len(entries):,} entries are incomplete (number "
            f"{lacking[0]} lacks {missing}); {wanted}."
        )
    ordered = sorted(entries, key=lambda each: natural_order(Path(str(each["img_name"]))))
    names = view_names(_stem(str(each["img_name"])) for each in ordered)
    return {n: _frame_of_3dgs(e) for n, e in zip(names, ordered, strict=True)}, [path], ()


def _frame_of_3dgs(entry: Mapping[str, Any]) -> dict[str, Any]:
    frame = {
        "fl_x": entry["fx"],
        "fl_y": entry["fy"],
        "w": entry["width"],
        "h": entry["height"],
        "camera_model": "PINHOLE",
        "transform_matrix": None,
    }
    try:
        c2w_opencv = np.eye(4)
        c2w_opencv[:3, :3] = np.array(entry["rotation"], dtype=np.float64)
        c2w_opencv[:3, 3] = np.array(entry["position"], dtype=np.float64)
        return frame | {"transform_matrix": opengl_from_opencv(c2w_opencv).tolist()}
    except (TypeError, ValueError):
        return frame  # reading it as a pose says what is wrong


def _frames_of_nerfstudio(path: Path) -> tuple[Frames, Sequence[Path], tuple[str, ...]]:
    meta, frames = parse_frames(path)
    ordered = sorted(frames, key=lambda each: natural_order(Path(str(each["file_path"]))))
    names = view_names(_stem(str(each["file_path"])) for each in ordered)
    named = {name: {**meta, **frame} for name, frame in zip(names, ordered, strict=True)}
    if not (path.parent / FIELD_FRAME).is_file():
        return named, [path], ()
    field = _field_frame(path.parent / FIELD_FRAME, meta)
    moved = {name: _moved(frame, field) for name, frame in named.items()}
    said = f"cameras taken to the frame of nerfstudio's field by {FIELD_FRAME}"
    return moved, [path, path.parent / FIELD_FRAME], (said,)


def _field_frame(path: Path, meta: Mapping[str, Any]) -> Similarity:
    """From the frame of a transforms.json to that of its field."""
    field = read_field_frame(path)
    try:
        applied = np.vstack([meta.get("applied_transform", np.eye(4)[:3]), [0, 0, 0, 1]])
        back = np.linalg.inv(applied)
        scale = field.scale / float(meta.get("applied_scale", 1.0))
    except (TypeError, ValueError, np.linalg.LinAlgError) as error:
        raise InputError(
            f"{path.parent / _BY_NERFSTUDIO}: wanted are an applied_transform of 3x4 numbers that "
            "can be inverted and an applied_scale that is a number. Take the file of the run again."
        ) from error
    rotation = field.rotation @ back[:3, :3]
    moved = field.rotation @ back[:3, 3] + field.translation / field.scale
    return Similarity(scale, rotation, scale * moved)


def _moved(frame: Mapping[str, Any], field: Similarity) -> Mapping[str, Any]:
    try:
        c2w_opengl, _ = poses.c2w_of(frame)
    except InputError:
        return frame  # reading it as a pose says what is wrong
    return {**frame, "transform_matrix": field.apply_to_poses(c2w_opengl)}


def _model_of(path: Path, frames: Frames) -> "pycolmap.Reconstruction":
    """The cameras as pinholes; all faults are said at once."""
    import pycolmap

    model, faults = pycolmap.Reconstruction(), []
    for number, (name, frame) in enumerate(frames.items(), 1):
        try:
            camera = _pinhole(lenses.camera_of(frame, _size_of(frame)))
            pose = poses.cam_from_world(poses.c2w_of(frame)[0])
        except InputError as error:
            faults.append(f"{name}: {error}")
            continue
        camera.camera_id = number
        model.add_camera_with_trivial_rig(camera)
        image = pycolmap.Image(name=f"{name}.png", camera_id=number, image_id=number)
        model.add_image_with_trivial_frame(image, pose)
    if faults:
        raise InputError(
            f"{path}: {len(faults):,} of {counted(len(frames), 'camera')} cannot be used: "
            f"{some(faults)}. Correct them, or remove their entries."
        )
    return model


def _size_of(frame: Mapping[str, Any]) -> tuple[int, int]:
    size = stated_size(frame)
    if size is None or min(size) <= 0:
        raise InputError("its camera has no width and height (w, h)")
    return size


def _pinhole(camera: "pycolmap.Camera") -> "pycolmap.Camera":
    import pycolmap

    if camera.is_undistorted():
        return camera
    return pycolmap.undistort_camera(pycolmap.UndistortCameraOptions(), camera)


def _model_of_colmap(
    folder: Path, suffix: str
) -> "tuple[pycolmap.Reconstruction, tuple[str, ...]]":
    loaded, names = load_model(folder, suffix)
    posed = sorted(
        (image for image in loaded.images.values() if image.has_pose),
        key=lambda image: natural_order(Path(names[image.image_id])),
    )
    frames: dict[str, Mapping[str, Any]] = {}
    short = view_names(_stem(names[image.image_id]) for image in posed)
    bent = False
    for name, image in zip(short, posed, strict=True):
        camera = loaded.camera(image.camera_id)
        bent |= not camera.is_undistorted()
        frames[name] = frame_of(image, _pinhole(camera))
    changed = ("the lenses' distortion left out, as splats are drawn without",) if bent else ()
    return _model_of(folder, frames), changed


def _stem(name: str) -> str:
    path = Path(name)
    return path.stem if path.suffix.lower() in PHOTO_SUFFIXES else path.name
