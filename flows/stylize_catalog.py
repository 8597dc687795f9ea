"""Bring every row of a catalog up to date.

    python -m flows.stylize_catalog --catalog examples/catalogs/demo.csv

docs/howto/catalogs.md says what a catalog is. A bad row fails alone. Afterwards the table of all
rows and a page with their images lie in outputs/catalogs/.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from engine import bring_back
from engine.captures import track
from flows.artifacts import show_catalog
from flows.nights import close_vanished_runs, cover_missed_nights
from flows.program import run_in_foreground
from flows.results import Row, is_current, row_of, write_page, write_table
from flows.stages import FlowError, StageRuns, bring_overview_up_to_date, stage_task
from scenestyle.errors import InputError
from scenestyle.params import EDIT_STAGES, SCENE_STAGES, load_params
from scenestyle.project.catalog import Catalog, read_catalog
from scenestyle.project.layout import Layout
from scenestyle.project.params_file import read_raw, update
from scenestyle.project.remote import Capture, fetch, is_fetched
from scenestyle.project.scenes import is_taken_in, take_in

LAYOUT = Layout()

per_scene = [stage_task(stage) for stage in SCENE_STAGES]
per_edit = [stage_task(stage) for stage in EDIT_STAGES]


@flow(  # pyright: ignore[reportCallIssue]
    name="stylize-catalog",
    on_completion=[close_vanished_runs],
    on_failure=[close_vanished_runs],
    task_runner=ThreadPoolTaskRunner(max_workers=2),  # pyright: ignore[reportArgumentType]
)
def stylize_catalog(
    catalog: str, time_limits: dict[str, float] | None = None, shared: bool = False
) -> list[str]:
    """Copy a catalog's captures, write it to params.yaml, and run what is out of date.

    Args:
        catalog: Path of the CSV or xlsx file.
        time_limits: Stage -> minutes after which it is stopped and its row fails; a stage that is
            not named has no limit.
        shared: Whether the task runner's workers are other clones of the project; see
            docs/howto/cluster.md.

    Returns:
        The table of all rows, the page of their images, and the page of all results of the
        project, relative to its root.

    Raises:
        CatalogError: If the file has faults; nothing was changed then.
        FlowError: If rows failed; table and pages were written all the same.
        StageError: If only the page of all results failed.
    """
    for missed in cover_missed_nights():
        get_run_logger().info("covers the missed run of %s", missed.expected_start_time)
    wishes = read_catalog(Path(catalog), read_raw(LAYOUT.params))
    for note in wishes.notes:
        get_run_logger().warning(note)
    faults = take_in_captures(wishes)
    update(LAYOUT.params, wishes.changes_for(wishes.sources.keys() - faults.keys()))
    stages = StageRuns(time_limits or {}, skip_fresh=True, shared=shared)
    for wanted in wishes.wanted:
        if wanted.scene not in faults:
            for stage in per_scene:
                stages.submit(stage, wanted.scene)
            for stage in per_edit:
                stages.submit(stage, wanted.edit)
    results, outputs = stages.results(), stages.outputs()
    rows = [
        row_of(wanted, results, outputs, faults.get(wanted.scene, "")) for wanted in wishes.wanted
    ]
    files = publish(Path(catalog).stem, rows)
    overview = bring_overview_up_to_date(return_state=True)
    if bad := [row for row in rows if row.error]:
        raise FlowError(
            "\n".join(
                [
                    f"{len(bad)} of {len(rows)} results failed; the table is {files[0]}:",
                    *(f"  - row {row.wanted.row}: {row.error}" for row in bad),
                ]
            )
        )
    overview.result()
    return [*files, *map(str, outputs["overview"])]


@task(
    name="add_scene",
    task_run_name="add_scene@{scene}",
    cache_policy=NO_CACHE,
    persist_result=False,
)
def add_scene(scene: str, source: Capture | None) -> Any:
    """Have a copy of a capture in its place; without a source it must lie there already."""
    target = LAYOUT.scene(scene)
    if source is None:
        raise InputError(f"{target} does not exist, and the row names no source.")
    if isinstance(source, Path):
        found = take_in(source, target)
    else:
        if is_fetched(source, target) and bring_back(LAYOUT.root, target):
            return Completed(name="Cached", message="restored from the cache")
        found = fetch(source, target)
    track(LAYOUT.root, [scene])
    return Completed(message=f"{len(found.photos)} images ({found.layout})")


def take_in_captures(wishes: Catalog) -> dict[str, str]:
    """Have every scene's capture in its place; no task run for those that are.

    Returns:
        Scene -> why its capture cannot be used, for those that cannot.
    """
    faults = {}
    for scene, source in wishes.sources.items():
        if not _is_in_place(scene, source):
            # In this process, not on a worker: here the captures are.
            state = add_scene(scene, source, return_state=True)
            if not state.is_completed():
                faults[scene] = str(state.result(raise_on_failure=False))
    return faults


def _is_in_place(scene: str, source: Capture | None) -> bool:
    target = LAYOUT.scene(scene)
    try:
        if source is None or not target.is_dir():
            return target.is_dir()
        if isinstance(source, Path):
            return is_taken_in(source, target)
        return is_fetched(source, target)
    except InputError:  # the task says why
        return False


def publish(name: str, rows: Sequence[Row]) -> list[str]:
    """Write table and page, and show summary, table and image in Prefect.

    A night that changes nothing leaves the page, whose thumbnails of a thousand rows take longer
    than all else, and the image.
    """
    table, page = LAYOUT.catalogs / f"{name}.csv", LAYOUT.catalogs / f"{name}.html"
    changed = write_table(table, rows) or not is_current(page, rows)
    lines = write_page(page, rows, load_params(LAYOUT.params), name) if changed else []
    show_catalog(name, rows, lines, page)
    return [str(table), str(page)]


def _runner(workers: int, dask: str | None) -> TaskRunner[Any]:
    if dask is None:
        return ThreadPoolTaskRunner(max_workers=workers)
    from prefect_dask import DaskTaskRunner

    return DaskTaskRunner(address=dask)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the flow as a program.

    Returns:
        The exit code: 1 after an error, which is then on stderr.
    """
    parser = argparse.ArgumentParser(prog="python -m flows.stylize_catalog", description=__doc__)
    parser.add_argument("--catalog", required=True, type=Path, help="CSV or xlsx file")
    parser.add_argument("--workers", type=int, default=2, help="stages at a time")
    parser.add_argument("--dask", metavar="ADDRESS", help="run on the clones of a Dask cluster")
    options = parser.parse_args(argv)
    runner, shared = _runner(options.workers, options.dask), options.dask is not None
    run: Any = stylize_catalog
    return run_in_foreground(
        lambda: read_catalog(options.catalog, read_raw(LAYOUT.params)),
        lambda: run.with_options(task_runner=runner)(str(options.catalog), shared=shared),
    )


if __name__ == "__main__":
    raise SystemExit(main())
