"""Write a run so that nerfstudio's tools, the next stages and people can open it."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from scenestyle.artifacts import write_json
from scenestyle.nerf.checkpoints import checkpoint_path, save_checkpoint
from scenestyle.nerf.dataset import keeps_frame, parse_dataset
from scenestyle.nerf.trainer import Trainer
from scenestyle.nerfstudio_plugin.quick_config import machine_config
from scenestyle.viz.charts import line_chart, smoothed

if TYPE_CHECKING:
    from scenestyle.nerfstudio_plugin.config import RunConfig


def write_run(
    run: Path,
    trainer: Trainer,
    metrics: Mapping[str, object],
    *,
    title: str,
    source: Path | None = None,
) -> None:
    """Complete a run's folder, which holds its dataset already, with everything trained.

    Writes the checkpoint, `config.yml`, `dataparser_transforms.json`, `losses.csv`,
    `loss_curve.png` under the heading `title` if there were steps, and `metrics.json`.

    Args:
        run: The folder.
        trainer: What was trained.
        metrics: For `metrics.json`.
        title: Of the chart.
        source: Of finetuned splats, the run that they were; None: anything else.
    """
    save_checkpoint(checkpoint_path(run, trainer.step - 1), trainer.state())
    if source is None:
        config = yaml.dump(run_config(trainer, keeps_frame=keeps_frame(run)))
    else:
        config = finetuned_config((source / "config.yml").read_text(encoding="utf-8"), trainer)
    (run / "config.yml").write_text(config, encoding="utf-8")
    parse_dataset(
        run, "train", holdout_every=trainer.params.holdout_every
    ).save_dataparser_transform(run / "dataparser_transforms.json")
    (run / "losses.csv").write_text(_losses_csv(trainer), encoding="utf-8")
    if trainer.history:
        (run / "loss_curve.png").write_bytes(_loss_curve(trainer, title))
    write_json(run / "metrics.json", metrics)


def run_config(trainer: Trainer, *, keeps_frame: bool) -> "RunConfig":
    """Nerfstudio's configuration of a run, without absolute paths or times.

    `keeps_frame`: whether the field has the frame of the run's `transforms.json`.
    """
    from scenestyle.nerfstudio_plugin.config import (
        SOURCE_METHOD,
        RunConfig,
        pipeline_config,
    )

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


def finetuned_config(source: str, trainer: Trainer) -> str:
    """What `run_config` gives for splats that were finetuned, as YAML.

    Their configuration is the source's but for the optimizers and the machine. To write it anew
    would take nerfstudio's classes, whose import takes longer than twenty steps of finetuning.

    Args:
        source: `config.yml` of the source.
        trainer: What was finetuned.
    """
    config = yaml.compose(source, yaml.SafeLoader)
    assert isinstance(config, yaml.MappingNode)
    changed = {
        "machine": machine_config(trainer.params, trainer.model.device),
        "optimizers": trainer.optimizers.config,
    }
    config.value = [
        (key, yaml.compose(yaml.dump(changed[key.value])) if key.value in changed else value)
        for key, value in config.value
    ]
    return yaml.serialize(config)


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
