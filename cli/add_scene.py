"""`scenestyle add-scene`."""

from cli.console import LAYOUT, NewName, OptionalFloat, OptionalPath, OptionalUp, Source, given, say
from engine.captures import CaptureError, track
from scenestyle.capture import Capture
from scenestyle.capture.capture import counted
from scenestyle.errors import InputError, ParamsError
from scenestyle.params import check_id, load_params
from scenestyle.project.scenes import NUM_STILLS, Wishes, add_scene_folder


def add_scene(
    name: NewName,
    source: Source,
    *,
    caption: str,
    masks: OptionalPath = None,
    cameras: OptionalPath = None,
    up: OptionalUp = None,
    num_stills: int = NUM_STILLS,
    start: float = 0.0,
    stop: OptionalFloat = None,
) -> None:
    """Add a scene: photos, a video, a ZIP file, a data set that comes with poses, or splats.

    It is checked, then copied to data/scenes/NAME and put under DVC. Poses may come as a
    transforms.json (nerfstudio, instant-ngp, Blender), as a COLMAP model, or as exports of
    RealityScan, Metashape, Pix4D, OpenDroneMap and others (docs/howto/captures.md). Of a video, the
    sharpest frames are taken, evenly spaced. 360 degree pictures are split into views. Splats are a
    .ply file of 3DGS, or the folder that its training wrote; they are restyled as they are, and
    scenestyle export --format splat writes them back in the same order and frame.

    Example: scenestyle add-scene fern ~/photos/fern --caption "a fern in an office"

    Args:
        name: Letters, digits and underscores.
        source: Folder, video or ZIP file; it is only read.
        caption: What the photos show; fills {caption} in a style's prompt.
        masks: Folder of images named as the photos; what is black in them is not used.
        cameras: Of splats: cameras.json of 3DGS, transforms.json, or a folder with one of them or a
            COLMAP model, in the frame of the splats; default: those in their folder, or else some
            laid round them.
        up: Of splats without cameras: which of their axes points up, y-down by default.
        num_stills: How many images to take from a video.
        start: Second of the video from which they are taken.
        stop: Second of the video up to which they are taken; by default its end.
    """
    check_id("scene", name)
    if name in load_params(LAYOUT.params).scenes:
        raise ParamsError(f"there is a scene {name!r} already. Choose another name.")
    masks = None if masks is None else given(masks)
    if masks is not None and not masks.is_dir():
        raise InputError(f"{masks} is no folder; wanted is the folder of the masks.")
    cameras = None if cameras is None else given(cameras)
    if start < 0 or (stop is not None and stop <= start):
        end = "" if stop is None else f" and stop {stop:g}"
        raise InputError(f"start {start:g}{end} of the video: wanted 0 <= start < stop.")
    found = add_scene_folder(
        name,
        given(source),
        caption,
        scenes=LAYOUT.scenes,
        params=LAYOUT.params,
        wishes=Wishes(num_stills, start, stop, masks, cameras, up),
        tell=say,
    )
    for warning in found.warnings:
        say(f"Warning: {warning}")
    say(f"Added scene {name}: {found_in_words(found)}.", changes_in_words(found))
    say(_under_dvc(name), f"Next: scenestyle restyle {name} STYLE")


def found_in_words(found: Capture) -> str:
    """Layout, number and sizes of photos, lens, masks and transparency, in one line."""
    if found.splats is not None:
        assert found.model is not None
        size = found.splats.stat().st_size / 1e6
        return f"splats ({size:.1f} MB), {counted(found.model.num_images(), 'camera')}"
    sizes = [f"{width}x{height}" for width, height in found.sizes]
    more = f" and {len(sizes) - 3} more sizes" if len(sizes) > 3 else ""
    used = f"{len(found.photos):,}"
    if found.listed > len(found.photos):
        used += f" of {found.listed:,}"
    poses = "poses will be estimated" if found.model is None else f"with poses ({found.layout})"
    masked = sum(photo.mask is not None for photo in found.photos)
    cut_out = sum(photo.transparent for photo in found.photos)
    return ", ".join(
        [
            f"{used} pictures of {', '.join(sizes[:3])}{more} pixels",
            poses,
            *([] if found.model is None else [found.lens]),
            f"{counted(masked, 'mask')}" if masked else "no masks",
            *([f"{counted(cut_out, 'picture')} with transparency"] if cut_out else []),
        ]
    )


def changes_in_words(found: Capture) -> str:
    """What was left out and what was changed, in one line."""
    left_out = "; ".join(found.left_out) or "nothing"
    changed = "; ".join(found.changed) or "nothing"
    return f"Left out: {left_out}. Changed: {changed}."


def _under_dvc(name: str) -> str:
    """Put the photos under DVC; what became of it. The scene is there either way."""
    try:
        tracked = track(LAYOUT.root, [name])
    except CaptureError as error:
        return f"Warning: its files have no second copy: {error}"
    if not tracked:
        return f"{LAYOUT.scene(name)} is kept by git."
    return f"Its files are in DVC's cache; keep them for others: git add {tracked[0]}; dvc push"
