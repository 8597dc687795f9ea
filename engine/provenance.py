"""What made a result, in a file beside it: code, settings, versions and machine.

Wall-clock seconds are not in it, so that the same again on the same machine gives the same bytes.
"""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

FILE = "provenance.json"

_CODE = ("tasks", "engine", "scenestyle", "dvc.yaml")


def provenance(settings: Mapping[str, object]) -> dict[str, object]:
    """What to note of the stage that runs in this process, in the project of the current folder.

    Args:
        settings: What the stage got from params.yaml.
    """
    return {
        "settings": {
            name: asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
            for name, value in settings.items()
        },
        "code": code(),
        "machine": machine(),
        "versions": {"python": platform.python_version(), "scenestyle": version("scenestyle")},
    }


def code() -> dict[str, object]:
    """The commit of the project, and which files of its code differ from it; empty outside of git.

    Commits of results and of params.yaml do not count: `dvc.lock` has the hashes of all that a
    stage read.
    """
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return {}
    edited = _git("status", "--porcelain", "--", *_CODE) or ""
    return {"commit": commit.strip(), "edited": sorted(line[3:] for line in edited.splitlines())}


def machine() -> dict[str, object]:
    """Where this process runs."""
    return {
        "host": platform.node(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "gpu": _gpu(),
    }


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:  # git need not be there to run
        return None
    return done.stdout if done.returncode == 0 else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _gpu() -> str | None:
    """The one that the stage could use; a stage that loaded no torch used none."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return torch.cuda.get_device_name()
