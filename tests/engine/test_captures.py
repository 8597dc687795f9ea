"""Photos are under DVC from the moment a scene is added."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.captures import CaptureError, track
from tests.support.toy_project import ROOT


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    (tmp_path / "data/scenes/fern").mkdir(parents=True)
    (tmp_path / "data/scenes/fern/0.jpg").write_bytes(b"a photo")
    return tmp_path


def dvc(root: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=root, check=True)


def test_lost_photos_come_back(project: Path) -> None:
    assert track(project, ["fern"]) == ["data/scenes/fern.dvc"]
    shutil.rmtree(project / "data/scenes/fern")
    dvc(project, "checkout", "-q", "data/scenes/fern.dvc")
    assert (project / "data/scenes/fern/0.jpg").read_bytes() == b"a photo"


def test_in_a_git_clone_dvc_finds_the_captures(project: Path) -> None:
    """Else `dvc push` and `dvc pull` silently leave the photos out."""
    from dvc.repo import Repo

    shutil.copy(ROOT / ".gitignore", project)
    (project / ".dvc/config").write_text("[core]\n    analytics = false\n")
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    track(project, ["fern"])
    found = [Path(str(stage.path)).name for stage in Repo(str(project)).index.stages]
    assert found == ["fern.dvc"]
    kept = subprocess.check_output(
        ["git", "ls-files", "--others", "--exclude-standard", "data"], cwd=project, text=True
    )
    assert kept.split() == ["data/scenes/fern.dvc"], "and no photo"


def test_without_a_project_of_dvc_it_says_so(project: Path) -> None:
    shutil.rmtree(project / ".dvc")
    with pytest.raises(CaptureError, match="is no DVC project: dvc init"):
        track(project, ["fern"])


def test_what_dvc_refuses_is_handed_on_in_its_words(project: Path) -> None:
    (project / ".dvc/config").write_text("")  # wants git now, and there is none
    with pytest.raises(CaptureError, match=r"dvc add: .*git repository"):
        track(project, ["fern"])
