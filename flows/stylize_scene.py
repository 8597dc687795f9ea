"""Restyle one scene: `python -m flows.stylize_scene --scene demo --style ukiyoe`.

The same stages, in the same order and on the same cache, as `dvc repro evaluate@demo-ukiyoe`.
"""

import argparse
from collections.abc import Sequence

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows.artifacts import show_failure, show_result
from flows.program import run_in_foreground
from flows.stages import FlowError, StageRuns, stage_task
from scenestyle.params import edit_key, load_params
from scenestyle.project.layout import Layout

estimate_poses = stage_task("estimate_poses")
train_nerf = stage_task("train_nerf")
render_views = stage_task("render_views")
stylize_views = stage_task("stylize_views")
finetune_nerf = stage_task("finetune_nerf")
evaluate = stage_task("evaluate")


@flow(  # pyright: ignore[reportCallIssue]
    name="stylize-scene",
    flow_run_name="{scene}-{style}",
    task_runner=ThreadPoolTaskRunner(max_workers=2),  # pyright: ignore[reportArgumentType]
)
def stylize_scene(scene: str, style: str) -> list[str]:
    """Restyle one scene, photos to report; a stage runs only if something it reads has changed.

    Args:
        scene: Id of a scene in params.yaml.
        style: Id of a style in params.yaml.

    Returns:
        The files of the result, relative to the project's root.

    Raises:
        ParamsError: If params.yaml has faults, or no such scene, style or edit.
        FlowError: If a stage failed.
    """
    edit = edit_key(load_params(Layout().params), scene, style)
    stages = StageRuns()
    stages.submit(estimate_poses, scene)  # where each photo was taken from
    stages.submit(train_nerf, scene)  # the scene as a radiance field
    stages.submit(render_views, scene)  # that field, seen from every photo's place, with depth
    stages.submit(stylize_views, edit)  # all of these views restyled together
    stages.submit(finetune_nerf, edit)  # the field, moved towards them
    stages.submit(evaluate, edit)  # figures, orbit video, report
    try:
        result = stages.conclude()
    except FlowError as error:
        show_failure(edit, str(error))
        raise
    show_result(edit, result)
    return [str(path) for path in result]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the flow as a program.

    Returns:
        The exit code: 1 after an error, which is then on stderr.
    """
    parser = argparse.ArgumentParser(prog="python -m flows.stylize_scene", description=__doc__)
    parser.add_argument("--scene", required=True, help="id in params.yaml")
    parser.add_argument("--style", required=True, help="id in params.yaml")
    options = parser.parse_args(argv)
    return run_in_foreground(
        lambda: edit_key(load_params(Layout().params), options.scene, options.style),
        lambda: stylize_scene(options.scene, options.style),
    )


if __name__ == "__main__":
    raise SystemExit(main())
