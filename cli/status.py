"""`scenestyle status`."""

from collections.abc import Mapping, Sequence

from cli.console import LAYOUT, OptionalText, say
from engine import Pipeline, estimate
from engine.upkeep import would_run
from scenestyle.params import EDIT_STAGES, SCENE_STAGES, Params, load_params, lookup
from scenestyle.progress import duration

_SHOWN_REASONS = 3


def status(*, scene: OptionalText = None) -> None:
    """Show what is up to date, what would run and why, and about how long it would take.

    A stage that follows from another one counts as one that would run. Earlier results that are
    still in the cache are restored at once. The minutes are those of earlier runs, here or of the
    same stage elsewhere.

    Example: scenestyle status

    Args:
        scene: Only this one.
    """
    params = load_params(LAYOUT.params)
    if scene is not None:
        lookup("scene", scene, params.scenes)
    pipeline = Pipeline(LAYOUT.root)
    stale, needs = pipeline.stale(), pipeline.needs()
    runs, recorded = would_run(needs, stale), pipeline.recorded_seconds()
    say(*status_lines(params, stale, runs, recorded, scene))


def status_lines(
    params: Params,
    stale: Mapping[str, Sequence[str]],
    runs: Sequence[str],
    recorded: Mapping[str, float],
    scene: OptionalText = None,
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
        state = f"{len(running)} of {_stages(len(instances))} would run"
        lines.append(
            f"{edit.scene} in {edit.style}: "
            + (f"{state}, {_time(running, recorded)}" if running else "up to date")
        )
        lines += [f"  {name}: {_in_short(stale[name])}" for name in running if name in stale]
    if not edits:
        return ["Nothing is asked for yet: scenestyle restyle SCENE STYLE"]
    if scene is None:
        lines.append(f"overview: {'would be written anew' if 'overview' in runs else 'up to date'}")
    if not counted:
        return [*lines, "", "Nothing to do."]
    return [*lines, "", f"{_stages(len(counted))} in all, {_time([*counted], recorded)}."]


def _time(names: Sequence[str], recorded: Mapping[str, float]) -> str:
    seconds = [estimate(name, recorded) for name in names]
    known = [value for value in seconds if value is not None]
    unknown = len(seconds) - len(known)
    if not unknown:
        return f"about {duration(sum(known))}"
    if not known:
        return "time unknown until they ran once"
    return (
        f"about {duration(sum(known))} and {_stages(unknown)} whose time is unknown until run once"
    )


def _stages(count: int) -> str:
    return "1 stage" if count == 1 else f"{count} stages"


def _in_short(reasons: Sequence[str]) -> str:
    more = len(reasons) - _SHOWN_REASONS
    shown = "; ".join(reasons[:_SHOWN_REASONS])
    return f"{shown}; and {more} more" if more > 0 else shown
