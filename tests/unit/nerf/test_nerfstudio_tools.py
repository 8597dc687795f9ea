"""Nerfstudio's own programs open our runs, source and finetuned, as they lie."""

import importlib
import os
from pathlib import Path

import numpy as np
import pytest

from scenestyle.artifacts import read_rgb
from scenestyle.finetune.finetune import finetune
from scenestyle.nerf.field import load_field
from scenestyle.params import FinetuneNerf
from tests.support.tiny_field import write_tiny_source


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tools")
    write_tiny_source(folder)
    out = folder / "finetuned"
    out.mkdir()
    params = FinetuneNerf(
        iterations=4, patch_size=32, patch_scales=(1.0,), min_movement=0.0, max_depth_change=10.0
    )
    folders = (folder / "nerf", folder / "views", {folder / "stylized": 1.0})
    finetune(*folders, out, params, work=folder / "finetune_work")
    return {"source": folder / "nerf", "finetuned": out}


@pytest.fixture(params=["source", "finetuned"])
def run(request: pytest.FixtureRequest, runs, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(runs[request.param])
    return runs[request.param]


def test_ns_render_renders_what_we_render(run: Path, tmp_path: Path):
    from nerfstudio.scripts.render import DatasetRender

    DatasetRender(
        load_config=Path("config.yml"),
        output_path=tmp_path,
        split="test",
        rendered_output_names=["rgb"],
        image_format="png",
    ).main()
    field = load_field(run)
    held_out = [view for view in field.views if view.split == "held_out"]
    rendered = sorted((tmp_path / "test" / "rgb").iterdir())
    assert [path.stem for path in rendered] == [view.name for view in held_out]
    for path, view in zip(rendered, held_out, strict=True):
        np.testing.assert_allclose(read_rgb(path), field.render(view.camera).rgb, atol=1.5 / 255)


def test_ns_export_writes_points(run: Path, tmp_path: Path):
    skip_unless_loadable("open3d", "pymeshlab")
    from nerfstudio.scripts.exporter import ExportPointCloud

    ExportPointCloud(
        load_config=Path("config.yml"),
        output_dir=tmp_path,
        num_points=500,
        remove_outliers=False,
        normal_method="open3d",
        save_world_frame=False,
    ).main()
    header = (tmp_path / "point_cloud.ply").read_bytes()[:400].decode("latin-1")
    assert int(header.split("element vertex ")[1].split()[0]) >= 500


def skip_unless_loadable(*modules: str) -> None:
    """ns-export alone needs libraries that link to the system's; under CI they must be there."""
    for module in modules:
        try:
            importlib.import_module(module)
        except (ImportError, OSError) as error:
            reason = f"{error}; on Debian and Ubuntu, as root: make system"
            if os.environ.get("CI"):
                pytest.fail(f"CI is set, so that ns-export must be tested: {reason}")
            pytest.skip(reason)
