"""Optimisation of a field: reproducible, resumable, the same to train and to finetune.

The caller brings the losses as a function of a generator. Everything random in a step comes from
the run's seed and the step's number, so a resumed run takes the very steps that it would have
taken.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from scenestyle.errors import GateError
from scenestyle.nerf.checkpoints import load_checkpoint, save_checkpoint
from scenestyle.nerfstudio_plugin.interface import FIELD_FORMAT, FieldModel
from scenestyle.nerfstudio_plugin.sizes import num_gaussians
from scenestyle.nerfstudio_plugin.splat_field import SplatField
from scenestyle.params import FinetuneNerf, TrainNerf
from scenestyle.progress import Progress

if TYPE_CHECKING:
    from nerfstudio.engine.optimizers import Optimizers

Losses = Callable[[torch.Generator], Mapping[str, Tensor]]
"""Computes the named loss terms of one step; their sum is minimised."""

_SECONDS_BETWEEN_CHECKPOINTS = 20.0

_log = logging.getLogger(__name__)


@dataclass
class Trainer:
    """A field, its optimizers and what they have been through."""

    model: FieldModel
    optimizers: "Optimizers"
    params: TrainNerf
    """what the source field was, or is being, trained with"""
    seed: int
    """seed of everything random in a step, together with the step's number"""
    step: int = 0
    """steps taken so far"""
    history: list[list[float]] = field(default_factory=list)
    """per step taken by this trainer: its number from 1, then the loss terms in `loss_names`
    order"""
    loss_names: list[str] = field(default_factory=list)
    finetune_params: FinetuneNerf | None = None
    """what the field is being finetuned with, if it is"""
    finish_step: "Callable[[Trainer], None]" = lambda trainer: None
    """called when the optimizers have taken a step, which is not counted yet"""

    def update(self, losses: Losses) -> None:
        """Take one step down the sum of the loss terms.

        Raises:
            GateError: If a term is not finite; the field stays as it was before the step.
        """
        self.model.train()
        self.model.before_step(self.step)
        self.optimizers.zero_grad_all()
        with seeded(self.seed, self.step) as generator:
            terms = losses(generator)
        values = {name: float(term.detach()) for name, term in terms.items()}
        _check_finite(values, self.step)
        torch.stack(list(terms.values())).sum().backward()
        self.optimizers.optimizer_step_all()
        for scheduler in self.optimizers.schedulers.values():
            scheduler.step()
        self.finish_step(self)
        self.model.after_step(self.step)
        self.step += 1
        self.loss_names = list(values)
        self.history.append([self.step, *values.values()])

    def state(self) -> dict[str, Any]:
        """A checkpoint in nerfstudio's form: `step` is that of the last update, from 0."""
        return {
            "step": self.step - 1,
            "pipeline": {f"_model.{key}": value for key, value in self.model.state_dict().items()},
            "optimizers": {
                name: optimizer.state_dict()
                for name, optimizer in self.optimizers.optimizers.items()
            },
            "schedulers": {
                name: scheduler.state_dict()
                for name, scheduler in self.optimizers.schedulers.items()
            },
            "scalers": {},
            "train_nerf": asdict(self.params),
            **({"finetune_nerf": asdict(self.finetune_params)} if self.finetune_params else {}),
            "field_format": FIELD_FORMAT,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint of a field of the same sizes."""
        self.step = state["step"] + 1
        load_model_state(self.model, state)
        self.optimizers.load_optimizers(state["optimizers"])
        self.optimizers.load_schedulers(state["schedulers"])


def build_model(run: Path, params: TrainNerf, device: torch.device) -> FieldModel:
    """An untrained field for the views of a run.

    Its weights are drawn from torch's global generator; see `seeded`.
    """
    if params.field == "splats":
        return SplatField(num_gaussians(params), params.sh_degree).to(device)
    # nerfstudio's models take seconds to import.
    from scenestyle.nerf.dataset import parse_dataset
    from scenestyle.nerfstudio_plugin.config import model_config

    outputs = parse_dataset(run, "train", holdout_every=params.holdout_every)
    return (
        model_config(params, device)
        .setup(
            scene_box=outputs.scene_box,
            num_train_data=len(outputs.image_filenames),
            metadata={},
            device=device,
        )
        .to(device)
    )


def build_trainer(run: Path, params: TrainNerf, device: torch.device) -> Trainer:
    """A trainer at step 0 for the views of a run, of the kind nerfacto."""
    from nerfstudio.engine.optimizers import Optimizers

    from scenestyle.nerfstudio_plugin.quick_config import optimizer_configs

    with seeded(params.seed):
        model = build_model(run, params, device)
    optimizers = Optimizers(optimizer_configs(params), model.get_param_groups())
    return Trainer(model=model, optimizers=optimizers, params=params, seed=params.seed)


def optimise(
    trainer: Trainer,
    losses: Losses,
    *,
    until: int,
    work: Path,
    begin: Callable[[], None] = lambda: None,
    check: Callable[[], None] = lambda: None,
    look: Callable[[], None] = lambda: None,
) -> float:
    """Update until `until` steps have been taken, with a checkpoint in `work` every 20 seconds.

    If `work` holds a checkpoint of an interrupted call, goes on from there.

    Args:
        trainer: What is updated.
        losses: What it goes down.
        until: Steps of the trainer's own count.
        work: Folder for checkpoints.
        begin: Called before the first step, unless an interrupted call goes on.
        check: Called before every checkpoint and at the end; raises GateError if something is
            wrong, so that a checkpoint is always one that passed.
        look: Called after every step.

    Returns:
        Steps per second of this call.

    Raises:
        GateError: If a loss is not finite, or of `check`; says where the last checkpoint is.
        ArtifactError: If the checkpoint in `work` is damaged.
    """
    work.mkdir(parents=True, exist_ok=True)
    path = work / "training.ckpt"
    if path.exists():
        _resume(trainer, load_checkpoint(path))
    else:
        begin()
    saved_step = trainer.step
    first_step, start = trainer.step, time.monotonic()
    saved = start
    progress = Progress(_log, until, done=first_step)
    while trainer.step < until:
        try:
            trainer.update(losses)
            now = time.monotonic()
            is_due = now - saved > _SECONDS_BETWEEN_CHECKPOINTS
            if is_due or trainer.step == until:
                check()
        except GateError as error:
            raise GateError(f"{error} {_way_back(path, saved_step)}") from error
        look()
        if is_due:
            save_checkpoint(path, _resumable(trainer))
            saved, saved_step = now, trainer.step
        progress.tell(trainer.step, _latest_losses(trainer))
    return (trainer.step - first_step) / (time.monotonic() - start)


def load_model_state(model: FieldModel, state: Mapping[str, Any]) -> None:
    """Put the weights of a checkpoint into a model of the same sizes."""
    prefix = "_model."
    model.load_state_dict(
        {key.removeprefix(prefix): value for key, value in state["pipeline"].items()}
    )


@contextmanager
def seeded(*seeds: int) -> Iterator[torch.Generator]:
    """A generator, and torch's global one (which nerfstudio draws from) for the time being."""
    seed = int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0])
    with torch.random.fork_rng():
        # Where there is no GPU, torch.manual_seed keeps a stack trace of each call until one comes.
        torch.default_generator.manual_seed(seed)
        if torch.cuda.is_available():
            torch.cuda.manual_seed_all(seed)
        yield torch.Generator().manual_seed(seed)


