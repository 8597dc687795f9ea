"""Posed datasets: what is right passes unchanged, what is wrong is named."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from scenestyle.errors import InputError
from scenestyle.geometry import look_at
from scenestyle.params import EstimatePoses
from scenestyle.sfm import estimate_poses
from scenestyle.splat_file import write_splats
from tests.support.splat_scene import demo_splats

WIDTH, HEIGHT, FOCAL = 60, 40, 55.0
UP = np.array([0.0, 0, 1])


def pose(number):
    angle = 0.4 * number
    return look_at(np.array([3 * np.cos(angle), 3 * np.sin(angle), 1.0]), np.zeros(3), UP)


def dataset(folder, num_frames=4):
    """A posed dataset of noise pictures, intrinsics at the top; returns its transforms."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    for i in range(num_frames):
        noise = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / "images" / f"frame_{i}.png")
    transforms = {
        "camera_model": "OPENCV",
        "fl_x": FOCAL, "fl_y": FOCAL + 1, "cx": 29.0, "cy": 21.0, "w": WIDTH, "h": HEIGHT,
        "frames": [
            {"file_path": f"images/frame_{i}.png", "transform_matrix": pose(i).tolist()}
            for i in range(num_frames)
        ],
    }  # fmt: skip
    write(folder, transforms)
    return transforms


def write(folder, transforms):
    (folder / "transforms.json").write_text(json.dumps(transforms))


def estimate(source, out, **params):
    """Runs the stage's function; returns its report and the transforms it wrote."""
    out.mkdir()
    report = estimate_poses(source, out, EstimatePoses(**params), work=out.with_name("work"))
    shutil.rmtree(out.with_name("work"))
    return report, json.loads((out / "transforms.json").read_text())


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_a_posed_dataset_passes_through_unchanged(tmp_path):
    given = dataset(tmp_path / "in")
    report, written = estimate(tmp_path / "in", tmp_path / "out")
    assert (report["source"], report["photos"], report["registered_share"]) == (
        "transforms.json", 4, 1.0,
    )  # fmt: skip
    for before, after in zip(given["frames"], written["frames"], strict=True):
        np.testing.assert_allclose(
            after["transform_matrix"], before["transform_matrix"], atol=1e-12
        )
        assert after["file_path"] == before["file_path"]
        assert [after[key] for key in ("fl_x", "fl_y", "cx", "cy", "w", "h")] == [
            FOCAL, FOCAL + 1, 29.0, 21.0, WIDTH, HEIGHT,
        ]  # fmt: skip
        np.testing.assert_array_equal(
            pixels(tmp_path / "out" / after["file_path"]),
            pixels(tmp_path / "in" / before["file_path"]),
        )


def test_the_poses_folder_is_itself_a_posed_dataset(tmp_path):
    dataset(tmp_path / "in")
    _, once = estimate(tmp_path / "in", tmp_path / "once")
    _, twice = estimate(tmp_path / "once", tmp_path / "twice")
    assert [f["file_path"] for f in twice["frames"]] == [f["file_path"] for f in once["frames"]]
    for first, second in zip(once["frames"], twice["frames"], strict=True):
        np.testing.assert_allclose(
            first["transform_matrix"], second["transform_matrix"], atol=1e-12
        )


def test_its_colmap_model_describes_the_same_cameras(tmp_path):
    dataset(tmp_path / "in")
    _, via_transforms = estimate(tmp_path / "in", tmp_path / "out")
    (tmp_path / "out" / "transforms.json").unlink()
    report, via_colmap = estimate(tmp_path / "out", tmp_path / "again")
    assert report["source"] == "COLMAP model"
    for first, second in zip(via_transforms["frames"], via_colmap["frames"], strict=True):
        np.testing.assert_allclose(
            first.pop("transform_matrix"), second.pop("transform_matrix"), atol=1e-12
        )
        assert first == second


