"""The stages that run now, whichever process started them."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from scenestyle.artifacts import write_json
from scenestyle.files import is_locked

_NOTE = ".job.json"
_STRIP = "progress.png"


@dataclass(frozen=True)
class RunningJob:
    """A stage that runs."""

    instance: str
    """such as `train_nerf@fern`"""
    started: float
    """seconds since 1970"""
    strip: Path | None
    """image that shows how far it is; none as long as the stage has drawn none"""


def note_job(work: Path, instance: str) -> None:
    """Say in the stage's scratch folder what runs there."""
    write_json(work / _NOTE, {"instance": instance, "started": round(time.time(), 3)})


def running_jobs(work: Path) -> list[RunningJob]:
    """Those whose scratch folder, `work/STAGE/DIGEST`, is locked by a living process.

    The kernel releases the lock of a process that ends, however it ends.
    """
    jobs = []
    for note in sorted(work.glob(f"*/*/{_NOTE}")):
        if not is_locked(note.parent):
            continue
        try:
            found = json.loads(note.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # it ended, or began, just now
            continue
        strip = note.parent / _STRIP
        jobs.append(
            RunningJob(found["instance"], found["started"], strip if strip.exists() else None)
        )
    return jobs
