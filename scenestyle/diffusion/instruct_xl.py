"""InstructPix2Pix of SDXL's class, called as the one of Stable Diffusion 1.5's.

diffusers' pipeline takes the size of the images from the model instead of from the images, and does
not say how it was called. Otherwise it runs unchanged.
"""

from typing import Any

from diffusers import StableDiffusionXLInstructPix2PixPipeline


class StableDiffusionXLEditPipeline(StableDiffusionXLInstructPix2PixPipeline):
    """A `StableDiffusionXLInstructPix2PixPipeline` for images of any size."""

    guidance_scale: float
    """of the last call"""
    image_guidance_scale: float
    """of the last call"""

    @property
    def num_timesteps(self) -> int:
        """Steps of a call."""
        scheduler: Any = self.scheduler
        return len(scheduler.timesteps)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Edit, as `StableDiffusionXLInstructPix2PixPipeline` does.

        Args:
            args: Of `StableDiffusionXLInstructPix2PixPipeline`.
            kwargs: The same; `image`, a tensor, and both scales of guidance among them.
        """
        self.guidance_scale = kwargs["guidance_scale"]
        self.image_guidance_scale = kwargs["image_guidance_scale"]
        height, width = kwargs["image"].shape[-2:]
        return super().__call__(*args, height=height, width=width, **kwargs)
