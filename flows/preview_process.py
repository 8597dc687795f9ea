"""`scenestyle preview` in a process of its own, which leaves neither memory nor GPU taken."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from engine import StageError
from engine.runner import last_words
from scenestyle.project.layout import Layout


def paint_preview(
    scene: str, styles: Sequence[str], num_views: int, log: Callable[[str], object]
) -> Path:
    """Paint the contact sheet of a scene whose views are rendered.

    Args:
        scene: Id of a scene in params.yaml.
        styles: Ids of styles; none: all of params.yaml.
        num_views: Views per style.
        log: Takes each line that is printed.

    Returns:
        The sheet, relative to the project's root.

    Raises:
        StageError: If it cannot be painted; with the sentence that the command ended with.
    """
    command = [sys.executable, "-m", "cli.preview", scene, *styles, "--views", str(num_views)]
    lines = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            for line in process.stdout or ():
                lines.append(line)
                log(line.rstrip())
        except BaseException:  # a flow that is ended does not wait for the pictures
            process.kill()
            raise
    if process.returncode != 0:
        raise StageError(f"preview of {scene}: {last_words(''.join(lines))}")
    return Layout().preview(scene)
