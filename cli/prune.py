"""`scenestyle prune`."""

from datetime import timedelta

from cli.console import LAYOUT, OptionalInt, say
from engine import Pipeline
from engine.cache import Unused, delete, find_unused
from engine.upkeep import find_leftovers, remove
from scenestyle.errors import ParamsError
from scenestyle.params import load_params

_GB = 1e9


def prune(*, older_than: OptionalInt = None, yes: bool = False) -> None:
    """List what nothing needs any more, and with --yes delete it.

    That is: results and records of scenes and edits that params.yaml does not name any more,
    half-written results, and checkpoints of killed runs. With --older-than also what DVC's cache
    holds and neither the project as it is now nor a run of the last DAYS needs; what params.yaml
    asks for stays, also if another result lies in its place now. Photos are never touched.

    Example: scenestyle prune --older-than 90 --yes

    Args:
        older_than: Empty the cache, too, of what has not been needed for this many days.
        yes: Delete.
    """
    load_params(LAYOUT.params)
    if older_than is not None and older_than < 0:
        raise ParamsError(f"--older-than: must be 0 or more days, got {older_than}.")
    pipeline = Pipeline(LAYOUT.root)
    found = find_leftovers(LAYOUT.root, pipeline)
    say(*(f"record of {name}" for name in found.stages), *map(str, found.paths))
    if yes:
        remove(LAYOUT.root, pipeline, found)
    unused = Unused((), (), 0)
    if older_than is not None:
        unused = find_unused(LAYOUT.root, timedelta(days=older_than))
        say(
            f"cache: {len(unused.objects)} files of {unused.size / _GB:.2f} GB, and "
            f"{len(unused.runs)} records of runs"
        )
    if not (found.stages or found.paths or unused.objects or unused.runs):
        say("Nothing to prune.")
    elif yes:
        delete(unused)
        say("Deleted." + (" To empty the cache, too: --older-than" if older_than is None else ""))
    else:
        options = "" if older_than is None else f" --older-than {older_than}"
        say(f"Nothing was deleted. To delete this: scenestyle prune{options} --yes")
