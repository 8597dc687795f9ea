"""Where the files lie that a data set lists: under other folders, suffixes or letter cases.

Folders are mapped, not files: if any file of a listed folder is where the list says, the others of
that folder are there or missing. Only a folder none of whose files is there is looked for elsewhere
in the data set, so that a missing photo is never replaced by another one of its name.
"""

import itertools
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath, PureWindowsPath

from scenestyle.capture.capture import natural_order
from scenestyle.capture.pictures import PHOTO_SUFFIXES, RAW_SUFFIXES
from scenestyle.errors import InputError

_PHOTO_FOLDERS = ("images", "input", "rgb")
_NOT_PHOTOS = re.compile(
    r"(.*[_-])?(masks?|depths?(_maps?)?|normals?|segmentations?)", re.IGNORECASE
)
_REDUCED = re.compile(r"images_(\d+)")


@dataclass(frozen=True)
class Tree:
    """Every file under a folder, hidden ones and packers' leftovers aside."""

    root: Path
    files: tuple[Path, ...]
    """relative to the root, in natural order"""
    broken: tuple[Path, ...]
    """links to nothing, relative to the root"""

    @classmethod
    def of(cls, root: Path) -> "Tree":
        """List a folder; links are followed, each folder is entered once."""
        files: list[Path] = []
        broken: list[Path] = []
        seen = {root.resolve()}
        for folder, below, names in os.walk(root, onerror=_refuse, followlinks=True):
            fresh = []
            for name in sorted(below):
                path = Path(folder, name)
                if not name.startswith((".", "__MACOSX")) and path.resolve() not in seen:
                    seen.add(path.resolve())
                    fresh.append(name)
            below[:] = fresh
            for name in names:
                path = Path(folder, name)
                if not name.startswith(".") and name not in ("Thumbs.db", "desktop.ini"):
                    (files if path.is_file() else broken).append(path.relative_to(root))
        files.sort(key=natural_order)
        return cls(root, tuple(files), tuple(sorted(broken)))

    def folders_of_photos(self) -> dict[Path, list[Path]]:
        """Folder -> its photos, both relative to the root; not those of masks or depth."""
        folders: dict[Path, list[Path]] = {}
        for file in self.files:
            if file.suffix.lower() in PHOTO_SUFFIXES and not is_side_folder(file.parent):
                folders.setdefault(file.parent, []).append(file)
        return folders

    def named(self, pattern: str) -> list[Path]:
        """Files whose name matches a shell pattern in any letter case, the least deep first."""
        found = [file for file in self.files if fnmatch(file.name.lower(), pattern)]
        return sorted(found, key=lambda file: len(file.parts))

    def unreadable_photos(self) -> list[Path]:
        """Raw files without a readable twin of the same name."""
        stems = {
            file.with_suffix("") for file in self.files if file.suffix.lower() in PHOTO_SUFFIXES
        }
        return [
            file
            for file in self.files
            if file.suffix.lower() in RAW_SUFFIXES and file.with_suffix("") not in stems
        ]


def _refuse(error: OSError) -> None:
    raise InputError(f"{error.filename}: may not be read ({error.strerror}). Change its rights.")


def is_side_folder(folder: Path) -> bool:
    """Whether a folder, by its name, holds masks or depth and no photos."""
    return any(_NOT_PHOTOS.fullmatch(part) for part in folder.parts)


def reduction(folder: Path) -> int:
    """By how much the photos of a folder are reduced, by its name: 4 for `images_4`, else 1."""
    match = _REDUCED.fullmatch(folder.name)
    return int(match[1]) if match else 1


def listed_path(text: str) -> PurePosixPath:
    """A path as a data set writes it, of Windows or not, without drive and leading `./`."""
    path = PureWindowsPath(text) if "\\" in text or re.match("[A-Za-z]:", text) else None
    posix = PurePosixPath(*path.parts[bool(path.anchor) :]) if path else PurePosixPath(text)
    parts = [part for part in posix.parts if part not in ("/", ".")]
    return PurePosixPath(*parts)


def locate(
    listed: Sequence[str], tree: Tree, near: Path, *, masks_of: Collection[Path] = ()
) -> list[Path | None]:
    """Find the files that a data set lists.

    Args:
        listed: Paths as they are written in it.
        tree: Of the data set.
        near: Folder, relative to the tree's root, to which they should be relative.
        masks_of: If these are masks, their photos, relative to the tree's root. None of them is
            taken for a mask, and masks that are not where the list says lie in folders of masks.

    Returns:
        Path of each file relative to the tree's root; none for one that is not there.
    """
    wanted = [_inside(listed_path(text), tree, near) for text in listed]
    folders = _shelves(tree, masks_of)
    places = _map_folders(wanted, folders, near)
    if not places:
        # Not even in a usual place: a folder of any name that holds most of them.
        kind = {
            folder: s for folder, s in folders.items() if is_side_folder(folder) == bool(masks_of)
        }
        names = [path.name for path in wanted]
        most = max(kind, key=lambda folder: len(kind[folder].found(names)), default=None)
        if most is not None and 2 * len(kind[most].found(names)) >= len(names):
            places = {path.parent: most for path in wanted}
    return [
        folders[place].find(path.name) if (place := places.get(path.parent)) is not None else None
        for path in wanted
    ]


