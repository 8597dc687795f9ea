"""Move the source field towards its stylized views. Reads run and views, writes a run."""

from pathlib import Path

from engine.stage import stage_main
from scenestyle.params import FinetuneNerf


def run(
    nerf: Path, views: Path, stylized: Path, out: Path, params: FinetuneNerf, *, work: Path
) -> dict[str, object]:
    """Finetune the source field with the sliced Wasserstein loss; fails if it did not move."""
    from scenestyle.finetune.finetune import finetune

    metrics = finetune(nerf, views, {stylized: 1.0}, out, params, work=work)
    return {name: metrics[name] for name in ("movement", "depth_abs_rel", "seconds")}


def main() -> None:
    """Run the stage as a program."""
    stage_main(run)


if __name__ == "__main__":
    main()
