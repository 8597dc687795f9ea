"""Formats of an export and names of its files, without the imports that writing needs."""

from typing import Literal

Format = Literal["ply", "splat", "mesh", "video", "frames", "nerfstudio"]

Up = Literal["y-down", "y", "z"]
"""which axis of a file of splats points up: against y, as in the files of 3DGS, which their viewers
set upright; y, as in game engines and glTF; or z, as in the field's frame and in Blender"""

ENDINGS: dict[Format, str] = {
    "ply": ".ply",
    "splat": ".ply",
    "mesh": ".ply",
    "video": ".mp4",
}
"""ending of a file; the others are folders"""


def default_name(format: Format, edit: str) -> str:
    """File or folder name of an export of `edit`."""
    kind = "" if format in ("ply", "video") else f"-{format}"
    return f"{edit}{kind}{ENDINGS.get(format, '')}"
