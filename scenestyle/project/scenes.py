"""Bring a user's photos, video or posed data set into the project, whole or not at all."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from scenestyle.axes import Up
from scenestyle.capture import MIN_PHOTOS, Capture, read_capture
from scenestyle.capture.pictures import PHOTO_SUFFIXES
from scenestyle.capture.splats import SPLATS
from scenestyle.errors import InputError
from scenestyle.files import PARTIAL, whole_folder
from scenestyle.project.archive import is_zip, unpack
from scenestyle.project.costs import sentence_of_costs
from scenestyle.project.panorama import VIEWS, split_panoramas
from scenestyle.project.params_file import add_entry, scene_entry
from scenestyle.project.splats import write_splat_scene
from scenestyle.project.video import write_stills

NUM_STILLS = 60
"""images that are taken from a video"""


@dataclass(frozen=True)
class Wishes:
    """How a capture is to be taken in."""

    num_stills: int = NUM_STILLS
    """images to take from a video"""
    start: float = 0.0
    """second of the video from which they are taken"""
    stop: float | None = None
    """second of the video up to which they are taken; none: to its end"""
    masks: Path | None = None
    """folder of masks; none: those that lie with the photos"""
    cameras: Path | None = None
    """file or folder with the cameras of splats; none: those in their folder, if any"""
    up: Up | None = None
    """which axis of splats points up, where cameras are laid round them; none: y-down"""


def add_scene_folder(
    name: str,
    source: Path,
    caption: str,
    *,
    scenes: Path,
    params: Path,
    wishes: Wishes | None = None,
    tell: Callable[[str], None] | None = None,
) -> Capture:
    """Check `source`, copy it to `scenes/name` and add the scene to params.yaml.

    A `source` that is `scenes/name` already is only checked and added.

    Args:
        name: Checked id of the new scene.
        source: Folder of photos, posed data set, video, ZIP or splats; only read.
        caption: What the photos show.
        scenes: The project's folder of scenes.
        params: The project's params.yaml.
        wishes: What is asked of it.
        tell: Takes a sentence before what takes long.

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
    found = take_in(source, target, wishes, tell=tell)
    try:
        add_entry(params, "scenes", name, scene_entry(caption))
    except BaseException:
        if not existed:
            shutil.rmtree(target)
        raise
    return found


def take_in(
    source: Path,
    target: Path,
    wishes: Wishes | None = None,
    *,
    tell: Callable[[str], None] | None = None,
) -> Capture:
    """Check a capture and put a copy of what is used of it in place of what lies at `target`.

    Videos become stills, 360 degree pictures pinhole views, ZIPs are unpacked, splats without
    cameras get some. The copy is read once more, as the stages will read it.

    Args:
        source: Folder of photos, posed data set, video, ZIP or splats; only read. It may be
            `target`.
        target: The scene's folder.
        wishes: What is asked of it.
        tell: Takes a sentence before what takes long.

    Returns:
        What lies at `target` now, and what was left out and changed on the way.

    Raises:
        InputError: If the source cannot be used; nothing has changed then.
    """
    wishes = wishes or Wishes()
    check_exists(source)
    if _is_same_place(source, target):
        found = read_capture(source, masks=wishes.masks, cameras=wishes.cameras)
        if found.splats is not None:
            _check_up(found, wishes)
            if found.model is not None and wishes.cameras is None:
                return found
            laid = write_splat_scene(found, target, wishes.up)
            return replace(found, model=read_capture(target, decode=False).model, changed=laid)
        if wishes.masks is not None:
            _copy(found, source, target, wishes.masks)
        if found.panoramas:
            raise InputError(
                f"{source} holds 360 degree pictures, which are split on taking in: move the "
                "folder out of the project and give its new place."
            )
        return found
    if target.resolve().is_relative_to(source.resolve()):
        raise InputError(f"{source} contains {target.parent}; give the scene's own folder.")
    with whole_folder(target) as partial, _as_folder(source, target, wishes) as (folder, said):
        found = _read(folder, source, wishes, tell)
        _check_up(found, wishes)
        if found.splats is not None:
            laid = write_splat_scene(found, partial, wishes.up)
            model = read_capture(partial, decode=False).model
            changed = (*said, *found.changed, *laid)
            return replace(found, splats=target / SPLATS, model=model, changed=changed)
        if found.panoramas:
            split_panoramas(found, partial)
            views = f"each of {len(found.photos):,} 360 degree pictures split into {VIEWS} views"
            said = (*said, views)
        else:
            _copy(found, folder, partial, wishes.masks)
        copy = _moved(read_capture(partial, decode=False), partial, target)
    changed = (*said, *found.changed)
    if found.panoramas:
        return replace(copy, left_out=found.left_out, changed=changed)
    assert {photo.name for photo in copy.photos} == {photo.name for photo in found.photos}
    return replace(found, photos=copy.photos, model=copy.model, changed=changed)


