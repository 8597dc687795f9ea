"""`scenestyle watch`."""

import time
from collections.abc import Sequence
from typing import Annotated

from tyro.conf import arg

from cli.console import LAYOUT, say
from engine import Pipeline, estimate
from engine.jobs import RunningJob, running_jobs
from scenestyle.errors import ParamsError
from scenestyle.params import load_params
from scenestyle.progress import duration


def watch(
    *, every: Annotated[float | None, arg(metavar="SECONDS", help_behavior_hint="")] = None
) -> None:
    """Show which stages run now, in this and in other programs, and how far each is.

    Example: scenestyle watch --every 10

    Args:
        every: Look again and again, with so many seconds in between, until interrupted.
    """
    load_params(LAYOUT.params)
    if every is not None and every <= 0:
        raise ParamsError(f"--every: must be above 0, got {every:g}.")
    recorded = Pipeline(LAYOUT.root).recorded_seconds()
    while True:
        say(*watch_lines(running_jobs(LAYOUT.work), recorded, now=time.time()))
        if every is None:
            return
        time.sleep(every)


def watch_lines(jobs: Sequence[RunningJob], recorded: dict[str, float], *, now: float) -> list[str]:
    """A line per running stage, and the image that shows how far it is, if it draws one."""
    if not jobs:
        return ["Nothing runs now. What would run: scenestyle status"]
    lines = []
    for job in jobs:
        usual = estimate(job.instance, recorded)
        took = f"usually {duration(usual)}" if usual else "never ran here, so its end is unknown"
        lines.append(f"{job.instance}: for {duration(now - job.started)}, {took}")
        if job.strip is not None:
            lines.append(f"  how far a held-out view is: {job.strip.resolve()}")
    return lines
