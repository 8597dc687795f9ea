"""The command `scenestyle`, run anywhere within a project's folder; a module per subcommand."""

import difflib
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version

import tyro

from cli.add_scene import add_scene
from cli.add_style import add_style
from cli.blend import blend
from cli.console import enter_project
from cli.doctor import doctor
from cli.export import export
from cli.make_catalog import make_catalog
from cli.open import open_result
from cli.preview import preview
from cli.prune import prune
from cli.restyle import restyle
from cli.status import status
from cli.watch import watch
from engine.troubles import told
from scenestyle.device import keep_freed_memory, let_idle_threads_sleep

COMMANDS: dict[str, Callable[..., None]] = {
    "add-scene": add_scene,
    "add-style": add_style,
    "make-catalog": make_catalog,
    "restyle": restyle,
    "preview": preview,
    "blend": blend,
    "open": open_result,
    "export": export,
    "status": status,
    "watch": watch,
    "prune": prune,
    "doctor": doctor,
}
"""Name -> function, whose docstring is its help."""

_DESCRIPTION = "Restyle captured scenes. Its version: scenestyle --version"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; an error of the user's making is one message and exit code 1.

    Args:
        argv: Its words; by default those of this program.
    """
    words = [*(sys.argv[1:] if argv is None else argv)]
    if words == ["--version"]:
        sys.stdout.write(f"scenestyle {version('scenestyle')}\n")
        return
    if words and not words[0].startswith("-") and words[0] not in COMMANDS:
        sys.stderr.write(f"error: {_unknown(words[0])}\n")
        raise SystemExit(2)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    warnings.simplefilter("ignore")  # of pinned libraries, for their developers; ours are logged
    let_idle_threads_sleep()
    keep_freed_memory()
    enter_project()
    if code := told(lambda: _run(words)):
        raise SystemExit(code)


def _run(words: Sequence[str]) -> None:
    try:
        if words and words[0] in COMMANDS:
            # Alone, so that hints at a misspelt option are of this command.
            tyro.cli(COMMANDS[words[0]], prog=f"scenestyle {words[0]}", args=words[1:])
        else:
            tyro.extras.subcommand_cli_from_dict(
                COMMANDS, prog="scenestyle", description=_DESCRIPTION, args=words
            )
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; what is left in the buffer has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(128 + signal.SIGPIPE) from None


def _unknown(command: str) -> str:
    close = difflib.get_close_matches(command, COMMANDS, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(COMMANDS)}"
    return f"there is no command {command!r}; {hint}"
