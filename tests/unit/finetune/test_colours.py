"""Colours of Gaussians before the first step."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from scenestyle.artifacts import ViewsFolder
from scenestyle.finetune.colours import coarsest, take_on_colours
from scenestyle.finetune.finetune import continued_trainer, training_targets
from scenestyle.finetune.patches import Target
from scenestyle.nerfstudio_plugin.splat_field import SplatField
from scenestyle.params import FinetuneNerf
from tests.support.tiny_field import SPLATS, write_tiny_source

PARAMS = FinetuneNerf(iterations=30, patch_scales=(1.0, 0.9))
WHOLE = torch.ones(1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("splats")
    write_tiny_source(folder, SPLATS)
    return folder


@pytest.fixture
def model(tiny: Path) -> SplatField:
    model = continued_trainer(tiny / "nerf", PARAMS, torch.device("cpu")).model
    assert isinstance(model, SplatField)
    model.lift_colours()
    return model


@pytest.fixture
def targets(tiny: Path) -> list[Target]:
    rendered = ViewsFolder.open(tiny / "views")
    pictures = [rendered.rgb(view)[None] for view in rendered.views]
    return coarsest(training_targets(rendered, pictures, PARAMS, torch.device("cpu")))


def shown(model: SplatField, targets: list[Target]) -> list[Tensor]:
    with torch.no_grad():
        return [model.splatted(target.camera).rgb for target in targets]


def aims(targets: list[Target], *pictures: list[Tensor]) -> list[Target]:
    """The targets with other pictures: one list per style, in the order of the views."""
    each = zip(targets, *pictures, strict=True)
    return [replace(target, rgb=torch.stack(styles)) for target, *styles in each]


def distance(some: list[Tensor], others: list[Tensor]) -> float:
    pairs = zip(some, others, strict=True)
    return float(torch.stack([(a - b).square().mean() for a, b in pairs]).mean().sqrt())


def test_of_each_view_the_smallest_is_taken(tiny: Path, targets: list[Target]):
    assert [target.view_index for target in targets] == list(range(len(targets)))
    assert {target.rgb.shape[2:] for target in targets} == {(32, 43)}


def test_what_the_field_shows_already_changes_nothing(model: SplatField, targets: list[Target]):
    before = model.features_dc.detach().clone()
    take_on_colours(model, aims(targets, shown(model, targets)), WHOLE, 3)
    torch.testing.assert_close(model.features_dc.detach(), before, atol=1e-5, rtol=0)


def test_no_pass_changes_nothing(model: SplatField, targets: list[Target]):
    before = model.features_dc.detach().clone()
    take_on_colours(model, aims(targets, [1 - x for x in shown(model, targets)]), WHOLE, 0)
    assert torch.equal(model.features_dc, before)


def test_other_colours_of_the_same_gaussians_are_found(model: SplatField, targets: list[Target]):
    """The problem is linear: where it has a solution, passes come near it."""
    first, generator = model.features_dc.detach().clone(), torch.Generator().manual_seed(0)
    begin = shown(model, targets)
    with torch.no_grad():
        model.features_dc.copy_(torch.rand(first.shape, generator=generator) - 0.5)
    wanted = shown(model, targets)
    with torch.no_grad():
        model.features_dc.copy_(first)
    after = []
    for _ in range(3):
        take_on_colours(model, aims(targets, wanted), WHOLE, 5)
        after.append(distance(shown(model, targets), wanted))
    assert after[2] < after[1] < after[0] < 0.3 * distance(begin, wanted)


def test_the_styles_are_mixed_by_their_weights(model: SplatField, targets: list[Target]):
    begin = shown(model, targets)
    others = [1 - picture for picture in begin]
    mixed = aims(targets, begin, others)
    take_on_colours(model, mixed, torch.tensor([1.0, 0.0]), 2)
    assert distance(shown(model, targets), begin) < 1e-4
    take_on_colours(model, mixed, torch.tensor([0.0, 1.0]), 5)
    assert distance(shown(model, targets), others) < 0.5 * distance(begin, others)


def test_what_a_photo_hides_counts_for_nothing(model: SplatField, targets: list[Target]):
    before = model.features_dc.detach().clone()
    hidden = [replace(target, used=torch.zeros_like(target.used)) for target in targets]
    take_on_colours(model, aims(hidden, [1 - x for x in shown(model, targets)]), WHOLE, 3)
    assert torch.equal(model.features_dc, before)


def test_a_channel_that_was_below_0_learns(model: SplatField, targets: list[Target]):
    """It shows as 0, and the rasterizer gives it no gradient; a step leaves none there."""
    camera = targets[0].camera
    with torch.no_grad():
        model.features_dc.fill_(-5.0)
    (dead,) = torch.autograd.grad(model.splatted(camera).rgb.sum(), model.features_dc)
    assert float(dead.abs().max()) == 0
    black = shown(model, targets)
    model.after_step(0)
    assert distance(shown(model, targets), black) < 1e-3
    (alive,) = torch.autograd.grad(model.splatted(camera).rgb.sum(), model.features_dc)
    assert float(alive.max()) > 0


def test_no_colour_gets_brighter_than_white_but_those_that_are_stay(model: SplatField):
    with torch.no_grad():
        model.features_dc.fill_(0.0)
        model.features_dc[0] = 4.0
    bright = float(model.colors[0, 0])
    model.shift_colours(torch.full_like(model.features_dc, 9.0))
    assert float(model.colors[1:].max()) == pytest.approx(1)
    assert float(model.colors[0, 0]) == pytest.approx(bright)
