from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from scenestyle.diffusion.attention import shared_self_attention
from training import latents, looks, tokenizer
from training.contact_sheet import PROMPTS, Drawn, in_looks
from training.data import to_signed
from training.models import Controls, Denoiser, picture_time_ids
from training.procedural.styles import STYLES
from training.scorecard import share_of_look

RNG = np.random.default_rng(0)
SMOOTH = cv2.resize(
    RNG.uniform(0.25, 0.75, (4, 4, 3)).astype(np.float32), (32, 32), interpolation=cv2.INTER_CUBIC
)


def encoded(picture: np.ndarray) -> torch.Tensor:
    return latents.encode(to_signed((picture * 255)[None].round().astype(np.uint8)))


def test_every_style_has_two_looks_that_differ_plainly():
    assert set(looks.LOOKS) == set(PROMPTS)
    for style in PROMPTS:
        first, second = in_looks(SMOOTH, style)
        assert np.sqrt(np.square(first - second).mean()) > 0.05, style
        assert len({look.name for look in looks.LOOKS[style]}) == 2


@pytest.mark.parametrize("look", [0, 1])
@pytest.mark.parametrize("style", ["pencil", "neon", "marble", "sepia"])
def test_a_look_of_latents_is_the_look_of_pixels(style, look):
    """But for clipping, and for detail that the smooth picture here does not have."""
    style_id = torch.tensor([list(STYLES).index(style)], dtype=torch.uint8)
    matrix, offset = looks.LOOKS[style][look].affine()
    recoloured = latents.encode(
        2 * torch.tensor(SMOOTH @ matrix.T + offset).float().movedim(-1, 0)[None] - 1
    )
    of_latents = looks.recoloured_latents(encoded(SMOOTH), style_id, torch.tensor([look]))
    change = (recoloured - encoded(SMOOTH)).abs().mean()
    assert (of_latents - recoloured).abs().mean() < 0.05 * change


def test_a_photograph_has_no_looks():
    clean = encoded(SMOOTH)
    same = looks.recoloured_latents(clean, torch.tensor([0]), torch.tensor([1]))
    torch.testing.assert_close(same, clean, atol=1e-4, rtol=0)


def test_a_group_takes_one_look_and_views_alone_their_own():
    noise = torch.randn(8, latents.CHANNELS, 6, 6, generator=torch.Generator().manual_seed(0))
    means = noise[:, looks.OFFSET.channel].mean((1, 2))
    assert looks.chosen(noise, together=1).tolist() == (means > 0).tolist()
    groups = looks.chosen(noise, together=4)
    assert groups.tolist() == (means.view(2, 4).mean(1) > 0).repeat_interleave(4).tolist()
    assert groups.tolist() != looks.chosen(noise, together=1).tolist()


def test_noise_that_moves_with_the_surfaces_keeps_its_look():
    noise = torch.randn(4, latents.CHANNELS, 6, 6, generator=torch.Generator().manual_seed(1))
    moved = noise.flatten(2)[..., torch.randperm(36)].unflatten(2, (6, 6))
    assert looks.chosen(moved, together=1).tolist() == looks.chosen(noise, together=1).tolist()


def test_an_offset_asks_for_the_same_look_at_every_size():
    for side in (8, 40):
        noise = torch.randn(
            200, latents.CHANNELS, side, side, generator=torch.Generator().manual_seed(2)
        )
        plain = looks.OFFSET.added(noise)
        assert looks.chosen(plain, together=1).tolist() == looks.chosen(noise, together=1).tolist()
        spread = plain[:, looks.OFFSET.channel].mean((1, 2)).std().item()
        assert spread == pytest.approx(looks.OFFSET.std, rel=0.15)


def test_the_share_of_a_look_runs_from_the_wrong_to_the_right_one():
    first, second = in_looks(SMOOTH, "pencil")
    for picture, share in ((first, 1), (second, -1), ((first + second) / 2, 0)):
        assert share_of_look(Drawn(picture, 0), (first, second)) == pytest.approx(share, abs=1e-3)
        assert share_of_look(Drawn(picture, 1), (first, second)) == pytest.approx(-share, abs=1e-3)
    assert np.isnan(share_of_look(Drawn(first), (first, second)))


def test_views_trained_together_share_attention_as_in_use():
    torch.manual_seed(0)
    model = Denoiser(vocabulary=len(tokenizer.load()), widths=(32, 32, 32))
    torch.nn.init.normal_(model.unet.conv_out.weight, std=0.1)
    views, size = 4, (32, 32)
    noisy = torch.randn(views, latents.CHANNELS, 4, 4)
    controls = Controls(
        torch.rand(views, 3, *size),
        torch.rand(views, 3, *size),
        torch.ones(views),
        torch.ones(views),
    )
    rest = (
        torch.full((views,), 500),
        controls,
        torch.zeros(views, 5, dtype=torch.long),
        torch.ones(views, dtype=torch.bool),
        picture_time_ids(views, *size),
    )
    with torch.no_grad():
        alone, pairs = (model(noisy, *rest, together=together) for together in (1, 2))
        with shared_self_attention(model.unet, num_references=2, keep=False):
            in_use = model(noisy, *rest)
        first = replace(controls, **{name: getattr(controls, name)[:2] for name in vars(controls)})
        by_themselves = model(
            noisy[:2], rest[0][:2], first, *(each[:2] for each in rest[2:]), together=2
        )
    torch.testing.assert_close(pairs, in_use, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(pairs[:2], by_themselves, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(pairs, alone, atol=1e-4)
