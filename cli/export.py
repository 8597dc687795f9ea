"""`scenestyle export`."""

import logging
from typing import Literal

from cli.console import (
    LAYOUT,
    OptionalFloat,
    OptionalInt,
    OptionalPath,
    OptionalUp,
    SceneId,
    StyleId,
    given,
    say,
)
from scenestyle.errors import ArtifactError, ParamsError
from scenestyle.export_names import ENDINGS, Format, default_name
from scenestyle.params import edit_key, load_params


def export(
    scene: SceneId,
    style: StyleId,
    *,
    format: Format,
    out: OptionalPath = None,
    path: Literal["orbit", "capture"] = "orbit",
    camera_path: OptionalPath = None,
    camera_path_run: OptionalPath = None,
    seconds: OptionalFloat = None,
    fps: OptionalInt = None,
    size: OptionalInt = None,
    max_points: int = 300_000,
    up: OptionalUp = None,
) -> None:
    """Write a restyled scene for other programs.

    ply: coloured points; splat: Gaussians, in the .ply file of 3DGS (of nerfacto they are fitted to
    its renders, which takes minutes); mesh: triangles with colours (PLY);
    glb: the same for game engines and browsers (binary glTF); video: MP4; frames: PNG
    files with their cameras; nerfstudio: the run, for ns-viewer, ns-render and ns-export.

    Example: scenestyle export fern watercolor --format video --seconds 8 --fps 24 --size 480

    Args:
        scene: Id of a scene in params.yaml.
        style: Id of a style in params.yaml, in which the scene is made already.
        format: What to write.
        out: File or folder, which must not exist; default: in outputs/exports/.
        path: Cameras of a video or frames: a novel orbit, or those of the capture in their order.
        camera_path: Cameras of your own instead: a camera_path.json, as nerfstudio's viewer saves
            it while it shows the scene's run, source or restyled.
        camera_path_run: If the viewer showed another run of nerfstudio: its folder, with
            dataparser_transforms.json, of a data set that is posed as the scene is.
        seconds: Length of an orbit, 4 by default.
        fps: Frames per second; default: 12, or those of the camera path.
        size: Long side of the rendered images, pixels; default: that of the rendered views, or of
            the camera path. For points and meshes it sets the detail.
        max_points: Largest number of points of a point cloud.
        up: Which axis of a file of splats points up: against y, as viewers of 3DGS files take it
            (the default); y, as game engines do; or z, as Blender does. A scene that came as
            splats keeps the frame of its file.
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
    if camera_path is not None and format not in ("video", "frames"):
        faults.append(f"--camera-path is for video and frames, got --format {format}")
    if camera_path is not None and (seconds is not None or path != "orbit"):
        faults.append("--camera-path: says the length itself, without --seconds and --path")
    if camera_path_run is not None and camera_path is None:
        faults.append("--camera-path-run is for --camera-path, which is missing")
    if faults:
        raise ParamsError(f"{'; '.join(faults)}.")
    finetuned = LAYOUT.finetuned(scene, style)
    for folder, stage in (
        (LAYOUT.views(scene), f"render_views@{scene}"),
        (finetuned, f"finetune_nerf@{edit}"),
    ):
        if not folder.is_dir():
            raise ArtifactError(f"{folder}: not made yet. Run: dvc repro {stage}")
    logging.getLogger("scenestyle").setLevel(logging.INFO)  # fitting splats says how far it is
    from scenestyle.export import ExportOptions
    from scenestyle.export import export as write

    options = ExportOptions(
        path=path,
        seconds=seconds or 4.0,
        fps=fps,
        size=size,
        max_points=max_points,
        up=up,
        camera_path=given(camera_path) if camera_path else None,
        camera_path_run=given(camera_path_run) if camera_path_run else None,
    )
    write(finetuned, LAYOUT.views(scene), format, target, options)
    say(f"{format}: {target.resolve()}")
