"""What diffusers' pipelines do with their autoencoder, one picture at a time."""

import pytest
import torch

from scenestyle.diffusion.autoencoder import decoded, encoded
from scenestyle.diffusion.models import load_pipeline

MEAN, DEVIATION = (0.5, -1.0, 0.0, 2.0), (2.0, 1.0, 0.5, 3.0)


@pytest.fixture
def pipeline(tiny_folder):
    return load_pipeline(str(tiny_folder), torch.device("cpu")).pipeline


@pytest.fixture(params=["scale alone", "mean and deviation"])
def vae(pipeline, request):
    if request.param == "mean and deviation":
        pipeline.vae.register_to_config(latents_mean=MEAN, latents_std=DEVIATION)
    return pipeline.vae


def some_pictures():
    return torch.rand(3, 3, 12, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_latents_are_those_that_the_stock_pipeline_prepares(pipeline, vae):
    """Its autoencoder draws from the posterior; with no deviation it draws the most likely latents."""
    pictures = some_pictures()
    vae.quant_conv.weight.data[4:] = 0
    vae.quant_conv.bias.data[4:] = -30
    with torch.no_grad():
        wanted = pipeline.prepare_latents(
            pictures, torch.tensor([0]), 3, 1, torch.float32, torch.device("cpu"),
            [torch.Generator() for _ in pictures], add_noise=False,
        )  # fmt: skip
    torch.testing.assert_close(
        torch.cat(encoded(vae, pictures.split(1), wanted)), wanted, atol=1e-5, rtol=1e-5
    )


def test_pictures_are_those_that_the_stock_pipeline_returns(pipeline, vae):
    pictures = some_pictures() / 2 + 0.5
    call = {
        "prompt": ["a red ball"] * 3, "image": pictures, "control_image": pictures, "strength": 0.5,
        "num_inference_steps": 4,
    }  # fmt: skip
    latents, wanted = (
        pipeline(
            **call, output_type=kind, generator=[torch.Generator().manual_seed(0) for _ in range(3)]
        ).images
        for kind in ("latent", "pt")
    )
    found = torch.cat([*decoded(vae, latents.split(1))])
    torch.testing.assert_close((found * 0.5 + 0.5).clamp(0, 1), wanted, atol=1e-6, rtol=1e-5)


def test_pictures_pass_singly(vae):
    batches = []
    hooks = [
        part.register_forward_pre_hook(lambda _, args: batches.append(len(args[0])))
        for part in (vae.encoder, vae.decoder)
    ]
    latents = encoded(vae, some_pictures().split(1), torch.zeros(1))
    assert [picture.shape for picture in decoded(vae, latents)] == 3 * [(1, 3, 12, 16)]
    for hook in hooks:
        hook.remove()
    assert batches == 6 * [1]


@pytest.mark.parametrize(("asks_for_it", "dtype"), [(True, torch.float32), (False, torch.float16)])
def test_what_overflows_in_half_precision_is_computed_in_single(pipeline, asks_for_it, dtype):
    vae = pipeline.vae.half()
    vae.register_to_config(force_upcast=asks_for_it)
    seen = []
    hook = vae.decoder.register_forward_pre_hook(lambda _, args: seen.append(args[0].dtype))
    (picture,) = decoded(vae, [torch.zeros(1, 4, 6, 8, dtype=torch.float16)])
    hook.remove()
    assert (seen, picture.dtype, vae.dtype) == ([dtype], torch.float32, torch.float16)
