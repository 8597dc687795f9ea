"""dvc.yaml, params.yaml, the stage programs and the flow say the same."""

import inspect
import itertools
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from functools import cache
from importlib import import_module
from pathlib import Path

import grimp
import pytest
import yaml

from engine import Pipeline, code_deps
from engine.stage import parse
from scenestyle.errors import InputError
from scenestyle.params import EDIT_STAGES, SCENE_STAGES, Params, load_params
from tests.support.toy_project import Toy, written_by

ROOT = Path(__file__).parents[2]

READS = {
    "estimate_poses": set(),
    "train_nerf": {"estimate_poses"},
    "render_views": {"estimate_poses", "train_nerf"},
    "stylize_views": {"render_views"},
    "finetune_nerf": {"train_nerf", "render_views", "stylize_views"},
    "evaluate": {
        "estimate_poses",
        "train_nerf",
        "render_views",
        "stylize_views",
        "finetune_nerf",
    },
}
"""The design: stage -> the stages whose results it reads, in the order of the method."""

STAGES = list(READS)
GRAPH = {
    name: {"foreach": stage["foreach"], **stage["do"]} if "do" in stage else stage
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items()
}
OVERVIEW = GRAPH.pop("overview")
"""The one stage that is neither of a scene nor of an edit."""


def signature(stage: str) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(import_module(f"tasks.{stage}").run).parameters)


def code_rows(stage: str) -> list[str]:
    return [
        dep
        for dep in (GRAPH | {"overview": OVERVIEW})[stage]["deps"]
        if not dep.startswith("data/")
    ]


def data_deps(stage: str) -> list[str]:
    return [dep for dep in GRAPH[stage]["deps"] if dep.startswith("data/")]


def options(stage: str) -> dict[str, str]:
    words = shlex.split(GRAPH[stage]["cmd"])
    return dict(zip(words[4::2], words[5::2], strict=True))


def test_all_speak_of_the_same_stages_in_the_same_order() -> None:
    blocks = [f.name for f in fields(Params) if f.name not in ("scenes", "styles", "edits")]
    assert list(GRAPH) == STAGES
    assert blocks == STAGES
    assert [
        name for name in yaml.safe_load((ROOT / "params.yaml").read_text()) if name in STAGES
    ] == STAGES
    programs = {path.stem for path in (ROOT / "tasks").glob("[a-z]*.py")}
    assert programs == {*STAGES, "overview"}


def test_scenes_come_first_then_edits() -> None:
    kinds = [kind for kind, _ in itertools.groupby(stage["foreach"] for stage in GRAPH.values())]
    assert kinds == ["${scenes}", "${edits}"]
    assert [*SCENE_STAGES, *EDIT_STAGES] == STAGES
    assert [s for s in STAGES if GRAPH[s]["foreach"] == "${scenes}"] == [*SCENE_STAGES]


def test_the_graph_is_the_one_of_the_design() -> None:
    params, needs = load_params(ROOT / "params.yaml"), Pipeline(ROOT).needs()
    per_scene = {f"{stage}@{scene}" for stage in STAGES[:3] for scene in params.scenes}
    per_edit = {f"{stage}@{edit}" for stage in STAGES[3:] for edit in params.edits}
    assert needs.pop("overview") == {name for name in per_edit if name.startswith("evaluate@")}
    assert set(needs) == per_scene | per_edit
    for name, needed in needs.items():
        stage, instance = name.split("@")
        scene = instance.split("-")[0]
        assert {up.split("@")[0] for up in needed} == READS[stage], name
        assert {up.split("@")[1] for up in needed} <= {scene, instance}, name


def test_the_flow_runs_the_stages_in_the_order_of_the_method() -> None:
    source = inspect.getsource(import_module("flows.stylize_scene").stylize_scene.fn)
    assert re.findall(r"stages\.submit\((\w+), (\w+)\)", source) == [
        (stage, "scene" if stage in STAGES[:3] else "edit") for stage in STAGES
    ]