def test_intrinsics_per_frame_or_as_field_of_view_mean_the_same(tmp_path):
    given = dataset(tmp_path / "in")
    keys = ("fl_x", "fl_y", "cx", "cy", "w", "h")
    _, expected = estimate(tmp_path / "in", tmp_path / "out_top")
    for frame in given["frames"]:
        frame.update({key: given[key] for key in keys})
    per_frame = {key: value for key, value in given.items() if key not in keys}
    write(tmp_path / "in", per_frame)
    assert estimate(tmp_path / "in", tmp_path / "out_frame")[1] == expected

    blender = {
        "camera_angle_x": 2 * np.arctan(WIDTH / 2 / FOCAL),
        "frames": [
            {"file_path": f"./images/frame_{i}", "transform_matrix": pose(i).tolist()}
            for i in range(4)
        ],
    }
    write(tmp_path / "in", blender)
    frame = estimate(tmp_path / "in", tmp_path / "out_angle")[1]["frames"][0]
    assert [frame[key] for key in keys] == pytest.approx([FOCAL, FOCAL, 30, 20, WIDTH, HEIGHT])


def test_large_images_are_reduced_with_their_intrinsics(tmp_path):
    dataset(tmp_path / "in")
    _, written = estimate(tmp_path / "in", tmp_path / "out", max_image_side=30)
    frame = written["frames"][0]
    assert [frame[key] for key in ("fl_x", "fl_y", "cx", "cy", "w", "h")] == pytest.approx(
        [FOCAL / 2, (FOCAL + 1) / 2, 14.5, 10.5, 30, 20]
    )
    assert Image.open(tmp_path / "out" / frame["file_path"]).size == (30, 20)


def distorted(x, y, kind, k1, k2, p1=0.0, p2=0.0):
    """OpenCV's distortion of normalised coordinates, from its documentation."""
    if kind == "OPENCV_FISHEYE":
        r = np.hypot(x, y)
        theta = np.arctan(r)
        scale = theta * (1 + k1 * theta**2 + k2 * theta**4) / np.maximum(r, 1e-12)
        return x * scale, y * scale
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2 * r2
    return (
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
        y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
    )


@pytest.mark.parametrize(
    ("kind", "coefficients"),
    [
        ("OPENCV", {"k1": -0.2, "k2": 0.04, "p1": 0.01, "p2": -0.008}),
        ("OPENCV_FISHEYE", {"k1": 0.05, "k2": -0.01}),
    ],
)
def test_distortion_is_removed(tmp_path, kind, coefficients):
    """Each pixel carries its own viewing direction as colour; afterwards a pinhole must explain it."""
    given = dataset(tmp_path / "in")
    u, v = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    target_x, target_y = (u - 29) / FOCAL, (v - 21) / (FOCAL + 1)
    x, y = target_x.copy(), target_y.copy()
    for _ in range(200):  # fixed-point inversion of the distortion
        dx, dy = distorted(x, y, kind, **coefficients)
        x, y = x + target_x - dx, y + target_y - dy
    colours = np.stack([128 + 120 * x, 128 + 120 * y, np.full_like(x, 128)], axis=-1)
    for frame in given["frames"]:
        Image.fromarray(np.rint(colours).astype(np.uint8)).save(
            tmp_path / "in" / frame["file_path"]
        )
    write(tmp_path / "in", {**given, "camera_model": kind, **coefficients})
    _, written = estimate(tmp_path / "in", tmp_path / "out")
    frame = written["frames"][0]
    u, v = np.meshgrid(np.arange(frame["w"]) + 0.5, np.arange(frame["h"]) + 0.5)
    seen = pixels(tmp_path / "out" / frame["file_path"]).astype(float)
    inner = (slice(2, -2), slice(2, -2))
    expected_x, expected_y = (u - frame["cx"]) / frame["fl_x"], (v - frame["cy"]) / frame["fl_y"]
    # One pixel of misplacement would be 120 / 55 = 2.2 grey levels.
    np.testing.assert_allclose(seen[inner][..., 0], (128 + 120 * expected_x)[inner], atol=1.5)
    np.testing.assert_allclose(seen[inner][..., 1], (128 + 120 * expected_y)[inner], atol=1.5)
    plain = 128 + 120 * np.stack([target_x, target_y], axis=-1)
    assert np.abs(colours[..., :2] - plain).max() > 5, "the distortion would have been visible"


