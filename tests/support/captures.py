"""Tiny captures in the layouts that programs write: cameras on a ring, pictures of noise."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from scenestyle.geometry import look_at, opencv_from_opengl

WIDTH, HEIGHT, FOCAL = 64, 48, 60.0
_UP = np.array([0.0, 0, 1])


def noise(seed: int = 0, width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """A picture like no other."""
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def ring(number: int = 5, offset: tuple[float, ...] = (0, 0, 0)) -> list[np.ndarray]:
    """c2w_opengl of cameras on a ring of radius 3 that look at its middle, z up."""
    angles = 2 * np.pi * np.arange(number) / number
    places = [np.array([3 * np.cos(a), 3 * np.sin(a), 1.0]) for a in angles]
    poses = [look_at(place, np.zeros(3), _UP) for place in places]
    for pose in poses:
        pose[:3, 3] += offset
    return poses


def posed_set(folder: Path, number: int = 5, *, offset=(0, 0, 0), **top: Any) -> dict[str, Any]:
    """A nerfstudio data set in `folder`; returns its transforms, to be changed and saved again."""
    (folder / "images").mkdir(parents=True)
    frames = []
    for index, pose in enumerate(ring(number, offset)):
        noise(index).save(folder / f"images/{index}.png")
        frames.append({"file_path": f"images/{index}.png", "transform_matrix": pose.tolist()})
    intrinsics = {"fl_x": FOCAL, "fl_y": FOCAL, "cx": WIDTH / 2, "cy": HEIGHT / 2}
    meta = {"camera_model": "OPENCV", "w": WIDTH, "h": HEIGHT, **intrinsics, **top}
    return save(folder, {**meta, "frames": frames})


def save(folder: Path, meta: dict[str, Any]) -> dict[str, Any]:
    """Write the transforms of a data set."""
    (folder / "transforms.json").write_text(json.dumps(meta))
    return meta


def colmap_set(
    folder: Path,
    names: list[str] | None = None,
    *,
    model: str = "sparse/0",
    images: str = "images",
    camera: Any = None,
    text: bool = False,
    offset: tuple[float, ...] = (0, 0, 0),
) -> None:
    """A COLMAP model in `folder/model`, its pictures in `folder/images`."""
    import pycolmap

    names = names or [f"{index}.png" for index in range(5)]
    params = [FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2]
    camera = camera or pycolmap.Camera(model="PINHOLE", width=WIDTH, height=HEIGHT, params=params)
    camera.camera_id = 1
    written = pycolmap.Reconstruction()
    written.add_camera_with_trivial_rig(camera)
    for index, (name, pose) in enumerate(zip(names, ring(len(names), offset), strict=True)):
        w2c = np.linalg.inv(opencv_from_opengl(pose))
        image = pycolmap.Image(name=name, camera_id=1, image_id=index + 1)
        written.add_image_with_trivial_frame(image, pycolmap.Rigid3d(w2c[:3]))
        (folder / images / name).parent.mkdir(parents=True, exist_ok=True)
        noise(index).save(folder / images / name)
    (folder / model).mkdir(parents=True, exist_ok=True)
    (written.write_text if text else written.write_binary)(folder / model)


def video(
    path: Path,
    times: list[float],
    *,
    pixel_aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
    codec: str = "libx264",
) -> Path:
    """A video whose frames, noise and each another, are shown at `times`, seconds."""
    import av

    base = Fraction(1, 1000)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = base
        if pixel_aspect:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        for index, time in enumerate(times):
            frame = av.VideoFrame.from_image(noise(index))
            frame.pts, frame.time_base = round(time * 1000), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
