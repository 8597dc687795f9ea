from pathlib import Path

import pytest

from cli.main import main

PARAMS = """\
scenes:
  fern: {caption: a fern, estimate_poses: {}, train_nerf: {}, render_views: {}}
styles:
  oil: {prompt: "oil painting of {caption}"}
edits:
  fern-oil: {scene: fern, style: oil, stylize_views: {}, finetune_nerf: {}, evaluate: {}}
estimate_poses: {}
train_nerf: {}
render_views: {}
stylize_views: {}
finetune_nerf: {}
evaluate: {}
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(PARAMS)


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(["export", *arguments])
    assert end.value.code == 1
    return capsys.readouterr().err


def test_what_is_not_made_yet_is_named_with_the_command_that_makes_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("data/views/fern").mkdir(parents=True)

    said = error_of(capsys, "fern", "oil", "--format", "ply")

    assert "data/finetuned/fern/oil: not made yet. Run: dvc repro finetune_nerf@fern-oil" in said


def test_an_unknown_style_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'oil'" in error_of(capsys, "fern", "oils", "--format", "ply")


def test_sizes_must_be_above_zero_and_all_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    said = error_of(capsys, "fern", "oil", "--format", "video", "--fps", "0", "--seconds", "-1")

    assert "--seconds: must be above 0, got -1; --fps: must be above 0, got 0" in said


def test_a_size_of_zero_is_not_one_that_is_not_given(capsys: pytest.CaptureFixture[str]) -> None:
    said = error_of(capsys, "fern", "oil", "--format", "video", "--size", "0")

    assert "--size: must be above 0, got 0" in said


def test_a_file_of_another_format_or_one_that_exists_is_refused_before_any_work(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    taken = tmp_path / "there.ply"
    taken.touch()

    assert "exists already" in error_of(
        capsys, "fern", "oil", "--format", "ply", "--out", str(taken)
    )
    said = error_of(capsys, "fern", "oil", "--format", "video", "--out", str(tmp_path / "x.ply"))
    assert "video is written to a file that ends in .mp4" in said


def test_what_does_not_go_with_a_camera_path_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    said = error_of(
        capsys, "fern", "oil", "--format", "mesh", "--camera-path", "a.json", "--seconds", "3"
    )

    assert "--camera-path is for video and frames, got --format mesh" in said
    assert "says the length itself, without --seconds and --path" in said
    said = error_of(capsys, "fern", "oil", "--format", "video", "--camera-path-run", "run")
    assert "--camera-path-run is for --camera-path, which is missing" in said
