import json
import shutil

import numpy as np
import pytest
import torch
from nerfstudio.cameras.cameras import Cameras, CameraType
from PIL import Image

from scenestyle.errors import ArtifactError, InputError
from scenestyle.geometry import align_similarity, project
from scenestyle.nerf.dataset import (
    TrainingViews,
    read_photo,
    read_run_views,
    write_dataset,
)
from scenestyle.nerfstudio_plugin.rays import camera_rays

CPU = torch.device("cpu")


@pytest.fixture
def run(poses, tmp_path):
    write_dataset(poses, tmp_path, max_image_side=24)
    return tmp_path


@pytest.fixture
def broken_poses(poses, tmp_path):
    """A copy to break, and a way to edit its transforms.json."""
    copy = shutil.copytree(poses, tmp_path / "poses")

    def edit(change):
        path = copy / "transforms.json"
        meta = json.loads(path.read_text())
        change(meta)
        path.write_text(json.dumps(meta))
        return copy

    return edit


def training_views(run) -> TrainingViews:
    views = [view for view in read_run_views(run, holdout_every=4) if view.split == "train"]
    images = [torch.from_numpy(read_photo(run, view)) for view in views]
    return TrainingViews(views, images)


def test_photos_are_averaged_over_areas(poses, run):
    name = sorted(path.name for path in (poses / "images").iterdir())[0]
    photo = np.asarray(Image.open(poses / "images" / name), dtype=float)
    expected = photo.reshape(18, 4, 24, 4, 3).mean(axis=(1, 3))
    reduced = np.asarray(Image.open(run / "images" / name), dtype=float)
    np.testing.assert_allclose(reduced, expected, atol=1)


def test_intrinsics_shrink_with_the_photos(poses, run):
    before, after = (
        sorted(json.loads((folder / "transforms.json").read_text())["frames"], key=str)
        for folder in (poses, run)
    )
    by_name = {frame["file_path"]: frame for frame in before}
    for frame in after:
        original = by_name[frame["file_path"]]
        scale = frame["w"] / original["w"]
        assert (frame["w"], frame["h"]) == (24, 18)
        for key in ("fl_x", "fl_y", "cx", "cy"):
            assert frame[key] == pytest.approx(original[key] * scale)


def test_the_fields_frame_is_the_worlds_up_to_similarity(poses, run):
    frames = json.loads((poses / "transforms.json").read_text())["frames"]
    world = np.array([frame["transform_matrix"] for frame in frames])
    field = np.array([view.camera.c2w_opengl for view in read_run_views(run, holdout_every=4)])
    similarity = align_similarity(world[:, :3, 3], field[:, :3, 3])
    aligned = similarity.apply_to_poses(world)
    np.testing.assert_allclose(aligned, field, atol=1e-4)
    assert np.abs(field[:, :3, 3]).max() == pytest.approx(1, abs=1e-5)


def test_the_first_and_every_nth_view_are_held_out(run):
    splits = [view.split for view in read_run_views(run, holdout_every=4)]
    assert splits == ["held_out", "train", "train", "train"] * 2


def test_a_split_that_comes_with_the_data_goes_before_every_nth(broken_poses, tmp_path):
    names = []

    def split(meta):
        names.extend(sorted(frame["file_path"] for frame in meta["frames"]))
        meta["train_filenames"] = [name for name in names if name != names[1]]
        meta["test_filenames"] = [names[1]]

    run = tmp_path / "run"
    write_dataset(broken_poses(split), run, max_image_side=24)
    views = read_run_views(run, holdout_every=4)
    assert len(views) == len(names)
    assert [f"images/{v.name}.png" for v in views if v.split == "held_out"] == [names[1]]


