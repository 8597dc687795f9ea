"""What DVC knows: the stage instances of dvc.yaml, their order, and which are out of date.

With `lockfile` and `cache`, the only module that touches DVC's Python objects (3.67). It takes none
of DVC's locks and writes nothing, so it can ask while a stage runs.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from engine import lockfile
from engine.timing import recorded_seconds
from scenestyle.errors import ScenestyleError
from scenestyle.files import write_whole

if TYPE_CHECKING:
    from dvc.dependency import Dependency, ParamsDependency
    from dvc.output import Output
    from dvc.repo import Repo
    from dvc.stage import PipelineStage, Stage
    from dvc_data.hashfile.hash_info import HashInfo


T = TypeVar("T")

logger = logging.getLogger(__name__)

_LOOKS = 20
_SECONDS_BETWEEN_LOOKS = 0.5


class PipelineError(ScenestyleError):
    """The folder is not a project, or its dvc.yaml, params.yaml or dvc.lock cannot be read."""


class Pipeline:
    """The pipeline of the project at `root`. Safe to share between threads.

    Raises (every method):
        PipelineError: If DVC cannot read the project or does not know the stage.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._dvc_yaml = root.resolve() / "dvc.yaml"
        self._mutex = threading.RLock()  # DVC's Repo loses data when threads share it
        self._opened: Repo | None = None
        self._written: list[tuple[int, int, int] | None] = []

    def needs(self) -> dict[str, set[str]]:
        """Every stage instance with those whose results it reads, in topological order."""

        def of_all(repo: "Repo") -> dict[str, set[str]]:
            stages = self._stages(repo)
            return {
                str(stage.name): {
                    str(up.name) for up in repo.index.graph.successors(stage) if up in stages
                }
                for stage in stages
            }

        return self._ask(of_all, again=False)

    def outputs(self) -> dict[str, list[Path]]:
        """Every stage instance, and what it writes, relative to the root."""
        return self._ask(
            lambda repo: {
                str(stage.name): [Path(out.def_path) for out in stage.outs]
                for stage in self._stages(repo)
            },
            again=False,
        )

    def recorded_seconds(self) -> dict[str, float]:
        """How long each stage instance took that has a result and noted it there."""
        found = {
            name: recorded_seconds(self._root / out for out in outs)
            for name, outs in self.outputs().items()
        }
        return {name: seconds for name, seconds in found.items() if seconds is not None}

    def recorded(self) -> dict[str, list[Path]]:
        """Every stage instance in dvc.lock, also those no longer in dvc.yaml, and its outputs."""
        return self._ask(
            lambda _: {
                name: [Path(out["path"]) for out in entry["outs"]]
                for name, entry in lockfile.read(self._root / "dvc.lock").items()
            }
        )

    def cached_objects(self) -> tuple[int, int]:
        """How many files of the recorded results the local cache lacks, and how many there are."""

        def count(repo: "Repo") -> tuple[int, int]:
            cache = repo.cache.local
            recorded = [
                out["md5"]
                for entry in lockfile.read(self._root / "dvc.lock").values()
                for out in entry.get("outs", ())
            ]
            objects = set(recorded)
            for name in recorded:
                listing = Path(cache.oid_to_path(name))
                if name.endswith(".dir") and listing.is_file():
                    members = json.loads(listing.read_text(encoding="utf-8"))
                    objects |= {member["md5"] for member in members}
            return sum(not cache.exists(name) for name in objects), len(objects)

        return self._ask(count)

    def forget(self, names: Collection[str]) -> None:
        """Take stage instances out of dvc.lock."""
        if names:
            self._rewrite(lambda text: lockfile.without(text, names))

    def remember(self, entries: Mapping[str, Any]) -> None:
        """Record stage instances that ran in another clone.

        Args:
            entries: Stage instance -> its entry in that clone's dvc.lock.
        """
        self._rewrite(lambda text: lockfile.with_entries(text, entries))

    def _rewrite(self, change: Callable[[str], str | None]) -> None:
        path = self._root / "dvc.lock"

        def rewrite(repo: "Repo") -> None:
            with repo.lock:
                text = change(path.read_text(encoding="utf-8") if path.exists() else "")
                if text is None:
                    raise PipelineError(f"{path} is not laid out as DVC does; run dvc repro first.")
                write_whole(path, text, durable=True)

        self._ask(rewrite)

    def reasons(self, name: str) -> list[str]:
        """Why `name` has to run, such as `modified: styles.ukiyoe`; empty when it is up to date."""
        return self._look(
            lambda repo: _Look().reasons(repo.stage.load_one(str(self._dvc_yaml), name))
        )

    def stale(self) -> dict[str, list[str]]:
        """Every stage instance that has to run, with the reasons.

        Results that others will change first are looked at as they are now.
        """

        def of_all(repo: "Repo") -> dict[str, list[str]]:
            look = _Look()
            reasons = {str(stage.name): look.reasons(stage) for stage in self._stages(repo)}
            return {name: why for name, why in reasons.items() if why}

        return self._look(of_all)

    def _look(self, question: "Callable[[Repo], T]") -> T:
        """Ask about files on disk; retry if one vanishes, as a starting stage removes its own."""
        for _ in range(_LOOKS - 1):
            try:
                return self._ask(question)
            except PipelineError as error:
                if not isinstance(error.__cause__, FileNotFoundError):
                    raise
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        return self._ask(question)

    def _stages(self, repo: "Repo") -> "list[PipelineStage]":
        """Those of dvc.yaml, in an order in which each finds its inputs."""
        from dvc.stage import PipelineStage
        from networkx import dfs_postorder_nodes

        return [
            stage
            for stage in dfs_postorder_nodes(repo.index.graph)
            if isinstance(stage, PipelineStage) and stage.path == str(self._dvc_yaml)
        ]

    def _ask(self, question: "Callable[[Repo], T]", *, again: bool = True) -> T:
        """Have a question answered by DVC's repository, for one thread at a time.

        A dvc.lock that a killed `dvc repro` left torn is moved aside first; the run-cache has what
        it said.

        Args:
            question: Gets the repository.
            again: Read everything again; otherwise only if dvc.yaml or params.yaml were written
                meanwhile.
        """
        from dvc.exceptions import DvcException

        record = self._root / "dvc.lock"
        with self._mutex:
            while True:
                if lockfile.has_conflict(record):
                    raise PipelineError(
                        f"{record} has the conflict marks of a git merge. Take either side, since "
                        "the run-cache has both: git checkout --ours dvc.lock; then dvc repro."
                    )
                before = _state(record)
                try:
                    return question(self._read(again=again))
                except OSError as error:
                    raise PipelineError(
                        f"{error.filename or self._root}: {error.strerror or error}"
                    ) from error
                except DvcException as error:
                    whole = not lockfile.is_torn(record) and _state(record) == before
                    if whole or self._opened is None:
                        raise PipelineError(_in_words(error, self._root)) from error
                _mend(record, self._opened)
                again = True

    def _read(self, *, again: bool) -> "Repo":
        from dvc.repo import Repo

        if self._opened is None:
            lockfile.teach_dvc()
            self._opened = Repo(str(self._root), _wait_for_lock=True)
        written = [_state(self._root / name) for name in ("dvc.yaml", "params.yaml")]
        if again or written != self._written:
            self._opened._reset()
            self._written = written
        return self._opened


