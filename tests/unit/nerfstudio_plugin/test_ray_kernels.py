import pytest
import torch
from nerfstudio.cameras.rays import RayBundle, RaySamples
from nerfstudio.field_components.activations import trunc_exp
from nerfstudio.field_components.spatial_distortions import SceneContraction
from nerfstudio.model_components import losses as nerfstudio
from nerfstudio.model_components.ray_samplers import PDFSampler, UniformLinDispPiecewiseSampler

from scenestyle.nerfstudio_plugin.model import BinnedSamples
from scenestyle.nerfstudio_plugin.ray_kernels import (
    composite_weights,
    concentrated_bins,
    distortion_loss,
    interlevel_loss,
    sample_along,
    spread_bins,
)

NUM_SAMPLES, NUM_NEW = 12, 7


def bins_of(samples: RaySamples) -> torch.Tensor:
    return nerfstudio.ray_samples_to_sdist(samples)


def random_bins(num_rays: int, num_samples: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    edges = torch.rand(num_rays, num_samples + 1, generator=generator, dtype=torch.float64)
    return edges.sort(dim=-1).values


def random_weights(num_rays: int, num_samples: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(num_rays, num_samples, generator=generator, dtype=torch.float64)
    return weights / weights.sum(-1, keepdim=True)


@pytest.fixture
def samples(rays: RayBundle) -> RaySamples:
    sampler = UniformLinDispPiecewiseSampler(num_samples=NUM_SAMPLES, single_jitter=True)
    torch.manual_seed(0)
    return sampler.train()(rays)


def test_spread_bins_are_nerfstudios(rays, samples):
    torch.manual_seed(0)
    bins = spread_bins(len(rays), NUM_SAMPLES, torch.rand(len(rays), 1))
    torch.testing.assert_close(bins, bins_of(samples))


def test_samples_lie_where_nerfstudios_lie(rays, samples):
    contracted = (SceneContraction(order=float("inf"))(samples.frustums.get_positions()) + 2) / 4
    positions, distances, lengths = sample_along(
        rays.origins, rays.directions, rays.nears, rays.fars, bins_of(samples)
    )
    torch.testing.assert_close(positions, contracted, rtol=0, atol=2e-6)
    middles = (samples.frustums.starts + samples.frustums.ends)[..., 0] / 2
    torch.testing.assert_close(distances, middles, rtol=1e-4, atol=0)
    torch.testing.assert_close(lengths, samples.deltas[..., 0], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("jittered", [False, True])
def test_concentrated_bins_are_nerfstudios(rays, samples, jittered):
    weights = random_weights(len(rays), NUM_SAMPLES, seed=1).float()
    sampler = PDFSampler(include_original=False, single_jitter=True).train(jittered)
    torch.manual_seed(3)
    expected = sampler(rays, samples, weights[..., None] ** 0.6, num_samples=NUM_NEW)
    torch.manual_seed(3)
    jitter = torch.rand(len(rays), 1) if jittered else None
    bins = concentrated_bins(bins_of(samples), weights, NUM_NEW, anneal=0.6, jitter=jitter)
    torch.testing.assert_close(bins, bins_of(expected), rtol=0, atol=1e-5)


def test_a_ray_without_weight_spreads_its_bins(rays, samples):
    weights = torch.zeros(len(rays), NUM_SAMPLES)
    bins = concentrated_bins(bins_of(samples), weights, NUM_NEW, anneal=1.0, jitter=None)
    assert torch.isfinite(bins).all()
    assert (bins.diff(dim=-1) > 0).all()


def test_weights_are_nerfstudios(samples):
    log_density = torch.randn(samples.deltas.shape[:2], generator=torch.Generator().manual_seed(4))
    expected = samples.get_weights(0.1 * trunc_exp(log_density)[..., None])[..., 0]
    weights = composite_weights(log_density, samples.deltas[..., 0].contiguous(), 0.1)
    torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-7)


def test_weights_have_the_gradient_of_their_values():
    generator = torch.Generator().manual_seed(6)
    log_density = torch.randn(5, 9, generator=generator, dtype=torch.float64).requires_grad_()
    lengths = torch.rand(5, 9, generator=generator, dtype=torch.float64)
    lengths[0, 3] = 0
    assert torch.autograd.gradcheck(lambda d: composite_weights(d, lengths, 0.7), log_density)


def test_an_opaque_sample_hides_all_behind_it():
    log_density = torch.tensor([[0.0, 12, 0]])
    weights = composite_weights(log_density, torch.ones(1, 3), 1.0)
    assert weights[0, 1] == pytest.approx(torch.exp(torch.tensor(-1.0)).item())
    assert weights[0, 2] == 0
    assert weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("num_outer", [3, NUM_SAMPLES, 31])
def test_interlevel_loss_and_gradient_are_nerfstudios(num_outer):
    bins, outer_bins = random_bins(20, NUM_SAMPLES, seed=7), random_bins(20, num_outer, seed=8)
    outer_bins[:, 0], outer_bins[:, -1] = 0, 1
    weights, outer = random_weights(20, NUM_SAMPLES, 9), random_weights(20, num_outer, 10) / 3
    outer.requires_grad_()
    expected = nerfstudio.interlevel_loss(
        [outer[..., None], weights[..., None]], [BinnedSamples(outer_bins), BinnedSamples(bins)]
    )
    found = interlevel_loss(bins, weights, outer_bins, outer)
    assert float(found) > 0
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(
        torch.autograd.grad(found, outer), torch.autograd.grad(expected, outer), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_weights_inside_their_envelope_cost_nothing():
    bins, weights = random_bins(4, NUM_SAMPLES, seed=11), random_weights(4, NUM_SAMPLES, seed=12)
    assert interlevel_loss(bins, weights, bins, weights) == pytest.approx(0, abs=1e-20)


def test_distortion_loss_and_gradient_are_nerfstudios():
    bins = random_bins(20, NUM_SAMPLES, seed=13)
    weights = random_weights(20, NUM_SAMPLES, seed=14).requires_grad_()
    expected = nerfstudio.distortion_loss([weights[..., None]], [BinnedSamples(bins)])
    found = distortion_loss(bins, weights)
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(
        torch.autograd.grad(found, weights), torch.autograd.grad(expected, weights), strict=True
    ):
        torch.testing.assert_close(ours, theirs)