def test_rays_are_nerfstudios(run):
    camera = read_run_views(run, holdout_every=4)[1].camera
    theirs = Cameras(
        camera_to_worlds=torch.tensor(camera.c2w_opengl[None, :3], dtype=torch.float32),
        fx=camera.fx,
        fy=camera.fy,
        cx=camera.cx,
        cy=camera.cy,
        width=camera.width,
        height=camera.height,
        camera_type=CameraType.PERSPECTIVE,
    ).generate_rays(camera_indices=0)
    ours = camera_rays(camera, CPU)
    torch.testing.assert_close(ours.origins, theirs.origins.reshape(-1, 3))
    torch.testing.assert_close(ours.directions, theirs.directions.reshape(-1, 3))


def test_a_rectangle_is_cut_from_the_whole(run):
    camera = read_run_views(run, holdout_every=4)[1].camera
    whole = camera_rays(camera, CPU).directions.view(18, 24, 3)
    part = camera_rays(camera, CPU, rows=slice(3, 8), columns=slice(10, 12), camera_index=4)
    assert torch.equal(part.directions.view(5, 2, 3), whole[3:8, 10:12])
    assert part.camera_indices is not None
    assert (part.camera_indices == 4).all()


def test_random_rays_meet_the_pixels_whose_colours_they_bring(poses, tmp_path):
    write_dataset(poses, tmp_path, max_image_side=96)
    data = training_views(tmp_path)
    sizes = {(view.camera.width, view.camera.height) for view in data.views}
    rays, colours = data.random_rays(500, torch.Generator().manual_seed(0))
    assert rays.camera_indices is not None
    seen = set()
    for index, origin, direction, colour in zip(
        rays.camera_indices[:, 0].tolist(),
        rays.origins.double().numpy(),
        rays.directions.double().numpy(),
        colours,
        strict=True,
    ):
        (pixel,), _ = project((origin + direction)[None], data.views[index].camera)
        column, row = np.floor(pixel).astype(int)
        np.testing.assert_allclose(pixel, [column + 0.5, row + 0.5], atol=1e-3)
        assert torch.equal(colour, data.images[index][row, column])
        seen.add(index)
    assert seen == set(range(len(data.views)))
    assert sizes == {(48, 36)}


def test_views_of_different_sizes_are_all_drawn_from(poses, tmp_path):
    write_dataset(poses, tmp_path, max_image_side=96)
    views = read_run_views(tmp_path, holdout_every=4)[:2]
    images = [torch.from_numpy(read_photo(tmp_path, view)) for view in views]
    assert images[0].shape != images[1].shape
    data = TrainingViews(views, images)
    rays, colours = data.random_rays(2000, torch.Generator().manual_seed(0))
    assert rays.camera_indices is not None
    share = (rays.camera_indices == 0).float().mean()
    assert share == pytest.approx(0.8, abs=0.05)
    largest = camera_rays(views[0].camera, CPU).directions
    first = rays.directions[rays.camera_indices[:, 0] == 0][0]
    nearest = (largest - first).norm(dim=-1).argmin()
    first_colour = colours[rays.camera_indices[:, 0] == 0][0]
    assert torch.equal(images[0].reshape(-1, 3)[nearest], first_colour)


def test_lens_distortion_is_refused(broken_poses, tmp_path):
    poses = broken_poses(lambda meta: meta["frames"][2].update(k1=0.1))
    with pytest.raises(ArtifactError, match=r"has lens distortion.*Rerun estimate_poses"):
        write_dataset(poses, tmp_path / "run", max_image_side=24)


def test_too_few_views_are_refused(broken_poses, tmp_path):
    poses = broken_poses(lambda meta: meta.update(frames=meta["frames"][:2]))
    with pytest.raises(InputError, match="2 posed photos, wanted at least 3"):
        write_dataset(poses, tmp_path / "run", max_image_side=24)


def test_an_unreadable_photo_is_named(broken_poses, tmp_path):
    poses = broken_poses(lambda _: None)
    broken = sorted((poses / "images").iterdir())[3]
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(ArtifactError, match=rf"{broken.name} cannot be read as a picture"):
        write_dataset(poses, tmp_path / "run", max_image_side=24)
