"""Time of a further style of a scene that is trained already, from its prompt to the finished report.

    python -m benchmarks.edit_loop                  # a fresh clone of HEAD; writes benchmarks/results/
    python -m benchmarks.edit_loop --styles oil comic --in-one watercolor

First the scene is made, and one edit of it, so that compiled code and DVC's record are those of a
user at work; that is not in the table. Then come some styles stage by stage, and one as users make
it, in one command. What an engine with nothing to do costs, `benchmarks.demo` and
`benchmarks.engine` measure.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.demo import PACKAGES, STAGES, Measurement, clone_head, measure
from benchmarks.machine import provenance, table, write_result

_EDIT_STAGES = STAGES[3:]


def add_edit(clone: Path, scene: str, style: str) -> str:
    """Ask for a style of a scene in `params.yaml`; gives the edit's name in dvc.yaml."""
    from scenestyle.project.params_file import edit_entry, update

    name = f"{scene}-{style}"
    update(clone / "params.yaml", {"edits": {name: edit_entry(scene, style)}})
    return name


def report(origin: str, rows: Mapping[str, Sequence[Measurement]], in_one: Measurement) -> str:
    """The result file."""
    cells = [
        (
            f"`{stage}`",
            f"{statistics.median(row.seconds for row in runs):.1f}",
            f"{statistics.median(row.cpu_seconds for row in runs):.1f}",
            f"{max(row.peak_gb for row in runs):.2f}",
        )
        for stage, runs in rows.items()
    ]
    count = len(next(iter(rows.values())))
    last = (
        "**all in one command**",
        *(f"**{value:.1f}**" for value in (in_one.seconds, in_one.cpu_seconds)),
        f"**{in_one.peak_gb:.2f}**",
    )
    lines = [
        "# A further style, stage by stage",
        "",
        origin,
        "Parameters: `params.yaml` of that commit. The scene and one edit of it are made already.",
        f"Stages: medians of {count} styles, each by `dvc repro --single-item`, whose start is in "
        "its time; the last row is one more style by `dvc repro evaluate@SCENE-STYLE`.",
        "",
        table(["stage", "seconds", "CPU seconds", "peak memory, GB"], [*cells, last]),
    ]
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scene", default="demo")
    parser.add_argument("--first", default="ukiyoe", help="style that is not measured")
    parser.add_argument("--styles", nargs="+", default=["oil", "comic", "pencil"])
    parser.add_argument("--in-one", default="watercolor", help="style made in one command")
    args = parser.parse_args()
    num_threads = os.cpu_count() or 1
    origin = provenance(PACKAGES, num_threads=num_threads)
    repro = [sys.executable, "-m", "dvc", "repro"]
    with tempfile.TemporaryDirectory() as folder:
        clone = clone_head(Path(folder))
        measure([*repro, f"evaluate@{add_edit(clone, args.scene, args.first)}"], clone)
        rows: dict[str, list[Measurement]] = {stage: [] for stage in _EDIT_STAGES}
        for style in args.styles:
            edit = add_edit(clone, args.scene, style)
            for stage, runs in rows.items():
                runs.append(measure([*repro, "--single-item", f"{stage}@{edit}"], clone))
                print(f"{stage}@{edit}: {runs[-1].seconds:.1f} s", flush=True)
        in_one = measure([*repro, f"evaluate@{add_edit(clone, args.scene, args.in_one)}"], clone)
    write_result("edit_loop", report(origin, rows, in_one), num_threads=num_threads)


if __name__ == "__main__":
    main()
