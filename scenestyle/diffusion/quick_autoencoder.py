"""An autoencoder's layers for a CPU: the same formulas in fewer multiplications and copies.

Fusing the views decodes and encodes each of them at every timestep, at full resolution, which takes
longer than the UNet.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


def quicken(vae: Any) -> None:
    """Replace the layers of an `AutoencoderKL`, in place, by ones that are quick on a CPU.

    Results are the same but for rounding. Layers of another kind stay as they are.
    """
    from diffusers.models.resnet import ResnetBlock2D
    from diffusers.models.upsampling import Upsample2D

    for parent in list(vae.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is ResnetBlock2D and _has_no_more_than_quick(layer):
                setattr(parent, name, QuickResnet(layer))
            elif type(layer) is Upsample2D and _is_plain(layer):
                setattr(parent, name, transposed(layer))


class QuickResnet(nn.Module):
    """A residual block without timesteps whose activations and sum overwrite what they are of."""

    def __init__(self, block: Any) -> None:
        """Takes over the layers of a `ResnetBlock2D`."""
        super().__init__()
        self.norm1, self.conv1 = block.norm1, block.conv1
        self.norm2, self.conv2 = block.norm2, block.conv2
        self.shortcut = block.conv_shortcut or nn.Identity()

    def forward(
        self, x: Float[Tensor, "batch channels height width"], temb: None = None
    ) -> Float[Tensor, "batch _channels height width"]:
        """The block's map; there is no embedding of a timestep."""
        hidden = self.conv1(F.silu(self.norm1(x), inplace=True))
        hidden = self.conv2(F.silu(self.norm2(hidden), inplace=True))
        return hidden.add_(self.shortcut(x))


def transposed(upsampler: Any) -> nn.ConvTranspose2d:
    """Doubling the pixels and a convolution of 3 x 3, as one transposed convolution of 4 x 4.

    Each new pixel then takes 4 multiplications per channel instead of 9, since of the 9 neighbours
    most are the same pixel.
    """
    conv = upsampler.conv
    both = nn.ConvTranspose2d(
        *(conv.in_channels, conv.out_channels),
        kernel_size=4,
        stride=2,
        padding=1,
        bias=conv.bias is not None,
        dtype=conv.weight.dtype,
    )
    # What one old pixel adds to the new ones around it: the kernel, mirrored, of its 2 x 2 copies.
    mirrored = conv.weight.detach().float().flip(2, 3)
    spread = sum(F.pad(mirrored, (x, 1 - x, y, 1 - y)) for x in (0, 1) for y in (0, 1))
    with torch.no_grad():
        both.weight.copy_(torch.as_tensor(spread).transpose(0, 1))
        if conv.bias is not None:
            assert both.bias is not None
            both.bias.copy_(conv.bias)
    both = both.eval().requires_grad_(requires_grad=False)
    return both.to(memory_format=torch.channels_last)


def _has_no_more_than_quick(block: Any) -> bool:
    return (
        isinstance(block.nonlinearity, nn.SiLU)
        and block.time_emb_proj is block.upsample is block.downsample is None
        and block.output_scale_factor == 1
    )


def _is_plain(upsampler: Any) -> bool:
    conv = getattr(upsampler, "conv", None)
    return (
        upsampler.interpolate
        and upsampler.norm is None
        and type(conv) is nn.Conv2d
        and (conv.kernel_size, conv.padding, conv.groups) == ((3, 3), (1, 1), 1)
    )
