"""The poses folder: undistorted images and their cameras, as nerfstudio and COLMAP read them."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from scenestyle.artifacts import write_json, write_points
from scenestyle.cameras import fit_within
from scenestyle.capture.frames import frame_of
from scenestyle.capture.pictures import resized, to_rgb_or_rgba
from scenestyle.sfm.photos import reduce_mask
from scenestyle.sfm.points import points_of

if TYPE_CHECKING:
    import pycolmap


def write_dataset(
    model: "pycolmap.Reconstruction",
    images: Path,
    masks: Path,
    out: Path,
    *,
    max_side: int,
    carried: Mapping[str, Any],
) -> None:
    """Undistort the registered images of a model and write the poses folder around them.

    Writes `images/NAME.png`, `masks/NAME.png`, `sparse/` (COLMAP), `transforms.json` (nerfstudio,
    world frame of the model, OpenGL camera axes, pinhole intrinsics per frame), `points.npz` and,
    if the model has points, `sparse_pc.ply`. An image that is already undistorted and small enough
    keeps its pixels. docs/reference/artifacts.md says what masks and alpha mean.

    Args:
        model: Its images are named `NAME.png` as in `images`; it is changed to the new cameras.
        images: Folder of the images that the model's cameras describe, RGB or RGBA.
        masks: Folder of `NAME.png.png` for the images that have one.
        out: Existing folder.
        max_side: Larger images are reduced to this many pixels along the long side.
        carried: Further keys of `transforms.json`.
    """
    (out / "images").mkdir()
    (out / "masks").mkdir()
    (out / "sparse").mkdir()
    reduced = {number: _reduced(camera, max_side) for number, camera in model.cameras.items()}
    pinholes = {number: _undistorted(camera) for number, camera in reduced.items()}
    views = sorted((view for view in model.images.values() if view.has_pose), key=_by_name)
    hides, is_cut_out = False, False
    for view in views:
        camera = reduced[view.camera_id]
        with Image.open(images / view.name) as image:
            straight = _undistort(image, camera)
            straight.save(out / "images" / view.name)
        used = _undistorted_mask(masks / f"{view.name}.png", camera, straight.size)
        used.save(out / "masks" / view.name)
        hides |= used.getextrema()[0] == 0
        is_cut_out |= straight.mode == "RGBA"
    _replace_cameras(model, pinholes)
    model.write(out / "sparse")
    if model.num_points3D():
        model.export_PLY(out / "sparse_pc.ply")
    write_points(out, points_of(model))
    write_json(
        out / "transforms.json",
        {
            **carried,
            "camera_model": "PINHOLE",
            **({"has_alpha": True} if is_cut_out else {}),
            **({"ply_file_path": "sparse_pc.ply"} if model.num_points3D() else {}),
            "frames": [
                frame_of(view, pinholes[view.camera_id])
                | ({"mask_path": f"masks/{view.name}"} if hides else {})
                for view in views
            ],
        },
    )


def _by_name(view: "pycolmap.Image") -> str:
    return view.name


def _reduced(camera: "pycolmap.Camera", max_side: int) -> "pycolmap.Camera":
    import pycolmap

    reduced = pycolmap.Camera(camera.todict())
    reduced.rescale(*fit_within(camera.width, camera.height, max_side))
    return reduced


def _undistorted(camera: "pycolmap.Camera") -> "pycolmap.Camera":
    import pycolmap

    if camera.is_undistorted():
        return camera
    return pycolmap.undistort_camera(pycolmap.UndistortCameraOptions(), camera)


def _undistort(image: Image.Image, camera: "pycolmap.Camera") -> Image.Image:
    """Resample the image to the size of its `camera` and without its distortion."""
    image = resized(image, (camera.width, camera.height))
    if camera.is_undistorted():
        return image
    if image.mode != "RGBA":
        return Image.fromarray(_straight(np.asarray(image), camera))
    # Colours count by their alpha, so that no invisible one bleeds in.
    premultiplied = np.asarray(image.convert("RGBa"))
    colours = _straight(premultiplied[..., :3], camera)
    alpha = _straight(premultiplied[..., 3:].repeat(3, axis=-1), camera)[..., :1]
    joined = Image.frombytes("RGBa", colours.shape[1::-1], np.dstack([colours, alpha]).tobytes())
    return to_rgb_or_rgba(joined.convert("RGBA"))


def _undistorted_mask(file: Path, camera: "pycolmap.Camera", size: tuple[int, int]) -> Image.Image:
    """The mask of an image after `_undistort`: used only where all that went into a pixel is."""
    if not file.is_file():
        return Image.new("L", size, 255)
    with Image.open(file) as image:
        mask = reduce_mask(image.convert("L"), (camera.width, camera.height))
    if camera.is_undistorted():
        return mask
    straight = _straight(np.asarray(mask.convert("RGB")), camera)[..., 0]
    return Image.fromarray(np.where(straight == 255, 255, 0).astype(np.uint8))


def _straight(pixels: np.ndarray, camera: "pycolmap.Camera") -> np.ndarray:
    import pycolmap

    bitmap = pycolmap.Bitmap.from_array(np.ascontiguousarray(pixels))
    straight, _ = pycolmap.undistort_image(pycolmap.UndistortCameraOptions(), bitmap, camera)
    return straight.to_array()


def _replace_cameras(
    model: "pycolmap.Reconstruction", cameras: "dict[int, pycolmap.Camera]"
) -> None:
    """Give the model new intrinsics and move its keypoints along their rays."""
    for view in model.images.values():
        if len(view.points2D):
            old, new = model.camera(view.camera_id), cameras[view.camera_id]
            keypoints = np.stack([point.xy for point in view.points2D])
            directions = np.insert(np.array(old.cam_from_img(keypoints)), 2, 1, axis=1)
            moved = np.array(new.img_from_cam(directions))
            for point, xy in zip(view.points2D, moved, strict=True):
                point.xy = xy
    for number, camera in cameras.items():
        known = model.camera(number)
        known.model, known.params = camera.model, camera.params.tolist()
        known.width, known.height = camera.width, camera.height
