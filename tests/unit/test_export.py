import json
import struct
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import trimesh
from plyfile import PlyData

from scenestyle.artifacts import read_rgb, read_views
from scenestyle.errors import ArtifactError
from scenestyle.export import ExportOptions, export
from scenestyle.export_names import Format, default_name
from scenestyle.metrics.image import psnr
from scenestyle.nerf.field import load_field
from scenestyle.nerfstudio_plugin.splat_field import SplatField
from scenestyle.nerfstudio_plugin.splat_raster import Gaussians, rasterize
from scenestyle.splat_file import read_splats
from tests.support.tiny_field import SPLATS, write_tiny_source

SHORT = ExportOptions(seconds=1.0, fps=3, size=40, max_points=2000)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scene")
    write_tiny_source(root)
    return root


def exported(scene: Path, format: Format, out: Path, options: ExportOptions = SHORT) -> Path:
    target = out / default_name(format, "demo-ink")
    export(scene / "nerf", scene / "views", format, target, options)
    assert [path.name for path in out.iterdir()] == [target.name]
    return target


def test_points_carry_the_colours_of_the_renders(scene: Path, tmp_path: Path) -> None:
    vertices = PlyData.read(exported(scene, "ply", tmp_path))["vertex"]

    assert 1000 < vertices.count <= 2000
    colours = np.stack([vertices[channel] for channel in ("red", "green", "blue")], axis=-1)
    rendered = np.concatenate(
        [read_rgb(path).reshape(-1, 3) for path in (scene / "views/rgb").iterdir()]
    )
    assert colours.mean(axis=0) / 255 == pytest.approx(rendered.mean(axis=0), abs=0.1)


def test_a_mesh_opens_with_the_colours_of_the_points(scene: Path, tmp_path: Path) -> None:
    (tmp_path / "points").mkdir()
    points = trimesh.load(exported(scene, "ply", tmp_path / "points"))
    (tmp_path / "mesh").mkdir()
    mesh = trimesh.load(exported(scene, "mesh", tmp_path / "mesh"))

    assert isinstance(mesh, trimesh.Trimesh)
    assert isinstance(points, trimesh.PointCloud)
    assert len(mesh.faces) > 100
    (lowest, highest), room = points.bounds, 0.1 * points.scale
    assert ((mesh.vertices > lowest - room) & (mesh.vertices < highest + room)).all()
    means = [colours[:, :3].mean(axis=0) for colours in (mesh.visual.vertex_colors, points.colors)]
    assert means[0] == pytest.approx(means[1], abs=26)


def test_the_files_are_binary_and_hold_what_programs_look_for(scene: Path, tmp_path: Path) -> None:
    ply = PlyData.read(exported(scene, "mesh", tmp_path))

    assert (ply.text, ply.byte_order) == (False, "<")
    vertex, face = ply.elements
    names = [each.name for each in vertex.properties]
    assert names[:6] == ["x", "y", "z", "red", "green", "blue"]
    assert [each.name for each in face.properties] == ["vertex_indices"]
    assert set(vertex.data["alpha"]) == {255}


def test_a_glb_is_the_mesh_with_y_up_and_its_colours_shown_as_they_are(
    scene: Path, tmp_path: Path
) -> None:
    (tmp_path / "mesh").mkdir()
    mesh = trimesh.load(exported(scene, "mesh", tmp_path / "mesh"), process=False)
    (tmp_path / "glb").mkdir()
    path = exported(scene, "glb", tmp_path / "glb")
    loaded = trimesh.load(path, process=False)
    assert isinstance(mesh, trimesh.Trimesh)
    assert isinstance(loaded, trimesh.Scene)
    (glb,) = loaded.geometry.values()

    x, y, z = mesh.vertices.T
    np.testing.assert_allclose(glb.vertices, np.stack([x, z, -y], axis=-1), atol=1e-6)
    np.testing.assert_array_equal(glb.faces, mesh.faces)
    (length,) = struct.unpack_from("<I", path.read_bytes(), 12)
    tree = json.loads(path.read_bytes()[20 : 20 + length])
    assert tree["extensionsUsed"] == ["KHR_materials_unlit"]
    # What a renderer shows of light is what the mesh's bytes say, to the rounding of dark bytes.
    accessor = tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]]
    view = tree["bufferViews"][accessor["bufferView"]]
    begin = 28 + length + view.get("byteOffset", 0)
    stored = np.frombuffer(path.read_bytes()[begin : begin + view["byteLength"]], np.uint8)
    light = stored.reshape(-1, 4)[:, :3] / 255
    shown = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    colours = mesh.visual.vertex_colors[:, :3] / 255
    assert np.abs(shown - colours)[colours > 0.2].max() < 0.02


