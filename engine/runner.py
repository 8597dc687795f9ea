"""Bring one stage instance up to date: leave it, restore it from DVC's run-cache, or run it."""

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from engine.pipeline import Pipeline
from engine.process import MAY_PASS
from scenestyle.errors import ScenestyleError

logger = logging.getLogger(__name__)

Kind = Literal["fresh", "restored", "ran"]

_SECONDS_TO_END = 30
_SECONDS_BETWEEN_TRIES = 1.0
_SAYINGS: dict[Kind, str] = {
    "ran": "Running stage '{}'",
    "restored": "Stage '{}' is cached - skipping run",
    "fresh": "Stage '{}' didn't change, skipping",
}
"""How `dvc repro` (3.67) tells what it did."""
_BUSY = ("is busy, it is being blocked by", "another process is at the same work")
"""How it tells, or the stage does, that someone else is at it."""
_VANISHED = r"failed to reproduce '{}': \[Errno 2\] No such file or directory: '(.*)'"
"""How it tells that a file of the named folder went while it looked."""


class StageError(ScenestyleError):
    """A stage failed; the message begins with its name."""

    def __init__(self, message: str, *, may_pass: bool = False) -> None:
        super().__init__(message)
        self.may_pass = may_pass
        """whether it may succeed when it is just tried again"""


@dataclass(frozen=True)
class Outcome:
    """What `run_stage` did."""

    stage: str
    """the stage instance"""
    kind: Kind
    """`fresh`: nothing to do; `restored`: an earlier result was fetched; `ran`: computed"""
    reasons: tuple[str, ...]
    """why it was not fresh, such as `modified: styles.ukiyoe`"""
    seconds: float
    """wall clock"""
    entry: Mapping[str, Any] | None = None
    """what dvc.lock says of the result, if it was made in another clone"""


def run_stage(
    name: str,
    *,
    root: Path | None = None,
    timeout: float | None = None,
    pull: bool = False,
    log: Callable[[str], object] = logger.info,
) -> Outcome:
    """Bring a stage instance up to date; those upstream of it must be so already.

    Any number of processes and threads may call this at once. One that finds the stage running
    elsewhere, be it in a `dvc repro`, waits for it and takes its result.

    Args:
        name: A stage instance of dvc.yaml, such as `stylize_views@demo-ukiyoe`.
        root: The project's root folder; the current folder by default.
        timeout: Seconds after which the stage is ended.
        pull: Look for an earlier result in DVC's remote, too.
        log: Takes why the stage runs, then each line it prints.

    Raises:
        StageError: If the stage fails or takes too long; with the sentence it ended with.
        PipelineError: If DVC cannot read the project or there is no such stage.
    """
    start = time.monotonic()
    root = (root or Path.cwd()).resolve()
    why: tuple[str, ...] = ()
    waits = False
    while reasons := tuple(_pipeline(root).reasons(name)):
        if not why:
            log(f"{name} is out of date ({'; '.join(reasons)})")
        why = why or reasons
        left = None if timeout is None else timeout - (time.monotonic() - start)
        try:
            kind = _reproduce(name, root, left, log, *(["--pull"] if pull else []))
        except TimeoutError as error:
            raise StageError(f"{name}: ended after its time limit of {timeout:g} s.") from error
        if kind != "busy":
            return Outcome(name, kind, why, time.monotonic() - start)
        if not waits:
            log(f"{name}: another program makes it; waiting for that")
        waits = True
        time.sleep(_SECONDS_BETWEEN_TRIES)
    return Outcome(name, "fresh", why, time.monotonic() - start)


@cache
def _pipeline(root: Path) -> Pipeline:
    return Pipeline(root)


