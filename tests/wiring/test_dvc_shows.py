"""DVC's own commands see the figures: two prompts compared, curves drawn."""

import json
import shutil
import subprocess
from typing import Any

import pytest

from tests.support.toy_project import ROOT, Toy

RESULT = "data/results/garden/oil/metrics.json"


@pytest.fixture
def versioned(toy: Toy) -> Toy:
    """The finished toy, committed to git, then restyled with another prompt and committed again."""
    (toy.root / ".dvc/config.local").unlink()
    shutil.copy(ROOT / ".gitignore", toy.root)
    git(toy, "init", "--quiet")
    git(toy, "config", "user.name", "test")
    git(toy, "config", "user.email", "test@example.com")
    commit(toy, "first prompt")
    toy.replace("oil painting of", "big oil painting of")
    toy.repro()
    commit(toy, "second prompt")
    return toy


def git(toy: Toy, *words: str) -> None:
    subprocess.run(["git", *words], cwd=toy.root, check=True)


def commit(toy: Toy, message: str) -> None:
    git(toy, "add", "--all")
    git(toy, "commit", "--quiet", "--message", message)


def answer(toy: Toy, *command: str) -> Any:
    done = toy.run("dvc", *command, "--json")
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout)


def test_the_figures_of_two_prompts_are_compared(versioned: Toy) -> None:
    """Also once the workspace shows neither: what git holds and DVC's cache suffice."""
    new = json.loads((versioned.root / RESULT).read_text())["digest"]
    shutil.rmtree(versioned.root / "data/results")

    found = answer(versioned, "metrics", "diff", "HEAD~1", "HEAD")

    assert found.keys() == {RESULT}
    change = found[RESULT]["digest"]
    assert change["new"] == new
    assert change["diff"] == new - change["old"] != 0


def test_the_curves_of_every_result_are_drawn(versioned: Toy) -> None:
    page = versioned.root / "page"

    done = versioned.run("dvc", "plots", "diff", "HEAD~1", "HEAD", "--out", str(page))

    assert done.returncode == 0, done.stdout
    html = (page / "index.html").read_text()
    for curve, title in (
        ("flicker", "Warp error to the frame before"),
        ("losses", "Style loss of the finetuning"),
    ):
        assert title in html
        assert f"#data_results_garden_oil_{curve}_csv" in html
    assert all(f'"{revision}"' in html for revision in ("HEAD~1", "HEAD"))


def test_the_curves_of_now_are_drawn(toy: Toy) -> None:
    done = toy.run("dvc", "plots", "show", "data/results/garden/ink/flicker.csv")

    assert done.returncode == 0, done.stdout
    html = (toy.root / "dvc_plots/index.html").read_text()
    assert "#data_results_garden_ink_flicker_csv" in html
    assert "losses" not in html


def test_an_experiment_with_a_prompt_runs_what_the_prompt_reaches(versioned: Toy) -> None:
    versioned.runs()
    change = "styles.oil.prompt='a huge oil painting of {caption}'"

    done = versioned.run("dvc", "exp", "run", "-S", change, "evaluate@garden-oil")

    assert done.returncode == 0, done.stdout
    per_edit = ("stylize_views", "finetune_nerf", "evaluate")
    assert versioned.runs() == [f"{stage}@garden-oil" for stage in per_edit]
    shown = versioned.run("dvc", "exp", "show", "--csv")
    assert "a huge oil painting of {caption}" in shown.stdout
