"""The poses folder: undistorted images and their cameras, as nerfstudio and COLMAP read them."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from scenestyle.artifacts import write_json, write_points
from scenestyle.cameras import fit_within
from scenestyle.geometry import invert_rigid, opengl_from_opencv
from scenestyle.sfm.points import points_of

if TYPE_CHECKING:
    import pycolmap


def write_dataset(
    model: "pycolmap.Reconstruction", images: Path, out: Path, *, max_side: int
) -> None:
    """Undistort the registered images of a model and write the poses folder around them.

    Writes `images/NAME.png`, `sparse/` (COLMAP), `transforms.json` (nerfstudio, world frame of the
    model, OpenGL camera axes, pinhole intrinsics per frame), `points.npz` and, if the model has
    points, `sparse_pc.ply`. An image that is already undistorted and small enough keeps its pixels.

    Args:
        model: Its images are named `NAME.png` as in `images`; it is changed to the new cameras.
        images: Folder of the images that the model's cameras describe.
        out: Existing folder.
        max_side: Larger images are reduced to this many pixels along the long side.
    """
    (out / "images").mkdir()
    (out / "sparse").mkdir()
    reduced = {number: _reduced(camera, max_side) for number, camera in model.cameras.items()}
    pinholes = {number: _undistorted(camera) for number, camera in reduced.items()}
    views = sorted((view for view in model.images.values() if view.has_pose), key=_by_name)
    for view in views:
        with Image.open(images / view.name) as image:
            _undistort(image, reduced[view.camera_id]).save(out / "images" / view.name)
    _replace_cameras(model, pinholes)
    model.write(out / "sparse")
    if model.num_points3D():
        model.export_PLY(out / "sparse_pc.ply")
    write_points(out, points_of(model))
    write_json(
        out / "transforms.json",
        {
            "camera_model": "PINHOLE",
            **({"ply_file_path": "sparse_pc.ply"} if model.num_points3D() else {}),
            "frames": [_frame(view, pinholes[view.camera_id]) for view in views],
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
    import pycolmap

    if image.size != (camera.width, camera.height):
        image = image.resize((camera.width, camera.height), Image.Resampling.LANCZOS)
    if camera.is_undistorted():
        return image
    bitmap = pycolmap.Bitmap.from_array(np.asarray(image))
    straight, _ = pycolmap.undistort_image(pycolmap.UndistortCameraOptions(), bitmap, camera)
    return Image.fromarray(straight.to_array())


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


def _frame(view: "pycolmap.Image", camera: "pycolmap.Camera") -> dict[str, object]:
    w2c_opencv = np.eye(4)
    w2c_opencv[:3] = view.cam_from_world().matrix()
    # Adding zero turns -0.0 into 0.0.
    c2w_opengl = opengl_from_opencv(invert_rigid(w2c_opencv)) + 0.0
    return {
        "file_path": f"images/{view.name}",
        "transform_matrix": c2w_opengl.tolist(),
        "fl_x": camera.focal_length_x,
        "fl_y": camera.focal_length_y,
        "cx": camera.principal_point_x,
        "cy": camera.principal_point_y,
        "w": camera.width,
        "h": camera.height,
    }
