"""`scenestyle status`."""

from collections.abc import Mapping, Sequence

from cli.console import LAYOUT, OptionalText, say
from engine import Pipeline, estimate
from engine.upkeep import Foretold, foretell
from scenestyle.params import EDIT_STAGES, SCENE_STAGES, Params, load_params, lookup
from scenestyle.progress import duration

_SHOWN_REASONS = 3


def status(*, scene: OptionalText = None) -> None:
    """Show what is up to date, what would run and why, and about how long it would take.

    A stage that follows from another one counts as one that would run. Deleted results that are
    still in the cache come back at once, as do those of a stage that ran with the same inputs
    before. The minutes are those of earlier runs, here or of the same stage elsewhere.

    Example: scenestyle status

    Args:
        scene: Only this one.
    """
    params = load_params(LAYOUT.params)
    if scene is not None:
        lookup("scene", scene, params.scenes)
    pipeline = Pipeline(LAYOUT.root)
    stale = pipeline.stale()
    foretold = foretell(pipeline.needs(), stale, pipeline.outputs())
    say(*status_lines(params, stale, foretold, pipeline.recorded_seconds(), scene))


def status_lines(
    params: Params,
    stale: Mapping[str, Sequence[str]],
    foretold: Foretold,
    recorded: Mapping[str, float],
    scene: OptionalText = None,
) -> list[str]:
    """A paragraph per edit, the overview, and the sum.

    Args:
        params: All parameters.
        stale: Stage instance -> why it is not up to date by itself.
        foretold: What would run and what would come back.
        recorded: Stage instance -> seconds of its last run.
        scene: Only its edits, and no overview.
    """
    lines, counted, restored = [], set(), set()
    edits = {key: e for key, e in params.edits.items() if scene in (None, e.scene)}
    for key, edit in edits.items():
        instances = [
            *(f"{stage}@{edit.scene}" for stage in SCENE_STAGES),
            *(f"{stage}@{key}" for stage in EDIT_STAGES),
        ]
        running = [name for name in instances if name in foretold.runs]
        lost = [name for name in instances if name in foretold.restored]
        counted |= set(running)
        restored |= set(lost)
        states = []
        if running:
            of_all = f"{len(running)} of {_stages(len(instances))}"
            states.append(f"{of_all} would run, {_time(running, recorded)}")
        if lost:
            states.append(f"results of {_stages(len(lost))} would come back from the cache")
        lines.append(f"{edit.scene} in {edit.style}: {'; '.join(states) or 'up to date'}")
        shown = [name for name in instances if name in stale and name in {*running, *lost}]
        lines += [f"  {name}: {_in_short(stale[name])}" for name in shown]
    if not edits:
        return ["Nothing is asked for yet: scenestyle restyle SCENE STYLE"]
    if scene is None:
        anew = "overview" in foretold.runs
        lines.append(f"overview: {'would be written anew' if anew else 'up to date'}")
    if not counted:
        end = "Nothing to run; dvc repro brings back the rest." if restored else "Nothing to do."
        return [*lines, "", end]
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
