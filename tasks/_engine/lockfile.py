"""dvc.lock, written as a whole or not at all.

DVC (3.67) writes it in place: killed at that moment it leaves nothing, or a file without its last stages. It also parses
and prints the whole file to change one stage, in pure Python, which with hundreds of stages takes longer than
everything else about a stage that does little.
"""

import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from dvc.dvcfile import Lockfile
    from dvc.stage import PipelineStage

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STAGES = "stages:\n"
_BLOCK = re.compile(r"""^  ([^\s?'"].*):\n(?:   .*\n)*""", re.MULTILINE)
"""The entry of a stage; names of 129 letters and more, and texts with empty lines, look otherwise."""


def have_dvc_write_it_whole() -> None:
    """Replace, in this process, the method with which DVC records stages; a test holds it to the same bytes."""
    from dvc.dvcfile import Lockfile

    dump_stages = Lockfile.dump_stages

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
            write_whole(path, after)

    setattr(Lockfile, "dump_stages", record)  # noqa: B010 (pyright minds the other way)


def with_entries(text: str, entries: Mapping[str, Any]) -> str | None:
    """`text` of a dvc.lock in which some stages have new entries; none if it is not laid out as DVC does.

    An entry is printed by DVC, the rest stays as it is, so that the result is what DVC would have written.
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
    """`text` of a dvc.lock without the entries of some stages; none if it is not laid out as DVC does."""
    parts = _parts(text)
    if parts is None:
        return None
    head, blocks = parts
    return "".join([head, *(block for name, block in blocks.items() if name not in names)])


def is_torn(path: Path) -> bool:
    """Whether the file does not hold stages, as a kill in the middle of writing leaves it."""
    if not path.exists():
        return False
    try:
        return not all({"cmd", "outs"} <= entry.keys() for entry in read(path).values())
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        return True


def read(path: Path) -> dict[str, Any]:
    """Stage instance -> its entry, of a file that is whole; empty if there is none."""
    if not path.exists():
        return {}
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)["stages"]


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


def _parts(text: str) -> tuple[str, dict[str, str]] | None:
    """What stands above the stages, and the lines of each stage; none if that is not all there is."""
    head, begin, rest = text.partition(_STAGES)
    blocks = {match[1]: match[0] for match in _BLOCK.finditer(rest)}
    return (head + begin, blocks) if begin and "".join(blocks.values()) == rest else None


def write_whole(path: Path, text: str) -> None:
    """Replace the file at once, and only when all of it is on the disk."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
