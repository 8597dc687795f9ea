"""The command `scenestyle`, run in the project's root folder; a module per subcommand."""

import logging
import sys
from collections.abc import Callable, Sequence

import tyro

from cli.add_scene import add_scene
from cli.add_style import add_style
from cli.blend import blend
from cli.doctor import doctor
from cli.export import export
from cli.make_catalog import make_catalog
from cli.preview import preview
from cli.prune import prune
from cli.restyle import restyle
from cli.status import status
from scenestyle.device import let_idle_threads_sleep
from scenestyle.errors import ScenestyleError

COMMANDS: dict[str, Callable[..., None]] = {
    "add-scene": add_scene,
    "add-style": add_style,
    "make-catalog": make_catalog,
    "restyle": restyle,
    "preview": preview,
    "blend": blend,
    "export": export,
    "status": status,
    "prune": prune,
    "doctor": doctor,
}
"""Name -> function, whose docstring is its help."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; an error of the user's making is one message and exit code 1.

    Args:
        argv: Its words; by default those of this program.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    let_idle_threads_sleep()
    try:
        tyro.extras.subcommand_cli_from_dict(
            COMMANDS, prog="scenestyle", description="Restyle captured scenes.", args=argv
        )
    except ScenestyleError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(1) from error
