from pathlib import Path

import numpy as np
import pytest
import torch

from scenestyle.errors import ArtifactError, GateError
from scenestyle.nerf import trainer as trainer_module
from scenestyle.nerf.checkpoints import load_checkpoint, save_checkpoint
from scenestyle.nerf.dataset import read_run_views, write_dataset
from scenestyle.nerf.train import photometric_losses, training_views
from scenestyle.nerf.trainer import Trainer, build_trainer, optimise

CPU = torch.device("cpu")


class Killed(Exception):
    """Stands for the power going out."""


@pytest.fixture(scope="module")
def run(poses, params, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write_dataset(poses, folder, max_image_side=params.max_image_side)
    return folder


@pytest.fixture
def make(run, params):
    """Makes fresh trainers of the same run, with their losses."""

    def make() -> tuple[Trainer, trainer_module.Losses]:
        trainer = build_trainer(run, params, CPU)
        views = read_run_views(run, holdout_every=params.holdout_every)
        return trainer, photometric_losses(trainer, training_views(run, views, CPU))

    return make


def checkpoint_bytes(trainer: Trainer, folder: Path) -> bytes:
    save_checkpoint(folder / "some.ckpt", trainer.state())
    return (folder / "some.ckpt").read_bytes()


def test_training_lowers_the_loss(make, tmp_path):
    trainer, losses = make()
    optimise(trainer, losses, until=60, work=tmp_path)
    assert trainer.loss_names == ["rgb", "interlevel", "distortion"]
    rgb = [row[1] for row in trainer.history]
    assert np.mean(rgb[-10:]) < 0.85 * np.mean(rgb[:10])


def test_the_same_seed_gives_the_same_bytes(make, tmp_path):
    results = []
    for attempt in range(2):
        torch.rand(attempt + 1)
        trainer, losses = make()
        optimise(trainer, losses, until=5, work=tmp_path / str(attempt))
        results.append(checkpoint_bytes(trainer, tmp_path))
    assert results[0] == results[1]


def test_a_killed_run_goes_on_as_if_nothing_had_happened(make, tmp_path, monkeypatch):
    trainer, losses = make()
    optimise(trainer, losses, until=9, work=tmp_path / "whole")

    monkeypatch.setattr(trainer_module, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    killed, its_losses = make()

    def until_killed(generator):
        if killed.step == 6:
            raise Killed
        return its_losses(generator)

    with pytest.raises(Killed):
        optimise(killed, until_killed, until=9, work=tmp_path / "killed")
    resumed, losses = make()
    optimise(resumed, losses, until=9, work=tmp_path / "killed")

    assert resumed.history == trainer.history
    assert checkpoint_bytes(resumed, tmp_path) == checkpoint_bytes(trainer, tmp_path)


def test_extending_a_run_adds_steps_only(make, tmp_path):
    whole, losses = make()
    optimise(whole, losses, until=7, work=tmp_path / "whole")
    first, losses = make()
    optimise(first, losses, until=4, work=tmp_path / "first")
    save_checkpoint(tmp_path / "first.ckpt", first.state())
    second, losses = make()
    second.load_state(load_checkpoint(tmp_path / "first.ckpt"))
    optimise(second, losses, until=7, work=tmp_path / "second")
    assert [*first.history, *second.history] == whole.history


def test_a_loss_that_is_not_finite_stops_before_it_harms(make):
    trainer, losses = make()
    trainer.update(losses)
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}

    def broken(generator):
        return {**losses(generator), "rgb": torch.tensor(float("nan"), requires_grad=True)}

    with pytest.raises(GateError, match=r"diverged at step 2: the loss rgb is nan. Lower"):
        trainer.update(broken)
    assert trainer.step == 1
    for name, value in trainer.model.named_parameters():
        assert torch.equal(value, before[name])


def test_torchs_global_generator_is_left_alone(make):
    trainer, losses = make()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    trainer.update(losses)
    assert torch.equal(torch.rand(2), expected)


def test_checkpoints_hold_no_code(make, tmp_path):
    trainer, losses = make()
    trainer.update(losses)
    save_checkpoint(tmp_path / "safe.ckpt", trainer.state())
    state = torch.load(tmp_path / "safe.ckpt", weights_only=True)
    assert state["step"] == 0
    assert set(state) == {
        "step", "pipeline", "optimizers", "schedulers", "scalers", "train_nerf", "field_format"
    }  # fmt: skip


def test_a_damaged_checkpoint_is_named(tmp_path):
    path = tmp_path / "torn.ckpt"
    save_checkpoint(path, {"step": 1, "numbers": torch.arange(1000)})
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ArtifactError, match=r"torn.ckpt cannot be read as a checkpoint"):
        load_checkpoint(path)


def test_a_checkpoint_with_code_is_refused_without_advice_to_run_it(tmp_path):
    class Code:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"step": 1, "pipeline": Code()}, tmp_path / "code.ckpt")

    with pytest.raises(ArtifactError, match="holds more than tensors") as error:
        load_checkpoint(tmp_path / "code.ckpt")
    assert "weights_only" not in str(error.value)
    assert not (tmp_path / "ran").exists()


def test_an_interrupted_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "a.ckpt"
    save_checkpoint(path, {"step": 1})

    def interrupted(state, file):
        file.write(b"half")
        raise Killed

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(Killed):
        save_checkpoint(path, {"step": 2})
    assert load_checkpoint(path) == {"step": 1}
