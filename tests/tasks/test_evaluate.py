import csv
import json
import math
import re
import shutil
from dataclasses import asdict, replace
from html import unescape
from pathlib import Path

import av
import numpy as np
import pytest

from scenestyle.artifacts import read_views, write_json, write_views
from scenestyle.errors import ArtifactError, WeightsError
from scenestyle.evaluation import controls, renders
from scenestyle.evaluation import measure as figures_of
from scenestyle.metrics.image import rmse
from scenestyle.nerf.checkpoints import load_checkpoint, run_checkpoint
from scenestyle.params import Evaluate, FinetuneNerf, Style, TrainNerf
from tasks import evaluate
from tests.support.tiny_diffusion import tiny_pipeline
from tests.support.tiny_field import PARAMS as NERFACTO
from tests.support.tiny_field import SPLATS, write_tiny_source
from training.procedural.demo_scene import demo_cameras, demo_scene
from training.procedural.raycast import render

STYLE = Style(prompt="a negative of {caption}")
CAPTION = "toys & tiles"
PARAMS = Evaluate(
    num_frames=9,
    max_image_side=48,
    num_stills=3,
    pretrained="off",
    warp_tau=0.5,  # a field of sixty steps does not agree with itself any better
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_inputs(tmp_path_factory.mktemp("scene"), NERFACTO)


def write_inputs(root: Path, field: TrainNerf) -> dict[str, Path]:
    """What all earlier stages would have left for a tiny scene, its fields really trained."""
    from scenestyle.finetune.finetune import finetune

    write_tiny_source(root, field)
    folders = {name: root / name for name in ("poses", "nerf", "views", "stylized")}
    write_json(
        root / "poses" / "report.json",
        {
            "photos": 13,
            "registered": 12,
            "points": 0,
            "mean_reprojection_error_px": None,
            "triangulation_angle_degrees": None,
            "seen_from_above": {
                "cameras": [{"photo": "photo_00.jpg", "at": [0.0, 0.0], "looks": [0.0, 1.0]}],
                "points": [],
                "lost": [],
            },
            "lost_photos": [{"photo": "dark.jpg", "advice": "take it again"}],
            "seconds": 1.5,
            "versions": {"pycolmap": "4"},
        },
    )
    write_json(root / "views" / "report.json", {"seconds": 0.5, "versions": {"torch": "2"}})
    write_json(
        root / "stylized" / "manifest.json",
        {
            "seconds": 2.5,
            "model": "by hand",
            "sources": {"base": "numpy"},
            "settings": {
                "prompt": "a negative of toys & tiles",
                "strength": 1.0,
                "align_attention": False,
                "references": ["photo_00", "photo_12"],
            },
            "versions": {"numpy": np.__version__},
        },
    )
    finetuned = root / "finetuned" / "demo" / "negative"
    finetuned.mkdir(parents=True)
    finetune(
        folders["nerf"],
        folders["views"],
        {folders["stylized"]: 1.0},
        finetuned,
        FinetuneNerf(iterations=40, patch_size=32, patch_scales=(1.0,), min_movement=0.0),
        work=root / "work_finetune",
    )
    return {**folders, "finetuned": finetuned}


def judge(
    inputs: dict[str, Path], out: Path, work: Path, params: Evaluate = PARAMS
) -> dict[str, object]:
    out.mkdir()
    evaluate.run(**inputs, out=out, params=params, caption=CAPTION, style=STYLE, work=work)
    return json.loads((out / "metrics.json").read_text())


@pytest.fixture(scope="module")
def judged(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result and, beside it, the work folder of its run."""
    out = tmp_path_factory.mktemp("result") / "out"
    judge(inputs, out, out.parent / "work")
    return out


def test_figures_of_an_exactly_known_edit() -> None:
    """A negative image, ten per cent further away: colours stay as consistent as they were."""
    from scenestyle.nerf.field import Rendering

    cameras = [camera.resized(80, 60) for camera in list(demo_cameras().values())[:9]]
    buffers = [render(demo_scene(), camera) for camera in cameras]
    before = [Rendering(b.rgb, b.depth_z, b.hit.astype(np.float32)) for b in buffers]
    after = [Rendering(1 - f.rgb, f.depth_z * np.float32(1.1), f.opacity) for f in before]

    orbit = renders.Orbit(cameras, before, after)
    measured = figures_of.orbit_figures(orbit, figures_of.orbit_links(orbit, tau=0.02))
    figures, intervals = figures_of.summary(measured, seed=0)

    for name in ("warp_short", "movement_rmse"):
        low, high = intervals[name]
        assert low < figures[name] < high
    assert figures["depth_abs_rel"] == pytest.approx(0.1, rel=1e-5)
    assert figures["depth_delta_125"] == 1
    moved = [rmse([b.rgb], [a.rgb]) for b, a in zip(before, after, strict=True)]
    assert figures["movement_rmse"] == pytest.approx(np.mean(moved))
    assert intervals["depth_delta_125"] == (1, 1)
    for reach in ("short", "long"):
        assert figures[f"warp_{reach}"] == pytest.approx(figures[f"warp_{reach}_source"], rel=1e-4)
    assert figures["warp_short_visible_share"] > figures["warp_long_visible_share"] > 0.1


def test_frames_without_a_surface_have_no_depth_to_change() -> None:
    from scenestyle.nerf.field import Rendering

    rgb, depth_z = np.zeros((4, 6, 3), np.float32), np.full((4, 6), 2, np.float32)
    empty, full = (Rendering(rgb, depth_z, np.full((4, 6), x, np.float32)) for x in (0, 1))
    moved = Rendering(rgb, depth_z * np.float32(1.5), full.opacity)

    figures = figures_of.depth_figures(renders.Orbit([], [empty, full], [moved, moved]))

    assert figures["depth_abs_rel"] == pytest.approx([0.5])
    with pytest.raises(ArtifactError, match="empty"):
        figures_of.depth_figures(renders.Orbit([], [empty], [moved]))


def test_the_result_is_complete(judged: Path) -> None:
    figures = json.loads((judged / "metrics.json").read_text())

    assert {path.name for path in judged.iterdir()} == {
        "metrics.json",
        "report.html",
        "orbit.mp4",
        "stills",
        "flicker.csv",
        "losses.csv",
    }
    assert all(isinstance(value, float) and math.isfinite(value) for value in figures.values())


def test_the_curves_for_dvc_are_those_of_the_figures(judged: Path) -> None:
    figures = json.loads((judged / "metrics.json").read_text())
    with (judged / "flicker.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert [int(row["frame"]) for row in rows] == list(range(1, PARAMS.num_frames))
    for column, key in (("before", "warp_short_source"), ("after", "warp_short")):
        mean = np.mean([float(row[column]) for row in rows])
        assert mean == pytest.approx(figures[key], rel=1e-4)
    header, *steps = (judged / "losses.csv").read_text().splitlines()
    assert header.split(",")[:2] == ["step", "style"]
    assert len(steps) == 40


def test_the_figures_know_an_edit_when_they_see_one(judged: Path) -> None:
    figures = json.loads((judged / "metrics.json").read_text())

    assert figures["movement_rmse"] > 0.02
    assert figures["heldout_swd"] < 0.9 * figures["heldout_swd_source"]


def test_the_video_shows_every_frame_before_beside_after(judged: Path) -> None:
    with av.open(str(judged / "orbit.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]

    assert [frame.shape for frame in frames] == [(36, 96, 3)] * PARAMS.num_frames
    below_label = slice(18, None)
    for side, name in enumerate(("before", "after")):
        with np.load(judged.parent / "work" / name / "00004.npz") as frame:
            shown = frames[4][below_label, 48 * side : 48 * side + 48] / 255
            assert np.abs(shown - frame["rgb"][below_label]).mean() < 0.05


def test_stills_and_report_show_the_held_out_views_first(judged: Path) -> None:
    stills = {path.name for path in (judged / "stills").iterdir()}
    html = (judged / "report.html").read_text()

    assert stills == {
        f"photo_{view}_{when}.png" for view in ("00", "12", "16") for when in ("before", "after")
    }
    for text in (
        "12 of 13 photos have a place in the scene",
        "dark.jpg",
        "a negative of toys &amp; tiles",
        "photo_16 (held out)",
        "dvc repro evaluate@demo-negative",
        "ns-viewer --load-config config.yml",
        "<td>photo_00, photo_12</td>",
        "<td>no</td>",
        "scenestyle export demo negative --format ply",
        "stylize_views",
        "pycolmap",
    ):
        assert text in html


def test_a_field_that_was_not_edited_scores_as_its_own_yardstick(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    figures = judge({**inputs, "finetuned": inputs["nerf"]}, tmp_path / "out", tmp_path / "work")

    assert figures["movement_rmse"] == 0
    assert (figures["depth_abs_rel"], figures["depth_delta_125"]) == (0, 1)
    assert figures["warp_short"] == figures["warp_short_source"]
    assert figures["warp_long"] == figures["warp_long_source"]
    assert figures["heldout_swd"] == pytest.approx(figures["heldout_swd_source"], rel=0.05)


def test_a_killed_run_goes_on_from_its_frames_to_the_same_bytes(
    inputs: dict[str, Path], judged: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    shutil.copytree(judged.parent / "work", work)
    for frame in list((work / "after").iterdir())[::2]:
        frame.unlink()
    # Every frame before the edit is there, so its field, gone here, must not be asked for.
    source = tmp_path / "nerf"
    shutil.copytree(inputs["nerf"], source, ignore=shutil.ignore_patterns("*.ckpt"))

    judge({**inputs, "nerf": source}, tmp_path / "out", work)

    for name in ("report.html", "orbit.mp4", "stills/photo_00_after.png"):
        assert (tmp_path / "out" / name).read_bytes() == (judged / name).read_bytes()


def test_a_missing_stylized_view_is_named_before_anything_is_rendered(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    stylized = tmp_path / "stylized"
    shutil.copytree(inputs["stylized"], stylized)
    (stylized / "rgb" / "photo_08.png").unlink()

    with pytest.raises(ArtifactError, match=r"photo_08.*Rerun stylize_views"):
        judge({**inputs, "stylized": stylized}, tmp_path / "out", tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_without_a_held_out_view_nothing_is_measured(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    views = tmp_path / "views"
    shutil.copytree(inputs["views"], views)
    write_views(views, [replace(view, split="train") for view in read_views(views)])

    with pytest.raises(ArtifactError, match="held out"):
        judge({**inputs, "views": views}, tmp_path / "out", tmp_path / "work")


def test_controls_on_request_stand_in_the_figures_and_in_the_report(
    inputs: dict[str, Path], judged: Path, tmp_path: Path
) -> None:
    from scenestyle.diffusion.stylize import Settings

    model, stylized = tmp_path / "model", tmp_path / "stylized"
    tiny_pipeline().save_pretrained(model)
    shutil.copytree(inputs["stylized"], stylized)
    settings = Settings("a negative", "", 0.5, 2.0, 4, 1.0, image_side=64, seed=0)
    manifest = json.loads((stylized / "manifest.json").read_text())
    made_by = {
        "model": str(model),
        "params": {"model": str(model)},
        "sources": {"base": str(model)},
        "settings": asdict(settings),
    }
    write_json(stylized / "manifest.json", manifest | made_by)
    shutil.copytree(judged.parent / "work", tmp_path / "work")

    figures = judge(
        {**inputs, "stylized": stylized},
        tmp_path / "out",
        tmp_path / "work",
        replace(PARAMS, unshared_control=True, refit_iterations=5),
    )

    usual = set(json.loads((judged / "metrics.json").read_text()))
    own = {
        name for name in usual if not name.endswith(("_source", "_stylized", "_share", "seconds"))
    }
    assert len(own) == 11
    assert figures.keys() - usual == {
        "views_warp_unshared",
        "refit_psnr",
        "refit_psnr_source",
        "refit_psnr_unshared",
        *(f"{name}_alone" for name in own),
    }
    # Its views are those of a model that knows nothing, and its field learnt from them.
    assert figures["heldout_swd_alone"] != figures["heldout_swd"]
    assert figures["warp_short_alone"] != figures["warp_short"]
    html = (tmp_path / "out" / "report.html").read_text()
    assert f"views restyled without sharing: {figures['views_warp_unshared']:.4f}" in html
    assert f"views restyled without sharing: {figures['refit_psnr_unshared']:.1f} dB" in html
    assert f"source renders: {figures['refit_psnr_source']:.1f} dB" in html
    assert f"an edit without sharing: {figures['warp_long_alone']:.4f}" in html
    field = tmp_path / "work" / "unshared_field" / "run"
    recorded, result = (
        load_checkpoint(run_checkpoint(run))["finetune_nerf"]
        for run in (field, inputs["finetuned"])
    )
    gates = {"min_movement": 0.0, "max_depth_change": math.inf}
    assert recorded == {**result, **gates}


def test_an_edit_without_sharing_is_not_made_twice(inputs: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(inputs["stylized"], tmp_path / "pictures")
    gathered = renders.Inputs(**inputs)

    run = controls.finetune_alone(gathered, tmp_path / "pictures", tmp_path / "work")
    (run / "nerfstudio_models").rename(tmp_path / "away")

    assert controls.finetune_alone(gathered, tmp_path / "pictures", tmp_path / "work") == run
    assert not (run / "nerfstudio_models").exists()


@pytest.mark.parametrize(
    ("count", "picked"),
    [(0, ""), (-2, ""), (1, "c"), (2, "bd"), (3, "ace"), (5, "abcde"), (9, "abcde")],
)
def test_items_are_spread_evenly(count: int, picked: str) -> None:
    assert "".join(renders.spread("abcde", count)) == picked


def test_figures_whose_weights_are_missing_are_reported_and_not_made_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(**_: object) -> None:
        raise WeightsError("There is no such file.")

    monkeypatch.setattr("scenestyle.metrics.lpips.load_lpips", missing)
    monkeypatch.setattr("scenestyle.clip.clip_weights", missing)
    orbit = renders.Orbit([], [], [])

    measured, why = figures_of.pretrained_figures(orbit, [], ("toys", "oil painting"), "cached")

    assert measured == {}
    assert set(why.values()) == {"There is no such file."}
    assert [name.split()[0] for name in why] == ["LPIPS", "CLIP"]


def test_of_an_instruction_no_figure_says_how_far_the_images_went_its_way() -> None:
    """It is no caption of the edited scene; what looks at images alone is asked for as before."""
    orbit = renders.Orbit([], [], [])

    measured, why = figures_of.pretrained_figures(orbit, [], None, "off")

    assert measured == {}
    assert "is an instruction" in why["CLIP text-image directional similarity"]
    assert "Turned off" in why["CLIP direction consistency (edit, motion)"]


@pytest.mark.usefixtures("judged")
def test_the_report_says_what_was_not_computed(judged: Path) -> None:
    html = (judged / "report.html").read_text()

    assert "Not computed" in html
    assert html.count("Turned off (evaluate.pretrained: off).") == 2
    assert "NeRF (nerfacto)" in html
    assert "gaussians" not in (judged / "metrics.json").read_text()
    assert "clip" not in (judged / "metrics.json").read_text()


def test_splats_are_judged_and_shown_by_the_same_code(tmp_path: Path) -> None:
    inputs = write_inputs(tmp_path / "scene", SPLATS)
    params = replace(PARAMS, refit_iterations=10)
    judge(inputs, tmp_path / "out", tmp_path / "work", params)
    figures = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert all(math.isfinite(value) for value in figures.values())
    assert figures["movement_rmse"] > 0.02
    assert figures["heldout_swd"] < figures["heldout_swd_source"]
    assert figures["refit_psnr"] > 5
    trained = json.loads((inputs["nerf"] / "metrics.json").read_text())
    assert figures["gaussians"] == trained["gaussians"]
    html = (tmp_path / "out" / "report.html").read_text()
    assert f"{trained['gaussians']:,} Gaussian splats" in html
    assert html.count("export demo negative --format splat") == 1
    shown = gaussians_in(tmp_path / "out" / "report.html")
    assert {name: kind for name, kind, _ in shown} == {"before": "splats", "after": "splats"}
    counts = [json.loads(layout)["count"] for _, _, layout in shown]
    assert all(0.3 * SPLATS.num_gaussians < count <= SPLATS.num_gaussians for count in counts)
    # They lie beside the frames, so that a run that goes on from these need not open the field.
    (inputs["nerf"] / "nerfstudio_models").rename(tmp_path / "away")
    judge(inputs, tmp_path / "again", tmp_path / "work")
    assert gaussians_in(tmp_path / "again" / "report.html") == shown


def gaussians_in(report: Path) -> list[tuple[str, str, str]]:
    """Name, kind and layout of what the 3D view of a report shows."""
    scripts = re.findall(
        r'<script type="application/x-(\w+)" data-name="(\w+)" data-layout="(.*?)">',
        report.read_text(),
    )
    return [(name, kind, unescape(layout)) for kind, name, layout in scripts]
