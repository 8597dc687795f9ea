"""What the subcommands of `scenestyle` share: types of arguments, and how they answer."""

import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from scenestyle.project.layout import Layout

LAYOUT = Layout()
"""The project in the current folder, where every command runs."""

NewName = Positional[Annotated[str, arg(metavar="NAME")]]
SceneId = Positional[Annotated[str, arg(metavar="SCENE")]]
StyleId = Positional[Annotated[str, arg(metavar="STYLE")]]
StyleIds = Positional[Annotated[tuple[str, ...], arg(metavar="[STYLE ...]")]]
Prompt = Positional[Annotated[str, arg(metavar="PROMPT")]]
Source = Positional[Annotated[Path, arg(metavar="SOURCE")]]
Shares = Positional[Annotated[tuple[str, ...], arg(metavar="STYLE=WEIGHT ...")]]


def say(*lines: str) -> None:
    """Print the answer of a command."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