@pytest.mark.parametrize("stage", STAGES)
def test_a_command_is_the_signature_of_run(stage: str, tmp_path: Path) -> None:
    given = signature(stage)
    inputs = given.keys() - {"params", "out", "work", "caption", "style"}
    names = {"--scene"} if stage in SCENE_STAGES else {"--scene", "--style"}
    assert options(stage).keys() == {f"--{name}" for name in [*inputs, "out"]} | names
    assert shlex.split(GRAPH[stage]["cmd"])[:4] == ["exec", "python", "-m", f"tasks.{stage}"]
    for name in inputs:
        (tmp_path / name).mkdir()
    argv = [
        word for key in options(stage) for word in (key, str(tmp_path / key.removeprefix("--")))
    ]
    assert parse(import_module(f"tasks.{stage}").run, argv).stage == stage


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_tracks_the_parameters_it_is_given(stage: str) -> None:
    given = signature(stage)
    own = "scenes" if stage in SCENE_STAGES else "edits"
    wanted = {stage, f"{own}.${{key}}.{stage}"}
    wanted |= {"scenes.${item.scene}.caption"} if "caption" in given else set()
    wanted |= {"styles.${item.style}"} if "style" in given else set()
    assert set(GRAPH[stage]["params"]) == wanted


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_folders_it_reads_and_writes_where_it_says(stage: str) -> None:
    folders = {key: path for key, path in options(stage).items() if path.startswith("data/")}
    out = folders.pop("--out")
    for dep in data_deps(stage):
        assert any(is_in(dep, folder) for folder in folders.values()), dep
    for folder in folders.values():
        assert any(is_in(dep, folder) for dep in data_deps(stage)), folder
    assert all(is_in(written, out) for written in written_by(GRAPH[stage]))


def is_in(path: str, folder: str) -> bool:
    return Path(path).is_relative_to(folder)


def test_every_stage_depends_on_exactly_the_code_it_imports(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    differ = code_deps.main([])
    assert not differ, f"run: python -m engine.code_deps --write\n{capsys.readouterr().out}"


def test_rows_that_are_off_are_found_and_corrected() -> None:
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    wanted = code_deps.code_rows(text)
    off = text.replace("        - scenestyle/diffusion\n", "        - scenestyle/clip\n", 1)
    assert off != text
    assert code_deps.code_rows(off) != wanted
    assert code_deps.corrected(off, wanted) == text


@pytest.mark.parametrize("stage", [*STAGES, "overview"])
def test_the_rows_stand_for_the_imported_files_and_no_others(stage: str) -> None:
    listed = {
        path.relative_to(ROOT).as_posix()
        for row in code_rows(stage)
        for path in ([ROOT / row] if (ROOT / row).is_file() else (ROOT / row).rglob("*"))
        if path.suffix == ".py" and path.name != "__init__.py"
    }
    imported = code_deps.imported_files(imports(), stage, ROOT)
    assert listed == {file for file in imported if not file.endswith("__init__.py")}
    assert "scenestyle/artifacts.py" in listed


@cache
def imports() -> grimp.ImportGraph:
    return code_deps.import_graph()


def test_without_the_developers_tools_it_says_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "grimp", None)
    with pytest.raises(InputError, match=r"grimp is not installed\. Run: make setup"):
        code_deps.import_graph()


def test_the_weights_that_come_with_the_library_are_a_dependency() -> None:
    assert "scenestyle/embedded/weights/SHA256SUMS" in code_rows("stylize_views")
    assert all((ROOT / dep).exists() for stage in STAGES for dep in code_rows(stage))


def test_no_stage_depends_on_the_engine() -> None:
    assert not [
        dep
        for stage in STAGES
        for dep in code_rows(stage)
        if dep.startswith(("engine", "cli", "flows"))
    ]


def test_every_result_can_be_restored() -> None:
    """`persist` turns the run-cache off; `cache: false` keeps a result out of remotes."""
    assert "persist" not in (ROOT / "dvc.yaml").read_text()
    assert "cache: false" not in (ROOT / "dvc.yaml").read_text()


