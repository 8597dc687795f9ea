"""Write a run so that nerfstudio's tools, the next stages and people can open it."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import yaml

from scenestyle.artifacts import write_json
from scenestyle.nerf.checkpoints import checkpoint_path, save_checkpoint
from scenestyle.nerf.dataset import keeps_frame, parse_dataset
from scenestyle.nerf.trainer import Trainer
from scenestyle.nerfstudio_plugin.config import (
    SOURCE_METHOD,
    RunConfig,
    machine_config,
    pipeline_config,
)
from scenestyle.viz.charts import line_chart, smoothed


def write_run(run: Path, trainer: Trainer, metrics: Mapping[str, object], *, title: str) -> None:
    """Complete a run's folder, which holds its dataset already, with everything trained.

    Writes the checkpoint, `config.yml`, `dataparser_transforms.json`, `losses.csv`,
    `loss_curve.png` under the heading `title` if there were steps, and `metrics.json`.
    """
    save_checkpoint(checkpoint_path(run, trainer.step - 1), trainer.state())
    config = yaml.dump(run_config(trainer, keeps_frame=keeps_frame(run)))
    (run / "config.yml").write_text(config, encoding="utf-8")
    parse_dataset(
        run, "train", holdout_every=trainer.params.holdout_every
    ).save_dataparser_transform(run / "dataparser_transforms.json")
    (run / "losses.csv").write_text(_losses_csv(trainer), encoding="utf-8")
    if trainer.history:
        (run / "loss_curve.png").write_bytes(_loss_curve(trainer, title))
    write_json(run / "metrics.json", metrics)


def run_config(trainer: Trainer, *, keeps_frame: bool) -> RunConfig:
    """Nerfstudio's configuration of a run, without absolute paths or times.

    `keeps_frame`: whether the field has the frame of the run's `transforms.json`.
    """
    params = trainer.params
    return RunConfig(
        method_name=SOURCE_METHOD,
        experiment_name="",
        timestamp="",
        output_dir=Path(),
        max_num_iterations=params.iterations,
        machine=machine_config(params, trainer.model.device),
        pipeline=pipeline_config(Path(), params, trainer.model.device, keeps_frame=keeps_frame),
        optimizers=trainer.optimizers.config,
        vis="viewer",
    )


def _losses_csv(trainer: Trainer) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["step", *trainer.loss_names])
    for step, *values in trainer.history:
        writer.writerow([int(step), *(f"{value:.6g}" for value in values)])
    return file.getvalue()


def _loss_curve(trainer: Trainer, title: str) -> bytes:
    half_width = max(1, len(trainer.history) // 100)
    curves = {
        name: smoothed(
            [(int(row[0]), row[column]) for row in trainer.history], half_width=half_width
        )
        for column, name in enumerate(trainer.loss_names, start=1)
    }
    return line_chart(curves, title=title, x_label="step", y_label="loss", log_y=True)