FAULTS = {
    "lies outside": lambda frame: frame.update(file_path="../outside.png"),
    "is not finite": lambda frame: frame["transform_matrix"][0].__setitem__(3, np.nan),
    "has no transform_matrix": lambda frame: frame.pop("transform_matrix"),
    "is mirrored": lambda frame: frame["transform_matrix"].insert(
        0, [-value for value in frame["transform_matrix"].pop(0)]
    ),
    "is no rotation": lambda frame: frame["transform_matrix"].insert(
        0, [3 * value for value in frame["transform_matrix"].pop(0)]
    ),
    "its camera 60x50: another shape": lambda frame: frame.update(h=50),
    "focal length is not positive": lambda frame: frame.update(fl_x=-FOCAL),
    "not numbers": lambda frame: frame.update(cx="left"),
    "known are OPENCV": lambda frame: frame.update(camera_model="DIVISION"),
    "with k4 = 1000": lambda frame: frame.update(k4=1000),
    "is not made of numbers": lambda frame: frame["transform_matrix"][0].__setitem__(0, "left"),
    "has the shape (2, 4)": lambda frame: frame.update(
        transform_matrix=frame["transform_matrix"][:2]
    ),
    "is not 0 0 0 1": lambda frame: frame["transform_matrix"][3].__setitem__(0, 1),
}


@pytest.mark.parametrize("first", [0, 7])
def test_every_unusable_frame_is_named_at_once(tmp_path, first):
    faults = dict([*FAULTS.items()][first : first + 7])  # of many, the first ten are named
    given = dataset(tmp_path / "in", num_frames=len(faults) + 3)
    picture = tmp_path / "in" / "images" / "frame_0.png"
    shutil.copy(picture, tmp_path / "outside.png")
    for frame, spoil in zip(given["frames"], faults.values(), strict=False):
        spoil(frame)
    write(tmp_path / "in", given)
    with pytest.raises(InputError) as caught:
        estimate(tmp_path / "in", tmp_path / "out")
    message = str(caught.value)
    assert message.startswith(f"{len(faults)} of {len(faults) + 3} photos cannot be used")
    assert [fault for fault in faults if fault not in message] == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[1, 2]",
        "{}",
        '{"frames": 3}',
        '{"frames": [{"transform_matrix": []}]}',
        '{"frames": [1]}',
    ],
)
def test_a_transforms_file_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / "transforms.json").write_text(content)
    with pytest.raises(InputError, match=r"wanted is nerfstudio's form.*list `frames`"):
        estimate(tmp_path, tmp_path / "out")


def test_what_is_prepared_on_taking_in_is_asked_for(tmp_path):
    given = dataset(tmp_path / "in")
    write(tmp_path / "in", {**given, "camera_model": "EQUIRECTANGULAR"})
    with pytest.raises(InputError, match=r"360 degree pictures.*scenestyle add-scene"):
        estimate(tmp_path / "in", tmp_path / "out")
    write_splats(tmp_path / "bare/a.ply", demo_splats())
    with pytest.raises(InputError, match=r"splats without cameras.*scenestyle add-scene"):
        estimate(tmp_path / "bare", tmp_path / "again")


def test_two_frames_are_too_few(tmp_path):
    dataset(tmp_path / "in", num_frames=2)
    with pytest.raises(InputError, match=r"holds 2 posed images .*; at least 3"):
        estimate(tmp_path / "in", tmp_path / "out")


def test_a_damaged_colmap_model_is_refused(tmp_path):
    dataset(tmp_path / "in")
    estimate(tmp_path / "in", tmp_path / "out")
    (tmp_path / "out" / "transforms.json").unlink()
    model = tmp_path / "out" / "sparse" / "images.bin"
    model.write_bytes(model.read_bytes()[:100])
    with pytest.raises(InputError, match="not a readable COLMAP model"):
        estimate(tmp_path / "out", tmp_path / "again")
