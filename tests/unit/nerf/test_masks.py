"""What is hidden has no influence, what is transparent is empty, and without either all is as it was."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenestyle.artifacts import read_json, read_mask, read_rgb, write_json, write_mask
from scenestyle.errors import ArtifactError, ParamsError
from scenestyle.nerf.checkpoints import load_checkpoint, run_checkpoint
from scenestyle.nerf.dataset import TrainingViews, read_run_views, write_dataset
from scenestyle.nerf.field import load_field
from scenestyle.nerf.train import check_background, train
from tests.support.tiny_field import PARAMS, SPLATS, write_tiny_points, write_tiny_poses

HIDDEN = (slice(10, 30), slice(8, 20))
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A tiny capture without masks or transparency."""
    folder = tmp_path_factory.mktemp("plain")
    write_tiny_poses(folder)
    write_tiny_points(folder)
    return folder


def changed(plain: Path, folder: Path, **more) -> tuple[Path, list[str]]:
    """A copy of the capture whose frames have more keys, `{name}` in them the view's."""
    shutil.copytree(plain, folder)
    meta = read_json(folder / "transforms.json")
    names = [Path(frame["file_path"]).stem for frame in meta["frames"]]
    for frame, name in zip(meta["frames"], names, strict=True):
        frame |= {key: value.format(name=name) for key, value in more.items()}
    write_json(folder / "transforms.json", meta)
    return folder, names


def masked(plain: Path, folder: Path, *, hides: bool, seed: int | None = None) -> Path:
    """With masks; with a seed, the hidden part of every second photo is noise."""
    folder, names = changed(plain, folder, mask_path="masks/{name}.png")
    rng = np.random.default_rng(seed)
    for index, name in enumerate(names):
        file = folder / "images" / f"{name}.png"
        photo = np.array(Image.open(file))
        is_used = np.ones(photo.shape[:2], bool)
        if hides and index % 2 == 0:
            is_used[HIDDEN] = False
            if seed is not None:
                photo[~is_used] = rng.integers(0, 256, (int((~is_used).sum()), 3))
        Image.fromarray(photo).save(file)
        write_mask(folder / "masks" / f"{name}.png", is_used)
    return folder


def field_of(poses: Path, folder: Path, kind=PARAMS, *, iterations: int = 8, side: int = 48):
    (folder / "run").mkdir(parents=True)
    params = replace(kind, iterations=iterations, max_image_side=side)
    metrics = train(poses, folder / "run", params, work=folder / "work")
    state = load_checkpoint(run_checkpoint(folder / "run"))["pipeline"]
    return state, (folder / "run" / "losses.csv").read_text(), metrics


def assert_same_field(found, wanted):
    (state, losses, _), (other, other_losses, _) = found, wanted
    assert losses == other_losses
    assert all(
        torch.equal(state[name], other[name])
        for name in other
        if isinstance(other[name], torch.Tensor)
    )


@pytest.mark.parametrize("kind", [PARAMS, SPLATS], ids=["nerfacto", "splats"])
def test_masks_that_hide_nothing_change_no_byte(plain, tmp_path, kind):
    wanted = field_of(plain, tmp_path / "plain", kind)
    found = field_of(masked(plain, tmp_path / "poses", hides=False), tmp_path / "masked", kind)
    assert_same_field(found, wanted)
    assert found[2]["psnr_by_view"] == wanted[2]["psnr_by_view"]
    assert "hidden_share" not in found[2]


@pytest.mark.parametrize(
    ("kind", "side"), [(PARAMS, 48), (PARAMS, 20), (SPLATS, 20)], ids=["whole", "reduced", "splats"]
)
def test_what_is_hidden_has_no_influence_on_any_byte(plain, tmp_path, kind, side):
    """Also where photos are reduced and a pixel would be a mean over the edge of the mask."""
    found = [
        field_of(
            masked(plain, tmp_path / f"poses_{seed}", hides=True, seed=seed),
            tmp_path / f"field_{seed}",
            kind,
            side=side,
        )
        for seed in (0, 1)
    ]
    assert_same_field(*found)
    assert found[0][2]["psnr_by_view"] == found[1][2]["psnr_by_view"]
    assert 0.05 < found[0][2]["hidden_share"] < 0.15
    runs = [tmp_path / f"field_{seed}" / "run" / "images" for seed in (0, 1)]
    assert all(
        (runs[1] / file.name).read_bytes() == file.read_bytes() for file in runs[0].iterdir()
    )


