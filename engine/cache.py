"""DVC's cache: what of it nothing asks for any more.

`dvc gc --workspace` keeps what dvc.lock names. That is less than params.yaml asks for where a value
was changed back and nothing has run since: the result is in the cache, the next run would restore
it, and gc takes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import lockfile
from engine.pipeline import PipelineError, value_at
from scenestyle.errors import reason
from scenestyle.project.layout import Layout

if TYPE_CHECKING:
    from dvc.dependency import Dependency
    from dvc.repo import Repo


@dataclass(frozen=True)
class Unused:
    """Files of the cache."""

    objects: tuple[Path, ...]
    """contents of results and captures"""
    runs: tuple[Path, ...]
    """records of runs, by which a result would be restored"""
    size: int
    """of the objects, bytes"""


def find_unused(root: Path, older_than: timedelta) -> Unused:
    """Look for what neither the project as it is now nor a recent run needs.

    Kept are: what dvc.lock and `.dvc` files name; the results of every recorded run whose command,
    parameters, code and captures are those of now; the results of runs, and files, that came into
    the cache within `older_than`.

    Raises:
        PipelineError: If the cache is shared with other projects, dvc.lock is torn, a recorded
            folder is missing in the cache, or DVC cannot read the project.
    """
    from dvc.exceptions import CollectCacheError, DvcException, RevCollectionError
    from dvc.repo import Repo
    from dvc.utils.serialize import load_yaml

    lockfile.teach_dvc()
    if lockfile.is_torn(Layout(root).record):
        raise PipelineError(
            "dvc.lock is torn, so that nobody knows what is needed. First: git checkout dvc.lock, "
            "or run a flow, which repairs it."
        )
    before = datetime.now(UTC) - older_than
    try:
        repo = Repo(str(root), _wait_for_lock=True)
        cache = Path(repo.cache.local_cache_dir)
        if not cache.is_relative_to(root.resolve()):
            raise PipelineError(
                f"the cache {cache} lies outside of this project, and others may need what this "
                "one does not. Use: dvc gc --workspace --projects OTHER ..."
            )
        with repo.lock:
            used = {info.value for infos in repo.used_objs().values() for info in infos}
            now, runs = _Now(repo), []
            for path in (cache / "runs").glob("*/*/*"):
                entry = load_yaml(str(path))
                if _is_before(path, before) and not now.fits(entry):
                    runs.append(path)
                else:
                    made = repo.stage_cache.get_used_objs([(path.parent.name, path.name)])
                    used |= {info.value for infos in made.values() for info in infos}
            objects = [
                path
                for odb in {odb.path: odb for _, odb in repo.cache.by_scheme() if odb}.values()
                for oid in odb.all()
                if oid not in used and _is_before(path := Path(odb.oid_to_path(oid)), before)
            ]
    except (CollectCacheError, RevCollectionError) as error:
        raise PipelineError(
            "recorded folders are missing in the cache, so that nobody knows which files they hold "
            "and need. First: dvc pull, or dvc repro."
        ) from error
    except DvcException as error:
        raise PipelineError(f"{root}: {reason(error)}") from error
    size = sum(path.stat().st_size for path in objects)
    return Unused(tuple(sorted(objects)), tuple(sorted(runs)), size)


def delete(unused: Unused) -> None:
    """Delete files of the cache; records of runs first, so that none names what is gone."""
    for path in (*unused.runs, *unused.objects):
        path.unlink(missing_ok=True)
        if path.parent.is_dir() and not any(path.parent.iterdir()):
            path.parent.rmdir()


class _Now:
    """The stages as dvc.yaml and params.yaml say them now."""

    def __init__(self, repo: "Repo") -> None:
        from dvc.stage import PipelineStage

        stages = [stage for stage in repo.index.stages if isinstance(stage, PipelineStage)]
        self._stages = {stage.cmd: stage for stage in stages}
        self._made = {out.def_path for stage in stages for out in stage.outs}
        self._hashes: dict[str, str | None] = {}
        self._parameters: dict[str, Any] = {}

    def fits(self, entry: Mapping[str, Any]) -> bool:
        """Whether a recorded run did what a stage would do now, if earlier stages made the same."""
        from dvc.dependency import ParamsDependency

        stage = self._stages.get(entry["cmd"])
        if stage is None:
            return False
        read = {dep["path"]: dep.get("md5") for dep in entry.get("deps", ())}
        return all(
            self._values(dep) == entry.get("params", {}).get(dep.def_path, {})
            if isinstance(dep, ParamsDependency)
            else self._is_made(dep) or self._hash(dep) == read.get(dep.def_path)
            for dep in stage.deps
        )

    def _values(self, dep: Any) -> dict[str, Any]:
        from dvc.utils.serialize import load_path

        if dep.fs_path not in self._parameters:
            self._parameters[dep.fs_path] = load_path(dep.fs_path, dep.fs) if dep.exists else {}
        return {name: value_at(self._parameters[dep.fs_path], name) for name in dep.params}

    def _is_made(self, dep: "Dependency") -> bool:
        path = Path(dep.def_path)
        return any(str(part) in self._made for part in (path, *path.parents))

    def _hash(self, dep: "Dependency") -> str | None:
        if dep.fs_path not in self._hashes:
            found = dep.get_hash() if dep.exists else None
            self._hashes[dep.fs_path] = None if found is None else found.value
        return self._hashes[dep.fs_path]


def _is_before(path: Path, moment: datetime) -> bool:
    """Whether a file came here before; its mtime may be that of a photo."""
    return datetime.fromtimestamp(path.stat().st_ctime, UTC) <= moment