def _check_finite(values: Mapping[str, float], step: int) -> None:
    broken = [name for name, value in values.items() if not np.isfinite(value)]
    if broken:
        raise GateError(
            f"Training diverged at step {step + 1}: the loss {', '.join(broken)} is "
            f"{values[broken[0]]}. Lower learning_rate, or choose another seed."
        )


def _resumable(trainer: Trainer) -> dict[str, Any]:
    return {
        "state": trainer.state(),
        "history": torch.tensor(trainer.history, dtype=torch.float64),
        "loss_names": trainer.loss_names,
    }


def _resume(trainer: Trainer, saved: Mapping[str, Any]) -> None:
    trainer.load_state(saved["state"])
    trainer.history = saved["history"].tolist()
    trainer.loss_names = saved["loss_names"]
    _log.info("going on from step %d of an interrupted run", trainer.step)


def _way_back(path: Path, step: int) -> str:
    if not path.exists():
        return "It had no checkpoint yet: what it started from is the last good field."
    return f"The last good checkpoint, after step {step}, is {path}."


def _latest_losses(trainer: Trainer) -> str:
    values = trainer.history[-1][1:]
    pairs = zip(trainer.loss_names, values, strict=True)
    return ", ".join(f"{name} {value:.4g}" for name, value in pairs)