def test_no_ray_goes_through_a_hidden_pixel(plain, tmp_path):
    run = tmp_path / "run"
    write_dataset(masked(plain, tmp_path / "poses", hides=True), run, max_image_side=48)
    views = [view for view in read_run_views(run, holdout_every=4) if view.split == "train"]
    data = TrainingViews.read(run, views, CPU)
    marked = replace(
        data, images=[used[..., None].expand(-1, -1, 3).float() for used in data.are_used]
    )
    _, colours = marked.random_rays(5000, torch.Generator().manual_seed(0))
    assert colours.min() == 1
    assert min(float(used.float().mean()) for used in data.are_used) < 1


def test_a_reduced_pixel_is_used_if_all_of_it_is(tmp_path):
    is_used = np.random.default_rng(0).random((12, 18)) > 0.1
    write_mask(tmp_path / "mask.png", is_used)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), is_used)
    whole = is_used.reshape(4, 3, 6, 3).all((1, 3))
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", (6, 4)), whole)


@pytest.mark.parametrize(
    ("mask", "fault"),
    [
        (np.ones((5, 4), bool), "is 4x5 pixels, its photo 48x36"),
        (np.zeros((36, 48), bool), "hides all of its photo"),
    ],
)
def test_a_mask_that_cannot_be_is_named(plain, tmp_path, mask, fault):
    poses = masked(plain, tmp_path / "poses", hides=True)
    name = sorted(path.name for path in (poses / "masks").iterdir())[1]
    write_mask(poses / "masks" / name, mask)
    with pytest.raises(ArtifactError, match=f"{name} {fault}"):
        write_dataset(poses, tmp_path / "run", max_image_side=48)


def cut_out(plain: Path, folder: Path) -> Path:
    """Everything is transparent but the middle of every photo."""
    folder, names = changed(plain, folder)
    meta = json.loads((folder / "transforms.json").read_text())
    write_json(folder / "transforms.json", {**meta, "has_alpha": True})
    for name in names:
        photo = np.array(Image.open(folder / "images" / f"{name}.png"))
        alpha = np.zeros(photo.shape[:2], np.uint8)
        alpha[12:24, 16:32] = 255
        photo[alpha == 0] = 255  # as the poses folder has it
        Image.fromarray(np.dstack([photo, alpha])).save(folder / "images" / f"{name}.png")
    return folder


def mean_opacity(folder: Path) -> np.ndarray:
    field = load_field(folder / "run")
    return np.mean([field.render(view.camera).opacity for view in field.views], axis=0)


def test_where_photos_are_transparent_the_field_becomes_empty(plain, tmp_path):
    """Beside the same photos without their alpha, as a reader who drops it sees them."""
    poses = cut_out(plain, tmp_path / "poses")
    _, _, metrics = field_of(poses, tmp_path / "field", iterations=100)
    opaque = shutil.copytree(poses, tmp_path / "opaque")
    for file in (opaque / "images").iterdir():
        Image.fromarray(np.array(Image.open(file))[..., :3]).save(file)
    field_of(opaque, tmp_path / "wall", iterations=100)
    empty, wall = mean_opacity(tmp_path / "field"), mean_opacity(tmp_path / "wall")
    outside = np.ones((36, 48), bool)
    outside[9:27, 13:35] = False
    assert empty[outside].mean() < 0.2 < 0.8 < wall[outside].mean()
    assert empty[14:22, 18:30].mean() > empty[outside].mean()
    views = load_field(tmp_path / "field" / "run").views
    assert all(view.is_cut_out for view in views)
    photo = read_rgb(tmp_path / "field" / "run" / "images" / f"{views[0].name}.png")
    assert photo[outside].max() == 0
    assert metrics["heldout_psnr"] > 10  # against the photo on black; on white it is below 2


def test_cut_outs_need_a_random_background(plain, tmp_path):
    run = tmp_path / "run"
    write_dataset(cut_out(plain, tmp_path / "poses"), run, max_image_side=48)
    views = read_run_views(run, holdout_every=4)
    check_background(views, PARAMS)
    with pytest.raises(ParamsError, match=r"8 of 8 photos are cut out .* Set it to random"):
        check_background(views, replace(PARAMS, background="white"))


def test_photos_with_and_without_transparency_mix(plain, tmp_path):
    poses = cut_out(plain, tmp_path / "poses")
    whole = sorted((poses / "images").iterdir())[0]
    shutil.copy2(plain / "images" / whole.name, whole)
    run = tmp_path / "run"
    write_dataset(poses, run, max_image_side=48)
    views = read_run_views(run, holdout_every=4)
    assert [view.is_cut_out for view in views].count(False) == 1
    data = TrainingViews.read(run, views, CPU)
    assert [float(image[..., 3].min()) for image in data.images].count(1.0) == 1
