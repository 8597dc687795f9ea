"""Laws of shared norms, against torch's own group norm of the views as one picture."""

import pytest
import torch
from torch import nn
from torch.nn.functional import group_norm

from scenestyle.diffusion.lockstep import Lockstep
from scenestyle.diffusion.norms import SharedGroupNorm, shared_group_norms
from scenestyle.errors import ShapeError
from tests.support.tiny_diffusion import tiny_pipeline


def some_norm(affine=True):
    norm = nn.GroupNorm(4, 8, eps=1e-5, affine=affine)
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return norm


def some_views(num_views, num_halves=2):
    """Half after half; every view with a mean and a deviation of its own."""
    generator = torch.Generator().manual_seed(0)
    views = torch.randn(num_halves, num_views, 8, 3, 5, generator=generator)
    each = torch.arange(1.0, 1 + num_halves * num_views).view(num_halves, num_views, 1, 1, 1)
    return (views * each + each).flatten(0, 1)


def merged(views):
    """The views of each half side by side as one picture: half, channel, row, view and column."""
    return views.unflatten(0, (2, -1)).permute(0, 2, 3, 1, 4).flatten(3)


def apart(picture, num_views):
    return picture.unflatten(3, (num_views, -1)).permute(0, 3, 1, 2, 4).flatten(0, 1)


@pytest.mark.parametrize("affine", [True, False])
@torch.no_grad()
def test_with_all_views_as_references_it_is_the_norm_of_the_merged_picture(affine):
    norm, views = some_norm(affine), some_views(3)
    expected = apart(group_norm(merged(views), 4, norm.weight, norm.bias, norm.eps), 3)
    torch.testing.assert_close(SharedGroupNorm(norm, 3)(views), expected)


@torch.no_grad()
def test_tokens_are_normalised_like_pixels():
    norm, views = some_norm(), some_views(3)
    expected = SharedGroupNorm(norm, 3)(views).flatten(2)
    torch.testing.assert_close(SharedGroupNorm(norm, 3)(views.flatten(2)), expected)


@torch.no_grad()
def test_one_view_is_torchs_own_norm():
    norm, views = some_norm(), some_views(1)
    torch.testing.assert_close(SharedGroupNorm(norm, 1)(views), norm(views))


@torch.no_grad()
def test_all_views_are_measured_by_the_references():
    norm, views = some_norm(), some_views(5).unflatten(0, (2, -1))
    shared = SharedGroupNorm(norm, 2)
    shared(views[:, :2].flatten(0, 1))
    others = shared(views[:, 2:].flatten(0, 1)).unflatten(0, (2, -1))
    for half in range(2):
        for channel in range(8):
            group = views[half, :2, 2 * (channel // 2) : 2 * (channel // 2) + 2].double()
            deviation = (group.var(correction=0) + norm.eps).sqrt()
            expected = (views[half, 2:, channel].double() - group.mean()) / deviation
            expected = expected * norm.weight[channel] + norm.bias[channel]
            torch.testing.assert_close(others[half, :, channel], expected.float())


@torch.no_grad()
def test_a_view_equal_to_a_reference_becomes_equal_to_it():
    shared, views = SharedGroupNorm(some_norm(), 2), some_views(2)
    references = shared(views)
    torch.testing.assert_close(shared(views[[0, 2]]), references[[0, 2]], rtol=0, atol=0)


@torch.no_grad()
def test_the_next_batch_after_forgetting_is_the_references():
    shared, views = SharedGroupNorm(some_norm(), 2), some_views(2)
    first = shared(views)
    shared(10 * views)
    shared.forget()
    torch.testing.assert_close(shared(views), first, rtol=0, atol=0)


@torch.no_grad()
def test_half_precision_is_normalised_in_single():
    norm, views = some_norm(), some_views(3)
    coarse = SharedGroupNorm(norm.bfloat16(), 3)(views.bfloat16())
    assert coarse.dtype == torch.bfloat16
    exact = SharedGroupNorm(norm.float(), 3)(views.bfloat16().float())
    torch.testing.assert_close(coarse.float(), exact, rtol=0.01, atol=0.01)


def test_an_odd_batch_is_refused():
    with pytest.raises(ShapeError, match="3 views got a batch of 4"):
        SharedGroupNorm(some_norm(), 3)(torch.zeros(4, 8, 3, 5))


def test_every_group_norm_is_shared_and_all_is_restored_after_an_error():
    unet = tiny_pipeline().unet
    norms = [each for each in unet.modules() if isinstance(each, nn.GroupNorm)]

    def fail_inside():
        with shared_group_norms(unet, 2) as shared:
            assert [each.forward for each in norms] == list(shared)
            raise KeyError("planted")

    with pytest.raises(KeyError, match="planted"):
        fail_inside()
    assert len(norms) > 5
    assert not any("forward" in vars(each) for each in norms)


@torch.no_grad()
def test_references_of_several_sizes_are_normed_as_one_picture():
    norm, lockstep = some_norm(), Lockstep()
    pixels = torch.randn(2, 8, 15 + 6, generator=torch.Generator().manual_seed(0))
    parts = [pixels[..., :15].unflatten(2, (3, 5)), pixels[..., 15:].unflatten(2, (3, 2))]
    shared = SharedGroupNorm(norm, (1, 1), lockstep=lockstep)
    found = lockstep.run([lambda part=part: shared(part) for part in parts])
    torch.testing.assert_close(torch.cat([part.flatten(2) for part in found], 2), norm(pixels))
