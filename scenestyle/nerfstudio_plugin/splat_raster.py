"""Render Gaussians differentiably: one function, by our kernels on a CPU, by gsplat's on CUDA."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from scenestyle.cameras import PinholeCamera
from scenestyle.errors import ParamsError, reason
from scenestyle.geometry import harmonics, invert_rigid, opencv_from_opengl
from scenestyle.nerfstudio_plugin import splat_kernels as kernels


@dataclass(frozen=True)
class Gaussians:
    """The parameters of a scene's Gaussians, as splatfacto keeps them, in the field's frame."""

    means: Float[Tensor, "n 3"]
    """centres, scene units"""
    quats: Float[Tensor, "n 4"]
    """rotations (w, x, y, z), of any length above 0"""
    log_scales: Float[Tensor, "n 3"]
    """log of the standard deviations along the Gaussian's own axes, scene units"""
    logits: Float[Tensor, " n"]
    """opacities before the sigmoid"""
    harmonics: Float[Tensor, "n bases 3"]
    """spherical harmonics of the colour, degree 0 to 3: 1, 4, 9 or 16 bases; the first alone is the
    same all round"""


@dataclass(frozen=True)
class Splatted:
    """What a camera sees of Gaussians; the first four carry gradients."""

    rgb: Float[Tensor, "3 height width"]
    """colours on black, 0 and up"""
    opacity: Float[Tensor, "height width"]
    """share of the light that is stopped, 0 to 1"""
    depth_z: Float[Tensor, "height width"]
    """expected distance along the optical axis, scene units; 0 where there is nothing"""
    screen: Float[Tensor, "n 2"]
    """projected centres, for their gradient alone (`screen.grad`, by pixels)"""
    median_z: Float[Tensor, "height width"] | None
    """if asked for, the distance along the optical axis at which half of the light is stopped;
    where less is, the expected one, and so everywhere on CUDA"""
    is_visible: Bool[Tensor, " n"]
    """whether a Gaussian touches the image"""


def rasterize(
    gaussians: Gaussians,
    camera: PinholeCamera,
    *,
    is_antialiased: bool = True,
    with_median: bool = False,
) -> Splatted:
    """Render Gaussians.

    Args:
        gaussians: All on one device.
        camera: In their frame.
        is_antialiased: Whether opacity makes up for the widening of what is smaller than a pixel,
            so that renders of any size show the same.
        with_median: Whether the median depth is wanted, which is a third of the work once more.

    Raises:
        ParamsError: If the Gaussians are on a GPU and gsplat has no CUDA kernels here.

    Source: Kerbl et al. 2023, arXiv:2308.04079; antialiasing of Yu et al. 2023, "Mip-Splatting",
        arXiv:2311.16493, as in gsplat (arXiv:2409.06765).
    """
    if gaussians.means.is_cuda:
        return _on_cuda(gaussians, camera, is_antialiased, with_median)
    screen = gaussians.means.new_zeros(len(gaussians.means), 2, requires_grad=True)
    planes, median_z, is_visible = _Rasterize.apply(
        gaussians.means,
        gaussians.quats,
        gaussians.log_scales,
        gaussians.logits,
        view_colours(gaussians, camera),
        screen,
        camera,
        is_antialiased,
        with_median,
    )
    opacity = 1 - planes[3]
    depth_z = planes[4] / opacity.clamp_min(1e-6)
    if with_median:
        median_z = torch.where(median_z > 0, median_z, depth_z.detach())
    return Splatted(
        planes[:3], opacity, depth_z, screen, median_z if with_median else None, is_visible
    )


def view_colours(gaussians: Gaussians, camera: PinholeCamera) -> Float[Tensor, "n 3"]:
    """Colour of each Gaussian as seen from a camera: its harmonics plus a half, not below 0."""
    first, *others = gaussians.harmonics.unbind(1)
    directions: tuple[Tensor | None, ...] = (None, None, None)
    if others:
        centre = gaussians.means.new_tensor(camera.c2w_opengl[:3, 3])
        towards = torch.nn.functional.normalize(gaussians.means - centre)
        directions = towards.split(1, dim=1)
    base, *values = harmonics(*directions, num_bases=1 + len(others))
    colours = base * first + 0.5
    for value, weights in zip(values, others, strict=True):
        colours = colours + value * weights
    return colours.clamp_min(0)


def world_to_camera(camera: PinholeCamera) -> Float[np.ndarray, "4 4"]:
    """The camera's inverse pose, with OpenCV axes (x right, y down, z forward)."""
    return invert_rigid(opencv_from_opengl(camera.c2w_opengl))