def _reproduce(
    name: str,
    root: Path,
    timeout: float | None,
    log: Callable[[str], object],
    *options: str,
) -> Kind | Literal["busy"]:
    lines = []
    command = ["--wait-for-lock", "repro", "--single-item", *options, name]
    with dvc_process(command, root) as process, _time_limit(process, timeout) as timed_out:
        busy = False
        for line in process.stdout or ():
            lines.append(line)
            # Then DVC advises to remove its lock by hand, which is for those who run it by hand.
            busy = busy or any(saying in line for saying in _BUSY)
            if not busy:
                log(line.rstrip())
        process.wait()
    output = "".join(lines)
    if timed_out.is_set():
        raise TimeoutError
    if process.returncode != 0 and is_taken(name, root, output):
        return "busy"
    if process.returncode < 0:
        ended_by = signal.Signals(-process.returncode)
        raise StageError(
            f"{name}: its dvc was ended by {ended_by.name}.", may_pass=ended_by == signal.SIGKILL
        )
    if process.returncode != 0:
        raise StageError(f"{name}: {last_words(output)}", may_pass=may_pass(output))
    return next(kind for kind, saying in _SAYINGS.items() if saying.format(name) in output)


def is_taken(name: str, root: Path, output: str) -> bool:
    """Whether a failed `dvc repro` found the stage busy, or its results just removed.

    Args:
        name: The stage instance.
        root: The project's root folder, without links.
        output: All that `dvc repro` printed.
    """
    if any(saying in output for saying in _BUSY):
        return True
    vanished = re.search(_VANISHED.format(re.escape(name)), output)
    return vanished is not None and any(
        Path(vanished[1]).is_relative_to(root / out) for out in _pipeline(root).outputs()[name]
    )


def last_words(output: str) -> str:
    """The sentence that a failed `dvc repro` ended with: the stage's own, else DVC's.

    Args:
        output: All it printed. A stage prints `error: ` and its sentence, or a traceback.
    """
    before_dvc, _, from_dvc = output.partition("ERROR: failed to reproduce")
    if sentences := re.findall(r"(?ms)^error: (.*)", before_dvc):
        return sentences[-1].strip()
    if "Traceback (most recent call last)" in before_dvc:
        return before_dvc.strip().splitlines()[-1]
    if (code := re.search(r"exited with (-?\d+)", from_dvc)) and (name := _signal(int(code[1]))):
        return f"its process was ended by {name}" + (
            "; most often the memory was not enough." if name == "SIGKILL" else "."
        )
    reason = re.sub(r"\[Errno \d+\] ", "", from_dvc or output)
    return reason.strip(" :\n") or "dvc gave no reason."


def may_pass(output: str) -> bool:
    """Whether what a failed `dvc repro` printed tells of a trouble that may pass by itself.

    That is what the stage says by its exit code, or the kernel by killing it, mostly for want of
    memory.
    """
    code = re.search(r"exited with (-?\d+)", output)
    return code is not None and (int(code[1]) == MAY_PASS or _signal(int(code[1])) == "SIGKILL")


def _signal(exit_code: int) -> str | None:
    """The signal that stopped a command: -9 where the shell became it, 137 where it waited."""
    number = -exit_code if exit_code < 0 else exit_code - 128
    return signal.Signals(number).name if number in set(signal.Signals) else None


@contextmanager
def dvc_process(arguments: list[str], root: Path) -> Iterator[subprocess.Popen[str]]:
    """DVC as a child process that does not outlive the block."""
    programs = Path(sys.executable).parent  # so that the `python` of dvc.yaml is this one
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.dvc_cli", *arguments],
        cwd=root,
        env={**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    try:
        yield process
    finally:
        _end(process)


@contextmanager
def _time_limit(process: subprocess.Popen[str], seconds: float | None) -> Iterator[threading.Event]:
    """End `process` after `seconds`; the event says whether that happened."""
    timed_out = threading.Event()

    def end() -> None:
        timed_out.set()
        _end(process)

    timer = threading.Timer(threading.TIMEOUT_MAX if seconds is None else seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield timed_out
    finally:
        timer.cancel()


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
