"""Fusing the views in 3D while they are denoised: what they see of one surface becomes one colour.

At every timestep each view has the picture that the model expects behind the noise. Through the
source's depth a pixel finds the places where neighbouring views see the same surface; it takes the
mean of all of them, and the denoising goes on from there. `docs/decisions/stylized_views.md` has
the figures that speak for it.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import interpolate

from scenestyle.cameras import PinholeCamera
from scenestyle.diffusion.autoencoder import Latents, decoded, encoded
from scenestyle.geometry import correspondences

Picture = Float[np.ndarray, "_height _width 3"]

_NUM_NEIGHBOURS = 8
"""views that a view is fused with; the nearest cameras"""
_TAU = 0.02
"""share of the distance by which two depths of one point may differ"""


class Fusion:
    """Where the views of a scene see the same, and the mean over it."""

    def __init__(
        self,
        depths_z: Sequence[Float[np.ndarray, "_height _width"]],
        cameras: Sequence[PinholeCamera],
        num_steps: int,
    ) -> None:
        """Find what every view shares with its neighbours.

        Args:
            depths_z: z-depth of the source, scene units; NaN where there is no surface.
            cameras: Of the views, each of the size of its depth.
            num_steps: Timesteps, from the first, at which views are fused.
        """
        self.num_steps = num_steps
        self._sizes = [depth_z.shape for depth_z in depths_z]
        self._links = [
            [_Link.between(depths_z, cameras, view, other) for other in neighbours]
            for view, neighbours in enumerate(nearest_views(cameras, _NUM_NEIGHBOURS))
        ]

    def mean(self, pictures: Sequence[Picture]) -> list[Picture]:
        """Each pixel with its surface's mean colour over the views that see it."""
        return [
            _mean_over_links(picture, pictures, links)
            for picture, links in zip(pictures, self._links, strict=True)
        ]

    def change(self, clean: Sequence[Latents], vae: Any) -> list[Latents]:
        """What fusing adds to the latents of the clean pictures.

        Args:
            clean: Latents, per view, of what the model expects behind the noise.
            vae: Autoencoder of the pipeline, to see them as pictures and back. Both the pictures
                and the fused ones are encoded, so that what it loses cancels.
        """
        own = [picture.clamp(-1, 1) for picture in decoded(vae, clean)]
        views = [
            np.ascontiguousarray(
                interpolate(picture, size, mode="bilinear", antialias=True)[0].movedim(0, -1)
            )
            for picture, size in zip(own, self._sizes, strict=True)
        ]
        added = [
            torch.from_numpy(mean - view)[None].movedim(-1, 1)
            for mean, view in zip(self.mean(views), views, strict=True)
        ]
        fused = [
            picture + interpolate(more, picture.shape[-2:], mode="bilinear")
            for picture, more in zip(own, added, strict=True)
        ]
        codes = zip(encoded(vae, fused, clean[0]), encoded(vae, own, clean[0]), strict=True)
        return [after - before for after, before in codes]


class _Link:
    """Where one view sees what each pixel of another shows."""

    def __init__(
        self,
        other: int,
        pixels: Float[np.ndarray, "height width 2"],
        is_visible: Bool[np.ndarray, "height width"],
    ) -> None:
        self.other = other
        self.is_visible = is_visible.astype(np.uint8)
        # Fixed-point maps take 6 bytes a pixel instead of 8, and OpenCV reads them faster.
        centres = np.where(is_visible[..., None], pixels - 0.5, 0).astype(np.float32)
        self._map_1, self._map_2 = cv2.convertMaps(centres, None, cv2.CV_16SC2)  # pyright: ignore[reportCallIssue, reportArgumentType]

    @classmethod
    def between(
        cls,
        depths_z: Sequence[Float[np.ndarray, "_height _width"]],
        cameras: Sequence[PinholeCamera],
        view: int,
        other: int,
    ) -> "_Link":
        found = correspondences(
            depths_z[view], cameras[view], depths_z[other], cameras[other], tau=_TAU
        )
        return cls(other, *found)

    def read(self, pictures: Sequence[Picture]) -> Picture:
        """The other view's colours, at the pixels of the view."""
        return cv2.remap(
            pictures[self.other],
            self._map_1,
            self._map_2,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )


def nearest_views(cameras: Sequence[PinholeCamera], count: int) -> list[list[int]]:
    """Per view the `count` others whose cameras stand nearest, the nearest first."""
    centres = np.stack([camera.c2w_opengl[:3, 3] for camera in cameras])
    distances = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    return np.argsort(distances, axis=1, kind="stable")[:, : min(count, len(cameras) - 1)].tolist()


def shifted_prediction(
    prediction: Tensor, clean_change: Tensor, scheduler: Any, timestep: Tensor
) -> Tensor:
    """The UNet's prediction after the clean latents behind it have changed.

    With x = alpha x0 + sigma eps and x fixed, eps changes by -alpha / sigma times the change of x0,
    and v = alpha eps - sigma x0 (Salimans, Ho 2022, arXiv:2202.00512) by -1 / sigma times. All
    parts of classifier-free guidance get the same change, so that what they are combined to gets it
    too.
    """
    alpha, sigma = _alpha_sigma(scheduler, timestep)
    factor = {"sample": 1.0, "epsilon": -alpha / sigma, "v_prediction": -1 / sigma}
    added = clean_change * factor[scheduler.config.prediction_type]
    return prediction + added.repeat(len(prediction) // len(added), 1, 1, 1).to(prediction)


def clean_latents(noisy: Tensor, prediction: Tensor, scheduler: Any, timestep: Tensor) -> Tensor:
    """The clean latents x0 of noisy ones, by the UNet's prediction (already guided)."""
    alpha, sigma = _alpha_sigma(scheduler, timestep)
    kind = scheduler.config.prediction_type
    if kind == "sample":
        return prediction
    if kind == "v_prediction":
        return alpha * noisy - sigma * prediction
    return (noisy - sigma * prediction) / alpha


def _alpha_sigma(scheduler: Any, timestep: Tensor) -> tuple[float, float]:
    # The networks see scaled latents, alpha x0 + sigma eps, with every kind of scheduler.
    alpha_bar = float(scheduler.alphas_cumprod[int(timestep)])
    return alpha_bar**0.5, (1 - alpha_bar) ** 0.5


def _mean_over_links(
    picture: Picture, pictures: Sequence[Picture], links: Sequence[_Link]
) -> Picture:
    total, count = np.array(picture, order="C"), np.ones(picture.shape[:2], picture.dtype)
    for link in links:
        cv2.accumulate(link.read(pictures), total, link.is_visible)
        count += link.is_visible
    return total / count[..., None]
