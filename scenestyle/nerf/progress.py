"""A strip of one held-out view during training: its target, and how far it has come."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from scenestyle.artifacts import read_rgb, write_rgb
from scenestyle.cameras import PinholeCamera, fit_within
from scenestyle.nerf.trainer import Trainer
from scenestyle.viz.contact_sheet import contact_sheet

_MAX_SIDE = 160
_NUM_HALVINGS = 5

Picture = Float[np.ndarray, "_height _width 3"]


class ProgressStrip:
    """Renders a view after 1/32, 1/16, ... 1/2 and all of the steps, side by side.

    The first comes within seconds; all survive a kill.
    """

    def __init__(
        self,
        folder: Path,
        camera: PinholeCamera,
        *,
        steps: int,
        before: Sequence[tuple[str, Picture]] = (),
        after: Sequence[tuple[str, Picture]] = (),
    ) -> None:
        """Prepare a strip.

        Args:
            folder: Where images and strip are written while training goes on.
            camera: Camera of the view.
            steps: Number of steps that training will take.
            before: Labelled images to the left of the renders.
            after: Labelled images to the right of them.
        """
        size = fit_within(camera.width, camera.height, _MAX_SIDE)
        self._folder, self._camera = folder, camera.resized(*size)
        self._before, self._after = before, after
        self._due = {-(-steps // 2**halvings) for halvings in range(_NUM_HALVINGS + 1)}

    @property
    def path(self) -> Path:
        """The strip as it stands."""
        return self._folder / "progress.png"

    def look(self, trainer: Trainer, steps_taken: int) -> None:
        """Add an image if one is due after so many steps."""
        if steps_taken not in self._due:
            return
        rendering = trainer.model.render(self._camera)
        write_rgb(self._folder / f"step_{steps_taken:09d}.png", rendering.rgb)
        found = sorted(self._folder.glob("step_*.png"))
        labelled = [
            *self._before,
            *((f"step {int(path.stem.removeprefix('step_'))}", read_rgb(path)) for path in found),
            *self._after,
        ]
        labels, pictures = zip(*labelled, strict=True)
        sheet = contact_sheet([pictures], column_labels=labels, max_picture_side=_MAX_SIDE)
        write_rgb(self.path, sheet)
