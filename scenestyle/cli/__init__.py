"""The command `scenestyle`: add scenes and styles to params.yaml, and look at styles before fitting."""

from scenestyle.cli.main import main

__all__ = ["main"]
