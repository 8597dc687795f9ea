"""What kills cost: each real stage, small, is killed at random moments; then the next run repairs itself.

    python -m benchmarks.kills --kills 2           # writes benchmarks/results/kills_*.md

The demo scene with the small parameters of the tests. A victim is the flow's process, its DVC or
the stage itself, by SIGKILL, at a moment drawn from the time that the stage took undisturbed.
"""

import argparse
import collections
import os
import tempfile
import time
from pathlib import Path

from benchmarks.machine import provenance, table, write_result
from tests.support.kills import bring_up_to_date, kill_each_stage
from tests.wiring.test_real_stages import files, lay_out


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=2, help="of each stage")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    num_threads = os.cpu_count() or 1
    origin = provenance(("dvc", "torch", "nerfstudio"), num_threads=num_threads)
    with tempfile.TemporaryDirectory() as folder:
        project, undisturbed = Path(folder) / "project", Path(folder) / "undisturbed"
        for root in (project, undisturbed):
            lay_out(root)
        ran = bring_up_to_date(undisturbed)
        seconds = {name: seconds for name, (_, seconds) in ran.items()}
        print(seconds, flush=True)
        start = time.perf_counter()
        killed = kill_each_stage(project, seconds, args.kills, args.seed)
        last = bring_up_to_date(project)
        took = time.perf_counter() - start
        results, wanted = files(project / "data"), files(undisturbed / "data")
    different = [name for name in wanted if results.get(name) != wanted[name]]
    victims = collections.defaultdict(list)
    for name, victim in killed:
        victims[name].append(victim or "too late")
    rows = [
        (f"`{name}`", f"{seconds[name]:.1f}", ", ".join(victims[name]) or "-", last[name][0])
        for name in seconds
    ]
    lines = [
        "# Kills at random moments of real stages",
        "",
        origin,
        "",
        table(["stage", "seconds undisturbed", "killed", "in the last run"], rows),
        "",
        f"{sum(bool(victim) for _, victim in killed)} kills (seed {args.seed}); {len(different)} "
        f"of {len(wanted)} files of the results differ from the undisturbed "
        f"ones{': ' if different else ''}{', '.join(different)}, those with wall-clock seconds "
        f"left out. All runs together {took:.0f} s, undisturbed {sum(seconds.values()):.0f} s.",
    ]
    write_result("kills", "\n".join(lines), num_threads=num_threads)


if __name__ == "__main__":
    main()
