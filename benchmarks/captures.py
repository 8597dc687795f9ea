"""Which photos of a capture get poses, how right they are, and what each rung of the ladder costs.

    python -m benchmarks.captures CAPTURES --work FOLDER

CAPTURES holds a folder per capture, each with `images/`: kitchen, flower, fern and, with the poses
that it was published with, fox. They are tried as they are and made harder in many ways; beside
them a walk through the demo scene that is rendered here, and a camera that only turns. What is
finished in the work folder is not computed twice. Writes benchmarks/results/captures_*.
"""

import argparse
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from benchmarks.machine import provenance, table, write_result
from scenestyle.artifacts import read_json, write_json
from scenestyle.cameras import PinholeCamera
from scenestyle.errors import GateError
from scenestyle.geometry import pose_errors
from scenestyle.params import EstimatePoses
from scenestyle.sfm import estimate_poses

Photos = dict[str, Image.Image]
"""name of a file -> photo, in the order of the walk"""
Poses = dict[str, np.ndarray]
"""name of a view -> c2w_opengl"""

_SEED = 0
_ANY_SHARE = EstimatePoses(min_registered_share=0.0)
"""what is measured is how many are placed, not whether that is enough"""
_VIDEO_FRAMES = 300


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("captures", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=None, help="names of cases")
    arguments = parser.parse_args()
    num_threads = len(psutil.Process().cpu_affinity())
    origin = provenance(("pycolmap", "pillow"), num_threads=num_threads)
    found = {}
    for name, make in cases(arguments.captures).items():
        if arguments.only is None or name in arguments.only:
            found[name] = tried(name, make, arguments.work)
            print(json.dumps({"case": name, **found[name]}), flush=True)
    reference = poses_of(arguments.work / "kitchen" / "poses")
    truths = {
        "fox": given_poses(arguments.captures / "fox"),
        "video": {name: camera.c2w_opengl for name, camera in walk_cameras().items()},
    }
    rows = [
        row(name, result, arguments.work, truths.get(name.split(",")[0], reference))
        for name, result in found.items()
    ]
    lines = [
        "# Photos that get poses",
        "",
        origin,
        "",
        "Placed: photos in the core of the best model. Before: placed by incremental mapping that "
        "starts at 16 degrees, COLMAP's default, on the same plain matches. Error: largest "
        "distance and rotation from the truth after similarity alignment (fox: its published "
        "poses; video: the cameras it was rendered from; variants of kitchen: kitchen's own poses; "
        "of turned photos only the distance). Seconds are of processor time, a rung's with the "
        "features and matches that it was the first to need.",
        "",
        table(
            ["capture", "photos", "before", "placed", "points", "px", "error", "rungs: placed, s"],
            rows,
        ),
    ]
    write_result("captures", "\n".join(lines), num_threads=num_threads)


def cases(captures: Path) -> dict[str, Callable[[], Photos]]:
    """What is tried: name -> its photos, read or made when called."""

    def read(name: str) -> Photos:
        files = sorted((captures / name / "images").iterdir())
        return {file.name: Image.open(file).convert("RGB") for file in files}

    def kitchen(change: Callable[[Photos], Photos]) -> Callable[[], Photos]:
        return lambda: change(read("kitchen"))

    def halved(name: str) -> Callable[[], Photos]:
        return lambda: dict(list(read(name).items())[::2])

    return {
        **{name: (lambda name=name: read(name)) for name in ("kitchen", "flower", "fern", "fox")},
        "video, 300 frames of a smooth path": video,
        "kitchen, every 2nd": halved("kitchen"),
        "kitchen, motion blur 3 to 8 px": kitchen(blurred),
        "kitchen, 320 px": kitchen(small),
        "kitchen, JPEG 30": kitchen(lambda photos: each(photos, lambda x, _: jpeg(x, 30))),
        "kitchen, brightness 0.7 to 1.3": kitchen(unevenly_lit),
        "kitchen, turned by 90, 180, 270": kitchen(turned),
        "kitchen, 5 of fern mixed in": kitchen(
            lambda photos: photos | {f"zz_{k}": v for k, v in list(read("fern").items())[:5]}
        ),
        "kitchen, 5 copies, 5 recompressed": kitchen(copied),
        "flower, every 2nd": halved("flower"),
        "fern, every 2nd": halved("fern"),
        "turning on the spot, 20": lambda: turning(read("fox")),
    }


