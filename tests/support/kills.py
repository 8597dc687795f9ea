"""SIGKILL at random moments to a run of the pipeline: to the flow's process, to its DVC, or to the stage."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from engine import Pipeline

_BRING_UP_TO_DATE = """\
import sys
from pathlib import Path
from engine import Pipeline, run_stage
for name in Pipeline(Path.cwd()).needs():
    outcome = run_stage(name)
    print(name, outcome.kind, f"{outcome.seconds:.1f}", flush=True)
"""


def driver(root: Path) -> subprocess.Popen[str]:
    """A process that brings a project up to date as a flow does; it prints stage, how it ended, seconds."""
    return subprocess.Popen(
        [sys.executable, "-c", _BRING_UP_TO_DATE],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def bring_up_to_date(root: Path) -> dict[str, tuple[str, float]]:
    """Run a driver to its end; stage -> how it ended and its seconds."""
    flow = driver(root)
    said, _ = flow.communicate()
    assert flow.returncode == 0, said
    lines = [line.split() for line in said.splitlines()]
    return {name: (kind, float(seconds)) for name, kind, seconds in lines}


def kill_something(flow: subprocess.Popen[str], chance: random.Random) -> str:
    """SIGKILL to one process of a driver's family.

    Returns:
        Which: `flow`, `dvc` or `stage`; empty if it was gone already.
    """
    while flow.poll() is None:
        try:
            family = [psutil.Process(flow.pid), *psutil.Process(flow.pid).children(recursive=True)]
            victim = chance.choice(family)
            role = "flow" if victim.pid == flow.pid else _role(victim)
            if role:
                victim.send_signal(signal.SIGKILL)
                return role
        except psutil.NoSuchProcess:  # ended meanwhile
            continue
    return ""


def kill_each_stage(
    root: Path, seconds: Mapping[str, float], kills: int, seed: int
) -> list[tuple[str, str]]:
    """Kill each stage in turn, at a moment drawn from the time that it takes, at the latest when it ends.

    Args:
        root: A project in which nothing ran yet.
        seconds: Stage instance -> how long it takes, in running order.
        kills: How often a stage is killed; less often if its result got recorded all the same.
        seed: Of moments and victims.

    Returns:
        Stage instance and victim of each kill.
    """
    chance, killed = random.Random(seed), []
    for name, duration in seconds.items():
        for _ in range(kills):
            if not Pipeline(root).reasons(name):
                break
            flow = driver(root)
            while not _runs(flow, name) and flow.poll() is None:
                time.sleep(0.02)
            moment = time.monotonic() + chance.uniform(0, duration)
            while _runs(flow, name) and time.monotonic() < moment:
                time.sleep(0.02)
            killed.append((name, kill_something(flow, chance)))
            flow.communicate()
    return killed


def _role(process: psutil.Process) -> str:
    """`dvc` or `stage`; empty for what these start."""
    command = process.cmdline()
    module = command[2] if command[1:2] == ["-m"] else ""
    if module == "engine.dvc_cli":
        return "dvc"
    return "stage" if module.startswith("tasks.") else ""


def _runs(flow: subprocess.Popen[str], name: str) -> bool:
    """Whether a stage's program runs below a driver."""
    program = ["-m", f"tasks.{name.split('@')[0]}"]
    try:
        commands = [child.cmdline() for child in psutil.Process(flow.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return False
    return any(command[1:3] == program for command in commands)
