"""Bring a user's photos or posed dataset into the project, whole or not at all."""

import shutil
from pathlib import Path

from scenestyle.errors import InputError
from scenestyle.project.params_file import add_entry, scene_entry
from scenestyle.project.sources import Source, inspect_source


def add_scene_folder(
    name: str, source: Path, caption: str, *, scenes: Path, params: Path
) -> Source:
    """Check `source`, copy it to `scenes/name` and add the scene to params.yaml.

    A `source` that is `scenes/name` already is only checked and added.

    Args:
        name: Checked id of the new scene.
        source: Folder of photos or posed dataset; only read.
        caption: What the photos show.
        scenes: The project's folder of scenes.
        params: The project's params.yaml.

    Raises:
        InputError: If the source cannot be used, or the folder of this name is taken.
        ParamsError: If the scene exists.
    """
    target = scenes / name
    in_place = source.resolve() == target.resolve()
    if target.exists() and not in_place:
        raise InputError(
            f"{target} exists, but params.yaml has no scene {name!r}. Choose another name, remove that "
            f"folder, or take it as it is: scenestyle add-scene {name} {target} --caption '...'"
        )
    if target.resolve().is_relative_to(source.resolve()) and not in_place:
        raise InputError(f"{source} contains {scenes}; give the scene's own folder.")
    found = inspect_source(source)
    if not in_place:
        _copy(source, found, target)
    try:
        add_entry(params, "scenes", name, scene_entry(caption))
    except BaseException:
        if not in_place:
            shutil.rmtree(target)
        raise
    return found


def _copy(source: Path, found: Source, target: Path) -> None:
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        if found.kind == "photos":
            for image in found.images:
                shutil.copy2(image, partial)
        else:
            shutil.copytree(source, partial, dirs_exist_ok=True)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
