"""Cameras as other programs of structure from motion write them.

OpenMVG, Meshroom, OpenSfM (OpenDroneMap), Bundler and Kapture.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scenestyle.capture.capture import counted
from scenestyle.capture.frames import Frame, Listing
from scenestyle.capture.locate import Tree
from scenestyle.capture.poses import c2w_opengl_from
from scenestyle.capture.texts import begin_of, read_json, read_text, written_by
from scenestyle.errors import InputError

_LENSES = "SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE"
"""COLMAP's that nerfstudio's keys can tell"""
_Found = tuple[Sequence[Frame], Sequence[str], Sequence[str]]
"""frames, photos without a pose, and what else is left out"""


def find_openmvg(tree: Tree) -> Listing | None:
    """OpenMVG: `sfm_data.json`, also `sfm_data.bin` converted to it.

    Source: OpenMVG's `sfm_data_io.hpp` and its camera models.

    Raises:
        InputError: If the file is damaged.
    """
    for file in tree.named("*.json"):
        if '"sfm_data_version"' in begin_of(tree.root / file):
            return _listing("OpenMVG", tree, file, _of_openmvg)
    return None


def _of_openmvg(data: Any) -> _Found:
    lenses = {each["key"]: _lens_of_openmvg(_inner(each)) for each in data["intrinsics"]}
    poses = {
        each["key"]: c2w_opengl_from(each["value"]["rotation"], centre=each["value"]["center"])
        for each in data["extrinsics"]
    }
    frames, unposed = [], []
    for view in map(_inner, data["views"]):
        path = Path(view.get("local_path", ""), view["filename"]).as_posix()
        pose, lens = poses.get(view["id_pose"]), lenses.get(view["id_intrinsic"])
        if pose is None or lens is None:
            unposed.append(path)
        else:
            frames.append({"file_path": path, "transform_matrix": pose, **lens})
    return frames, unposed, []


def _inner(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    return entry["value"]["ptr_wrapper"]["data"]


def _lens_of_openmvg(data: Mapping[str, Any]) -> Frame:
    pinhole = data.get("value0", data)
    distortion = next((key for key in ("disto_t2", "disto_k3", "disto_k1") if key in data), None)
    names = ("k1", "k2", "k3", "p1", "p2")
    if "fisheye" in data:
        distortion, names = "fisheye", ("k1", "k2", "k3", "k4")
    values = data[distortion] if distortion else []
    return {
        "camera_model": "OPENCV_FISHEYE" if distortion == "fisheye" else "OPENCV",
        "w": pinhole["width"],
        "h": pinhole["height"],
        "fl_x": pinhole["focal_length"],
        "cx": pinhole["principal_point"][0],
        "cy": pinhole["principal_point"][1],
        **dict(zip(names, values, strict=False)),
    }


def find_meshroom(tree: Tree) -> Listing | None:
    """Meshroom (AliceVision): `cameras.sfm`, or `sfm.json`, of its node StructureFromMotion.

    Source: AliceVision's `jsonIO.cpp`; rotations are written by columns. Focal lengths are in
    millimetres since version 1.2, and principal points then relative to the middle.

    Raises:
        InputError: If the file is damaged.
    """
    for file in [*tree.named("*.sfm"), *tree.named("*.json")]:
        if '"viewId"' in begin_of(tree.root / file):
            return _listing("Meshroom", tree, file, _of_meshroom)
    return None


def _of_meshroom(data: Any) -> _Found:
    lenses = {each["intrinsicId"]: _lens_of_meshroom(each) for each in data["intrinsics"]}
    poses = {}
    for each in data["poses"]:
        transform = each["pose"]["transform"]
        by_columns = np.array(transform["rotation"], dtype=np.float64).reshape(3, 3)
        poses[each["poseId"]] = c2w_opengl_from(by_columns.T, centre=_floats(transform["center"]))
    frames, unposed = [], []
    for view in data["views"]:
        pose = poses.get(view.get("poseId", view["viewId"]))
        lens = lenses.get(view.get("intrinsicId"))
        if pose is None or lens is None:
            unposed.append(view["path"])
        else:
            frames.append({"file_path": view["path"], "transform_matrix": pose, **lens})
    return frames, unposed, []


def _lens_of_meshroom(entry: Mapping[str, Any]) -> Frame:
    width, height = float(entry["width"]), float(entry["height"])
    centre = _floats(entry["principalPoint"])
    if "pxFocalLength" in entry:
        focal = _floats(np.ravel(entry["pxFocalLength"]))[0]
    else:
        focal = float(entry["focalLength"]) / float(entry["sensorWidth"]) * width
        centre = [centre[0] + width / 2, centre[1] + height / 2]
    kind = str(entry.get("distortionType") or entry.get("type", ""))
    coefficients = _floats(entry.get("distortionParams") or [])
    known = {
        "radial1": ("k1",), "radialk1": ("k1",), "radial3": ("k1", "k2", "k3"),
        "radialk3": ("k1", "k2", "k3"), "brown": ("k1", "k2", "k3", "p1", "p2"),
        "fisheye4": ("k1", "k2", "k3", "k4"),
    }  # fmt: skip
    names = known.get(kind)
    if names is None and any(coefficients):
        raise ValueError(f"the lens {kind} is not known")
    return {
        "camera_model": "OPENCV_FISHEYE" if kind == "fisheye4" else "OPENCV",
        "w": width,
        "h": height,
        "fl_x": focal,
        "cx": centre[0],
        "cy": centre[1],
        **dict(zip(names or (), coefficients, strict=False)),
    }


def find_opensfm(tree: Tree) -> Listing | None:
    """OpenSfM, OpenDroneMap: `opensfm/reconstruction.json`; of several the one with most photos.

    Source: OpenSfM's documentation, "Geometric Models". Lengths are parts of the longer side, and
    its pixels have their coordinates in the middle.

    Raises:
        InputError: If the file is damaged.
    """
    for file in tree.named("*reconstruction*.json"):
        if re.match(r"\s*\[\s*\{", begin_of(tree.root / file)):
            return _listing("OpenSfM", tree, file, _of_opensfm)
    return None


def _of_opensfm(data: Any) -> _Found:
    main, *others = sorted(data, key=lambda part: len(part["shots"]), reverse=True)
    lenses = {name: _lens_of_opensfm(camera) for name, camera in main["cameras"].items()}
    frames = [
        {
            "file_path": name,
            "transform_matrix": c2w_opengl_from(
                _rotation(_floats(shot["rotation"])), translation=_floats(shot["translation"])
            ),
            **lenses[shot["camera"]],
        }
        for name, shot in main["shots"].items()
    ]
    rest = [name for part in others for name in part["shots"]]
    return frames, [], [f"{counted(len(rest), 'photo')} of other parts"] if rest else []


def _lens_of_opensfm(camera: Mapping[str, Any]) -> Frame:
    kind, size = camera["projection_type"], (float(camera["width"]), float(camera["height"]))
    lens: dict[str, Any] = {"w": size[0], "h": size[1]}
    if kind in ("spherical", "equirectangular"):
        return lens | {"camera_model": "EQUIRECTANGULAR"}
    if kind not in ("perspective", "brown", "simple_radial", "radial", "fisheye_opencv"):
        raise ValueError(f"the lens {kind} is not known")
    side = max(size)
    return lens | {
        "camera_model": "OPENCV_FISHEYE" if kind == "fisheye_opencv" else "OPENCV",
        "fl_x": camera.get("focal_x", camera.get("focal")) * side,
        "fl_y": camera.get("focal_y", camera.get("focal")) * side,
        "cx": size[0] / 2 + camera.get("c_x", 0.0) * side,
        "cy": size[1] / 2 + camera.get("c_y", 0.0) * side,
        **{key: camera[key] for key in ("k1", "k2", "k3", "k4", "p1", "p2") if key in camera},
    }


def find_bundler(tree: Tree) -> Listing | None:
    """Bundler, which many programs export: `bundle.out` and the names of its photos, `list.txt`.

    Source: Snavely's Bundler v0.4 User's Manual. Cameras look along their negative z axis; the
    middle of the photo is the principal point. Without a list the photos are taken by their order.

    Raises:
        InputError: If the file is cut short, or there are not as many photos.
    """
    for file in tree.named("*.out"):
        if not begin_of(tree.root / file).startswith("# Bundle file"):
            continue
        words = read_text(tree.root / file).split("\n", 1)[1].split()
        with written_by("Bundler", tree.root / file):
            number = int(words[0])
            values = np.array(words[2 : 2 + 15 * number], dtype=np.float64).reshape(number, 15)
        names, listed = _names_of_bundler(tree, file, number)
        posed = [at for at in range(number) if values[at, 0] > 0]
        return Listing(
            layout="Bundler",
            frames=[_of_bundler(names[at], values[at]) for at in posed],
            files=[file, *listed],
            near=file.parent if not listed else listed[0].parent,
            without_pose=[names[at] for at in range(number) if at not in posed],
        )
    return None


def _names_of_bundler(tree: Tree, file: Path, number: int) -> tuple[list[str], list[Path]]:
    """Names of the photos, and the file that lists them; where there is none, by their order."""
    for listed in tree.named("*list*.txt"):
        lines = [line.strip() for line in begin_of(tree.root / listed, whole=True).splitlines()]
        # A name may be followed by a zero and a focal length.
        names = [re.sub(r"\s+\d+\s+[\d.]+$", "", line) for line in lines if line]
        if len(names) == number:
            return names, [listed]
    photos = max(tree.folders_of_photos().values(), key=len, default=[])
    if len(photos) != number:
        raise InputError(
            f"{tree.root / file} has {counted(number, 'camera')}, and neither a list.txt of as "
            f"many photos lies there nor a folder with {number}. Put the list beside it."
        )
    near = file.parent
    return [os.path.relpath(photo, near) for photo in sorted(photos)], []


def _of_bundler(name: str, values: np.ndarray) -> Frame:
    focal, k1, k2 = values[:3]
    # Bundler's cameras have y up and look along -z: turned by half about x they are OpenCV's.
    flip = np.diag([1.0, -1.0, -1.0])
    pose = c2w_opengl_from(flip @ values[3:12].reshape(3, 3), translation=flip @ values[12:])
    return {"file_path": name, "transform_matrix": pose, "fl_x": focal, "k1": k1, "k2": k2}


def find_kapture(tree: Tree) -> Listing | None:
    """Kapture: `sensors/sensors.txt`, `records_camera.txt` and `trajectories.txt`.

    Source: Naver's kapture, "format specification"; its lenses are COLMAP's.

    Raises:
        InputError: If a file is damaged.
    """
    for file in tree.named("trajectories.txt"):
        folder = file.parent
        files = [folder / name for name in ("sensors.txt", "records_camera.txt", file.name)]
        if not all((tree.root / each).is_file() for each in files):
            continue
        sensors, records, trajectories = (_rows(tree.root / each) for each in files)
        with written_by("kapture", tree.root / folder):
            lenses = {row[0]: _lens_of_colmap(row[3:]) for row in sensors if row[2] == "camera"}
            poses = {(row[0], row[1]): _pose(row[2:]) for row in trajectories if all(row[2:])}
            photos = [(row[0], row[1], row[2]) for row in records]
        known = [p for p in photos if (p[0], p[1]) in poses and p[1] in lenses]
        return Listing(
            layout="Kapture",
            frames=[
                {"file_path": path, "transform_matrix": poses[time, device], **lenses[device]}
                for time, device, path in known
            ],
            files=files,
            near=folder / "records_data",
            without_pose=[
                path for time, device, path in photos if (time, device, path) not in known
            ],
        )
    return None


def _rows(path: Path) -> list[list[str]]:
    lines = [line for line in read_text(path).splitlines() if line.strip() and line[0] != "#"]
    return [[cell.strip() for cell in line.split(",")] for line in lines]


def _pose(cells: Sequence[str]) -> list[list[float]]:
    """From a quaternion, w first, and a translation, both from world to camera."""
    import pycolmap

    w, x, y, z, *translation = map(float, cells)
    rotation = pycolmap.Rotation3d(np.array([x, y, z, w]) / np.linalg.norm([x, y, z, w]))
    return c2w_opengl_from(rotation.matrix(), translation=translation)


def _lens_of_colmap(cells: Sequence[str]) -> Frame:
    """A lens by the name that COLMAP gives it, its size and parameters, in nerfstudio's keys."""
    import pycolmap

    kind, width, height, *values = cells
    names = pycolmap.Camera(model=kind, width=1, height=1).params_info.split(", ")
    keys = {"f": "fl_x", "fx": "fl_x", "fy": "fl_y", "k": "k1"}
    if kind not in _LENSES:
        raise ValueError(f"the lens {kind} is not known")
    lens = {keys.get(name, name): float(value) for name, value in zip(names, values, strict=True)}
    return {"camera_model": kind, "w": width, "h": height, **lens}


def _listing(layout: str, tree: Tree, file: Path, read: Callable[[Any], _Found]) -> Listing:
    with written_by(layout, tree.root / file):
        frames, unposed, left_out = read(read_json(tree.root / file))
    return Listing(layout, frames, [file], file.parent, {}, unposed, left_out)


def _rotation(axis_times_angle: Sequence[float]) -> np.ndarray:
    """Rodrigues' formula."""
    import cv2

    return cv2.Rodrigues(np.array(axis_times_angle, dtype=np.float64))[0]


def _floats(values: Any) -> list[float]:
    return [float(value) for value in values]
