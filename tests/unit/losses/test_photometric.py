import numba
import pytest
import torch
from skimage.metrics import structural_similarity

from scenestyle.errors import ShapeError
from scenestyle.losses import photometric_loss
from scenestyle.losses.photometric import _by_torch


def images(height: int = 23, width: int = 31, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    shape = (3, height, width)
    rgb, photo = (torch.rand(shape, generator=generator, dtype=dtype) for _ in range(2))
    return rgb.requires_grad_(), photo, torch.rand(shape[1:], generator=generator, dtype=dtype)


def test_an_image_is_no_distance_from_itself():
    rgb, _, weight = images()
    assert float(photometric_loss(rgb, rgb.detach(), weight).detach()) == pytest.approx(
        0, abs=1e-12
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_are_those_of_the_formulas(dtype):
    rgb, photo, weight = images(dtype=dtype)
    found = photometric_loss(rgb, photo, weight)
    (ours,) = torch.autograd.grad(found, rgb)
    wanted = _by_torch(rgb, photo, weight, 0.2)
    (theirs,) = torch.autograd.grad(wanted, rgb)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(ours, theirs)


def test_the_similarity_is_scikit_images():
    rgb, photo, _ = images(40, 50)
    weight = torch.zeros(40, 50, dtype=torch.float64)
    weight[5:-5, 5:-5] = 1  # where no window reaches beyond the border
    ours = 1 - float(photometric_loss(rgb, photo, weight, dissimilarity=1.0).detach())
    theirs = structural_similarity(
        rgb.detach().numpy(),
        photo.numpy(),
        channel_axis=0,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert ours == pytest.approx(theirs, abs=1e-3)


def test_the_gradient_is_that_of_the_value():
    rgb, photo, weight = images(9, 12)
    assert torch.autograd.gradcheck(lambda image: photometric_loss(image, photo, weight), rgb)


def test_a_pixel_without_weight_does_not_count_but_in_its_neighbours_windows():
    rgb, photo, weight = images()
    weight[:, 15:] = 0
    (gradient,) = torch.autograd.grad(photometric_loss(rgb, photo, weight), rgb)
    assert gradient[:, :, :15].any()
    assert not gradient[:, :, 15 + 5 :].any()


def test_the_number_of_threads_leaves_no_trace():
    before = numba.get_num_threads()
    results = []
    for count in {1, numba.config.NUMBA_NUM_THREADS}:
        numba.set_num_threads(count)
        rgb, photo, weight = images(dtype=torch.float32)
        loss = photometric_loss(rgb, photo, weight)
        loss.backward()
        results.append((float(loss.detach()), rgb.grad.numpy().tobytes()))
    numba.set_num_threads(before)
    assert all(result == results[0] for result in results)


def test_shapes_that_do_not_fit_are_named():
    rgb, photo, weight = images()
    with pytest.raises(ShapeError, match=r"photo \(3, 22, 31\)"):
        photometric_loss(rgb, photo[:, 1:], weight)
    with pytest.raises(ShapeError, match=r"weight \(31,\)"):
        photometric_loss(rgb, photo, weight[0])
