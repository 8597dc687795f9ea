"""The quick layers of an autoencoder give what those of diffusers give."""

import copy

import pytest
import torch
from diffusers import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from torch import nn

from scenestyle.diffusion.quick_autoencoder import QuickResnet, quicken, transposed


@pytest.fixture(scope="module")
def vae() -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(
        block_out_channels=(8, 12, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
    ).eval()


def kinds(model: nn.Module) -> set[type]:
    return {type(part) for part in model.modules()}


@torch.no_grad()
def test_images_and_latents_are_the_same(vae: AutoencoderKL):
    quick = copy.deepcopy(vae)
    quicken(quick)
    assert {ResnetBlock2D, Upsample2D} <= kinds(vae)
    assert not {ResnetBlock2D, Upsample2D} & kinds(quick)
    image = torch.rand(2, 3, 40, 56)
    latents = vae.encode(image).latent_dist.mode()
    torch.testing.assert_close(quick.encode(image).latent_dist.mode(), latents)
    torch.testing.assert_close(quick.decode(latents).sample, vae.decode(latents).sample)


@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_one_transposed_convolution_doubles_and_convolves_to_the_border(*, bias: bool):
    layer = Upsample2D(3, use_conv=True, out_channels=5, bias=bias).double()
    x = torch.rand(1, 3, 4, 7, dtype=torch.float64)
    quick = transposed(layer).double()
    assert quick(x).shape == (1, 5, 8, 14)
    torch.testing.assert_close(quick(x), layer(x), atol=1e-6, rtol=1e-6)


@torch.no_grad()
def test_a_block_leaves_what_it_is_given_as_it_was():
    block = ResnetBlock2D(in_channels=8, out_channels=8, temb_channels=None, groups=4).eval()
    x = torch.rand(1, 8, 6, 5)
    before = x.clone()
    torch.testing.assert_close(QuickResnet(block)(x), block(x, None))
    assert torch.equal(x, before)


def test_layers_of_another_kind_stay(vae: AutoencoderKL):
    strange = copy.deepcopy(vae)
    for part in strange.modules():
        if isinstance(part, ResnetBlock2D):
            part.output_scale_factor = 2.0
        if isinstance(part, Upsample2D):
            part.norm = nn.LayerNorm(part.channels)
    quicken(strange)
    assert {ResnetBlock2D, Upsample2D} <= kinds(strange)
    assert QuickResnet not in kinds(strange)
