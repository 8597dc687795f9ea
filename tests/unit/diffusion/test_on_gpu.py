"""On a GPU the laws of the CPU hold; `make gpu-check` runs these."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from scenestyle.diffusion.families import family_of
from scenestyle.diffusion.models import load_pipeline
from scenestyle.diffusion.plan import Plan
from tests.support.tiny_diffusion import (
    stylize,
    tiny_first_pipeline,
    tiny_instructed,
    tiny_z_image,
)
from tests.unit.diffusion.test_stylize import SETTINGS as OF_IMAGES
from tests.unit.diffusion.test_stylize import some_views

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
]
CPU = torch.device("cpu")
SETTINGS = replace(OF_IMAGES, image_guidance_scale=1.5)
IN_GROUPS = Plan("references", ((1, 4), (0, 2), (3,)))


@pytest.fixture(scope="module", params=["SDXL", "Z-Image", "InstructPix2Pix"])
def folder(request, tiny_folder, tmp_path_factory):
    if request.param == "SDXL":
        return tiny_folder
    folder = tmp_path_factory.mktemp("tiny")
    tiny = tiny_z_image() if request.param == "Z-Image" else tiny_instructed(tiny_first_pipeline())
    tiny.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def models(folder):
    """The same model on the CPU and on the GPU, in the same numbers."""
    devices = CPU, torch.device("cuda")
    return [load_pipeline(str(folder), device, "float32") for device in devices]


def worst(found, wanted):
    return np.abs(found - wanted).max()


@pytest.mark.parametrize("plan", [Plan.joint(5), IN_GROUPS], ids=["joint", "in groups"])
def test_pictures_are_those_of_the_cpu_but_for_rounding(models, plan):
    views = some_views(5)
    on_cpu, on_gpu = (stylize(model, *views, SETTINGS, plan) for model in models)
    assert worst(on_gpu, on_cpu) < 2e-3


def test_the_same_again_bit_for_bit(models):
    views = some_views(5)
    first, second = (stylize(models[1], *views, SETTINGS, IN_GROUPS) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_groups_change_nothing_but_rounding(models):
    views = some_views(5)
    one_by_one = Plan("references", ((1, 4), (0,), (2,), (3,)))
    found, wanted = (stylize(models[1], *views, SETTINGS, plan) for plan in (IN_GROUPS, one_by_one))
    assert worst(found, wanted) < 2e-3


def test_weights_that_wait_in_main_memory_change_nothing_and_come_back(models):
    views = some_views(5)
    resident = stylize(models[1], *views, SETTINGS, IN_GROUPS)
    offloaded = stylize(models[1], *views, SETTINGS, replace(IN_GROUPS, offload="model"))
    np.testing.assert_array_equal(offloaded, resident)
    again = stylize(models[1], *views, SETTINGS, IN_GROUPS)
    np.testing.assert_array_equal(again, resident)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_gives_nearly_the_same_pictures(models, folder, dtype):
    views = some_views(5)
    half = load_pipeline(str(folder), torch.device("cuda"), dtype)
    found, wanted = (stylize(model, *views, SETTINGS, IN_GROUPS) for model in (half, models[0]))
    assert np.abs(found - wanted).mean() < 0.02


def test_the_images_of_all_views_are_not_on_the_gpu_while_it_denoises(models):
    """Docs say that of a view beyond the group there lie the latents alone."""
    sizes: dict[int, int] = {}
    model = models[1]
    family = family_of(model.pipeline)
    for num_views in (4, 12):

        def watch(*_, num_views=num_views):
            sizes[num_views] = torch.cuda.memory_allocated()

        denoiser = family.denoiser(model.pipeline)
        planted = denoiser.register_forward_pre_hook(watch)
        plan = Plan("none", tuple((view,) for view in range(num_views)))
        stylize(model, *some_views(num_views, 64, 48), SETTINGS, plan)
        planted.remove()
    picture, latents = 3 * 64 * 48 * 4, 4 * 32 * 24 * 4
    assert sizes[12] - sizes[4] < 8 * (6 * family.guidance_parts * latents + picture / 2)
