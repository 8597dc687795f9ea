"""How well the embedded model in the repository does on held-out scenes: `training/scorecard.py`.

    python -m benchmarks.scorecard                  # writes benchmarks/results/

The table stands in the model card, too.
"""

import argparse

import torch

from benchmarks.machine import ROOT, provenance, write_result
from scenestyle.device import let_idle_threads_sleep
from scenestyle.diffusion.weights import file_sha256
from training.export import HASH_FILE
from training.scorecard import scorecard

WEIGHTS = ROOT / "scenestyle/embedded/weights"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=20, help="held out")
    args = parser.parse_args()
    let_idle_threads_sleep()
    num_threads = torch.get_num_threads()
    lines = [
        "# Scorecard of the embedded model",
        "",
        provenance(("torch", "diffusers"), num_threads=num_threads),
        f"SHA-256 of the weights' {HASH_FILE}: {file_sha256(WEIGHTS / HASH_FILE)}.",
        "",
        scorecard(WEIGHTS, num_scenes=args.scenes),
    ]
    write_result("scorecard", "\n".join(lines), num_threads=num_threads)


if __name__ == "__main__":
    main()
