"""The documentation's page of the command line, made of the help texts of the commands themselves.

    python -m cli.help_page            # print docs/reference/cli.md as it should be
    python -m cli.help_page --write    # and write it

A test compares the page with the help texts.
"""

import argparse
import contextlib
import io
import os
import re
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

from cli.main import COMMANDS
from cli.main import main as scenestyle

PAGE = Path("docs/reference/cli.md")

_COLUMNS = "96"
"""width of the help texts; tyro asks the terminal for it"""
_HEAD = """\
# Command line

`scenestyle` runs in the project's root folder. An error that the user can mend is one sentence and
exit code 1. The flows are programs, too: `python -m flows.stylize_scene --help`; so is every stage:
`python -m tasks.train_nerf --help`, though stages are meant to be started by DVC.

This page is written by `python -m cli.help_page --write`.
"""


def help_text(*words: str) -> str:
    """What `scenestyle WORDS --help` prints, without colours."""
    printed = io.StringIO()
    width = mock.patch.dict(os.environ, {"COLUMNS": _COLUMNS, "NO_COLOR": "1"})
    with width, contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        scenestyle([*words, "--help"])
    text = re.sub(r"\x1b\[[0-9;]*m", "", printed.getvalue())
    lines = (
        textwrap.wrap(line, int(_COLUMNS)) if line[:1] != " " else [line.rstrip()]
        for line in text.splitlines()
    )
    return "\n".join("\n".join(each) for each in lines).strip()


def page() -> str:
    """The page as Markdown: a section for each subcommand, in the order of `scenestyle --help`."""
    sections = [f"## {name}\n\n```text\n{help_text(name)}\n```\n" for name in COMMANDS]
    return "\n".join([_HEAD, *sections])


def main(argv: Sequence[str] | None = None) -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(prog="python -m cli.help_page")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE}")
    options = parser.parse_args(argv)
    if options.write:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())


if __name__ == "__main__":
    main()
