import numpy as np
import pytest
import torch

from scenestyle.cameras import PinholeCamera
from scenestyle.diffusion.canvas import Canvas, prepared_by_size
from scenestyle.diffusion.noise import CarriedNoise
from scenestyle.diffusion.noise_offset import OFFSET_FILE, NoiseOffset, read_noise_offset
from scenestyle.diffusion.seams import replaced
from scenestyle.errors import WeightsError
from tests.support.tiny_diffusion import tiny_pipeline

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


@pytest.mark.parametrize("carried", [False, True])
def test_every_view_gets_the_offset_of_its_own_size(carried):
    pipeline, sizes = tiny_pipeline(), ((4, 6), (6, 4))
    factor = pipeline.vae_scale_factor
    images = torch.zeros(2, 3, 6 * factor, 6 * factor)
    cameras = [PinholeCamera(np.eye(4), 9.0, 9.0, w / 2, h / 2, w, h) for h, w in sizes]
    noise = CarriedNoise([np.ones(size) for size in sizes], cameras, sizes) if carried else None
    added: list[torch.Tensor] = []

    def prepared(offset: NoiseOffset | None) -> torch.Tensor:
        def keep(samples, numbers, timesteps):
            added.append(numbers)
            return samples

        arguments = {
            "timestep": torch.tensor([500, 500]), "batch_size": 2, "num_images_per_prompt": 1,
            "dtype": torch.float32, "device": torch.device("cpu"),
            "generator": [torch.Generator().manual_seed(3) for _ in sizes],
        }  # fmt: skip
        with (
            replaced(pipeline.scheduler, "add_noise", keep),
            prepared_by_size(pipeline, Canvas(sizes), noise, 0, offset),
        ):
            pipeline.prepare_latents(images, *arguments.values())
        return added[-1]

    white, offset = prepared(None), prepared(OFFSET)
    for view, (rows, columns) in enumerate(sizes):
        part = (slice(view, view + 1), slice(None), slice(rows), slice(columns))
        torch.testing.assert_close(offset[part], OFFSET.added(white[part]))
        assert not torch.equal(offset[part], white[part])


def test_the_offset_lies_beside_the_weights(tmp_path):
    assert read_noise_offset(tmp_path) is None
    (tmp_path / OFFSET_FILE).write_text('{"channel": 1, "std": 0.5}')
    assert read_noise_offset(tmp_path) == OFFSET


@pytest.mark.parametrize("text", ["[]", "{}", '{"channel": "blue", "std": 1}', "{"])
def test_a_damaged_offset_says_how_it_should_look(tmp_path, text):
    (tmp_path / OFFSET_FILE).write_text(text)
    with pytest.raises(WeightsError, match='"channel": 12'):
        read_noise_offset(tmp_path)
