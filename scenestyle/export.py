"""A restyled scene in the formats of other programs."""

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from scenestyle.artifacts import View, ViewsFolder, write_cut_out, write_rgb, write_views
from scenestyle.axes import Up
from scenestyle.cameras import PinholeCamera
from scenestyle.errors import ArtifactError, ParamsError
from scenestyle.export_names import Format
from scenestyle.files import PARTIAL, partial_of
from scenestyle.nerf.dataset import keeps_frame
from scenestyle.nerf.field import RadianceField, Rendering, load_field
from scenestyle.nerfstudio_plugin.splat_field import SplatField, all_splats_of, splats_of
from scenestyle.novel.camera_path import moved_to_run, read_camera_path
from scenestyle.novel.fitted_splats import fit_splats
from scenestyle.novel.mesh import fused_mesh
from scenestyle.novel.orbit import novel_path, read_surfaces
from scenestyle.novel.surface import surface_points, thinned
from scenestyle.splat_file import write_splats
from scenestyle.viz.video import centred, write_video

CameraPath = Literal["orbit", "capture"]

MAX_POINTS = 300_000
_FPS = 12
_RUN_FOLDER = re.compile(
    r"^( *(?:output_dir|data): !!python/object/apply:pathlib\.PosixPath) \[\]$", re.MULTILINE
)
"""where nerfstudio's configuration says that a run lies in the current folder"""


@dataclass(frozen=True)
class ExportOptions:
    """What a format leaves open; each format reads only what concerns it."""

    path: CameraPath = "orbit"
    """cameras of a video or frames: the novel orbit of the report, or the cameras of the capture in
    their order; a video has one size, and smaller images stand on black in its middle"""
    seconds: float = 4.0
    """length of an orbit, above 0"""
    fps: int | None = None
    """frames per second of a video, and with `seconds` the number of frames of an orbit; above 0;
    none: 12, or what `camera_path` says"""
    size: int | None = None
    """long side of rendered images, pixels; none: that of the rendered views or of `camera_path`"""
    max_points: int = MAX_POINTS
    """largest number of points of a point cloud, above 0"""
    up: Up | None = None
    """which axis of a file of splats points up; none: y-down, or, where the scene came as splats,
    the frame of its file"""
    fit_steps: int = 1500
    """steps of fitting splats to a field that has none, above 0"""
    camera_path: Path | None = None
    """a camera_path.json of nerfstudio's viewer, which goes before `path` and `seconds`"""
    camera_path_run: Path | None = None
    """the run of nerfstudio that the viewer showed; none: one of this scene, source or restyled"""


def export(finetuned: Path, views: Path, format: Format, out: Path, options: ExportOptions) -> None:
    """Write a restyled scene to `out`, which must not exist, as a whole or not at all.

    - `ply`: the visible surface as coloured points; opens in MeshLab, Blender, Open3D.
    - `splat`: the Gaussians of a field of splats, in the .ply file of 3DGS that its viewers read;
      of a scene that came as splats each of them, in the order of its file; of nerfacto, Gaussians
      that are fitted to its renders, which takes minutes.
    - `mesh`: the same as triangles with a colour per vertex, as PLY.
    - `glb`: that mesh as binary glTF, whose y points up, its colours shown without lights.
    - `video`: H.264 MP4 along the path.
    - `frames`: PNG files along the path, transparent if photos were cut out, and `cameras.json`,
      their poses and intrinsics.
    - `nerfstudio`: the run itself, for ns-viewer, ns-render and ns-export from any folder, as long
      as it stays where it is written to.

    All but `nerfstudio` are in the field's frame, where no unit is a metre; those of `splat` are
    turned so that `options.up` is up, those of `glb` so that y is. The field of a scene that came
    as splats has their frame, and is not turned.

    Args:
        finetuned: Run written by finetune_nerf.
        views: Folder written by render_views for the same scene.
        format: One of the above.
        out: File, for `frames` and `nerfstudio` folder.
        options: Sizes and lengths.

    Raises:
        ArtifactError: If `out` exists, an input is incomplete, or the field shows no surface.
        ParamsError: If the splats of a scene that came as such are to be turned.
    """
    if out.exists():
        raise ArtifactError(f"{out} exists already. Remove it, or choose another --out.")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(out)
    shutil.rmtree(partial, ignore_errors=True)
    write: dict[Format, Callable[[], None]] = {
        "ply": lambda: _write_points(finetuned, views, partial, options),
        "splat": lambda: _write_splats(finetuned, views, partial, options),
        "mesh": lambda: _write_mesh(finetuned, views, partial, options),
        "glb": lambda: _write_glb(finetuned, views, partial, options),
        "video": lambda: _write_video(finetuned, views, partial, options),
        "frames": lambda: _write_frames(finetuned, views, partial, options),
        "nerfstudio": lambda: _copy_run(finetuned, partial, out.resolve()),
    }
    write[format]()
    partial.rename(out)


