from dataclasses import replace
from types import SimpleNamespace
from typing import get_args

import pytest
import torch
from diffusers import EulerDiscreteScheduler

from scenestyle.diffusion.models import load_pipeline
from scenestyle.diffusion.plan import Plan
from scenestyle.diffusion.schedulers import set_scheduler
from scenestyle.params import Scheduler
from tests.support.tiny_diffusion import stylize
from tests.unit.diffusion.test_stylize import (
    SETTINGS,
    assert_same_pictures,
    in_float64,
    some_views,
    stock,
)


@pytest.mark.parametrize("name", get_args(Scheduler))
def test_without_sharing_it_is_the_stock_pipeline_with_this_scheduler(tiny_folder, name):
    model = in_float64(load_pipeline(str(tiny_folder), torch.device("cpu"), scheduler=name))
    rgb, disparity = some_views(2)
    settings = replace(SETTINGS, guidance_scale=2.0)

    found = stylize(model, rgb, disparity, settings, Plan("none", ((0, 1),)))

    assert_same_pictures(found, stock(model, rgb, disparity, settings))


def test_the_noise_schedule_stays(tiny_folder):
    own = load_pipeline(str(tiny_folder), torch.device("cpu")).pipeline.scheduler
    for name in get_args(Scheduler):
        other = load_pipeline(str(tiny_folder), torch.device("cpu"), scheduler=name)
        assert torch.equal(other.pipeline.scheduler.alphas_cumprod, own.alphas_cumprod)


@pytest.mark.parametrize("name", ["ddim", "ddim-trailing"])
def test_latents_are_not_clipped_to_what_pixels_can_be(name):
    """As DDIM's own default is, and a configuration does not have to say it."""
    pipeline = SimpleNamespace(scheduler=EulerDiscreteScheduler())

    set_scheduler(pipeline, name)

    assert not pipeline.scheduler.config.clip_sample
