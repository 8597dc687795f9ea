"""No parameter is read and changes nothing: each is used by name in what its stage executes."""

import ast
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

from engine import code_deps
from scenestyle.diffusion.stylize import Settings
from scenestyle.params import EDIT_STAGES, SCENE_STAGES, Params, Style

ROOT = Path(__file__).parents[2]
BLOCKS = {field.name: field.type for field in fields(Params)}
STAGES = [*SCENE_STAGES, *EDIT_STAGES]
HANDED_ON = "scenestyle/diffusion/stylize.py"
"""where Settings takes the values of style, stage and preset by their names"""


@cache
def code_of(stage: str) -> dict[str, ast.Module]:
    files = code_deps.imported_files(code_deps.import_graph(), stage, ROOT)
    return {file: ast.parse((ROOT / file).read_text(encoding="utf-8")) for file in files}


def uses(trees: dict[str, ast.Module], name: str) -> list[str]:
    """Where an attribute of this name is read."""
    return [
        f"{file}:{node.lineno}"
        for file, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == name and isinstance(node.ctx, ast.Load)
    ]


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        (stage, field.name)
        for stage in STAGES
        for field in fields(BLOCKS[stage])  # pyright: ignore[reportArgumentType]
    ],
)
def test_a_parameter_is_used_by_its_stage(stage: str, name: str) -> None:
    assert uses(code_of(stage), name), f"{stage}.{name} is read from params.yaml and used nowhere"


@pytest.mark.parametrize("field", fields(Style), ids=lambda field: field.name)
def test_a_part_of_a_style_is_used_by_the_stage_that_restyles(field: object) -> None:
    assert uses(code_of("stylize_views"), field.name)  # pyright: ignore[reportAttributeAccessIssue]


def test_a_setting_that_is_handed_on_by_name_is_used_where_the_views_are_restyled() -> None:
    """`resolve_settings` fills every field by its name; what counts is who reads it from the settings."""
    code = code_of("stylize_views")
    tree = code[HANDED_ON]
    readers = ast.Module(
        [
            node
            for node in tree.body
            if getattr(node, "name", "") not in ("Settings", "resolve_settings")
        ]
        + [
            node
            for owner in tree.body
            if isinstance(owner, ast.ClassDef) and owner.name == "Settings"
            for node in owner.body
            if isinstance(node, ast.FunctionDef)
        ],
        [],
    )
    families = {file: each for file, each in code.items() if file.endswith("_family.py")}
    assert len(families) == 3
    trees = {HANDED_ON: readers, **families}
    assert [field.name for field in fields(Settings) if not uses(trees, field.name)] == []
