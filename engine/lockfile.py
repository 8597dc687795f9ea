"""dvc.lock, read entry by entry, and written as a whole or not at all.

DVC (3.67) writes it in place: killed at that moment it leaves nothing, or a file without its last
stages. It also parses and prints the whole file to read or change one stage, in pure Python, which
with hundreds of stages takes longer than everything else about a stage that does little.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import rwlock
from scenestyle.files import write_whole

if TYPE_CHECKING:
    from dvc.dvcfile import Lockfile
    from dvc.stage import PipelineStage

_STAGES = "stages:\n"
_HEAD = f"schema: '2.0'\n{_STAGES}"
_BLOCK = re.compile(r"""^  ([^\s?'"].*):\n(?:   .*\n)*""", re.MULTILINE)
"""The entry of a stage; names of 129 letters and more, and texts with empty lines, look
otherwise."""
_FILE = re.compile(r"^    - path: .*\n(?:      .*\n)*", re.MULTILINE)
"""A file or folder that a stage reads or writes; its lines are the same in each entry."""
_FILES = re.compile(rf"(?:{_FILE.pattern})+", re.MULTILINE)


class Entries(Mapping[str, Any]):
    """Stage instance -> its entry, parsed by DVC's own parser when it is asked for.

    PyYAML reads another YAML: what DVC prints as `1e-05` or `yes` are to it a text and a truth. The
    code that stages have in common is parsed once, since it is most of the file.
    """

    def __init__(self, blocks: Mapping[str, str]) -> None:
        self._blocks = blocks

    def __getitem__(self, name: str) -> Any:
        from dvc.utils.serialize import parse_yaml

        lists: list[list[str]] = []

        def set_aside(found: re.Match[str]) -> str:
            lists.append(_FILE.findall(found[0]))
            return f"    - {len(lists) - 1}\n"

        text = _HEAD + _FILES.sub(set_aside, self._blocks[name])
        record = parse_yaml(text, "dvc.lock")
        entry = record["stages"][name]
        for part in entry.keys() & {"deps", "outs"}:
            entry[part] = [_file(text) for number in entry[part] for text in lists[number]]
        return _checked(record)[name]

    def __contains__(self, name: object) -> bool:  # by default it parses the entry
        return name in self._blocks

    def __iter__(self) -> Iterator[str]:
        return iter(self._blocks)

    def __len__(self) -> int:
        return len(self._blocks)


@cache
def teach_dvc() -> None:
    """Replace, in this process, the methods with which DVC reads and records stages.

    Tests hold what they read, and the bytes they write, to DVC's own. Files in use are listed
    as `rwlock` does it.
    """
    from dvc.dvcfile import Lockfile

    rwlock.teach_dvc()

    dump_stages, load_yaml = Lockfile.dump_stages, Lockfile._load_yaml

    def record(lockfile: "Lockfile", stages: "Sequence[PipelineStage]", **options: Any) -> None:
        from dvc.stage.serialize import to_lockfile

        path = Path(lockfile.path)
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        entries = {name: e for stage in stages for name, e in to_lockfile(stage, **options).items()}
        after = with_entries(before, entries)
        if after is None:
            dump_stages(lockfile, stages, **options)
        elif after != before:
            # As DVC says it, and where it does: runs are told apart by their output.
            print(f"{'Updating' if before else 'Generating'} lock file '{lockfile.relpath}'")  # noqa: T201
            write_whole(path, after, durable=True)

    def load(lockfile: "Lockfile", **options: Any) -> tuple[dict[str, Any], str]:
        with lockfile.repo.fs.open(lockfile.path, "rb") as file:
            text = file.read().decode(errors="replace")
        blocks = None if options else _blocks(text)
        if blocks is None:
            return load_yaml(lockfile, **options)
        _parsed(_HEAD + [*blocks.values()][-1])  # the one that a kill can have torn
        return {"schema": "2.0", "stages": Entries(blocks)}, text

    setattr(Lockfile, "dump_stages", record)  # noqa: B010 (pyright minds the other way)
    setattr(Lockfile, "_load_yaml", load)  # noqa: B010


def with_entries(text: str, entries: Mapping[str, Any]) -> str | None:
    """`text` of a dvc.lock with new entries for some stages; None for an unknown layout.

    An entry is printed by DVC, the rest stays as it is, so that the result is what DVC would have
    written.
    """
    from dvc.utils.serialize import dumps_yaml

    if not text:
        return dumps_yaml({"schema": "2.0", "stages": dict(entries)})
    parts = _parts(text)
    if parts is None:
        return None
    head, blocks = parts
    for name, entry in entries.items():
        printed = _parts(dumps_yaml({"stages": {name: entry}}))
        if printed is None or printed[1].keys() != {name}:
            return None
        blocks |= printed[1]
    return "".join([head, *blocks.values()])


def without(text: str, names: Collection[str]) -> str | None:
    """`text` of a dvc.lock without some stages' entries; None for an unknown layout."""
    parts = _parts(text)
    if parts is None:
        return None
    head, blocks = parts
    return "".join([head, *(block for name, block in blocks.items() if name not in names)])


def has_conflict(path: Path) -> bool:
    """Whether a git merge left its marks in the file."""
    return path.is_file() and b"\n<<<<<<< " in b"\n" + path.read_bytes()


def is_torn(path: Path) -> bool:
    """Whether the file does not hold stages, as a kill in the middle of writing leaves it."""
    from dvc.exceptions import DvcException

    try:
        return not all("outs" in entry for entry in read(path).values())
    except DvcException:
        return True


def read(path: Path) -> Mapping[str, Any]:
    """Stage instance -> its entry, of a file that is whole; empty if there is none."""
    try:
        text = path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return {}
    blocks = _blocks(text)
    return _parsed(text) if blocks is None else Entries(blocks)


def set_aside_if_torn(path: Path) -> Path | None:
    """Move a torn file out of the way: the run-cache knows what it said.

    Returns:
        Where it is now; none if it is whole or not there.
    """
    if not is_torn(path):
        return None
    aside = path.with_name(f"{path.name}.torn")
    path.replace(aside)
    return aside


def _blocks(text: str) -> dict[str, str] | None:
    """The lines of each stage; none if there are no stages, or more than stages."""
    parts = _parts(text)
    return parts[1] if parts and parts[1] and parts[0] == _HEAD else None


def _parsed(text: str) -> dict[str, Any]:
    """The stages of a dvc.lock, by DVC's parser and checks."""
    from dvc.utils.serialize import parse_yaml

    return _checked(parse_yaml(text, "dvc.lock"))


def _checked(record: dict[str, Any]) -> dict[str, Any]:
    """The stages of a parsed dvc.lock, by DVC's checks, which copy all that they let through."""
    from dvc.dvcfile import Lockfile

    return Lockfile.validate(record, "dvc.lock").get("stages", {})


@lru_cache(maxsize=10_000)
def _file(text: str) -> dict[str, Any]:
    """What a list says of one file or folder."""
    from dvc.utils.serialize import parse_yaml

    return parse_yaml(text, "dvc.lock")[0]


def _parts(text: str) -> tuple[str, dict[str, str]] | None:
    """The header, and the lines of each stage; None if there is anything else."""
    head, begin, rest = text.partition(_STAGES)
    blocks = {match[1]: match[0] for match in _BLOCK.finditer(rest)}
    return (head + begin, blocks) if begin and "".join(blocks.values()) == rest else None
