import errno
import shutil
from pathlib import Path

import numpy as np
import pytest

from scenestyle.artifacts import write_json, write_rgb
from scenestyle.params import Params, load_params
from tasks import overview

PARAMS = """\
scenes:
  fern: {caption: a fern, estimate_poses: {}, train_nerf: {}, render_views: {}}
styles:
  oil: {prompt: "oil painting of {caption}"}
  ink: {prompt: "ink drawing of {caption}"}
edits:
  fern-oil: {scene: fern, style: oil, stylize_views: {}, finetune_nerf: {}, evaluate: {}}
  fern-ink: {scene: fern, style: ink, stylize_views: {}, finetune_nerf: {}, evaluate: {}}
estimate_poses: {}
train_nerf: {}
render_views: {}
stylize_views: {}
finetune_nerf: {}
evaluate: {}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(PARAMS)
    result = Path("data/results/fern/oil")
    result.mkdir(parents=True)
    (result / "report.html").write_text("the report")
    write_json(result / "metrics.json", {"movement_rmse": 0.25, "seconds": 9.0})
    for when in ("before", "after"):
        write_rgb(result / f"stills/a_{when}.png", np.full((6, 8, 3), 0.5, np.float32))
    return tmp_path


@pytest.fixture
def params(project: Path) -> Params:
    return load_params(project / "params.yaml")


def test_every_edit_asked_for_has_its_row(params: Params) -> None:
    out = Path("data/overview")

    counts = overview.run(Path("data/results"), out, params)

    page = (out / "index.html").read_text()
    assert counts == {"results": 1, "missing": 1}
    for text in ("fern · oil", "oil painting of a fern", "0.250", "fern · ink", "not made yet"):
        assert text in page
    assert 'href="../results/fern/oil/report.html"' in page
    assert (out / "../results/fern/oil/report.html").is_file()


def test_the_page_is_replaced_as_a_whole_and_stays_the_same(params: Params) -> None:
    out = Path("data/overview")
    overview.run(Path("data/results"), out, params)
    before = (out / "index.html").read_bytes()
    (out / "left over").write_text("from elsewhere")

    overview.run(Path("data/results"), out, params)

    assert [path.name for path in out.iterdir()] == ["index.html"]
    assert (out / "index.html").read_bytes() == before


@pytest.mark.usefixtures("project")
def test_a_damaged_result_is_one_sentence_and_leaves_the_page_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--results", "data/results", "--out", "data/overview"]
    assert overview.main(arguments) == 0
    before = Path("data/overview/index.html").read_bytes()
    Path("data/results/fern/oil/metrics.json").write_text("{")

    assert overview.main(arguments) == 1

    assert "metrics.json is not valid JSON" in capsys.readouterr().err
    assert Path("data/overview/index.html").read_bytes() == before


@pytest.mark.usefixtures("project")
def test_it_ends_in_words_also_on_a_full_disk(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--results", "data/results", "--out", "data/overview"]
    caplog.set_level("INFO")
    assert overview.main(arguments) == 0
    assert caplog.messages[-1] == "results 1, missing 1, open data/overview/index.html"

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full", "data/overview")

    monkeypatch.setattr(overview, "run", full)
    assert overview.main(arguments) == 1
    assert capsys.readouterr().err.startswith("error: the disk is full (data/overview)")


@pytest.mark.usefixtures("project")
def test_a_result_that_was_removed_is_missing(params: Params) -> None:
    shutil.rmtree("data/results")

    assert overview.run(Path("data/results"), Path("data/overview"), params)["missing"] == 2