def path_cameras(
    finetuned: Path, views: Path, options: ExportOptions
) -> tuple[list[PinholeCamera], int]:
    """The cameras of the chosen path, in the field's frame, and its frames per second.

    Raises:
        ArtifactError: If a file of the views is missing or damaged.
        InputError: If the camera path cannot be used.
    """
    if options.camera_path is not None:
        drawn = read_camera_path(options.camera_path)
        cameras = drawn.cameras
        if options.camera_path_run is not None:
            cameras = moved_to_run(cameras, options.camera_path_run, finetuned)
        return [_sized(camera, options.size) for camera in cameras], options.fps or drawn.fps
    fps = options.fps or _FPS
    posed, surfaces_z = read_surfaces(views)
    if options.path == "capture":
        cameras = [view.camera for view in posed]
    else:
        num_frames = max(1, round(options.seconds * fps))
        whole = max(max(view.camera.width, view.camera.height) for view in posed)
        cameras = novel_path(posed, surfaces_z, num_frames, max_side=whole)
    return [_sized(camera, options.size) for camera in cameras], fps


def _sized(camera: PinholeCamera, size: int | None) -> PinholeCamera:
    """The camera with images of that long side, which may be larger than before."""
    if size is None:
        return camera
    scale = size / max(camera.width, camera.height)
    return camera.resized(round(camera.width * scale), round(camera.height * scale))


def _rendered(finetuned: Path, cameras: Sequence[PinholeCamera]) -> list[Rendering]:
    field = load_field(finetuned)
    return [field.render(camera) for camera in cameras]


def _surface_renders(
    finetuned: Path, views: Path, options: ExportOptions
) -> tuple[list[PinholeCamera], list[Rendering]]:
    source = ViewsFolder.open(views)
    cameras = [_sized(view.camera, options.size) for view in source.views]
    pairs = zip(source.views, _rendered(finetuned, cameras), strict=True)
    return cameras, [_known(rendering, source.is_used(view)) for view, rendering in pairs]


def _known(rendering: Rendering, is_used: Bool[np.ndarray, "_ _"]) -> Rendering:
    """The rendering, empty where the photo of its view is hidden: nothing was learned there."""
    if is_used.all():
        return rendering
    height, width = rendering.opacity.shape
    mask = Image.fromarray(is_used).resize((width, height), Image.Resampling.NEAREST)
    return replace(rendering, opacity=rendering.opacity * np.asarray(mask))


def _write_points(finetuned: Path, views: Path, out: Path, options: ExportOptions) -> None:
    import trimesh

    cameras, renderings = _surface_renders(finetuned, views, options)
    found = thinned(surface_points(cameras, renderings), options.max_points)
    trimesh.PointCloud(found.points, colors=_as_bytes(found.colours)).export(out, file_type="ply")


def _write_splats(finetuned: Path, views: Path, out: Path, options: ExportOptions) -> None:
    field = load_field(finetuned)
    model = field.model
    if not isinstance(model, SplatField):
        with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=out.parent) as work:
            model = _fitted(field, ViewsFolder.open(views), Path(work), options)
    if not keeps_frame(finetuned):
        write_splats(out, splats_of(model).turned(options.up or "y-down"))
    elif options.up is None:
        write_splats(out, all_splats_of(model))
    else:
        raise ParamsError(
            "The scene came as splats, and goes out in the frame of its file, so that it can take "
            "that one's place; --up is for scenes from photos. Leave it out."
        )


