"""Image-to-image with a ControlNet for Z-Image: the two that diffusers has one each, in one.

diffusers has a `ZImageImg2ImgPipeline` without control, and a `ZImageControlNetPipeline` that
begins at pure noise. Here the first one's loop runs as it is; what the second one adds, the
ControlNet's hints, reaches the transformer on the way. With `strength` 1 it is the second, without
the control the first, bit for bit.
"""

from collections.abc import Sequence
from itertools import count
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    ZImageControlNetModel,
    ZImageImg2ImgPipeline,
    ZImageTransformer2DModel,
)
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from scenestyle.diffusion.autoencoder import encoded
from scenestyle.diffusion.seams import replaced


class ZImageControlNetImg2ImgPipeline(ZImageImg2ImgPipeline):
    """A `ZImageImg2ImgPipeline` whose transformer is given a ControlNet's hints."""

    def __init__(
        self,
        scheduler: FlowMatchEulerDiscreteScheduler,
        vae: AutoencoderKL,
        text_encoder: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        transformer: ZImageTransformer2DModel,
        controlnet: ZImageControlNetModel,
    ) -> None:
        """The parts; the ControlNet gets the transformer's first layers for its own."""
        words: Any = tokenizer  # which diffusers takes for transformers' factory of them
        super().__init__(scheduler, vae, text_encoder, words, transformer)
        self.register_modules(
            controlnet=ZImageControlNetModel.from_transformer(controlnet, transformer)
        )

    def __call__(
        self,
        *args: Any,
        control_image: Float[Tensor, "views 3 height width"],
        controlnet_conditioning_scale: float = 0.75,
        control_guidance_start: float = 0.0,
        control_guidance_end: float = 1.0,
        **kwargs: Any,
    ) -> Any:
        """Generate, as `ZImageImg2ImgPipeline` does.

        Args:
            args: Of `ZImageImg2ImgPipeline`.
            control_image: What the ControlNet sees, 0..1, of the images' size.
            controlnet_conditioning_scale: Factor on its hints; with 0 it is not called.
            control_guidance_start: Fraction of the executed steps at which its influence begins.
            control_guidance_end: The same of where it ends.
            kwargs: Of `ZImageImg2ImgPipeline`.
        """
        context = self.prepare_control_image(image=control_image)
        predict, steps = self.transformer.forward, count()

        def controlled(x: Sequence[Tensor], t: Tensor, cap_feats: Any, **more: Any) -> Any:
            step = next(steps)
            is_early = step / self.num_timesteps < control_guidance_start
            is_late = (step + 1) / self.num_timesteps > control_guidance_end
            hints = None
            if controlnet_conditioning_scale and not is_early and not is_late:
                # Both halves of guidance see the same.
                seen = [context[row % len(context)] for row in range(len(x))]
                hints = self.controlnet(
                    x, t, cap_feats, seen, conditioning_scale=controlnet_conditioning_scale
                )
            return predict(x, t, cap_feats, controlnet_block_samples=hints, **more)

        with replaced(self.transformer, "forward", controlled):
            return super().__call__(*args, **kwargs)

    def prepare_control_image(
        self, *, image: Float[Tensor, "views 3 height width"]
    ) -> Sequence[Float[Tensor, "channels 1 rows columns"]]:
        """What the ControlNet is given of each image: its latents, and empty channels beside them.

        Those are for inpainting, in the ControlNets that know it.
        """
        like = torch.empty(0, dtype=self.vae.dtype, device=self._execution_device)
        missing = self.controlnet.config.control_in_dim - self.transformer.in_channels
        contexts = []
        for latent in encoded(self.vae, (2 * image - 1).split(1), like):
            empty = latent.new_zeros(1, missing, *latent.shape[2:])
            contexts.append(torch.cat([latent, empty], 1).movedim(0, 1))
        return contexts
