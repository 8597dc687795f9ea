"""The command `scenestyle`: the library's subcommands, and those that ask DVC."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from scenestyle.cli import COMMANDS, run
from scenestyle.errors import ParamsError
from scenestyle.params import EDIT_STAGES, SCENE_STAGES, Params, load_params, lookup
from tasks._engine import Pipeline, estimate
from tasks._engine.upkeep import find_leftovers, remove, would_run

_PARAMS = Path("params.yaml")
_SHOWN_REASONS = 3


def status(*, scene: str | None = None) -> None:
    """Show, for each scene and style, what is up to date, what would run and why, and about how long.

    A stage that follows from another one counts as one that would run. Earlier results that are still in
    the cache come back in no time. The minutes are those of earlier runs, here or of the same stage elsewhere.

    Example: scenestyle status

    Args:
        scene: Only this one.
    """
    params = load_params(_PARAMS)
    if scene is not None:
        lookup("scene", scene, params.scenes)
    pipeline = Pipeline(Path.cwd())
    stale, needs = pipeline.stale(), pipeline.needs()
    runs, recorded = would_run(needs, stale), pipeline.recorded_seconds()
    _say(*status_lines(params, stale, runs, recorded, scene))


def status_lines(
    params: Params,
    stale: Mapping[str, Sequence[str]],
    runs: Sequence[str],
    recorded: Mapping[str, float],
    scene: str | None = None,
) -> list[str]:
    """A paragraph per edit, the overview, and the sum.

    Args:
        params: All parameters.
        stale: Stage instance -> why it has to run by itself.
        runs: All stage instances that would run.
        recorded: Stage instance -> seconds of its last run.
        scene: Only its edits, and no overview.
    """
    lines, counted = [], set()
    edits = {key: e for key, e in params.edits.items() if scene in (None, e.scene)}
    for key, edit in edits.items():
        instances = [
            *(f"{stage}@{edit.scene}" for stage in SCENE_STAGES),
            *(f"{stage}@{key}" for stage in EDIT_STAGES),
        ]
        running = [name for name in instances if name in runs]
        counted |= set(running)
        state = f"{len(running)} of {len(instances)} stages would run"
        lines.append(
            f"{edit.scene} in {edit.style}: "
            + (f"{state}, {_minutes(running, recorded)}" if running else "up to date")
        )
        lines += [f"  {name}: {_in_short(stale[name])}" for name in running if name in stale]
    if not edits:
        return ["Nothing is asked for yet: scenestyle restyle SCENE STYLE"]
    if scene is None:
        lines.append(f"overview: {'would be written anew' if 'overview' in runs else 'up to date'}")
    return [*lines, "", f"{len(counted)} stages in all, {_minutes([*counted], recorded)}."]


def prune(*, yes: bool = False) -> None:
    """List what nothing needs any more, and with --yes delete it.

    That is: results and records of scenes and edits that params.yaml does not name any more, half-written
    results, and checkpoints of killed runs. Photos are never touched, and results stay in DVC's cache until
    `dvc gc --workspace`.

    Example: scenestyle prune --yes

    Args:
        yes: Delete.
    """
    load_params(_PARAMS)
    root = Path.cwd()
    pipeline = Pipeline(root)
    found = find_leftovers(root, pipeline)
    if not found.stages and not found.paths:
        _say("Nothing to prune.")
        return
    _say(*(f"record of {name}" for name in found.stages), *map(str, found.paths))
    if yes:
        remove(root, pipeline, found)
        _say("Deleted. To empty the cache, too: dvc gc --workspace")
    else:
        _say("Nothing was deleted. To delete this: scenestyle prune --yes")


def doctor() -> None:
    """Check the installation and the project: versions, GPU, weights, disk, cache, locks, Prefect server.

    Example: scenestyle doctor
    """
    from tasks._doctor import examine

    broken = 0
    for name, finding in examine(Path.cwd()):
        broken += finding.state == "broken"
        _say(f"{finding.state:>6}  {name}: {finding.what}")
        if finding.way_out:
            _say(f"        -> {finding.way_out}")
    if broken:
        raise ParamsError(f"{broken} of these must be mended first; the arrows say how.")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run({**COMMANDS, "status": status, "prune": prune, "doctor": doctor}, argv)


def _minutes(names: Sequence[str], recorded: Mapping[str, float]) -> str:
    seconds = [estimate(name, recorded) for name in names]
    known = sum(value for value in seconds if value is not None)
    unknown = sum(value is None for value in seconds)
    if not unknown:
        return f"about {known / 60:.0f} min"
    return f"about {known / 60:.0f} min and {unknown} stages that never ran here"


def _in_short(reasons: Sequence[str]) -> str:
    more = len(reasons) - _SHOWN_REASONS
    shown = "; ".join(reasons[:_SHOWN_REASONS])
    return f"{shown}; and {more} more" if more > 0 else shown


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
