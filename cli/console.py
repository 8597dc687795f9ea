"""What the subcommands of `scenestyle` share: types of arguments, and how they answer."""

import os
import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from scenestyle.axes import Up
from scenestyle.project.layout import Layout, project_of

LAYOUT = Layout()
"""The project in the current folder, where every command runs."""

NewName = Positional[Annotated[str, arg(metavar="NAME")]]
SceneId = Positional[Annotated[str, arg(metavar="SCENE")]]
StyleId = Positional[Annotated[str, arg(metavar="STYLE")]]
StyleIds = Positional[Annotated[tuple[str, ...], arg(metavar="[STYLE ...]", help_behavior_hint="")]]
Prompt = Positional[Annotated[str, arg(metavar="PROMPT")]]
Source = Positional[Annotated[Path, arg(metavar="SOURCE")]]
OptionalFloat = Annotated[float | None, arg(metavar="FLOAT", help_behavior_hint="")]
OptionalInt = Annotated[int | None, arg(metavar="INT", help_behavior_hint="")]
OptionalPath = Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="")]
OptionalText = Annotated[str | None, arg(metavar="TEXT", help_behavior_hint="")]
OptionalUp = Annotated[Up | None, arg(metavar="{y-down,y,z}", help_behavior_hint="")]
Floats = Annotated[tuple[float, ...], arg(metavar="FLOAT ...", help_behavior_hint="")]
Ints = Annotated[tuple[int, ...], arg(metavar="INT ...", help_behavior_hint="")]
Shares = Positional[
    Annotated[tuple[str, ...], arg(metavar="STYLE=WEIGHT ...", help_behavior_hint="")]
]

_started_in = Path()
"""where the user called the command; relative paths that he gives start there"""


def enter_project() -> None:
    """Go to the root of the project that the current folder lies in, as git does."""
    global _started_in
    here = Path.cwd()
    root = project_of(here)
    _started_in = Path() if root in (None, here) else here
    if root is not None:
        os.chdir(root)


def given(path: Path) -> Path:
    """A path as the user means it: from where he called the command, `~` his home."""
    return _started_in / path.expanduser()


def say(*lines: str) -> None:
    """Print the answer of a command."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
