import pytest
import torch
from diffusers import DDIMScheduler

from scenestyle.diffusion.noise_offset import (
    OFFSET_FILE,
    NoiseOffset,
    offset_noise,
    read_noise_offset,
)
from scenestyle.errors import WeightsError

OFFSET = NoiseOffset(channel=1, std=0.5)


def white(views: int) -> torch.Tensor:
    return torch.randn(views, 3, 6, 8, generator=torch.Generator().manual_seed(0))


def test_an_offset_changes_the_mean_of_one_channel_and_nothing_else():
    noise = white(500)
    added = OFFSET.added(noise)
    assert added[:, 1].mean((1, 2)).std() == pytest.approx(0.5, rel=0.1)
    torch.testing.assert_close(added[:, [0, 2]], noise[:, [0, 2]])

    def without_mean(values):
        return values - values.mean((2, 3), keepdim=True)

    torch.testing.assert_close(without_mean(added), without_mean(noise), atol=1e-5, rtol=0)
    # Every view keeps the sign of its own mean, and white noise of unit standard deviation but for it.
    assert (added[:, 1].mean((1, 2)) * noise[:, 1].mean((1, 2)) > 0).all()


def test_the_scheduler_adds_noise_with_the_offset_and_afterwards_without():
    scheduler, clean, noise = DDIMScheduler(), torch.zeros(2, 3, 6, 8), white(2)
    steps = torch.tensor([500, 500])
    plain = scheduler.add_noise(clean, noise, steps)
    with offset_noise(scheduler, OFFSET):
        inside = scheduler.add_noise(clean, noise, steps)
    torch.testing.assert_close(inside, scheduler.add_noise(clean, OFFSET.added(noise), steps))
    torch.testing.assert_close(scheduler.add_noise(clean, noise, steps), plain)
    with offset_noise(scheduler, None):
        torch.testing.assert_close(scheduler.add_noise(clean, noise, steps), plain)


def test_the_offset_lies_beside_the_weights(tmp_path):
    assert read_noise_offset(tmp_path) is None
    (tmp_path / OFFSET_FILE).write_text('{"channel": 1, "std": 0.5}')
    assert read_noise_offset(tmp_path) == OFFSET


@pytest.mark.parametrize("text", ["[]", "{}", '{"channel": "blue", "std": 1}', "{"])
def test_a_damaged_offset_says_how_it_should_look(tmp_path, text):
    (tmp_path / OFFSET_FILE).write_text(text)
    with pytest.raises(WeightsError, match='"channel": 12'):
        read_noise_offset(tmp_path)
