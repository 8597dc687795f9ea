"""Bring a user's photos, video or posed dataset into the project, whole or not at all."""

import shutil
from pathlib import Path

from scenestyle.errors import InputError
from scenestyle.files import whole_folder
from scenestyle.project.params_file import add_entry, scene_entry
from scenestyle.project.sources import Source, check_exists, files_of, inspect_source
from scenestyle.project.video import write_stills
from scenestyle.sfm.photos import MIN_PHOTOS

NUM_STILLS = 60
"""images that are taken from a video"""


def add_scene_folder(
    name: str, source: Path, caption: str, *, scenes: Path, params: Path, num_stills: int
) -> Source:
    """Check `source`, copy it to `scenes/name` and add the scene to params.yaml.

    A `source` that is `scenes/name` already is only checked and added.

    Args:
        name: Checked id of the new scene.
        source: Folder of photos, posed dataset or video; only read.
        caption: What the photos show.
        scenes: The project's folder of scenes.
        params: The project's params.yaml.
        num_stills: How many images to take from a video.

    Returns:
        What lies in `scenes/name` now.

    Raises:
        InputError: If the source cannot be used, or the folder of this name is taken.
        ParamsError: If the scene exists.
    """
    target = scenes / name
    if target.exists() and not _is_same_place(source, target):
        raise InputError(
            f"{target} exists, but params.yaml has no scene {name!r}. Choose another name, "
            f"remove that folder, or take it as it is: scenestyle add-scene {name} {target} "
            "--caption '...'"
        )
    existed = target.exists()
    found = take_in(source, target, num_stills=num_stills)
    try:
        add_entry(params, "scenes", name, scene_entry(caption))
    except BaseException:
        if not existed:
            shutil.rmtree(target)
        raise
    return found


def take_in(source: Path, target: Path, *, num_stills: int = NUM_STILLS) -> Source:
    """Check a capture and put a copy of it at `target`, in place of what may lie there.

    Args:
        source: Folder of photos, posed dataset or video; only read. It may be `target` itself.
        target: The scene's folder.
        num_stills: How many images to take from a video.

    Returns:
        What lies at `target` now.

    Raises:
        InputError: If the source cannot be used; nothing has changed then.
    """
    found = inspect_source(source)
    if _is_same_place(source, target):
        return found
    if target.resolve().is_relative_to(source.resolve()):
        raise InputError(f"{source} contains {target.parent}; give the scene's own folder.")
    with whole_folder(target) as partial:
        _copy(source, found, partial, num_stills)
    return inspect_source(target) if found.kind == "video" else found


def is_taken_in(source: Path, target: Path) -> bool:
    """Whether `target` holds what `source` holds, by names, sizes and dates of the files.

    Raises:
        InputError: If the source is not there or holds too few photos.
    """
    check_exists(source)
    if _is_same_place(source, target):
        return target.is_dir()
    if source.is_file():
        dates = {path.stat().st_mtime_ns for path in target.glob("*")}
        return dates == {source.stat().st_mtime_ns}
    wanted = {name: _size_and_date(file) for name, file in files_of(source).items()}
    found = {
        str(path.relative_to(target)): _size_and_date(path)
        for path in target.rglob("*")
        if path.is_file()
    }
    return wanted == found


def _size_and_date(file: Path) -> tuple[int, int]:
    return file.stat().st_size, file.stat().st_mtime_ns


def _is_same_place(source: Path, target: Path) -> bool:
    return source.resolve() == target.resolve()


def _copy(source: Path, found: Source, partial: Path, num_stills: int) -> None:
    if found.kind == "video":
        write_stills(source, partial, count=num_stills)
        if (got := len(list(partial.iterdir()))) < MIN_PHOTOS:
            raise InputError(f"{source} gave {got} pictures; at least {MIN_PHOTOS} are needed.")
        return
    for name, file in files_of(source).items():
        (partial / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, partial / name)
