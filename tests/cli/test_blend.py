import shutil
from pathlib import Path

import pytest

from cli.blend import parsed_shares
from cli.main import main
from scenestyle.artifacts import read_json
from scenestyle.errors import ParamsError
from tests.support.tiny_field import write_tiny_source

PARAMS = """\
scenes:
  fern: {caption: a fern, estimate_poses: {}, train_nerf: {}, render_views: {}}
styles:
  oil: {prompt: "oil painting of {caption}"}
  ink: {prompt: "ink drawing of {caption}"}
edits:
  fern-oil: {scene: fern, style: oil, stylize_views: {}, finetune_nerf: {}, evaluate: {}}
  fern-ink: {scene: fern, style: ink, stylize_views: {}, finetune_nerf: {iterations: 3}, evaluate: {}}
estimate_poses: {}
train_nerf: {}
render_views: {}
stylize_views: {}
finetune_nerf: {iterations: 2, patch_size: 32, patch_scales: [1.0], min_movement: 0.0}
evaluate: {}
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(PARAMS)


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(["blend", *arguments])
    assert end.value.code == 1
    return capsys.readouterr().err


def test_shares_are_styles_with_weights() -> None:
    assert parsed_shares(("oil=0.75", "ink=.25")) == {"oil": 0.75, "ink": 0.25}


@pytest.mark.parametrize(
    "shares", [(), ("oil",), ("oil=",), ("oil=-1",), ("oil=1", "oil=2"), ("=1",)]
)
def test_shares_of_another_form_are_refused_with_an_example(shares: tuple[str, ...]) -> None:
    with pytest.raises(ParamsError, match="Example: scenestyle blend"):
        parsed_shares(shares)


def test_what_is_not_made_yet_is_named_with_the_command_that_makes_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("data/nerf/fern").mkdir(parents=True)
    Path("data/stylized/fern/oil").mkdir(parents=True)

    said = error_of(capsys, "fern", "oil=1", "ink=1")

    assert "Run: dvc repro render_views@fern stylize_views@fern-ink" in said


def test_a_name_that_could_not_be_a_folder_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "../x" in error_of(capsys, "fern", "oil=1", "--name", "../x")


def test_a_style_that_the_scene_is_not_asked_for_in_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "'oyl'" in error_of(capsys, "fern", "oyl=1")


def test_a_blend_is_a_run_made_of_the_cached_views(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_source(tmp_path / "tiny")
    for source, target in (
        ("nerf", "nerf/fern"),
        ("views", "views/fern"),
        ("stylized", "stylized/fern/oil"),
        ("stylized", "stylized/fern/ink"),
    ):
        shutil.copytree(tmp_path / "tiny" / source, Path("data") / target)

    main(["blend", "fern", "oil=0.25", "ink=0.75"])

    run = Path("outputs/blends/fern/oil_0p25_ink_0p75")
    assert read_json(run / "metrics.json")["iterations"] == 3  # of the style that weighs most
    assert str(run) in capsys.readouterr().out
    assert [path.name for path in run.parent.iterdir()] == [run.name]
    assert "is there already" in error_of(capsys, "fern", "oil=0.25", "ink=0.75")
