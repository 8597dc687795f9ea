"""Render the field from every posed camera. Reads a run, writes colour, depth, opacity, cameras."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from engine.stage import stage_main
from scenestyle.artifacts import (
    View,
    read_json,
    read_mask,
    write_json,
    write_map,
    write_mask,
    write_rgb,
    write_views,
)
from scenestyle.cameras import PinholeCamera, fit_within
from scenestyle.errors import ArtifactError
from scenestyle.params import RenderViews

_MULTIPLE = 8
"""Latents of diffusion models are an eighth of the picture; other sizes would be padded or cropped.
"""


def run(nerf: Path, poses: Path, out: Path, params: RenderViews) -> dict[str, object]:
    """Render every training and held-out camera."""
    from scenestyle.nerf.field import load_field

    start = time.perf_counter()
    field = load_field(nerf)
    masks = _masks(field.views, poses)
    views = [
        replace(view, camera=resized(view.camera, params.max_image_side)) for view in field.views
    ]
    for view in views:
        rendering = field.render(view.camera)
        write_rgb(out / "rgb" / f"{view.name}.png", rendering.rgb)
        write_map(out / "depth_z" / f"{view.name}.npy", rendering.depth_z)
        write_map(out / "opacity" / f"{view.name}.npy", rendering.opacity)
        if view.name in masks:
            is_used = read_mask(masks[view.name], (view.camera.width, view.camera.height))
            write_mask(out / "masks" / f"{view.name}.png", is_used)
    write_views(out, views)
    sizes = Counter((view.camera.width, view.camera.height) for view in views)
    (width, height), _ = sizes.most_common(1)[0]
    figures = {
        "views": len(views),
        "width": width,
        "height": height,
        **({"sizes": _listed(sizes)} if len(sizes) > 1 else {}),
        "seconds": round(time.perf_counter() - start, 1),
    }
    versions = {name: version(name) for name in ("nerfstudio", "numba", "torch")}
    write_json(out / "report.json", {**figures, "versions": versions})
    return figures


def _listed(sizes: Counter[tuple[int, int]]) -> dict[str, int]:
    """Number of views of each size."""
    return {f"{width}x{height}": count for (width, height), count in sizes.items()}


def _masks(views: Sequence[View], poses: Path) -> dict[str, Path]:
    """The photos' masks by view, if there are any; checks that the field knows these photos."""
    frames = read_json(poses / "transforms.json")["frames"]
    posed = {Path(frame["file_path"]).stem for frame in frames}
    trained = {view.name for view in views}
    if posed != trained:
        raise ArtifactError(
            f"The field was trained on {len(trained)} views, {poses} has {len(posed)} "
            f"(only in one of them: {sorted(posed ^ trained)[:5]}). Rerun train_nerf."
        )
    return {
        Path(frame["file_path"]).stem: poses / frame["mask_path"]
        for frame in frames
        if "mask_path" in frame
    }


def resized(camera: PinholeCamera, max_image_side: int | None) -> PinholeCamera:
    """The same view at most `max_image_side` pixels long, both sides a multiple of eight."""
    side = max(camera.width, camera.height) if max_image_side is None else max_image_side
    size = fit_within(camera.width, camera.height, side, multiple_of=_MULTIPLE)
    return camera.resized(*size)


def main() -> None:
    """Run the stage as a program."""
    stage_main(run)


if __name__ == "__main__":
    main()
