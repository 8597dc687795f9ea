"""`scenestyle export`."""

from typing import Literal

from cli.console import LAYOUT, OptionalInt, OptionalPath, SceneId, StyleId, given, say
from scenestyle.errors import ArtifactError, ParamsError
from scenestyle.export_names import ENDINGS, Format, Up, default_name
from scenestyle.params import edit_key, load_params


def export(
    scene: SceneId,
    style: StyleId,
    *,
    format: Format,
    out: OptionalPath = None,
    path: Literal["orbit", "capture"] = "orbit",
    seconds: float = 4.0,
    fps: int = 12,
    size: OptionalInt = None,
    max_points: int = 300_000,
    up: Up = "y-down",
) -> None:
    """Write a restyled scene for other programs.

    ply: coloured points; splat: Gaussians, in the .ply file of 3DGS (of a scene that was trained
    with train_nerf.field: splats); mesh: triangles with colours (PLY); video: MP4; frames: PNG
    files with their cameras; nerfstudio: the run, for ns-viewer, ns-render and ns-export.

    Example: scenestyle export fern watercolor --format video --seconds 8 --fps 24 --size 480

    Args:
        scene: Id of a scene in params.yaml.
        style: Id of a style in params.yaml, in which the scene is made already.
        format: What to write.
        out: File or folder, which must not exist; default: in outputs/exports/.
        path: Cameras of a video or frames: a novel orbit, or those of the capture in their order.
        seconds: Length of an orbit.
        fps: Frames per second.
        size: Long side of the rendered images, pixels; default: that of the rendered views. For
            points and meshes it sets the detail.
        max_points: Largest number of points of a point cloud.
        up: Which axis of a file of splats points up: against y, as viewers of 3DGS files take it;
            y, as game engines do; or z, as Blender does.
    """
    edit = edit_key(load_params(LAYOUT.params), scene, style)
    least = {"--seconds": seconds, "--fps": fps, "--size": size, "--max-points": max_points}
    faults = [
        f"{name}: must be above 0, got {value:g}"
        for name, value in least.items()
        if value is not None and value <= 0
    ]
    target = given(out) if out else LAYOUT.export(default_name(format, edit))
    if target.exists():
        faults.append(f"{target} exists already; remove it, or choose another --out")
    ending = ENDINGS.get(format, "")
    if ending and target.suffix.lower() != ending:
        faults.append(f"--out: {format} is written to a file that ends in {ending}, got {target}")
    if faults:
        raise ParamsError(f"{'; '.join(faults)}.")
    finetuned = LAYOUT.finetuned(scene, style)
    for folder, stage in (
        (LAYOUT.views(scene), f"render_views@{scene}"),
        (finetuned, f"finetune_nerf@{edit}"),
    ):
        if not folder.is_dir():
            raise ArtifactError(f"{folder}: not made yet. Run: dvc repro {stage}")
    from scenestyle.export import ExportOptions
    from scenestyle.export import export as write

    options = ExportOptions(path, seconds, fps, size, max_points, up)
    write(finetuned, LAYOUT.views(scene), format, target, options)
    say(f"{format}: {target.resolve()}")
