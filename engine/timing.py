"""How long stages took, as their results tell it, and how long they will take."""

import json
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path


def recorded_seconds(outs: Iterable[Path]) -> float | None:
    """The `seconds` that a stage noted in a JSON file of its result; None without a note."""
    for out in outs:
        for note in [out] if out.suffix == ".json" else sorted(out.glob("*.json")):
            if (seconds := _seconds(note)) is not None:
                return seconds
    return None


def estimate(name: str, recorded: Mapping[str, float]) -> float | None:
    """Expected seconds of a stage instance: as last time, else the stage's median elsewhere.

    Args:
        name: Such as `train_nerf@fern`.
        recorded: Stage instance -> seconds of its last run.
    """
    if name in recorded:
        return recorded[name]
    stage = name.split("@")[0]
    others = [seconds for other, seconds in recorded.items() if other.split("@")[0] == stage]
    return statistics.median(others) if others else None


def _seconds(note: Path) -> float | None:
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    seconds = found.get("seconds") if isinstance(found, dict) else None
    return float(seconds) if isinstance(seconds, int | float) else None
