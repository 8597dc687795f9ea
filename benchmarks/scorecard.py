"""How well the embedded model in the repository does on held-out scenes: `training/scorecard.py`.

    python -m benchmarks.scorecard                  # writes benchmarks/results/
    python -m benchmarks.scorecard --photographs WORK

The second is on captures that no training has seen (`training.photos.collect` gathers them in
WORK). The tables stand in the model card, too.
"""

import argparse
from pathlib import Path

import torch

from benchmarks.machine import ROOT, provenance, write_result
from scenestyle.device import let_idle_threads_sleep
from scenestyle.diffusion.weights import file_sha256
from training.export import HASH_FILE
from training.scorecard import scorecard, scorecard_of_photographs

WEIGHTS = ROOT / "scenestyle/embedded/weights"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=20, help="held out")
    parser.add_argument("--photographs", type=Path, metavar="WORK", help="on captures held out")
    args = parser.parse_args()
    let_idle_threads_sleep()
    num_threads = torch.get_num_threads()
    name, where = (
        ("scorecard_photographs", "captures") if args.photographs else ("scorecard", "scenes")
    )
    lines = [
        f"# Scorecard of the embedded model on {where} held out",
        "",
        provenance(("torch", "diffusers"), num_threads=num_threads),
        f"SHA-256 of the weights' {HASH_FILE}: {file_sha256(WEIGHTS / HASH_FILE)}.",
        "",
        scorecard_of_photographs(WEIGHTS, args.photographs)
        if args.photographs
        else scorecard(WEIGHTS, num_scenes=args.scenes),
    ]
    write_result(name, "\n".join(lines), num_threads=num_threads)


if __name__ == "__main__":
    main()
