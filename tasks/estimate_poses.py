"""Pose the photos of a scene. Reads photos or a posed dataset, writes the poses folder."""

from pathlib import Path

from engine.stage import stage_main
from scenestyle import sfm
from scenestyle.params import EstimatePoses


def run(source: Path, out: Path, params: EstimatePoses, *, work: Path) -> dict[str, object]:
    """Pose the photos of a scene by structure from motion, or check the poses it comes with."""
    return sfm.estimate_poses(source, out, params, work=work)


def main() -> None:
    """Run the stage as a program."""
    stage_main(run)


if __name__ == "__main__":
    main()
