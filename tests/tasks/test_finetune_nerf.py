"""The stage: command line in, a run out."""

from pathlib import Path

import pytest
import yaml

from engine.stage import stage_main
from scenestyle.artifacts import read_json
from scenestyle.nerf.field import load_field
from tasks import finetune_nerf
from tests.support.tiny_field import SOURCE_STEPS, write_tiny_source

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["finetune_nerf"] |= {"iterations": 4, "patch_size": 32, "patch_scales": [1.0]}
    params["finetune_nerf"] |= {"min_movement": 0.0}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    write_tiny_source(folder)
    return folder


@pytest.fixture
def in_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


def arguments(out: str) -> list[str]:
    ids = ["--scene", "demo", "--style", "ukiyoe"]
    return [*ids, "--nerf", "nerf", "--views", "views", "--stylized", "stylized", "--out", out]


def test_writes_a_run_that_opens(in_project: Path) -> None:
    stage_main(finetune_nerf.run, arguments("finetuned"))
    metrics = read_json(in_project / "finetuned" / "metrics.json")
    assert metrics["first_step"] == SOURCE_STEPS
    assert metrics["iterations"] == 4
    assert len(load_field(in_project / "finetuned").views) == 8


def test_a_missing_picture_ends_with_a_sentence_and_no_run(
    in_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = sorted((in_project / "stylized" / "rgb").iterdir())[3]
    content = picture.read_bytes()
    picture.unlink()
    try:
        with pytest.raises(SystemExit) as ended:
            stage_main(finetune_nerf.run, arguments("refused"))
    finally:
        picture.write_bytes(content)
    assert ended.value.code == 1
    assert picture.stem in capsys.readouterr().err
    assert not (in_project / "refused").exists()
