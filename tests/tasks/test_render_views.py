import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scenestyle.artifacts import (
    ViewsFolder,
    check_same_views,
    read_map,
    read_rgb,
    read_views,
    write_mask,
)
from scenestyle.errors import ArtifactError
from scenestyle.nerf.field import load_field
from scenestyle.nerf.train import train
from scenestyle.params import RenderViews
from tasks.render_views import run
from tests.support.tiny_field import PARAMS, write_tiny_poses


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders poses, nerf and views."""
    folder = tmp_path_factory.mktemp("scene")
    write_tiny_poses(folder / "poses")
    for name in ("nerf", "views"):
        (folder / name).mkdir()
    train(folder / "poses", folder / "nerf", replace(PARAMS, iterations=5), work=folder / "work")
    render_views(folder, folder / "views")
    return folder


def render_views(scene: Path, out: Path) -> dict[str, object]:
    return run(
        nerf=scene / "nerf",
        poses=scene / "poses",
        out=out,
        params=RenderViews(max_image_side=40),
    )


def test_every_posed_view_is_there(scene):
    views = read_views(scene / "views")
    assert [view.split for view in views] == ["held_out", "train", "train", "train"] * 2
    names = [view.name for view in views]
    for folder, suffix in (("rgb", ".png"), ("depth_z", ".npy"), ("opacity", ".npy")):
        check_same_views(scene / "views" / folder, names, suffix=suffix, stage="render_views")


def test_sizes_are_multiples_of_eight_and_cameras_fit_them(scene):
    field = load_field(scene / "nerf")
    for view, original in zip(read_views(scene / "views"), field.views, strict=True):
        camera = view.camera
        assert (camera.width, camera.height) == (40, 32)
        assert camera.fx / camera.width == pytest.approx(original.camera.fx / original.camera.width)
        np.testing.assert_array_equal(camera.c2w_opengl, original.camera.c2w_opengl)


def test_maps_are_what_the_field_shows(scene):
    view = read_views(scene / "views")[3]
    rendering = load_field(scene / "nerf").render(view.camera)
    name = view.name
    np.testing.assert_allclose(
        read_rgb(scene / "views" / "rgb" / f"{name}.png"), rendering.rgb, atol=0.51 / 255
    )
    for folder in ("depth_z", "opacity"):
        np.testing.assert_allclose(
            read_map(scene / "views" / folder / f"{name}.npy"), getattr(rendering, folder)
        )


def test_the_same_field_gives_the_same_files(scene, tmp_path):
    render_views(scene, tmp_path)
    for path in (scene / "views").rglob("*"):
        if path.is_file() and path.name != "report.json":  # which holds seconds
            assert path.read_bytes() == (tmp_path / path.relative_to(scene / "views")).read_bytes()


def test_a_field_of_other_photos_is_refused(scene, tmp_path):
    other = tmp_path / "scene"
    shutil.copytree(scene / "nerf", other / "nerf")
    shutil.copytree(scene / "poses", other / "poses")
    path = other / "poses" / "transforms.json"
    meta = json.loads(path.read_text())
    path.write_text(json.dumps({**meta, "frames": meta["frames"][1:]}))
    with pytest.raises(ArtifactError, match=r"trained on 8 views, .* has 7 .*Rerun train_nerf"):
        render_views(other, tmp_path)


def test_masks_come_along_at_the_size_of_the_views(scene, tmp_path):
    assert not (scene / "views" / "masks").exists()
    poses = shutil.copytree(scene / "poses", tmp_path / "poses")
    meta = json.loads((poses / "transforms.json").read_text())
    for frame in meta["frames"]:
        name = Path(frame["file_path"]).stem
        frame["mask_path"] = f"masks/{name}.png"
        is_used = np.ones((frame["h"], frame["w"]), bool)
        is_used[:, :10] = False
        write_mask(poses / frame["mask_path"], is_used)
    (poses / "transforms.json").write_text(json.dumps(meta))
    run(nerf=scene / "nerf", poses=poses, out=tmp_path, params=RenderViews(max_image_side=40))
    source = ViewsFolder.open(tmp_path)
    for view in source.views:
        is_used = source.is_used(view)
        assert is_used.shape == (view.camera.height, view.camera.width)
        assert not is_used[:, :8].any()  # ten of 48 columns are eight and a third of 40
        assert is_used[:, 9:].all()
