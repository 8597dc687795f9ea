"""Cameras as programs of photogrammetry export them: Metashape, RealityScan, Pix4D.

Lenses of all of these are OpenCV's polynomials under other names; here are the names.
"""

import csv
import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scenestyle.capture.frames import Frame, Listing, listed_sizes
from scenestyle.capture.locate import Tree
from scenestyle.capture.pictures import PHOTO_SUFFIXES
from scenestyle.capture.poses import c2w_opengl_from
from scenestyle.capture.texts import begin_of, read_text, written_by
from scenestyle.geometry import Similarity, opengl_from_opencv

_FILM_MM = 36.0
"""width of the film of which RealityScan tells focal lengths"""
_PIX4D_LINES = 10
_SENSORS = {"frame": "OPENCV", "fisheye": "OPENCV_FISHEYE", "spherical": "EQUIRECTANGULAR"}


def find_metashape(tree: Tree) -> Listing | None:
    """Metashape: File > Export > Export Cameras, `Agisoft XML`.

    Source: Agisoft Metashape User Manual, appendix "Camera models". Its first tangential
    coefficient is OpenCV's second. Components, the parts that were aligned, have a frame of their
    own each, and a similarity into a common one if the project has a scale or a place on earth.

    Raises:
        InputError: If the XML is damaged.
    """
    for file in tree.named("*.xml"):
        if "<document" not in (begin := begin_of(tree.root / file)) or "<chunk" not in begin:
            continue
        with written_by("Metashape", tree.root / file):
            return _of_metashape(ET.fromstring((tree.root / file).read_bytes()), file)
    return None


def _of_metashape(root: ET.Element, file: Path) -> Listing:
    sensors = {each.get("id"): lens for each in root.iter("sensor") if (lens := _sensor(each))}
    components = {each.get("id"): _component(each) for each in root.iter("component")}
    cameras = [
        camera for camera in root.iter("camera") if camera.get("enabled", "1") in ("1", "true")
    ]
    posed = [
        c for c in cameras if c.find("transform") is not None and c.get("sensor_id") in sensors
    ]
    frames, elsewhere = [], 0
    main = _largest_component(posed)
    for camera in posed:
        component = components.get(camera.get("component_id"))
        if component is None and camera.get("component_id") != main:
            elsewhere += 1
            continue
        c2w_opencv = np.array(camera.findtext("transform", "").split(), dtype=np.float64)
        c2w = opengl_from_opencv(c2w_opencv.reshape(4, 4))
        frames.append(
            {
                "file_path": str(camera.get("label")),
                "transform_matrix": (component.apply_to_poses(c2w) if component else c2w).tolist(),
                **sensors[camera.get("sensor_id")],
            }
        )
    return Listing(
        layout="Metashape",
        frames=frames,
        files=[file],
        near=file.parent,
        without_pose=[str(camera.get("label")) for camera in cameras if camera not in posed],
        left_out=[f"{elsewhere} cameras of other components"] if elsewhere else [],
    )


def _sensor(sensor: ET.Element) -> Frame | None:
    size, kind = sensor.find("resolution"), sensor.get("type", "frame")
    if size is None:
        return None
    width, height = float(size.get("width", 0)), float(size.get("height", 0))
    lens: dict[str, Any] = {"camera_model": _SENSORS.get(kind, kind), "w": width, "h": height}
    if kind == "spherical":
        return lens
    calibrations = sensor.findall("calibration")
    if not calibrations:
        return None
    # Before and after the adjustment.
    chosen = next((c for c in calibrations if c.get("class") == "adjusted"), calibrations[-1])

    def value(name: str) -> float:
        return float(chosen.findtext(name, "0"))

    return lens | {
        "fl_x": value("f") + value("b1"),
        "fl_y": value("f"),
        "cx": width / 2 + value("cx"),
        "cy": height / 2 + value("cy"),
        "p1": value("p2"),
        "p2": value("p1"),
        # Skew: the farthest pixel is off by half of it.
        **({"b2": value("b2")} if abs(value("b2")) > 1 else {}),
        **{name: value(name) for name in ("k1", "k2", "k3", "k4")},
    }


def _component(component: ET.Element) -> Similarity | None:
    transform = component.find("transform")
    if transform is None:
        return None

    def values(name: str, default: str) -> np.ndarray:
        return np.array(transform.findtext(name, default).split(), dtype=np.float64)

    return Similarity(
        float(transform.findtext("scale", "1")),
        values("rotation", "1 0 0 0 1 0 0 0 1").reshape(3, 3),
        values("translation", "0 0 0"),
    )


def _largest_component(cameras: list[ET.Element]) -> str | None:
    names = [camera.get("component_id") for camera in cameras]
    return max(names, key=names.count, default=None)


