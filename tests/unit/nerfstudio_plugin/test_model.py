from dataclasses import replace

import pytest
import torch
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.model_components import losses as nerfstudio
from nerfstudio.models.nerfacto import NerfactoModel

from scenestyle.nerfstudio_plugin.config import model_config
from scenestyle.nerfstudio_plugin.model import SourceModel
from scenestyle.params import TrainNerf

TINY = TrainNerf(
    field="nerfacto",
    num_levels=4,
    max_resolution=64,
    log2_hashmap_size=10,
    proposal_log2_hashmap_size=9,
    hidden_dim=16,
    num_proposal_samples=(16, 6),
    num_samples=8,
    appearance_dim=5,
)


def build(params: TrainNerf = TINY) -> SourceModel:
    """A field dense and rough enough that every term of the rendering counts."""
    torch.manual_seed(0)
    box = SceneBox(aabb=torch.tensor([[-1.0, -1, -1], [1, 1, 1]]))
    config = replace(model_config(params, torch.device("cpu")), average_init_density=1.0)
    model = config.setup(scene_box=box, num_train_data=3, metadata={}, device="cpu")
    for name, parameter in model.named_parameters():
        if name.endswith("hash_table"):
            parameter.data.mul_(3000)
    model.before_step(20)
    return model


def outputs_and_gradients(model: SourceModel, get_outputs, rays, auxiliary):
    model.proposal_sampler.set_extra_state({"step": 0, "steps_since_update": 9})
    model.zero_grad()
    torch.manual_seed(1)
    outputs = get_outputs(model, rays)
    loss = outputs["rgb"].square().mean() + outputs["expected_depth"].log().mean()
    (loss + 100 * auxiliary(outputs)).backward()
    return outputs, {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("background", ["last_sample", "random", "white"])
def test_views_are_nerfactos(rays, background):
    model = build(replace(TINY, background=background)).eval()
    with torch.no_grad():
        expected, found = NerfactoModel.get_outputs(model, rays), model.get_outputs(rays)
    for name in ("rgb", "accumulation", "depth", "expected_depth"):
        torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-4)


def test_training_is_nerfactos(rays):
    model = build().train()
    expected, expected_gradients = outputs_and_gradients(
        model,
        NerfactoModel.get_outputs,
        rays,
        lambda o: (
            nerfstudio.interlevel_loss(o["weights_list"], o["ray_samples_list"])
            + 0.002 * nerfstudio.distortion_loss(o["weights_list"], o["ray_samples_list"])
        ),
    )
    found, gradients = outputs_and_gradients(
        model, SourceModel.get_outputs, rays, lambda o: sum(model.auxiliary_losses(o).values())
    )
    for name in ("rgb", "accumulation", "expected_depth"):
        torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-4)
    for name, gradient in gradients.items():
        if gradient is not None:
            scale = float(expected_gradients[name].abs().max())
            assert scale > 0, name
            torch.testing.assert_close(
                gradient, expected_gradients[name], rtol=0, atol=5e-3 * scale, msg=name
            )


def test_proposal_networks_rest_between_updates(rays):
    model = build(replace(TINY, proposal_warmup=1)).train()
    model.proposal_sampler.set_extra_state({"step": 50, "steps_since_update": 1})
    model.zero_grad()
    outputs = model.get_outputs(rays)
    (outputs["rgb"].mean() + sum(model.auxiliary_losses(outputs).values())).backward()
    assert all(p.grad is None or not p.grad.any() for p in model.proposal_networks.parameters())
    assert any(p.grad is not None and p.grad.any() for p in model.field.parameters())


def test_counters_travel_with_the_state_dict():
    model = build()
    model.after_step(41)
    other = build()
    other.load_state_dict(model.state_dict())
    assert other.proposal_sampler.get_extra_state() == model.proposal_sampler.get_extra_state()
    assert model.proposal_sampler.get_extra_state() == {"step": 41, "steps_since_update": 1}


def test_annealing_goes_from_flat_to_full():
    model = build().train()
    exponents = []
    for step in (0, 10, 500, 1000, 2000):
        model.before_step(step)
        exponents.append(model.proposal_sampler.anneal)
    assert exponents[0] == 0
    assert exponents == sorted(exponents)
    assert exponents[-2:] == [1, 1]
    model.before_step(0)
    assert model.eval().proposal_sampler.anneal == 1


def test_nothing_needs_downloaded_weights():
    assert not [name for name, _ in build().named_modules() if "lpips" in name]