def lies_outside(text: str, tree: Tree, near: Path) -> bool:
    """Whether a listed file is there, but not in the data set."""
    path = Path(text)
    try:
        return (tree.root / near / path).is_file() and not (
            (tree.root / near / path).resolve().is_relative_to(tree.root.resolve())
        )
    except OSError:  # such as a name that is too long
        return False


def _inside(path: PurePosixPath, tree: Tree, near: Path) -> PurePosixPath:
    """A listed path relative to `near`, with `..` undone; absolute ones into the tree are known."""
    absolute = Path("/", path)
    if absolute.is_relative_to(tree.root.resolve()):
        path = PurePosixPath(os.path.relpath(absolute, tree.root.resolve() / near))
    elif absolute.is_relative_to(tree.root.absolute()):
        path = PurePosixPath(os.path.relpath(absolute, tree.root.absolute() / near))
    return PurePosixPath(os.path.normpath(path))


class _Shelf:
    """The photos of one folder, found by name, then without regard to suffix or letter case."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._exact = {file.name: file for file in files}
        self._alike: dict[str, list[Path]] = {}
        for file in self._exact.values():
            for key in {file.name.lower(), file.stem.lower()}:
                self._alike.setdefault(key, []).append(file)

    def find(self, name: str) -> Path | None:
        """The one photo that is meant, if there is one."""
        if name in self._exact:
            return self._exact[name]
        for key in self._keys(name.lower()):
            if len(alike := self._alike.get(key, [])) == 1:
                return alike[0]
        return None

    def found(self, names: Iterable[str]) -> set[Path]:
        """Those of the named photos that are there."""
        return {file for name in names if (file := self.find(name)) is not None}

    def has_any(self, names: Iterable[str]) -> bool:
        """Whether any of the named photos is there."""
        return any(self.find(name) is not None for name in names)

    @staticmethod
    def _keys(name: str) -> Iterator[str]:
        yield name
        stem, dot, suffix = name.rpartition(".")
        if dot and f".{suffix}" in PHOTO_SUFFIXES:
            yield stem


def _shelves(tree: Tree, without: Collection[Path]) -> dict[Path, _Shelf]:
    every = [f for f in tree.files if f.suffix.lower() in PHOTO_SUFFIXES and f not in without]
    grouped: dict[Path, list[Path]] = {}
    for file in every:
        grouped.setdefault(file.parent, []).append(file)
    return {folder: _Shelf(files) for folder, files in grouped.items()}


def _map_folders(
    wanted: Sequence[PurePosixPath], shelves: dict[Path, _Shelf], near: Path
) -> dict[PurePosixPath, Path]:
    groups: dict[PurePosixPath, list[str]] = {}
    for path in wanted:
        groups.setdefault(path.parent, []).append(path.name)
    places = {}
    for group, names in groups.items():
        exact = Path(os.path.normpath(near / group))
        if exact in shelves and shelves[exact].has_any(names):
            places[group] = exact
    taken = {
        file for group, place in places.items() for file in shelves[place].found(groups[group])
    }
    for group, names in groups.items():
        if group not in places and (place := _place_of(group, names, shelves, near, taken)):
            places[group] = place
    return places


def _place_of(
    group: PurePosixPath,
    names: list[str],
    shelves: dict[Path, _Shelf],
    near: Path,
    taken: set[Path],
) -> Path | None:
    """The folder that most likely is the listed one; `taken` files belong to others."""

    def rank(folder: Path) -> tuple[object, ...]:
        return (
            -len(shelves[folder].found(names)),
            -_shared_tail(group, folder),
            -_shared_head(near, folder),
            _PHOTO_FOLDERS.index(folder.name) if folder.name in _PHOTO_FOLDERS else 9,
            reduction(folder),
            natural_order(folder),
        )

    possible = [
        folder
        for folder, shelf in shelves.items()
        if (_shared_tail(group, folder) or _may_hold_any(folder, near))
        and shelf.has_any(names)
        and taken.isdisjoint(shelf.found(names))
    ]
    return min(possible, key=rank, default=None)


def _may_hold_any(folder: Path, near: Path) -> bool:
    is_usual = folder.name in _PHOTO_FOLDERS or _REDUCED.fullmatch(folder.name) is not None
    return folder in (Path(), near) or is_usual


def _shared_tail(group: PurePosixPath, folder: Path) -> int:
    return _num_equal(reversed(group.parts), reversed(folder.parts))


def _shared_head(near: Path, folder: Path) -> int:
    return _num_equal(near.parts, folder.parts)


def _num_equal(one: Iterable[str], other: Iterable[str]) -> int:
    """How many parts are equal in any letter case before the first that are not."""
    same = (a.lower() == b.lower() for a, b in zip(one, other, strict=False))
    return sum(1 for _ in itertools.takewhile(bool, same))
