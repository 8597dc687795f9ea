"""Formats of an export and names of its files, without the imports that writing needs."""

from typing import Literal

Format = Literal["ply", "splat", "mesh", "glb", "video", "frames", "nerfstudio"]

ENDINGS: dict[Format, str] = {
    "ply": ".ply",
    "splat": ".ply",
    "mesh": ".ply",
    "glb": ".glb",
    "video": ".mp4",
}
"""ending of a file; the others are folders"""


def default_name(format: Format, edit: str) -> str:
    """File or folder name of an export of `edit`."""
    kind = "" if format in ("ply", "glb", "video") else f"-{format}"
    return f"{edit}{kind}{ENDINGS.get(format, '')}"