class _Rasterize(torch.autograd.Function):
    """Planes `[5, height, width]` (colour, transmittance, sum of w z), median z, who is seen."""

    @staticmethod
    def forward(
        ctx: Any,
        means: Tensor,
        quats: Tensor,
        log_scales: Tensor,
        logits: Tensor,
        colours: Tensor,
        screen: Tensor,  # only its gradient is used
        camera: PinholeCamera,
        is_antialiased: bool,
        with_median: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        parameters = _arrays(means, quats, log_scales, logits)
        dtype = parameters[0].dtype
        w2c = world_to_camera(camera)
        intrinsics = [camera.fx, camera.fy, camera.cx, camera.cy]
        numbers = np.concatenate([w2c[:3, :3].ravel(), w2c[:3, 3], intrinsics]).astype(dtype)
        view = (numbers, camera.width, camera.height, is_antialiased)
        tiles_x, tiles_y = (-(-side // kernels.TILE) for side in (camera.width, camera.height))
        shape = (kernels.NUM_PLANES, tiles_y * kernels.TILE, tiles_x * kernels.TILE)

        geometry = np.empty((len(means), 16), dtype)
        kernels.project(*(*parameters, *_arrays(colours), *view, geometry))
        order = kernels.depth_order(geometry)
        starts, members, begins, places = kernels.tile_lists(geometry, order, tiles_x, tiles_y)
        image, ends = np.empty(shape, dtype), np.empty(tiles_x * tiles_y, np.int64)
        kernels.composite(geometry, starts, members, tiles_x, image, ends)
        ctx.projected = (*parameters, *view, geometry, order, begins, places)
        ctx.composited = (geometry, starts, members, ends, tiles_x, image)
        cropped = torch.from_numpy(image[:, : camera.height, : camera.width])
        median_z = torch.empty(0)
        if with_median:
            median = np.empty(shape[1:], dtype)
            kernels.median_depth(geometry, starts, members, tiles_x, median)
            median_z = torch.from_numpy(median[: camera.height, : camera.width])
            ctx.mark_non_differentiable(median_z)
        is_visible = torch.from_numpy(geometry[:, kernels.REACH_X] > 0)
        ctx.mark_non_differentiable(is_visible)
        # A copy: the image is needed as it is when the gradient arrives.
        return cropped.clone(), median_z, is_visible

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_planes: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        geometry, starts, members, ends, tiles_x, image = ctx.composited
        gradient, (height, width) = np.zeros_like(image), by_planes.shape[1:]
        gradient[:, :height, :width] = by_planes.numpy()
        sums = np.empty((len(members), kernels.NUM_SUMS), image.dtype)
        kernels.composite_gradient(geometry, starts, members, ends, tiles_x, image, gradient, sums)
        count = len(geometry)
        shapes = ((count, 3), (count, 4), (count, 3), (count,), (count, 3), (count, 2))
        gradients = [np.zeros(shape, image.dtype) for shape in shapes]
        kernels.project_gradient(*(*ctx.projected, sums, *gradients))
        return *(torch.from_numpy(each) for each in gradients), None, None, None


def _arrays(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    return tuple(tensor.detach().contiguous().numpy() for tensor in tensors)


def _on_cuda(
    gaussians: Gaussians, camera: PinholeCamera, is_antialiased: bool, with_median: bool
) -> Splatted:
    _require_gsplats_kernels()
    from gsplat.rendering import rasterization

    device = gaussians.means.device
    intrinsics = [[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]]
    planes, opacity, info = rasterization(
        means=gaussians.means,
        quats=gaussians.quats,
        scales=gaussians.log_scales.exp(),
        opacities=gaussians.logits.sigmoid(),
        colors=view_colours(gaussians, camera),
        viewmats=torch.tensor(world_to_camera(camera)[None], device=device, dtype=torch.float32),
        Ks=torch.tensor([intrinsics], device=device, dtype=torch.float32),
        width=camera.width,
        height=camera.height,
        packed=False,
        render_mode="RGB+ED",
        rasterize_mode="antialiased" if is_antialiased else "classic",
    )
    screen = info["means2d"]
    if screen.requires_grad:
        screen.retain_grad()
    depth_z = planes[0, ..., 3]
    return Splatted(
        rgb=planes[0, ..., :3].permute(2, 0, 1),
        opacity=opacity[0, ..., 0],
        depth_z=depth_z,
        screen=screen,
        median_z=depth_z.detach() if with_median else None,
        is_visible=(info["radii"][0] > 0).view(len(gaussians.means), -1).all(-1),
    )


def _require_gsplats_kernels() -> None:
    """Have gsplat compile its CUDA kernels, or load those that it compiled before."""
    try:
        from gsplat.cuda import _backend
    except (ImportError, IndexError, OSError, RuntimeError) as error:
        why = reason(error)
    else:
        if _backend._C is not None:
            return
        why = "no CUDA toolkit found"
    raise ParamsError(
        "Gaussian splats on a GPU are rendered by gsplat's CUDA kernels, and gsplat has none here "
        f"({why}): it compiles them at first use, with a CUDA toolkit (nvcc) of torch's "
        "version. Install the toolkit, set train_nerf.field: nerfacto, or compute on the CPU: "
        "SCENESTYLE_DEVICE=cpu."
    )