def is_taken_in(source: Path, target: Path) -> bool:
    """Whether `target` holds what `source` holds, by names, sizes and dates of the files.

    Raises:
        InputError: If the source is not there or cannot be used.
    """
    check_exists(source)
    if _is_same_place(source, target):
        return target.is_dir()
    if source.is_file():
        dates = {path.stat().st_mtime_ns for path in target.rglob("*") if path.is_file()}
        return dates == {source.stat().st_mtime_ns}
    capture = read_capture(source, decode=False)
    there = [path for path in target.rglob("*") if path.is_file()]
    if capture.splats is not None:
        return {path.stat().st_mtime_ns for path in there} == {capture.splats.stat().st_mtime_ns}
    if capture.panoramas:
        dates = {photo.path.stat().st_mtime_ns for photo in capture.photos}
        return dates == {p.stat().st_mtime_ns for p in there if p.suffix in PHOTO_SUFFIXES}
    wanted = {str(_place(file, source)): _size_and_date(file) for file in capture.files}
    return wanted == {str(path.relative_to(target)): _size_and_date(path) for path in there}


def check_exists(source: Path) -> None:
    """Refuse a path at which nothing lies.

    Raises:
        InputError: With what is wanted.
    """
    if not source.exists():
        raise InputError(
            f"{source} does not exist; wanted is a folder of photos, a posed data set, a video, a "
            "ZIP file or a .ply file of splats."
        )


@contextmanager
def _as_folder(
    source: Path, target: Path, wishes: Wishes
) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """The capture as a folder or a file of splats, and what was done to make it one."""
    if source.is_dir() or source.suffix.lower() == ".ply":
        yield source, ()
        return
    if source.suffix.lower() in PHOTO_SUFFIXES:
        raise InputError(
            f"{source} is one photo; give the folder of at least {MIN_PHOTOS} photos of the scene "
            "from different places."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=target.parent) as made:
        folder = Path(made)
        if is_zip(source):
            unpack(source, folder)
            yield folder, ()
            return
        if wishes.num_stills < MIN_PHOTOS:
            raise InputError(
                f"{wishes.num_stills} stills are asked for; at least {MIN_PHOTOS} are needed, and "
                "20 to 100 give a good result."
            )
        video = write_stills(
            source, folder, count=wishes.num_stills, start=wishes.start, stop=wishes.stop
        )
        if (got := len(list(folder.iterdir()))) < MIN_PHOTOS:
            raise InputError(
                f"{source} has {len(video.times)} frames there and gave {got} pictures; at least "
                f"{MIN_PHOTOS} are needed."
            )
        stills = f"{got:,} stills of {len(video.times):,} frames, {video.seconds:.1f} s of video"
        tone = f"{video.transfer} video tone-mapped to the range of photos"
        yield folder, (stills, tone) if video.transfer else (stills,)


def _read(
    folder: Path, source: Path, wishes: Wishes, tell: Callable[[str], None] | None
) -> Capture:
    """Heads of the files first, so that costs and most faults are told at once."""
    try:
        heads = read_capture(folder, masks=wishes.masks, cameras=wishes.cameras, decode=False)
        if tell and (costs := sentence_of_costs(heads)):
            tell(costs)
        return read_capture(folder, masks=wishes.masks, cameras=wishes.cameras)
    except InputError as error:
        raise InputError(str(error).replace(str(folder), str(source))) from error


def _check_up(found: Capture, wishes: Wishes) -> None:
    if wishes.up is not None and (found.splats is None or found.model is not None):
        raise InputError(
            "--up says how cameras are laid round splats that come without any; here are cameras "
            "or photos already. Leave it out."
        )


def _copy(found: Capture, folder: Path, target: Path, masks: Path | None) -> None:
    """Copy what is used to where it lies in `folder`, masks from elsewhere to `masks/`."""
    for file in found.files:
        place = target / _place(file, folder, masks)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists() or not place.samefile(file):
            shutil.copy2(file, place)


def _moved(capture: Capture, old: Path, new: Path) -> Capture:
    """A capture whose folder was renamed since it was read."""

    def at(path: Path) -> Path:
        return new / path.relative_to(old)

    photos = (replace(p, path=at(p.path), mask=p.mask and at(p.mask)) for p in capture.photos)
    return replace(capture, photos=tuple(photos), description=tuple(map(at, capture.description)))


def _place(file: Path, folder: Path, masks: Path | None = None) -> Path:
    if masks is not None and file.is_relative_to(masks):
        return "masks" / file.relative_to(masks)
    return file.relative_to(folder)


def _size_and_date(file: Path) -> tuple[int, int]:
    return file.stat().st_size, file.stat().st_mtime_ns


def _is_same_place(source: Path, target: Path) -> bool:
    return source.resolve() == target.resolve()