def _fitted(
    field: RadianceField, source: ViewsFolder, work: Path, options: ExportOptions
) -> SplatField:
    """Splats that show what a field without Gaussians shows, from its views and an orbit."""
    posed = [replace(view, camera=_sized(view.camera, options.size)) for view in source.views]
    surfaces_z = [source.surface_z(view) for view in source.views]
    side = max(max(view.camera.width, view.camera.height) for view in source.views)
    orbit = novel_path(source.views, surfaces_z, len(posed), max_side=side)
    between = [
        View(f"orbit_{number:04d}", "train", _sized(camera, options.size))
        for number, camera in enumerate(orbit)
    ]
    hidden = {}
    for view, sized in zip(source.views, posed, strict=True):
        if not (is_used := source.is_used(view)).all():
            size = sized.camera.width, sized.camera.height
            mask = Image.fromarray(is_used).resize(size, Image.Resampling.NEAREST)
            hidden[view.name] = ~np.asarray(mask)
    steps = options.fit_steps
    model, _ = fit_splats(field, [*posed, *between], work, hidden=hidden, steps=steps)
    return model


def _write_mesh(finetuned: Path, views: Path, out: Path, options: ExportOptions) -> None:
    import trimesh

    mesh = fused_mesh(*_surface_renders(finetuned, views, options))
    trimesh.Trimesh(
        mesh.vertices, mesh.triangles, vertex_colors=_as_bytes(mesh.colours), process=False
    ).export(out, file_type="ply")


def _write_glb(finetuned: Path, views: Path, out: Path, options: ExportOptions) -> None:
    import trimesh
    from trimesh.exchange.gltf import export_glb

    mesh = fused_mesh(*_surface_renders(finetuned, views, options))
    x, y, z = mesh.vertices.T
    vertices = mesh.vertices if keeps_frame(finetuned) else np.stack([x, z, -y], axis=-1)
    colours = _as_bytes(_linear(mesh.colours))
    shape = trimesh.Trimesh(vertices, mesh.triangles, vertex_colors=colours, process=False)
    out.write_bytes(export_glb(trimesh.Scene(shape), tree_postprocessor=_without_lights))


def _linear(srgb: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Amounts of light, as glTF's vertices hold them, of an image's colours (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _without_lights(tree: dict[str, Any]) -> None:
    """Let viewers show a glTF tree's colours as they are, from both sides."""
    unlit = "KHR_materials_unlit"
    plain = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
    tree["materials"] = [
        {"pbrMetallicRoughness": plain, "doubleSided": True, "extensions": {unlit: {}}}
    ]
    tree["extensionsUsed"] = [unlit]
    for mesh in tree["meshes"]:
        for primitive in mesh["primitives"]:
            primitive["material"] = 0


def _as_bytes(colours: Float[np.ndarray, "n 3"]) -> UInt8[np.ndarray, "n 3"]:
    return np.rint(255 * np.clip(colours, 0, 1)).astype(np.uint8)


def _write_video(finetuned: Path, views: Path, out: Path, options: ExportOptions) -> None:
    field = load_field(finetuned)
    cameras, fps = path_cameras(finetuned, views, options)
    height, width = (max(getattr(c, side) for c in cameras) for side in ("height", "width"))
    frames = (centred(field.render(camera).rgb, height, width) for camera in cameras)
    write_video(out, frames, fps=fps)


def _write_frames(finetuned: Path, views: Path, out: Path, options: ExportOptions) -> None:
    cameras, _ = path_cameras(finetuned, views, options)
    field = load_field(finetuned)
    names = [f"frame_{index:05d}" for index in range(len(cameras))]
    is_cut_out = any(view.is_cut_out for view in field.views)
    for name, camera in zip(names, cameras, strict=True):
        rendering = field.render(camera)
        if is_cut_out:
            write_cut_out(out / f"{name}.png", rendering.rgb, rendering.opacity)
        else:
            write_rgb(out / f"{name}.png", rendering.rgb)
    write_views(
        out, [View(name, "held_out", camera) for name, camera in zip(names, cameras, strict=True)]
    )


def _copy_run(finetuned: Path, partial: Path, out: Path) -> None:
    """A run that nerfstudio's tools open from any folder, since its paths are those of `out`."""
    load_field(finetuned)  # refuses a folder that is no complete run
    shutil.copytree(finetuned, partial)
    config = partial / "config.yml"
    absolute = f"\\1 [{json.dumps(str(out))}]"
    config.write_text(_RUN_FOLDER.sub(absolute, config.read_text(encoding="utf-8")), "utf-8")