def test_a_video_has_the_length_and_size_asked_for(scene: Path, tmp_path: Path) -> None:
    with av.open(str(exported(scene, "video", tmp_path))) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(video=0))

    assert len(frames) == 3
    assert stream.average_rate == 3
    assert (frames[0].width, frames[0].height) == (40, 30)


def test_frames_come_with_the_cameras_that_took_them(scene: Path, tmp_path: Path) -> None:
    folder = exported(scene, "frames", tmp_path)

    views = read_views(folder)
    assert {path.name for path in folder.iterdir()} == {
        "cameras.json",
        *(f"frame_{i:05d}.png" for i in range(3)),
    }
    again = load_field(scene / "nerf").render(views[1].camera).rgb
    assert read_rgb(folder / "frame_00001.png") == pytest.approx(again, abs=0.003)


def test_the_path_of_the_capture_shows_every_view_at_the_size_asked_for(
    scene: Path, tmp_path: Path
) -> None:
    options = ExportOptions(path="capture", size=64)
    folder = exported(scene, "frames", tmp_path, options)

    cameras = [view.camera for view in read_views(folder)]
    posed = [view.camera for view in read_views(scene / "views")]
    assert [c.c2w_opengl.tolist() for c in cameras] == [c.c2w_opengl.tolist() for c in posed]
    assert {(c.width, c.height) for c in cameras} == {(64, 48)}
    assert read_rgb(folder / "frame_00000.png").shape == (48, 64, 3)


def test_the_run_itself_can_be_opened_where_it_was_copied_to(scene: Path, tmp_path: Path) -> None:
    run = exported(scene, "nerfstudio", tmp_path)

    assert (run / "config.yml").is_file()
    camera = read_views(scene / "views")[0].camera
    assert np.array_equal(
        load_field(run).render(camera).rgb, load_field(scene / "nerf").render(camera).rgb
    )


def test_nerfstudios_tools_open_an_exported_run_from_any_folder(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nerfstudio.utils.eval_utils import eval_setup

    run = exported(scene, "nerfstudio", tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    _, pipeline, checkpoint, _ = eval_setup(run / "config.yml")

    assert checkpoint.is_relative_to(run.resolve())
    assert len(pipeline.datamanager.train_dataset) > 0


def test_what_is_there_is_not_overwritten(scene: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.ply"
    out.write_text("precious")

    with pytest.raises(ArtifactError, match=r"mine\.ply exists already"):
        export(scene / "nerf", scene / "views", "ply", out, SHORT)
    assert out.read_text() == "precious"


def test_after_a_failure_nothing_is_left_at_the_target(scene: Path, tmp_path: Path) -> None:
    (tmp_path / "views").mkdir()
    (tmp_path / "views/cameras.json").write_text(json.dumps([{"name": "a"}]))

    with pytest.raises(ArtifactError, match="does not describe cameras"):
        export(scene / "nerf", tmp_path / "views", "frames", tmp_path / "out", SHORT)
    assert not (tmp_path / "out").exists()


def test_splats_are_those_of_the_field(tmp_path: Path) -> None:
    write_tiny_source(tmp_path / "scene", replace(SPLATS, iterations=5))
    (tmp_path / "out").mkdir()
    written = exported(tmp_path / "scene", "splat", tmp_path / "out", ExportOptions(up="z"))
    model = load_field(tmp_path / "scene" / "nerf").model
    assert isinstance(model, SplatField)
    splats = read_splats(written)
    assert len(splats.means) == int(model.in_use.sum())
    np.testing.assert_array_equal(splats.means, model.means[model.in_use].detach().numpy())
    np.testing.assert_array_equal(splats.logits, model.opacities[model.in_use, 0].detach().numpy())


def test_splats_of_nerfacto_show_what_it_shows_in_its_frame(scene: Path, tmp_path: Path) -> None:
    options = replace(SHORT, size=None, up="z", fit_steps=150)
    splats = read_splats(exported(scene, "splat", tmp_path, options))

    names = ("means", "quats", "log_scales", "logits", "harmonics")
    gaussians = Gaussians(*(torch.from_numpy(getattr(splats, name)) for name in names))
    field = load_field(scene / "nerf")
    assert not isinstance(field.model, SplatField)
    for view in field.views:
        wanted = field.render(view.camera).rgb
        shown = rasterize(gaussians, view.camera).rgb.detach().clamp(0, 1).permute(1, 2, 0).numpy()
        assert psnr(shown, wanted) > 16
