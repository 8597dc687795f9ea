"""Styles on a few views of a scene, before any field is finetuned.

    python -m flows.preview_styles --scene demo --styles ukiyoe neon

The stages of the scene, on the same cache as `dvc repro render_views@demo`; then the contact sheet
of `scenestyle preview`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import ThreadPoolTaskRunner

from flows.artifacts import show_preview
from flows.preview_process import paint_preview
from flows.program import run_in_foreground
from flows.stages import StageRuns, stage_task
from scenestyle.errors import ParamsError
from scenestyle.params import Params, load_params, lookup
from scenestyle.project.layout import Layout

estimate_poses = stage_task("estimate_poses")
train_nerf = stage_task("train_nerf")
render_views = stage_task("render_views")


@task(
    name="preview",
    task_run_name="preview@{scene}",
    tags=["gpu"],
    cache_policy=NO_CACHE,
    persist_result=False,
)
def paint(scene: str, styles: Sequence[str], views: int) -> Path:
    """The contact sheet: a row of rendered views, then one row per style."""
    return paint_preview(scene, styles, views, get_run_logger().info)


@flow(  # pyright: ignore[reportCallIssue]
    name="preview-styles",
    flow_run_name="{scene}",
    task_runner=ThreadPoolTaskRunner(max_workers=2),  # pyright: ignore[reportArgumentType]
)
def preview_styles(scene: str, styles: list[str] | None = None, views: int = 4) -> list[str]:
    """Show a scene in styles, with no need of an edit; renders its views if out of date.

    Args:
        scene: Id of a scene in params.yaml.
        styles: Ids of styles; none: all of params.yaml.
        views: How many views to show, evenly spaced.

    Returns:
        The contact sheet, relative to the project's root.

    Raises:
        ParamsError: If params.yaml has faults, no such scene or styles, or `views` is not above 0.
        FlowError: If a stage failed.
        StageError: If the sheet could not be painted.
    """
    params = load_params(Layout().params)
    chosen = chosen_styles(params, scene, styles or [], views)
    stages = StageRuns()
    stages.submit(estimate_poses, scene)  # where each photo was taken from
    stages.submit(train_nerf, scene)  # the scene as a radiance field
    stages.submit(render_views, scene)  # that field, seen from every photo's place, with depth
    stages.conclude()
    sheet: Any = paint(scene, chosen, views)
    show_preview(scene, {style: params.styles[style].prompt for style in chosen}, sheet)
    return [str(sheet)]


def chosen_styles(params: Params, scene: str, styles: Sequence[str], views: int) -> list[str]:
    """The styles to show, after a look at all arguments.

    Raises:
        ParamsError: If there is no such scene or style, or `views` is not above 0.
    """
    lookup("scene", scene, params.scenes)
    for style in styles:
        lookup("style", style, params.styles)
    if views < 1:
        raise ParamsError(f"views: must be above 0, got {views}.")
    return list(styles or params.styles)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the flow as a program.

    Returns:
        The exit code: 1 after an error, which is then on stderr.
    """
    parser = argparse.ArgumentParser(prog="python -m flows.preview_styles", description=__doc__)
    parser.add_argument("--scene", required=True, help="id in params.yaml")
    parser.add_argument("--styles", nargs="+", default=[], help="ids in params.yaml; default: all")
    parser.add_argument("--views", type=int, default=4, help="views per style")
    options = parser.parse_args(argv)
    scene, styles, views = options.scene, options.styles, options.views
    return run_in_foreground(
        lambda: chosen_styles(load_params(Layout().params), scene, styles, views),
        lambda: preview_styles(scene, styles, views),
    )


if __name__ == "__main__":
    raise SystemExit(main())
