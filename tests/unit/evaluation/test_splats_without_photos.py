"""A scene that came as splats has no photos, and its result says so instead of measuring them."""

from dataclasses import replace
from pathlib import Path

from scenestyle.evaluation.measure import judge, orbit_links, source_psnr
from scenestyle.evaluation.pictures import capture, sheet
from scenestyle.evaluation.renders import Inputs, render
from scenestyle.params import Evaluate
from tests.support.splat_scene import write_tiny_splat_scene

PARAMS = Evaluate(num_frames=8, max_image_side=48, pretrained="off")


def test_photo_figures_are_left_out_and_said_so(tmp_path: Path) -> None:
    write_tiny_splat_scene(tmp_path)
    folders = [tmp_path / name for name in ("poses", "nerf", "views", "stylized", "nerf")]
    inputs = Inputs(*folders)
    orbit, steps = render(inputs, PARAMS, tmp_path / "work")
    links = orbit_links(orbit, tau=PARAMS.warp_tau)

    measured, not_computed = judge(orbit, links, steps, ("toys", "ink"), PARAMS)

    assert {step.photo is None for step in steps} == {True}
    assert not [
        name for name in measured if name in ("heldout_ssim_source", "heldout_lpips_source")
    ]
    assert "came as splats" in not_computed["PSNR, SSIM and LPIPS of the source field"]
    assert source_psnr(inputs.nerf, steps) == {}
    assert {"heldout_swd", "views_warp", "depth_abs_rel"} <= measured.keys()
    assert "came as 1,600 splats with 8 cameras" in capture(inputs).summary
    with_photo = replace(steps[0], photo=steps[0].before)
    assert sheet(steps[:1]).shape[1] < sheet([with_photo]).shape[1]
