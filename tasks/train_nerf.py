"""Train the source radiance field. Reads poses, writes a nerfstudio run with its held-out PSNR."""

from pathlib import Path

from engine.stage import stage_main
from scenestyle.params import TrainNerf


def run(poses: Path, out: Path, params: TrainNerf, *, work: Path) -> dict[str, object]:
    """Train a field on the posed photos; every n-th is held out and measures it."""
    from scenestyle.nerf.train import train

    metrics = train(poses, out, params, work=work)
    headlines = ("heldout_psnr", "train_psnr", "gaussians", "seconds")
    return {name: metrics[name] for name in headlines if name in metrics}


def main() -> None:
    """Run the stage as a program."""
    stage_main(run)


if __name__ == "__main__":
    main()
