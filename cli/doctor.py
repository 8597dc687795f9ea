"""`scenestyle doctor`: checks of an installation and a project, each with the way out."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Literal

from cli.console import LAYOUT, say
from engine.troubles import in_words
from scenestyle.errors import ParamsError
from scenestyle.params import load_params
from scenestyle.project.layout import Layout

_GB = 1e9
_LOW_DISK_GB, _FULL_DISK_GB = 10, 1
_START_SERVER = "prefect server start > server.log 2>&1 &"
_NO_GIT = "git init, or do without: dvc config core.no_scm true"


@dataclass(frozen=True)
class Finding:
    """What a check found."""

    state: Literal["ok", "note", "broken"]
    """`note`: works, but slower or less"""
    what: str
    """one line"""
    way_out: str = ""


def doctor() -> None:
    """Check installation and project: versions, GPU, weights, disk, cache, locks, server.

    Example: scenestyle doctor
    """
    broken = 0
    for name, finding in examine(LAYOUT.root):
        broken += finding.state == "broken"
        say(f"{finding.state:>6}  {name}: {finding.what}")
        if finding.way_out:
            say(f"        -> {finding.way_out}")
    if broken:
        raise ParamsError(f"{broken} of these must be mended first; the arrows say how.")


def examine(root: Path) -> Iterator[tuple[str, Finding]]:
    """Run every check on the installation and on the project at `root`; none changes anything."""
    checks: dict[str, Callable[[Path], Finding]] = {
        "versions": _versions,
        "OpenCV": _opencv,
        "GPU": _gpu,
        "models": _models,
        "tiny-cuda-nn": _tiny_cuda_nn,
        "embedded weights": _embedded_weights,
        "licences": _licences,
        "feature weights": _feature_weights,
        "git": _git,
        "project folder": _project_folder,
        "disk": _disk,
        "cache": _cache,
        "results": _results,
        "params.yaml": _params,
        "dvc.lock": _lock,
        "DVC's locks": _rwlock,
        "Prefect server": _prefect_server,
        "nightly runs": _nightly_runs,
    }
    for name, check in checks.items():
        try:
            yield name, check(root)
        except Exception as error:
            sentence = in_words(error)
            if sentence is None:
                raise
            yield name, Finding("broken", sentence)


def _versions(root: Path) -> Finding:
    wanted = dict(
        line.split("==") for line in _lines(root / "constraints.txt") if not line.startswith("#")
    )
    different = [
        f"{name} {found or 'missing'} (wanted {pin})"
        for name, pin in wanted.items()
        if (found := _installed(name)) != pin
    ]
    python = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] != (3, 11):
        return Finding("broken", f"Python {python}, wanted 3.11", "make setup PYTHON=python3.11")
    if not wanted:
        return Finding("note", f"Python {python}; no constraints.txt here to compare with")
    if different:
        some = ", ".join(different[:5])
        return Finding("note", f"{len(different)} packages differ: {some}", "make setup")
    return Finding("ok", f"Python {python}, {len(wanted)} packages as in constraints.txt")


def _opencv(_: Path) -> Finding:
    return one_opencv({each.name: each.version for each in distributions()})


def one_opencv(installed: Mapping[str, str]) -> Finding:
    """Whether one package alone owns the folder `cv2`, given the version of every package."""
    owners = {name: at for name, at in installed.items() if name.startswith("opencv-")}
    if len(owners) > 1:
        return Finding(
            "broken",
            f"{' and '.join(sorted(owners))} own the same folder; which of them runs is chance",
            "rm .venv/.installed; make setup",
        )
    if not owners:
        return Finding("broken", "missing", "rm .venv/.installed; make setup")
    ((name, at),) = owners.items()
    return Finding("ok", f"{name} {at}")


def _gpu(_: Path) -> Finding:
    import torch

    if not torch.cuda.is_available():
        return Finding("note", "none that torch can use: everything runs on the CPU")
    names = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())]
    return Finding("ok", "; ".join(f"{p.name}, {p.total_memory / _GB:.0f} GB" for p in names))


def _models(_: Path) -> Finding:
    import torch

    if not torch.cuda.is_available():
        return Finding("note", "embedded; the larger ones require a GPU of 8 GB or more")
    from scenestyle.diffusion.plan import free_gb
    from scenestyle.project.fits import advice

    return Finding("ok", advice(free_gb(torch.device("cuda"))))


def _tiny_cuda_nn(_: Path) -> Finding:
    from importlib.util import find_spec

    if find_spec("tinycudann") is None:
        return Finding("note", "not installed: fields train with torch or numba kernels")
    return Finding("ok", "installed")


def _embedded_weights(_: Path) -> Finding:
    from scenestyle.diffusion.weights import EMBEDDED_FOLDER, verified

    return Finding("ok", f"as listed in SHA256SUMS ({verified(EMBEDDED_FOLDER)[:12]})")


def _licences(root: Path) -> Finding:
    from scenestyle.diffusion.models import licences_of

    model = load_params(Layout(root).params).stylize_views.model
    parts = licences_of(model)
    said = ", ".join(f"{part} {licence}" for part, licence in parts.items())
    limited = any("non-commercial" in licence for licence in parts.values())
    way_out = "set stylize_views.model: sdxl-lightning or sdxl for commercial work"
    return Finding("note" if limited else "ok", f"{model}: {said}", way_out if limited else "")


def _feature_weights(_: Path) -> Finding:
    from scenestyle.features.efficientnet import packaged_weights

    return Finding("ok", packaged_weights().name)


def _git(root: Path) -> Finding:
    from configparser import ConfigParser

    if (root / ".git").exists():
        return Finding("ok", "a repository")
    config = ConfigParser()
    config.read([root / ".dvc" / "config", root / ".dvc" / "config.local"], encoding="utf-8")
    if config.getboolean("core", "no_scm", fallback=False):
        return Finding("ok", "none, and DVC does without")
    return Finding("broken", f"{root.resolve()} is no git repository", _NO_GIT)


def _project_folder(root: Path) -> Finding:
    layout = Layout(root)
    folders = [root, layout.data, layout.scenes, layout.work]
    if locked := [str(each) for each in folders if each.exists() and not os.access(each, os.W_OK)]:
        return Finding(
            "broken",
            f"may not be written: {', '.join(locked)}",
            f"chmod -R u+w {' '.join(locked)}",
        )
    return Finding("ok", "can be written")


def _disk(root: Path) -> Finding:
    free = shutil.disk_usage(root).free / _GB
    if free < _FULL_DISK_GB:
        return Finding("broken", f"{free:.1f} GB free", "scenestyle prune --older-than 30 --yes")
    if free < _LOW_DISK_GB:
        return Finding("note", f"{free:.1f} GB free", "scenestyle prune --older-than 30 --yes")
    return Finding("ok", f"{free:.0f} GB free")


def _cache(root: Path) -> Finding:
    cache = root / ".dvc" / "cache"
    place = cache if cache.exists() else root / ".dvc"
    if not place.is_dir():
        return Finding("broken", f"no folder {root / '.dvc'}", "run from the project's root folder")
    if not os.access(place, os.W_OK):
        return Finding("broken", f"{place} may not be written", f"chmod -R u+w {place}")
    return Finding("ok", f"{place} can be written")


def _results(root: Path) -> Finding:
    from engine import Pipeline
    from engine.lockfile import has_conflict, is_torn

    if has_conflict(Layout(root).record) or is_torn(Layout(root).record):
        return Finding("note", "not looked at, since dvc.lock cannot be read")
    lacking, objects = Pipeline(root).cached_objects()
    if lacking:
        return Finding(
            "note",
            f"{lacking} of {objects} files of the recorded results are missing in the cache; what "
            "needs them will be computed again",
            "dvc pull, if a remote has them",
        )
    return Finding("ok", f"all {objects} files of the recorded results are in the cache")


def _params(root: Path) -> Finding:
    params = load_params(Layout(root).params)
    scenes = [name for name in params.scenes if not Layout(root).scene(name).is_dir()]
    if scenes:
        return Finding(
            "broken",
            f"no photos in data/scenes of: {', '.join(scenes)}",
            "put them there, or remove the scenes from params.yaml",
        )
    return Finding("ok", f"{len(params.scenes)} scenes, {len(params.edits)} edits")


def _lock(root: Path) -> Finding:
    from engine.lockfile import has_conflict, is_torn

    if has_conflict(Layout(root).record):
        return Finding(
            "broken",
            "has the conflict marks of a git merge",
            "git checkout --ours dvc.lock; dvc repro takes the rest from the run-cache",
        )
    if is_torn(Layout(root).record):
        return Finding(
            "broken",
            "a killed dvc left it torn",
            "git checkout dvc.lock, or remove it: dvc repro restores everything from the cache",
        )
    return Finding("ok", "whole" if Layout(root).record.exists() else "nothing recorded yet")


def _rwlock(root: Path) -> Finding:
    import psutil

    path = root / ".dvc" / "tmp" / "rwlock"
    way_out = f"if no dvc is running: rm {path}"
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Finding("ok", "none held")
    except ValueError:
        return Finding(
            "broken", f"{path} cannot be read; dvc typed by hand fails until a flow ran", way_out
        )
    readers = [entry for entries in held.get("read", {}).values() for entry in entries]
    pids = {int(entry["pid"]) for entry in (*readers, *held.get("write", {}).values())}
    if dead := {pid for pid in pids if not psutil.pid_exists(pid)}:
        ended = ", ".join(map(str, sorted(dead)))
        return Finding("note", f"left by ended processes ({ended}); dvc removes them by itself")
    living = ", ".join(map(str, sorted(pids)))
    return Finding("ok", f"held by running processes ({living})" if pids else "none held")


def _prefect_server(_: Path) -> Finding:
    import httpx
    from prefect.settings import PREFECT_API_URL

    url = PREFECT_API_URL.value()
    if not url:
        return Finding("note", "none named: each flow run starts one of its own, for ten seconds")
    try:
        httpx.get(f"{url}/health", timeout=5).raise_for_status()
    except httpx.HTTPError as error:
        return Finding("broken", f"{url} does not answer ({error})", _START_SERVER)
    return Finding("ok", f"{url} answers")


def _nightly_runs(_: Path) -> Finding:
    import httpx
    from prefect.exceptions import PrefectException
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME

    from cli.slots import leases_outlast_the_server, slots_nobody_holds

    if not PREFECT_API_URL.value():
        return Finding("note", "no server is named, so there are none")
    try:
        held, lasting = slots_nobody_holds(), leases_outlast_the_server()
    except (httpx.HTTPError, PrefectException):
        left = PREFECT_HOME.value() / "server.pid"
        if left.is_file():
            return Finding(
                "broken",
                f"the server does not answer and left {left}, as after a power cut; with it "
                "`prefect server start -b` believes that one runs, and `prefect server stop` may "
                "end another program",
                f"rm {left}; {_START_SERVER}",
            )
        return Finding("note", "the server could not be asked")
    if held:
        names = ", ".join(slot.deployment for slot in held)
        return Finding(
            "broken",
            f"{names}: no run lives, but one that died holds the slot, and all others wait for it",
            "; ".join(slot.release for slot in held),
        )
    if not lasting:
        return Finding(
            "note",
            "the server keeps leases in memory: after a power cut the slot of a nightly run stays "
            "held, and no later one runs",
            "start the server in the project's folder, whose prefect.toml keeps them on disk",
        )
    return Finding("ok", "no slot is held by a run that died")


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split() if path.is_file() else []


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