def test_git_ignores_results_and_keeps_the_demo_scene() -> None:
    paths = [*(written.replace("${key}", "s") for s in STAGES for written in written_by(GRAPH[s]))]
    paths = [re.sub(r"\$\{item\.(\w+)\}", r"\1", path) for path in paths]
    ignored = subprocess.run(
        ["git", "check-ignore", *paths, "data/scenes/mine/1.jpg", "data/scenes/demo/1.jpg"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ignored.stdout.split() == [*paths, "data/scenes/mine/1.jpg"]


def changed(toy: Toy) -> set[str]:
    return {name.removesuffix("@garden") for name in toy.stale()}


@pytest.mark.parametrize(
    ("old", "new", "stale"),
    [
        (
            "oil painting of",
            "big oil painting of",
            {"stylize_views@garden-oil", "evaluate@garden-oil"},
        ),
        ("pen drawing", "red pen drawing", set()),
        (
            "a garden",
            "a big garden",
            {f"{s}@garden-{t}" for s in ("stylize_views", "evaluate") for t in ("oil", "ink")},
        ),
        ("max_image_side: 64", "max_image_side: 65", {"render_views"}),
        ("train_nerf: {seed: 0}", "train_nerf: {seed: 1}", {"train_nerf"}),
        ("train_nerf: {}, ", "train_nerf: {seed: 1}, ", {"train_nerf"}),
        (
            "style: oil, stylize_views: {}, finetune_nerf: {}",
            "style: oil, stylize_views: {}, finetune_nerf: {seed: 1}",
            {"finetune_nerf@garden-oil"},
        ),
        ("# mine", "# yours", set()),
    ],
)
def test_a_parameter_dirties_only_the_stages_that_use_it(
    old: str, new: str, stale: set[str], toy: Toy
) -> None:
    toy.replace(old, new)
    assert changed(toy) == stale


def test_seconds_in_a_report_do_not_reach_the_next_stages(toy: Toy) -> None:
    for path in (
        "poses/garden/report.json",
        "nerf/garden/metrics.json",
        "views/garden/report.json",
    ):
        (toy.root / "data" / path).write_text('{"seconds": 1}')
    assert changed(toy) == {
        "estimate_poses",
        "train_nerf",
        "render_views",
        "evaluate@garden-oil",
        "evaluate@garden-ink",
    }


def test_code_dirties_only_the_stages_that_import_it(toy: Toy) -> None:
    (toy.root / "scenestyle/project/params_file.py").write_text("# new\n")
    (toy.root / "flows/stylize_scene.py").write_text("# new\n")
    (toy.root / "scenestyle/sfm/__pycache__").mkdir(exist_ok=True)
    (toy.root / "scenestyle/sfm/__pycache__/x.pyc").write_bytes(b"x")
    assert changed(toy) == set()
    (toy.root / "scenestyle/diffusion/attention.py").write_text("# new\n")
    restyling = {"stylize_views", "evaluate"}  # which restyles once more as a control
    assert changed(toy) == {
        f"{stage}@garden-{style}" for stage in restyling for style in ("oil", "ink")
    }


def reruns(toy: Toy) -> list[str]:
    toy.repro()
    return toy.runs()


def test_a_new_prompt_reruns_its_style_and_the_old_one_comes_back_from_the_cache(toy: Toy) -> None:
    before = toy.results()
    toy.replace("oil painting of", "big oil painting of")
    assert reruns(toy) == [f"{stage}@garden-oil" for stage in STAGES[3:]]
    after = toy.results()
    assert {name.split("/")[2] for name in before if before[name] != after[name]} == {"oil"}
    toy.replace("big oil painting of", "oil painting of")
    assert reruns(toy) == []
    assert toy.results() == before
    assert toy.stale() == set()


def test_a_result_deleted_by_hand_comes_back_from_the_cache(toy: Toy) -> None:
    before = toy.results()
    (toy.root / "data/views/garden/rgb/content").unlink()
    (toy.root / "data/nerf/garden/config.yml").write_text("damaged")
    assert reruns(toy) == []
    assert toy.results() == before


def test_a_new_edit_makes_only_its_own_stages(toy: Toy) -> None:
    toy.run("scenestyle", "restyle", "garden", "pen")
    assert reruns(toy) == [f"{stage}@garden-pen" for stage in STAGES[3:]]


def test_a_project_without_edits_has_an_empty_overview(tmp_path: Path) -> None:
    """A stage whose input does not exist ends `dvc repro` with an error, and a fresh clone has no results."""
    toy = Toy.make(tmp_path)
    toy.add_overview()
    head, edits = (toy.root / "params.yaml").read_text().split("edits:\n")
    _, blocks = edits.split("\n\n", 1)
    (toy.root / "params.yaml").write_text(f"{head}edits: {{}}\n\n{blocks}")
    toy.repro()
    assert toy.runs() == [f"{stage}@garden" for stage in STAGES[:3]]
    assert "0 of 0 made" in (toy.root / "data/overview/index.html").read_text()
    assert toy.stale() == set()
    kept = subprocess.run(
        ["git", "ls-files", "data/results"], cwd=ROOT, capture_output=True, text=True
    )
    assert kept.stdout == "data/results/.gitkeep\n"


def test_the_overview_follows_every_result(toy: Toy) -> None:
    toy.add_overview()
    page = toy.root / "data/overview/index.html"
    toy.repro("overview")
    assert "big oil painting" not in page.read_text()
    assert toy.stale() == set()
    (toy.root / "data/results/garden/oil/metrics.json").write_text('{"digest": 1}')
    assert toy.stale() == {"evaluate@garden-oil", "overview"}
    toy.replace("oil painting of", "big oil painting of")
    toy.repro()
    assert "big oil painting of a garden" in page.read_text()
    assert 'href="../results/garden/oil/report.html"' in page.read_text()