def _in_words(error: Exception, root: Path) -> str:
    if "is not a git repository" in str(error):
        return f"{error}. Run git init, or do without: dvc config core.no_scm true"
    return f"{root.resolve()}: {error}"


def _mend(record: Path, repo: "Repo") -> None:
    """Set a torn dvc.lock aside: a `dvc repro` by hand writes it in place and may be killed."""
    with repo.lock:
        aside = lockfile.set_aside_if_torn(record)
    if aside is not None:
        logger.warning(
            "dvc.lock was torn and is %s now; nothing is lost: what ran before comes back from the "
            "run-cache when it is asked for",
            aside.name,
        )


def _state(file: Path) -> tuple[int, int, int] | None:
    """Fingerprint (mtime, inode, size) that changes whenever the file is rewritten."""
    try:
        stat = file.stat()
    except FileNotFoundError:
        return None
    return stat.st_mtime_ns, stat.st_ino, stat.st_size


class _Look:
    """One look at the disk, in which each file is hashed once and each parameter file read once.

    DVC does both anew for each stage, which takes a time that grows with the square of their
    number.
    """

    def __init__(self) -> None:
        self._hashes: dict[str, HashInfo | None] = {}
        self._parameters: dict[str, Any] = {}

    def reasons(self, stage: "Stage") -> list[str]:
        from dvc.dependency import ParamsDependency

        if not any(part.hash_info for part in (*stage.deps, *stage.outs)):
            return ["never ran"]
        changes = [
            *(
                change
                for dep in stage.deps
                for change in (
                    self._of_parameters(dep)
                    if isinstance(dep, ParamsDependency)
                    else self._of_file(dep)
                )
            ),
            *(change for out in stage.outs for change in self._of_output(out)),
        ]
        _forget_staged_folders()
        return [*changes, *(["modified: command"] if stage.changed_stage() else [])]

    def _of_output(self, out: "Output") -> Iterator[str]:
        if out.hash_info and out.use_cache and out.changed_cache():
            yield f"not in cache: {out}"
        else:
            yield from self._of_file(out)

    def _of_file(self, part: "Dependency | Output") -> Iterator[str]:
        path = part.fs_path
        if path not in self._hashes:
            self._hashes[path] = part.get_hash() if part.exists else None
        if not part.hash_info:
            yield f"new: {part}"
        elif self._hashes[path] is None:
            yield f"{DELETED}{part}"
        elif self._hashes[path] != part.hash_info:
            yield f"modified: {part}"

    def _of_parameters(self, dep: "ParamsDependency") -> Iterator[str]:
        from dvc.utils.serialize import load_path

        if dep.fs_path not in self._parameters:
            self._parameters[dep.fs_path] = load_path(dep.fs_path, dep.fs) if dep.exists else {}
        recorded = dep.hash_info.value or {}
        assert isinstance(recorded, dict)
        for name in dep.params:
            value = value_at(self._parameters[dep.fs_path], name)
            if value is NOTHING:
                yield f"{DELETED}{name}"
            elif name not in recorded:
                yield f"new: {name}"
            elif recorded[name] != value:
                yield f"modified: {name}"


def _forget_staged_folders() -> None:
    """Drop the listings of folders that DVC keeps in memory for good.

    It looks through all of them whenever it adds one, which takes a time that grows with the square
    of their number.
    """
    from fsspec.implementations.memory import MemoryFileSystem

    for path in [path for path in MemoryFileSystem.store if path.startswith("/dvc-staging")]:
        del MemoryFileSystem.store[path]


DELETED = "deleted: "
"""begins the reason of what was recorded and is not there"""

NOTHING = object()
"""What `value_at` finds where nothing is."""


def value_at(values: Any, path: str) -> Any:
    """What stands at a path such as `styles.ukiyoe` of parsed parameters."""
    for key in path.split("."):
        if not isinstance(values, Mapping) or key not in values:
            return NOTHING
        values = values[key]
    return values
