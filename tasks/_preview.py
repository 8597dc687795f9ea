"""`scenestyle preview` in a process of its own, which leaves neither memory nor GPU taken.

python -m tasks._preview SCENE [STYLE ...] --views 4
"""

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tasks._engine import StageError
from tasks._engine.runner import last_words
from tasks._gpu import gpus, one_gpu
from tasks._process import die_with_parent


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
    from scenestyle.cli.main import preview_sheet

    command = [sys.executable, "-m", "tasks._preview", scene, *styles, "--views", str(num_views)]
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
    return preview_sheet(scene)


def main() -> None:
    """Run `scenestyle preview` with this program's arguments."""
    from tasks._cli import main as scenestyle

    die_with_parent(signal.SIGKILL)
    with one_gpu(gpus()):
        scenestyle(["preview", *sys.argv[1:]])


if __name__ == "__main__":
    main()
