"""The library's part of the command `scenestyle`: add scenes and styles, and look at styles before fitting."""

from scenestyle.cli.main import COMMANDS, main, run

__all__ = ["COMMANDS", "main", "run"]
