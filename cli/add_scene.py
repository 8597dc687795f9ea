"""`scenestyle add-scene`."""

from cli.console import LAYOUT, NewName, Source, given, say
from scenestyle.errors import ParamsError
from scenestyle.params import check_id, load_params
from scenestyle.project.scenes import NUM_STILLS, add_scene_folder


def add_scene(name: NewName, source: Source, *, caption: str, num_stills: int = NUM_STILLS) -> None:
    """Add a scene: a folder of photos, a video, or a dataset that comes with poses.

    It is checked, then copied to data/scenes/NAME. A posed dataset has a transforms.json
    (nerfstudio) or a COLMAP model. Of a video, the sharpest frames are taken, evenly spaced.

    Example: scenestyle add-scene fern ~/photos/fern --caption "a fern in an office"

    Args:
        name: Letters, digits and underscores.
        source: The folder or the video; it is only read.
        caption: What the photos show; fills {caption} in a style's prompt.
        num_stills: How many images to take from a video.
    """
    check_id("scene", name)
    if name in load_params(LAYOUT.params).scenes:
        raise ParamsError(f"there is a scene {name!r} already. Choose another name.")
    found = add_scene_folder(
        name,
        given(source),
        caption,
        scenes=LAYOUT.scenes,
        params=LAYOUT.params,
        num_stills=num_stills,
    )
    sizes = ", ".join(f"{width}x{height}" for width, height in found.sizes[:3])
    poses = "poses will be estimated" if found.kind == "photos" else f"with poses ({found.kind})"
    say(f"Added scene {name}: {len(found.images)} pictures of {sizes} pixels, {poses}.")
    if found.ignored:
        say(f"Left out {len(found.ignored)} other files: {', '.join(found.ignored[:5])}.")
    say(f"Next: scenestyle restyle {name} STYLE")
