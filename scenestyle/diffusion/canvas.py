"""Views of several sizes in the one batch that a pipeline takes.

Every view lies in the upper left corner of a row as large as the largest. The pipeline's loop and
its scheduler treat each number by itself, so what lies beside a view has no influence on it; the
autoencoder, the networks and the noise, which do look further, get the view alone.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from inspect import signature
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from scenestyle.diffusion.autoencoder import codes
from scenestyle.diffusion.noise import CarriedNoise
from scenestyle.diffusion.noise_offset import NoiseOffset
from scenestyle.diffusion.seams import replaced

ViewLatents = Float[Tensor, "1 channels _rows _columns"]
"""of one view"""


@dataclass(frozen=True)
class Canvas:
    """How large the views of a batch are."""

    sizes: tuple[tuple[int, int], ...]
    """rows and columns of each view's latents"""

    @cached_property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the batch."""
        rows, columns = zip(*self.sizes, strict=True)
        return max(rows), max(columns)

    def parts(self, views: Sequence[int]) -> list[list[int]]:
        """Positions in `views`, those of one size together, in the order of their first."""
        by_size: dict[tuple[int, int], list[int]] = {}
        for position, view in enumerate(views):
            by_size.setdefault(self.sizes[view], []).append(position)
        return list(by_size.values())

    def cut(self, batch: Tensor, view: int, *, scale: int = 1) -> Tensor:
        """What `view` fills of a batch of latents, or of images `scale` times as fine."""
        rows, columns = self.sizes[view]
        return batch[..., : rows * scale, : columns * scale]

    def apart(self, batch: Tensor) -> list[ViewLatents]:
        """The views of a batch of all."""
        return [self.cut(row, view) for view, row in enumerate(batch.split(1))]

    def laid(self, views: Sequence[Tensor]) -> Tensor:
        """Latents in one batch: views of any sizes, or batches of them, one after the other."""
        rows, columns = self.size
        return torch.cat(
            [
                view
                if view.shape[-2:] == (rows, columns)
                else pad(view, (0, columns - view.shape[-1], 0, rows - view.shape[-2]))
                for view in views
            ]
        )


@contextmanager
def prepared_by_size(
    pipeline: Any,
    canvas: Canvas,
    noise: CarriedNoise | None,
    seed: int,
    offset: NoiseOffset | None = None,
) -> Iterator[None]:
    """Within the block `pipeline` encodes and draws for each view as if all had its size.

    Args:
        pipeline: Whose `prepare_latents` is used for the views of each size in turn.
        canvas: Sizes of the views of its batch.
        noise: What is added to the views instead of what the pipeline draws for each; None: that.
        seed: Of `noise`.
        offset: What all of a view's noise has in common; None: nothing.
    """
    prepare, scheduler = pipeline.prepare_latents, pipeline.scheduler
    # Where noise and image are mixed in a straight line, the method has another name.
    mixing = "scale_noise" if hasattr(scheduler, "scale_noise") else "add_noise"
    names = list(signature(prepare).parameters)

    def prepare_latents(*args: Any) -> Tensor:
        given = dict(zip(names, args, strict=False))
        image, timestep, batch_size = given["image"], given["timestep"], given["batch_size"]
        factor = pipeline.vae_scale_factor
        clean: list[Tensor] = [image] * batch_size
        drawn: list[Tensor] = [image] * batch_size
        for views in canvas.parts(range(batch_size)):
            calls: list[tuple[Tensor, Tensor]] = []

            def keep(samples: Tensor, *more: Tensor, calls: Any = calls) -> Tensor:
                calls.append((samples, more[mixing == "scale_noise"]))
                return samples

            rows = image if len(views) == batch_size else image[views]
            own = canvas.cut(rows, views[0], scale=factor)
            height, width = own.shape[-2:]
            changes = {
                "image": own,
                "timestep": timestep[views],
                "batch_size": len(views),
                "generator": [given["generator"][view] for view in views],
                "height": height,
                "width": width,
            }
            with replaced(scheduler, mixing, keep):
                prepare(**{name: changes.get(name, value) for name, value in given.items()})
            for kept, part in zip((clean, drawn), calls[0], strict=True):
                for view, row in zip(views, part.split(1), strict=True):
                    kept[view] = row
        drawn = _in_common(drawn, noise, seed, offset)
        if mixing == "scale_noise":
            return scheduler.scale_noise(canvas.laid(clean), timestep, canvas.laid(drawn))
        return scheduler.add_noise(canvas.laid(clean), canvas.laid(drawn), timestep)

    with replaced(pipeline, "prepare_latents", prepare_latents):
        yield


@contextmanager
def shown_by_size(
    pipeline: Any,
    canvas: Canvas,
    noise: CarriedNoise | None,
    seed: int,
    offset: NoiseOffset | None = None,
) -> Iterator[None]:
    """As `prepared_by_size`, for a pipeline that begins at noise alone, and sees the views beside.

    Args:
        pipeline: Of InstructPix2Pix; in its latents of images nothing is scaled.
        canvas: Sizes of the views of its batch.
        noise: What the views begin at, instead of what the pipeline draws for each; None: that.
        seed: Of `noise`.
        offset: What all of a view's noise has in common; None: nothing.
    """
    from diffusers.utils.torch_utils import randn_tensor

    begin, show = pipeline.prepare_latents, pipeline.prepare_image_latents

    def prepare_latents(*args: Any) -> Tensor:
        batch_size, channels, height, width, dtype, device, generators, _ = args
        drawn = [
            randn_tensor((1, channels, *size), generator, device, dtype)
            for size, generator in zip(canvas.sizes, generators, strict=True)
        ]
        latents = canvas.laid(_in_common(drawn, noise, seed, offset))
        return begin(batch_size, channels, height, width, dtype, device, generators, latents)

    def prepare_image_latents(image: Tensor, *args: Any) -> Tensor:
        _, _, dtype, device, _ = args
        factor = pipeline.vae_scale_factor
        views = [canvas.cut(row, view, scale=factor) for view, row in enumerate(image.split(1))]
        like = torch.empty(0, dtype=dtype, device=device)
        return show(canvas.laid(codes(pipeline.vae, views, like)), *args)

    with (
        replaced(pipeline, "prepare_latents", prepare_latents),
        replaced(pipeline, "prepare_image_latents", prepare_image_latents),
    ):
        yield


def _in_common(
    drawn: list[Tensor], noise: CarriedNoise | None, seed: int, offset: NoiseOffset | None
) -> list[Tensor]:
    """Noise drawn for each view, with what is the same in several of them, or over all of one."""
    if noise is not None:
        drawn = noise.of(drawn[noise.first], seed)
    return drawn if offset is None else [offset.added(of_view) for of_view in drawn]