def tried(name: str, make: Callable[[], Photos], work: Path) -> dict[str, object]:
    """The report on a case; `before` is what COLMAP's default start places."""
    folder = work / name.replace(", ", "_").replace(" ", "_")
    done = folder / "result.json"
    if done.is_file():
        return read_json(done)
    source, out, scratch = folder / "photos", folder / "poses", folder / "work"
    source.mkdir(parents=True, exist_ok=True)
    for file, photo in make().items():
        photo.save(source / f"{Path(file).stem}.png")
    out.mkdir(exist_ok=True)
    try:
        estimate_poses(source, out, _ANY_SHARE, work=scratch)
        result = read_json(out / "report.json")
    except GateError as error:
        result = {**read_json(scratch / "report.json"), "error": str(error).splitlines()[0]}
    kept = ("photos", "registered", "points", "mean_reprojection_error_px", "rungs", "error")
    result = {key: result[key] for key in kept if key in result}
    result |= {"photos": len(list(source.iterdir())), "before": before(scratch)}
    write_json(done, result)
    return result


def before(scratch: Path) -> int:
    """Photos in the core of what incremental mapping from 16 degrees finds on the plain matches."""
    import pycolmap

    from scenestyle.sfm.mapping import core

    options = pycolmap.IncrementalPipelineOptions()
    options.min_model_size = 3
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = 0
    options.num_threads = options.mapper.num_threads = 1
    (scratch / "before").mkdir(exist_ok=True)
    models = pycolmap.incremental_mapping(
        scratch / "matches.db", scratch / "images", scratch / "before", options
    )
    return max((len(core(model)) for model in models.values()), default=0)


def row(name: str, result: Mapping[str, Any], work: Path, truth: Poses) -> list[object]:
    """A line of the table."""
    poses = poses_of(work / name.replace(", ", "_").replace(" ", "_") / "poses")
    shared = sorted(poses.keys() & truth.keys())
    error = "none"
    if len(shared) > 3 and name.startswith(("kitchen,", "fox", "video")):
        far = pose_errors(
            np.stack([poses[key] for key in shared]), np.stack([truth[key] for key in shared])
        )
        turn = "" if "turned" in name else f", {far.rotation_degrees.max():.2f}°"
        error = f"{far.translation_share.max():.2%}{turn}"
    px = result.get("mean_reprojection_error_px")
    return [
        name,
        result["photos"],
        result["before"],
        result.get("registered", 0),
        result.get("points", 0),
        "none" if px is None else f"{px:.2f}",
        error,
        "; ".join(
            f"{rung['name']}: {rung['placed']}, {rung['cpu_seconds']}"
            for rung in result.get("rungs", [])
        )
        or result.get("error", "none"),
    ]


def poses_of(folder: Path) -> Poses:
    """What a poses folder says; nothing if there is none."""
    path = folder / "transforms.json"
    return given_poses(folder) if path.is_file() else {}


def given_poses(folder: Path) -> Poses:
    """The poses of a nerfstudio dataset."""
    frames = read_json(folder / "transforms.json")["frames"]
    return {Path(f["file_path"]).stem: np.array(f["transform_matrix"]) for f in frames}


def each(
    photos: Photos, change: Callable[[Image.Image, np.random.Generator], Image.Image]
) -> Photos:
    """All photos changed, by one stream of random numbers."""
    rng = np.random.default_rng(_SEED)
    return {name: change(photo, rng) for name, photo in photos.items()}


