"""`dvc.yaml` and `Layout` say the same about where results lie."""

from pathlib import Path

import pytest
import yaml

from scenestyle.params import EDIT_STAGES, SCENE_STAGES
from scenestyle.project.layout import Layout, instance_of

ROOT = Path(__file__).parents[2]
LAYOUT = Layout()
FOLDERS = {
    "estimate_poses": LAYOUT.poses("s"),
    "train_nerf": LAYOUT.nerf("s"),
    "render_views": LAYOUT.views("s"),
    "stylize_views": LAYOUT.stylized("s", "t"),
    "finetune_nerf": LAYOUT.finetuned("s", "t"),
    "evaluate": LAYOUT.result("s", "t"),
}


def out_of(stage: str) -> Path:
    graph = yaml.safe_load((ROOT / LAYOUT.graph).read_text(encoding="utf-8"))["stages"]
    command = graph[stage]["do"]["cmd"].split()
    out = command[command.index("--out") + 1]
    for name, value in {"key": "s", "item.scene": "s", "item.style": "t"}.items():
        out = out.replace(f"${{{name}}}", value)
    return Path(out)


@pytest.mark.parametrize("stage", [*SCENE_STAGES, *EDIT_STAGES])
def test_the_layout_is_that_of_the_graph(stage: str) -> None:
    assert FOLDERS[stage] == out_of(stage)
    instance = f"{stage}@s" if stage in SCENE_STAGES else f"{stage}@s-t"
    assert instance_of(FOLDERS[stage]) == instance
    assert instance_of(Path("/elsewhere") / FOLDERS[stage]) == instance


@pytest.mark.parametrize("folder", ["data/scenes/fern", "photos", ""])
def test_a_folder_that_no_stage_makes_has_no_instance(folder: str) -> None:
    assert instance_of(Path(folder)) is None
