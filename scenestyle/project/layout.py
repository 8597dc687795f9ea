"""Where a project keeps its parameters, captures and results.

`dvc.yaml` says it to DVC, this module to everyone else; tests/wiring/test_layout.py holds them
together.
"""

from dataclasses import dataclass
from pathlib import Path

_EDIT_FOLDERS = {
    "stylized": "stylize_views",
    "finetuned": "finetune_nerf",
    "results": "evaluate",
}
_SCENE_FOLDERS = {"poses": "estimate_poses", "nerf": "train_nerf", "views": "render_views"}


@dataclass(frozen=True)
class Layout:
    """Paths of a project, under its root folder; nothing is looked up on disk."""

    root: Path = Path()
    """the folder of params.yaml and dvc.yaml; by default the current one"""

    @property
    def params(self) -> Path:
        """All parameters."""
        return self.root / "params.yaml"

    @property
    def graph(self) -> Path:
        """DVC's graph of stages."""
        return self.root / "dvc.yaml"

    @property
    def record(self) -> Path:
        """DVC's record of the results: hashes of all that each stage read and wrote."""
        return self.root / "dvc.lock"

    @property
    def data(self) -> Path:
        """The folder of everything that DVC versions."""
        return self.root / "data"

    @property
    def scenes(self) -> Path:
        """Captures, a folder per scene."""
        return self.data / "scenes"

    @property
    def styles(self) -> Path:
        """Images that styles take their look from."""
        return self.data / "styles"

    @property
    def catalogs(self) -> Path:
        """Tables and pages of catalog runs."""
        return self.root / "outputs" / "catalogs"

    @property
    def work(self) -> Path:
        """Checkpoints of stages that run or were killed, `STAGE/DIGEST`."""
        return self.root / ".work"

    def scene(self, scene: str) -> Path:
        """The photos of a scene."""
        return self.scenes / scene

    def poses(self, scene: str) -> Path:
        """Result of the stage estimate_poses."""
        return self.data / "poses" / scene

    def nerf(self, scene: str) -> Path:
        """Result of the stage train_nerf."""
        return self.data / "nerf" / scene

    def views(self, scene: str) -> Path:
        """Result of the stage render_views."""
        return self.data / "views" / scene

    def stylized(self, scene: str, style: str) -> Path:
        """Result of the stage stylize_views."""
        return self.data / "stylized" / scene / style

    def finetuned(self, scene: str, style: str) -> Path:
        """Result of the stage finetune_nerf."""
        return self.data / "finetuned" / scene / style

    def result(self, scene: str, style: str) -> Path:
        """Result of the stage evaluate: figures, orbit and report."""
        return self.data / "results" / scene / style

    def preview(self, scene: str) -> Path:
        """Contact sheet of `scenestyle preview`."""
        return self.root / "outputs" / "previews" / f"{scene}.png"

    def blend(self, scene: str, name: str) -> Path:
        """Result of `scenestyle blend`."""
        return self.root / "outputs" / "blends" / scene / name

    def export(self, name: str) -> Path:
        """File or folder of `scenestyle export`."""
        return self.root / "outputs" / "exports" / name


def project_of(folder: Path) -> Path | None:
    """The nearest folder, from `folder` upwards, with a params.yaml and a dvc.yaml; or none."""
    for root in (folder, *folder.parents):
        if Layout(root).params.exists() and Layout(root).graph.exists():
            return root
    return None


def instance_of(folder: Path) -> str | None:
    """The stage instance of a result folder, `train_nerf@fern` for `data/nerf/fern`.

    Returns:
        The instance; none for a folder that no stage makes, such as that of a capture.
    """
    *_, kind, scene = ("", "", *folder.parts)
    if kind in _SCENE_FOLDERS:
        return f"{_SCENE_FOLDERS[kind]}@{scene}"
    *_, kind, scene, style = ("", "", "", *folder.parts)
    return f"{_EDIT_FOLDERS[kind]}@{scene}-{style}" if kind in _EDIT_FOLDERS else None