def blurred(photos: Photos) -> Photos:
    """A straight motion of 3 to 8 pixels during each exposure, in any direction."""
    import cv2

    def blur(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
        length, angle = rng.uniform(3, 8), rng.uniform(0, np.pi)
        kernel = np.zeros((15, 15), np.float32)
        for step in np.linspace(-length / 2, length / 2, 61):
            x, y = 7 + step * np.cos(angle), 7 + step * np.sin(angle)
            column, line = int(x), int(y)
            for dx in (0, 1):
                for dy in (0, 1):
                    weight = (1 - abs(x - column - dx)) * (1 - abs(y - line - dy))
                    kernel[line + dy, column + dx] += weight
        return Image.fromarray(cv2.filter2D(np.asarray(photo), -1, kernel / kernel.sum()))

    return each(photos, blur)


def small(photos: Photos) -> Photos:
    """Reduced to 320 pixels in width."""
    return each(
        photos,
        lambda x, _: x.resize((320, round(320 * x.height / x.width)), Image.Resampling.LANCZOS),
    )


def jpeg(photo: Image.Image, quality: int) -> Image.Image:
    """Through JPEG and back."""
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def unevenly_lit(photos: Photos) -> Photos:
    """Each photo brighter or darker by up to 30 %."""

    def light(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
        gain = rng.uniform(0.7, 1.3)
        return Image.fromarray(np.clip(np.rint(np.asarray(photo) * gain), 0, 255).astype(np.uint8))

    return each(photos, light)


def turned(photos: Photos) -> Photos:
    """Turned by quarters without a word in EXIF."""
    return each(photos, lambda x, rng: x.rotate(90 * int(rng.integers(0, 4)), expand=True))


def copied(photos: Photos) -> Photos:
    """Five copies, and five that went through JPEG once more."""
    files = list(photos)
    return (
        photos
        | {f"copy_{file}": photos[file] for file in files[::5]}
        | {f"again_{file}": jpeg(photos[file], 60) for file in files[2::5]}
    )


def turning(photos: Photos) -> Photos:
    """A camera that turns in front of one photo, far away, with noise of its own in every image."""
    import cv2

    far = next(iter(photos.values())).rotate(90, expand=True)
    far = np.asarray(far.resize((3000, 1688), Image.Resampling.LANCZOS))
    width, height, focal = 640, 480, 700.0
    lens = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    wall = np.array([[1500.0, 0, 1500], [0, 1500.0, 844], [0, 0, 1]])
    rng, views = np.random.default_rng(_SEED), {}
    for number, azimuth in enumerate(np.radians(np.linspace(-24, 24, 20))):
        tilt = np.radians(3 * np.sin(number))
        turn = (
            cv2.Rodrigues(np.array([0, azimuth, 0]))[0] @ cv2.Rodrigues(np.array([tilt, 0, 0.0]))[0]
        )
        view = cv2.warpPerspective(far, lens @ turn.T @ np.linalg.inv(wall), (width, height))
        noisy = view + rng.normal(0, 3, view.shape)
        views[f"{number:02d}.png"] = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
    return views


def walk_cameras() -> dict[str, PinholeCamera]:
    """Cameras along 250 degrees, rising and falling, coming nearer and going away."""
    from training.procedural.demo_scene import demo_cameras
    from training.procedural.raycast import field_of_view_camera, look_at

    first = next(iter(demo_cameras().values()))
    t = np.linspace(0, 1, _VIDEO_FRAMES)
    azimuth = np.radians(20 + 250 * t)
    elevation = np.radians(24 + 10 * np.sin(4 * np.pi * t))
    distance = 3.9 + 0.3 * np.sin(6 * np.pi * t)
    target = np.array([0.05, 0.45, 0.0])
    eyes = target + distance[:, None] * np.stack(
        [
            np.cos(elevation) * np.cos(azimuth),
            np.sin(elevation),
            np.cos(elevation) * np.sin(azimuth),
        ],
        axis=-1,
    )
    return {
        f"frame_{number:04d}": field_of_view_camera(
            look_at(eye, target), first.width, first.height, np.radians(54)
        )
        for number, eye in enumerate(eyes)
    }


def video() -> Photos:
    """The frames of the walk."""
    from training.procedural.demo_scene import demo_scene
    from training.procedural.raycast import render

    scene = demo_scene()
    return {
        f"{name}.png": Image.fromarray(
            np.rint(render(scene, camera, samples_per_axis=1).rgb * 255).astype(np.uint8)
        )
        for name, camera in walk_cameras().items()
    }


if __name__ == "__main__":
    main()