def find_reality_scan(tree: Tree) -> Listing | None:
    """RealityScan, formerly RealityCapture: Internal/External camera parameters, or XMP files.

    Source: Epic's "RealityCapture XMP camera math". Focal lengths are those of a film of 36 mm,
    principal points parts of the longer side from the middle.
    """
    for file in tree.named("*.csv"):
        if "#name," not in begin_of(tree.root / file):
            continue
        text = read_text(tree.root / file)
        rows = list(csv.DictReader(io.StringIO(text[text.index("#name,") :])))
        if {"heading", "f", "px", "k1"} <= set(rows[0] if rows else ()):
            with written_by("RealityScan", tree.root / file):
                frames = [_of_row(row) for row in rows]
            sized = _sized(tree, file.parent, frames)
            return Listing("RealityScan CSV", sized, [file], file.parent)
    files = sorted(f for f in tree.named("*.xmp") if "xcr:Rotation" in begin_of(tree.root / f))
    if not files:
        return None
    near, frames = files[0].parent, []
    for file in files:
        with written_by("RealityScan", tree.root / file):
            frames.append(_of_xmp(tree, file, near))
    return Listing("RealityScan XMP", _sized(tree, near, frames), files, near)


def _of_row(row: Mapping[str, str]) -> dict[str, Any]:
    heading, pitch, roll = (np.radians(float(row[key])) for key in ("heading", "pitch", "roll"))
    pose = np.eye(4)
    pose[:3, :3] = _about("z", -heading) @ _about("x", pitch) @ _about("y", roll)
    pose[:3, 3] = [float(row[key]) for key in ("x", "y", "alt")]
    return {
        "file_path": row["#name"],
        "transform_matrix": pose.tolist(),
        "film": (float(row["f"]), float(row["px"]), float(row["py"])),
        **{k: float(row[k] or 0) for k in ("k1", "k2", "k3", "k4") if k in row},
        "p1": float(row.get("t1") or 0),
        "p2": float(row.get("t2") or 0),
    }


def _of_xmp(tree: Tree, file: Path, near: Path) -> dict[str, Any]:
    text = read_text(tree.root / file)

    def values(name: str) -> list[float]:
        found = re.search(rf'xcr:{name}(?:="([^"]*)"|>([^<]*)<)', text)
        return [float(value) for value in (found[1] or found[2]).split()] if found else []

    name = file.with_suffix("").relative_to(near).as_posix()
    coefficients = [*values("DistortionCoeficients"), *[0.0] * 6][:6]
    return {
        "file_path": name,
        "transform_matrix": c2w_opengl_from(values("Rotation"), centre=values("Position")),
        "film": tuple(
            next(iter(values(key)), 0.0)
            for key in ("FocalLength35mm", "PrincipalPointU", "PrincipalPointV")
        ),
        **dict(zip(("k1", "k2", "k3", "k4", "p1", "p2"), coefficients, strict=True)),
    }


def _sized(tree: Tree, near: Path, rows: list[dict[str, Any]]) -> list[Frame]:
    """Frames with lenses in pixels of their photos."""
    sizes = listed_sizes(tree, [row["file_path"] for row in rows], near)
    frames = []
    for row, size in zip(rows, sizes, strict=True):
        focal, across, down = row.pop("film")
        if size is not None:
            side = max(size)
            row |= {"fl_x": focal * side / _FILM_MM, "w": size[0], "h": size[1]}
            row |= {"cx": size[0] / 2 + across * side, "cy": size[1] / 2 + down * side}
        frames.append(row)
    return frames


def _about(axis: str, angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return {
        "x": np.array([[1, 0, 0], [0, c, -s], [0, s, c]]),
        "y": np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]),
        "z": np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]),
    }[axis]


def find_pix4d(tree: Tree) -> Listing | None:
    """Pix4D: `PROJECT_calibrated_camera_parameters.txt`, whose head says what its lines are.

    Raises:
        InputError: If the file is cut short.
    """
    for file in tree.named("*calibrated_camera_parameters*.txt"):
        lines = [line.split() for line in read_text(tree.root / file).splitlines()]
        heads = [at for at, words in enumerate(lines) if _is_head(words)]
        if heads:
            with written_by("Pix4D", tree.root / file):
                frames = [_of_pix4d(lines[at : at + _PIX4D_LINES]) for at in heads]
            return Listing("Pix4D", frames, [file], file.parent)
    return None


def _is_head(words: list[str]) -> bool:
    """Whether a line is the name, width and height of a photo."""
    is_photo = len(words) > 2 and Path(words[-3]).suffix.lower() in PHOTO_SUFFIXES
    return is_photo and all(word.isdecimal() for word in words[-2:])


def _of_pix4d(lines: list[list[str]]) -> Frame:
    """K by lines, k1 to k3, p1 and p2, centre, world to camera by lines: 26 numbers."""
    (*name, width, height), *rest = lines
    values = np.array([word for words in rest for word in words], dtype=np.float64)
    k, radial, tangential, centre, rotation = np.split(values, [9, 12, 14, 17])
    fl_x, _, cx, _, fl_y, cy, *_ = k.tolist()
    return {
        "file_path": " ".join(name),
        "transform_matrix": c2w_opengl_from(rotation, centre=centre),
        "w": width,
        "h": height,
        "fl_x": fl_x,
        "fl_y": fl_y,
        "cx": cx,
        "cy": cy,
        **dict(zip(("k1", "k2", "k3"), radial.tolist(), strict=True)),
        **dict(zip(("p1", "p2"), tangential.tolist(), strict=True)),
    }
