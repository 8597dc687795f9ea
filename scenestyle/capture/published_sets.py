"""Cameras as published data sets and scanning apps write them.

LLFF, MVSNet (DTU, Tanks and Temples, BlendedMVS), IDR and NeuS, one matrix per photo (ScanNet,
NSVF, NeRF++), Nerfies and HyperNeRF, Polycam, Record3D.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float

from scenestyle.capture.capture import counted, natural_order
from scenestyle.capture.frames import Frame, Listing
from scenestyle.capture.locate import Tree
from scenestyle.capture.masks import MASK_FOLDERS
from scenestyle.capture.pictures import PHOTO_SUFFIXES
from scenestyle.capture.poses import c2w_opengl_from
from scenestyle.capture.texts import begin_of, numbers_in, read_json, read_text, written_by
from scenestyle.errors import InputError, reason
from scenestyle.geometry import opengl_from_opencv

_LLFF_NUMBERS = 17
_POSE_FOLDERS = ("pose", "poses")


def find_llff(tree: Tree) -> Listing | None:
    """LLFF: `poses_bounds.npy`, a row per photo of `images/` in the order of their names.

    Source: Mildenhall et al. 2019, arXiv:1905.00889, README of the published code: axes of a camera
    are down, right, backwards.

    Raises:
        InputError: If the file is damaged, or there are not as many photos as rows.
    """
    for file in tree.named("poses_bounds.npy"):
        rows = _load(tree.root / file)
        if rows.ndim != 2 or rows.shape[1] != _LLFF_NUMBERS:
            raise InputError(f"{tree.root / file} has the shape {rows.shape}, wanted photos x 17.")
        photos = _photos_beside(tree, file.parent, ("images", "input"), len(rows))
        if photos is None:
            raise InputError(
                f"{tree.root / file} has {counted(len(rows), 'pose')}, but no folder `images` "
                "of as many photos lies beside it, and it tells no names. Put all of them there."
            )
        frames = []
        for photo, row in zip(photos, rows, strict=True):
            down, right, back, place, (height, width, focal) = row[:15].reshape(3, 5).T
            pose = np.eye(4)
            pose[:3] = np.stack([right, -down, back, place], axis=-1)
            lens = {"w": width, "h": height, "fl_x": focal}
            frames.append({"file_path": photo.name, "transform_matrix": pose.tolist(), **lens})
        return Listing("LLFF", frames, [file], photos[0].parent)
    return None


def find_mvsnet(tree: Tree) -> Listing | None:
    """MVSNet's `cams/00000000_cam.txt`: DTU, Tanks and Temples, BlendedMVS in that form.

    Source: Yao et al. 2018, arXiv:1804.02505, README of the published code.
    """
    files = [f for f in tree.named("*_cam.txt") if begin_of(tree.root / f).startswith("extrinsic")]
    if not files:
        return None
    folder = files[0].parent
    files = sorted((f for f in files if f.parent == folder), key=natural_order)
    frames = []
    for file in files:
        words = read_text(tree.root / file).split()
        with written_by("MVSNet", tree.root / file):
            at = words.index("intrinsic")
            w2c = np.array(words[1:17], dtype=np.float64).reshape(4, 4)
            k = np.array(words[at + 1 : at + 10], dtype=np.float64).reshape(3, 3)
        pose = c2w_opengl_from(w2c[:3, :3], translation=w2c[:3, 3])
        name = f"images/{file.stem.removesuffix('_cam')}"
        frames.append({"file_path": name, "transform_matrix": pose, **_lens(k)})
    return Listing("MVSNet", frames, files, folder.parent)


def find_projections(tree: Tree) -> Listing | None:
    """IDR and NeuS: `cameras_sphere.npz` or `cameras.npz` with a `world_mat` per photo of `image/`.

    Source: Yariv et al. 2020, arXiv:2003.09852, README of the published code.

    Raises:
        InputError: If the file is damaged, or there are not as many photos as matrices.
    """
    for file in [*tree.named("cameras_sphere.npz"), *tree.named("cameras.npz")]:
        matrices = _load(tree.root / file)
        keys = [key for key in getattr(matrices, "files", []) if key.startswith("world_mat_")]
        keys = [key for key in keys if not key.startswith("world_mat_inv")]
        keys.sort(key=lambda key: int(key.rsplit("_", 1)[1]))
        if not keys:
            continue
        photos = _photos_beside(tree, file.parent, ("image", "images", "rgb"), len(keys))
        if photos is None:
            raise InputError(
                f"{tree.root / file} has {counted(len(keys), 'camera')}, but no folder `image` of "
                "as many photos lies beside it. Put all of them there."
            )
        masks = _photos_beside(tree, file.parent, MASK_FOLDERS, len(keys))
        frames = []
        for number, (key, photo) in enumerate(zip(keys, photos, strict=True)):
            frame = {"file_path": photo.name, **_of_projection(matrices[key][:3])}
            if masks is not None:
                frame["mask_path"] = masks[number].relative_to(file.parent).as_posix()
            frames.append(frame | {"file_path": photo.relative_to(file.parent).as_posix()})
        return Listing("IDR", frames, [file], file.parent)
    return None


def _of_projection(p: Float[np.ndarray, "3 4"]) -> dict[str, Any]:
    """Lens and pose of P = K [R | t], up to scale."""
    import cv2

    k, rotation, homogeneous = cv2.decomposeProjectionMatrix(p.astype(np.float64))[:3]
    centre = (homogeneous[:3] / homogeneous[3]).ravel()
    pose = c2w_opengl_from(rotation, centre=centre)
    return {"transform_matrix": pose, **_lens(k / k[2, 2])}


def find_matrices(tree: Tree) -> Listing | None:
    """A folder `pose` with a matrix per photo, camera to world: ScanNet, NSVF, NeRF++.

    K is in `intrinsics/NAME.txt`, `intrinsic/intrinsic_color.txt`, or `intrinsics.txt`, as 4x4, 3x3
    or as focal length and centre. Photos that ScanNet could not place have infinite poses.

    Source: Dai et al. 2017, arXiv:1702.04405; Liu et al. 2020, arXiv:2007.11571; Zhang et al. 2020,
    arXiv:2010.07492, READMEs of the published code.
    """
    folders: dict[Path, list[Path]] = {}
    for file in tree.files:
        if file.parent.name.lower() in _POSE_FOLDERS and file.suffix.lower() == ".txt":
            folders.setdefault(file.parent, []).append(file)
    for folder in sorted(folders, key=lambda each: (-len(folders[each]), each)):
        files = sorted(folders[folder], key=natural_order)
        photos = _of_same_names(tree, folder, files)
        if not photos:
            continue
        frames, unposed, read = [], [], []
        for file in files:
            if (photo := photos.get(file.stem)) is None:
                continue
            values, (k, of) = numbers_in(tree.root / file), _k_of(tree, folder, file.stem)
            if k is None or values.size not in (12, 16):
                break
            read += [file, *([] if of in read else [of])]
            c2w_opencv = np.eye(4)
            c2w_opencv[:3] = values[:12].reshape(3, 4)
            if not np.isfinite(c2w_opencv).all():
                unposed.append(photo.name)
                continue
            pose = opengl_from_opencv(c2w_opencv).tolist()
            path = photo.relative_to(folder.parent).as_posix()
            frames.append({"file_path": path, "transform_matrix": pose, **_lens(k)})
        else:
            name = "pose per photo"
            return Listing(name, frames, read, folder.parent, {}, unposed)
    return None


def _of_same_names(tree: Tree, folder: Path, files: Sequence[Path]) -> dict[str, Path]:
    """Photos beside a folder of poses, by their stems: of the folder that has most of them."""
    stems = {file.stem for file in files}
    best: dict[str, Path] = {}
    for place, photos in tree.folders_of_photos().items():
        named = {photo.stem: photo for photo in photos if photo.stem in stems}
        if place.parent == folder.parent and len(named) > len(best):
            best = named
    return best


def _k_of(tree: Tree, folder: Path, stem: str) -> tuple[np.ndarray | None, Path]:
    beside = folder.parent
    for place in (
        beside / "intrinsics" / f"{stem}.txt",
        beside / "intrinsic" / "intrinsic_color.txt",
        beside / "intrinsics.txt",
        beside / "intrinsic.txt",
    ):
        if not (tree.root / place).is_file():
            continue
        text = read_text(tree.root / place).split("\n", 1)
        values = numbers_in(tree.root / place)
        if values.size in (9, 16):
            side = 3 if values.size == 9 else 4
            k = values.reshape(side, side)[:3, :3]
            if k[1, 1] > 0:
                return k, place
        try:
            focal, cx, cy = (float(word) for word in text[0].split()[:3])
        except ValueError:
            continue
        return np.array([[focal, 0, cx], [0, focal, cy], [0, 0, 1]]), place
    return None, Path()


def find_nerfies(tree: Tree) -> Listing | None:
    """Nerfies and HyperNeRF: `camera/NAME.json` for `rgb/1x/NAME.png`.

    Source: Park et al. 2021, arXiv:2011.12948, `camera.py` of the published code.

    Raises:
        InputError: If a file is damaged.
    """
    files = [f for f in tree.named("*.json") if f.parent.name == "camera"]
    files = [f for f in files if {"orientation", "position"} <= _keys(tree, f)]
    if not files:
        return None
    near = files[0].parent.parent
    scales = [1, 2, 4, 8, 16]
    folders = [n for n in scales if (tree.root / near / f"rgb/{n}x").is_dir()]
    frames = []
    for file in sorted(files, key=natural_order):
        data = read_json(tree.root / file)
        with written_by("Nerfies", tree.root / file):
            width, height = data["image_size"]
            focal, aspect = float(data["focal_length"]), float(data.get("pixel_aspect_ratio", 1))
            cx, cy = data["principal_point"]
            radial = [*data.get("radial_distortion", ()), 0.0, 0.0, 0.0][:3]
            tangential = [*data.get("tangential", data.get("tangential_distortion", ())), 0.0, 0.0]
            pose = c2w_opengl_from(data["orientation"], centre=data["position"])
        frames.append(
            {
                "file_path": f"rgb/{min(folders, default=1)}x/{file.stem}",
                "transform_matrix": pose,
                "w": width,
                "h": height,
                "fl_x": focal,
                "fl_y": focal * aspect,
                "cx": cx,
                "cy": cy,
                **dict(zip(("k1", "k2", "k3"), radial, strict=True)),
                **dict(zip(("p1", "p2"), tangential[:2], strict=True)),
            }
        )
    return Listing("Nerfies", frames, sorted(files), near)


def find_polycam(tree: Tree) -> Listing | None:
    """Polycam's raw data: `keyframes/corrected_cameras/NAME.json`, without them `cameras`.

    Source: Polycam's "polyform"; axes are ARKit's, which are OpenGL's.
    """
    for folder, photos in (("corrected_cameras", "corrected_images"), ("cameras", "images")):
        files = [f for f in tree.named("*.json") if f.parent.name == folder]
        files = [f for f in files if {"t_00", "t_23", "fx"} <= _keys(tree, f)]
        if not files:
            continue
        frames = []
        for file in sorted(files, key=natural_order):
            data = read_json(tree.root / file)
            pose = [[data[f"t_{row}{column}"] for column in range(4)] for row in range(3)]
            lens = {"w": data["width"], "h": data["height"], "fl_x": data["fx"], "fl_y": data["fy"]}
            frames.append(
                {
                    "file_path": f"{photos}/{file.stem}",
                    "transform_matrix": pose,
                    **lens,
                    "cx": data["cx"],
                    "cy": data["cy"],
                }
            )
        return Listing("Polycam", frames, sorted(files), files[0].parent.parent)
    return None


def find_record3d(tree: Tree) -> Listing | None:
    """Record3D's export: `metadata` with a pose per photo of `rgb/0.jpg`, `rgb/1.jpg`, ...

    Source: nerfstudio's `record3d_utils.py`: quaternions with w last, camera to world, OpenGL axes.

    Raises:
        InputError: If the file is damaged.
    """
    import pycolmap

    for file in [*tree.named("metadata"), *tree.named("metadata.json")]:
        if not {"poses", "K", "w", "h"} <= _keys(tree, file):
            continue
        data = read_json(tree.root / file)
        with written_by("Record3D", tree.root / file):
            k = np.array(data["K"], dtype=np.float64).reshape(3, 3).T
            rows = np.array(data["poses"], dtype=np.float64).reshape(-1, 7)
            lenses = np.array(data.get("perFrameIntrinsicCoeffs") or [], dtype=np.float64)
        common = {"w": data["w"], "h": data["h"], **_lens(k)}
        frames = []
        for number, row in enumerate(rows):
            pose = np.eye(4)
            pose[:3, :3] = pycolmap.Rotation3d(row[:4] / np.linalg.norm(row[:4])).matrix()
            pose[:3, 3] = row[4:]
            frame = {"file_path": f"rgb/{number}", "transform_matrix": pose.tolist()}
            if lenses.shape == (len(rows), 4):
                frame |= dict(
                    zip(("fl_x", "fl_y", "cx", "cy"), lenses[number].tolist(), strict=True)
                )
            frames.append(frame)
        return Listing("Record3D", frames, [file], file.parent, common)
    return None


def _lens(k: Float[np.ndarray, "3 3"]) -> Frame:
    return {"fl_x": k[0, 0], "fl_y": k[1, 1], "cx": k[0, 2], "cy": k[1, 2]}


def _keys(tree: Tree, file: Path) -> set[str]:
    try:
        data = read_json(tree.root / file)
    except InputError:
        return set()
    return set(data) if isinstance(data, dict) else set()


def _load(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise InputError(f"{path} is damaged ({reason(error)}). Get it again.") from error


def _photos_beside(
    tree: Tree, folder: Path, names: Sequence[str], number: int
) -> list[Path] | None:
    """The photos of a folder of one of these names with as many photos, in the order of names."""
    for name in [*names, *(f"{name}_{n}" for name in names for n in (2, 4, 8))]:
        place = folder / name
        photos = [f for f in tree.files if f.parent == place and f.suffix.lower() in PHOTO_SUFFIXES]
        if len(photos) == number:
            return sorted(photos)
    return None
