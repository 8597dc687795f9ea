import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from scenestyle.metrics.structure import edge_correlation, luminance_ssim
from training.procedural.demo_scene import demo_cameras, demo_scene
from training.procedural.raycast import render

PICTURE = render(demo_scene(), next(iter(demo_cameras().values())).resized(64, 48)).rgb
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
NOISE = np.random.default_rng(0).random(PICTURE.shape, dtype=np.float32)


def test_a_picture_is_similar_to_itself_and_not_to_noise() -> None:
    assert luminance_ssim(PICTURE, PICTURE) == pytest.approx(1)
    assert abs(luminance_ssim(PICTURE, NOISE)) < 0.1


def test_colour_alone_does_not_count() -> None:
    swapped = PICTURE[..., ::-1] @ np.diag([0.114 / 0.299, 1, 0.299 / 0.114]).astype(np.float32)

    assert luminance_ssim(PICTURE, swapped) == pytest.approx(1, abs=1e-4)


def test_more_noise_is_less_similar() -> None:
    little, much = (np.clip(PICTURE + s * (NOISE - 0.5), 0, 1) for s in (0.2, 0.8))

    assert 1 > luminance_ssim(PICTURE, little) > luminance_ssim(PICTURE, much) > 0


def test_it_agrees_with_another_implementation() -> None:
    luma = np.array([0.299, 0.587, 0.114])
    noisy = np.clip(PICTURE + 0.3 * (NOISE - 0.5), 0, 1)
    _, oracle = structural_similarity(
        PICTURE @ luma,
        noisy @ luma,
        data_range=1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )

    # Both mirror the border, one with and one without its outermost pixel.
    assert luminance_ssim(PICTURE, noisy) == pytest.approx(oracle.mean(), abs=0.01)


def test_it_is_the_number_of_torchmetrics() -> None:
    for other in (np.clip(PICTURE + 0.3 * (NOISE - 0.5), 0, 1), PICTURE[:, ::-1].copy(), NOISE):
        luma = [torch.from_numpy(rgb @ LUMA)[None, None] for rgb in (PICTURE, other)]
        oracle = structural_similarity_index_measure(*luma, data_range=1.0)
        assert luminance_ssim(PICTURE, other) == pytest.approx(float(oracle), abs=1e-5)


def test_edges_tell_what_is_shown_whatever_its_tones() -> None:
    assert edge_correlation(PICTURE, PICTURE) == pytest.approx(1, abs=1e-3)
    assert edge_correlation(PICTURE, 1 - PICTURE) == pytest.approx(1, abs=1e-3)
    assert edge_correlation(PICTURE, 0.3 * PICTURE + 0.4) == pytest.approx(1, abs=1e-3)
    assert abs(edge_correlation(PICTURE, NOISE)) < 0.2
    assert edge_correlation(PICTURE, PICTURE[:, ::-1]) < 0.7
