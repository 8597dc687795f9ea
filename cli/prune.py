"""`scenestyle prune`."""

from cli.console import LAYOUT, say
from engine import Pipeline
from engine.upkeep import find_leftovers, remove
from scenestyle.params import load_params


def prune(*, yes: bool = False) -> None:
    """List what nothing needs any more, and with --yes delete it.

    That is: results and records of scenes and edits that params.yaml does not name any more,
    half-written results, and checkpoints of killed runs. Photos are never touched, and results stay
    in DVC's cache until `dvc gc --workspace`.

    Example: scenestyle prune --yes

    Args:
        yes: Delete.
    """
    load_params(LAYOUT.params)
    pipeline = Pipeline(LAYOUT.root)
    found = find_leftovers(LAYOUT.root, pipeline)
    if not found.stages and not found.paths:
        say("Nothing to prune.")
        return
    say(*(f"record of {name}" for name in found.stages), *map(str, found.paths))
    if yes:
        remove(LAYOUT.root, pipeline, found)
        say("Deleted. To empty the cache, too: dvc gc --workspace")
    else:
        say("Nothing was deleted. To delete this: scenestyle prune --yes")
