from dataclasses import replace

import numpy as np
import pytest
import torch

from scenestyle.diffusion import presets
from scenestyle.diffusion.canvas import Canvas
from scenestyle.diffusion.in_step import denoising_in_step
from scenestyle.diffusion.models import load_pipeline
from scenestyle.diffusion.plan import Plan
from scenestyle.diffusion.stylize import Settings, expected_seconds, resolve_settings, working_size
from scenestyle.errors import ParamsError
from scenestyle.params import Style, StylizeViews
from tests.support.tiny_diffusion import stylize

SETTINGS = Settings(
    prompt="a pencil sketch of a red ball",
    negative_prompt="",
    strength=0.5,
    guidance_scale=2.0,
    num_inference_steps=4,
    controlnet_conditioning_scale=1.0,
    image_side=16,
    seed=0,
)


@pytest.fixture(scope="module")
def model(tiny_folder):
    return load_pipeline(str(tiny_folder), torch.device("cpu"))


@pytest.fixture(scope="module")
def exact(tiny_folder):
    """The model in float64, for laws whose two sides put views into calls of different sizes."""
    return in_float64(load_pipeline(str(tiny_folder), torch.device("cpu")))


def in_float64(model):
    model.pipeline.to(torch.float64)
    return model


def assert_same_pictures(found, wanted):
    """Equal but for float32: the scheduler computes in it, and pictures are returned in it.

    In float32 alone the libraries' kernels, chosen by processor and batch size, round differently:
    the same law was off by 3e-6 with AVX2 instructions, and by nothing with an Intel's AVX-512.
    In float64 it is one unit in the last place of float32, 6e-8, with either.
    """
    np.testing.assert_allclose(found, wanted, rtol=0, atol=5e-7)


def some_views(num_views, width=16, height=12):
    rng = np.random.default_rng(0)
    rgb = rng.random((num_views, height, width, 3), dtype=np.float32)
    return rgb, rng.random((num_views, height, width), dtype=np.float32)


def stock(model, rgb, disparity, settings, **more):
    """The stock pipeline, called as its documentation shows."""
    num_views = len(rgb)
    return model.pipeline(
        prompt=[settings.prompt] * num_views,
        image=torch.from_numpy(rgb).permute(0, 3, 1, 2),
        control_image=torch.from_numpy(disparity)[:, None].repeat(1, 3, 1, 1),
        strength=settings.strength,
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        controlnet_conditioning_scale=settings.controlnet_conditioning_scale,
        generator=[torch.Generator().manual_seed(settings.seed) for _ in range(num_views)],
        output_type="np",
        **more,
    ).images


def test_without_sharing_it_is_the_stock_pipeline(exact):
    rgb, disparity = some_views(3)
    apart = Plan.joint(3, share=False)
    assert_same_pictures(
        stylize(exact, rgb, disparity, SETTINGS, apart), stock(exact, rgb, disparity, SETTINGS)
    )


def test_one_view_is_the_stock_pipeline(exact):
    rgb, disparity = some_views(1)
    assert_same_pictures(
        stylize(exact, rgb, disparity, SETTINGS), stock(exact, rgb, disparity, SETTINGS)
    )


def test_sharing_lets_views_see_each_other_and_leaves_the_pipeline_as_it_was(model):
    rgb, disparity = some_views(3)
    alone = stock(model, rgb, disparity, SETTINGS)
    together = stylize(model, rgb, disparity, SETTINGS)
    assert np.abs(together - alone).max() > 1e-3
    np.testing.assert_array_equal(stock(model, rgb, disparity, SETTINGS), alone)


def test_permuting_views_permutes_results(model):
    rgb, disparity = some_views(4)
    order = [2, 0, 3, 1]
    np.testing.assert_allclose(
        stylize(model, rgb[order], disparity[order], SETTINGS),
        stylize(model, rgb, disparity, SETTINGS)[order],
        atol=1e-4,
    )


def test_with_all_views_as_references_it_is_the_exact_form(exact):
    rgb, disparity = some_views(3)
    assert_same_pictures(
        stylize(exact, rgb, disparity, SETTINGS, Plan("references", ((0, 1, 2),))),
        stylize(exact, rgb, disparity, SETTINGS, Plan.joint(3)),
    )


def test_the_size_of_the_groups_does_not_change_results(model):
    rgb, disparity = some_views(6)
    together, apart, other_order = (
        stylize(model, rgb, disparity, SETTINGS, Plan("references", ((1, 4), *groups)))
        for groups in ([(0, 2, 3, 5)], [(0,), (2,), (3,), (5,)], [(5, 3), (2, 0)])
    )
    np.testing.assert_allclose(apart, together, atol=1e-4)
    np.testing.assert_allclose(other_order, together, atol=1e-4)


def test_depth_pictures_wait_in_main_memory_and_are_not_copied(model):
    depth_pictures = torch.rand(3, 3, 12, 16)
    with denoising_in_step(model.pipeline, [(0, 1, 2)], Canvas(((6, 8),) * 3), share=True):
        control_image = model.pipeline.prepare_control_image(
            image=depth_pictures, width=16, height=12, batch_size=3, num_images_per_prompt=1,
            device=torch.device("meta"), dtype=torch.float32, do_classifier_free_guidance=True,
        )  # fmt: skip
    assert control_image is depth_pictures


@pytest.mark.parametrize("guidance_scale", [1.0, 2.0])
def test_every_depth_picture_passes_the_controlnets_first_layers_once_and_singly(
    model, guidance_scale
):
    rgb, disparity = some_views(3)
    pictures = []
    embedding = model.pipeline.controlnet.controlnet_cond_embedding
    watch = embedding.conv_in.register_forward_pre_hook(lambda _, args: pictures.append(args[0]))
    settings = replace(SETTINGS, guidance_scale=guidance_scale)
    stylize(model, rgb, disparity, settings, Plan("references", ((2,), (0, 1))))
    watch.remove()
    found = torch.cat(pictures)
    assert settings.executed_steps > 1
    assert len(pictures) == 3
    np.testing.assert_allclose(found[:, 0], disparity[[2, 0, 1]], atol=1e-6)


def test_references_are_seen_and_others_are_not(model):
    rgb, disparity = some_views(4)
    plan = Plan("references", ((1,), (0, 2, 3)))
    before = stylize(model, rgb, disparity, SETTINGS, plan)
    for changed, sees_it in ((1, True), (2, False)):
        other = rgb.copy()
        other[changed] = 1 - other[changed]
        after = stylize(model, other, disparity, SETTINGS, plan)
        assert (np.abs(after - before)[[0, 3]].max() > 1e-3) == sees_it


@pytest.mark.parametrize(
    "plan", [Plan.joint(3), Plan("references", ((0, 2), (1,)))], ids=["full", "references"]
)
def test_alignment_is_seen_in_the_pictures_where_attention_is_shared(model, plan):
    rgb, disparity = some_views(3)
    rgb *= np.array([0.2, 0.6, 1.0], np.float32)[:, None, None, None]
    aligned = replace(SETTINGS, align_attention=True)
    plain = stylize(model, rgb, disparity, SETTINGS, plan)
    assert np.abs(stylize(model, rgb, disparity, aligned, plan) - plain).max() > 1e-3
    apart = Plan.joint(3, share=False)
    np.testing.assert_array_equal(
        stylize(model, rgb, disparity, aligned, apart),
        stylize(model, rgb, disparity, SETTINGS, apart),
    )


NORMS = replace(SETTINGS, share_norms=True)


def test_shared_norms_are_seen_in_the_pictures_and_leave_the_pipeline_as_it_was(model):
    rgb, disparity = some_views(3)
    rgb *= np.array([0.2, 0.6, 1.0], np.float32)[:, None, None, None]
    plain = stylize(model, rgb, disparity, SETTINGS)
    assert np.abs(stylize(model, rgb, disparity, NORMS) - plain).max() > 1e-3
    np.testing.assert_array_equal(stylize(model, rgb, disparity, SETTINGS), plain)


def test_shared_norms_without_sharing_are_the_stock_pipeline(exact):
    rgb, disparity = some_views(3)
    apart = Plan.joint(3, share=False)
    assert_same_pictures(
        stylize(exact, rgb, disparity, NORMS, apart), stock(exact, rgb, disparity, NORMS)
    )


def test_shared_norms_of_one_view_are_the_stock_pipeline(exact):
    rgb, disparity = some_views(1)
    assert_same_pictures(stylize(exact, rgb, disparity, NORMS), stock(exact, rgb, disparity, NORMS))


def test_with_shared_norms_permuting_views_permutes_results(model):
    rgb, disparity = some_views(4)
    order = [2, 0, 3, 1]
    np.testing.assert_allclose(
        stylize(model, rgb[order], disparity[order], NORMS),
        stylize(model, rgb, disparity, NORMS)[order],
        atol=1e-4,
    )


def test_with_shared_norms_the_size_of_the_groups_does_not_change_results(model):
    rgb, disparity = some_views(5)
    together, apart = (
        stylize(model, rgb, disparity, NORMS, Plan("references", ((1, 4), *groups)))
        for groups in ([(0, 2, 3)], [(3,), (0, 2)])
    )
    np.testing.assert_allclose(apart, together, atol=1e-4)


@pytest.mark.parametrize(
    ("calls_before_the_end", "settings"),
    [(1, SETTINGS), (3, SETTINGS), (4, SETTINGS), (4, replace(NORMS, align_attention=True))],
)
def test_an_interrupted_run_goes_on_to_the_same_pictures(
    model, tmp_path, calls_before_the_end, settings
):
    rgb, disparity = some_views(5)
    plan = Plan("references", ((0, 2), (1, 3), (4,)))
    undisturbed = stylize(model, rgb, disparity, settings, plan)
    calls = []

    def count(*_):
        calls.append(1)

    def stop(*_):
        if len(calls) == calls_before_the_end:
            raise KeyboardInterrupt
        count()

    convolution = model.pipeline.unet.conv_in
    planted = convolution.register_forward_pre_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        stylize(model, rgb, disparity, settings, plan, work=tmp_path / "work")
    planted.remove()
    calls.clear()
    planted = convolution.register_forward_pre_hook(count)
    resumed = stylize(model, rgb, disparity, settings, plan, work=tmp_path / "work")
    planted.remove()
    np.testing.assert_array_equal(resumed, undisturbed)
    other = stylize(model, rgb, disparity, replace(settings, seed=1), plan, work=tmp_path / "work")
    assert not np.array_equal(other, undisturbed)
    left = 2 * 3 - calls_before_the_end
    within_a_step = calls_before_the_end % 3 != 0
    assert len(calls) == left + within_a_step  # the references' attention is needed again


def test_equal_views_stay_equal(model):
    rgb, disparity = some_views(1)
    pair = stylize(model, rgb.repeat(2, axis=0), disparity.repeat(2, axis=0), SETTINGS)
    np.testing.assert_allclose(pair[0], pair[1], atol=1e-5)


def test_same_seed_same_bytes_other_seed_other_picture(model):
    rgb, disparity = some_views(2)
    first = stylize(model, rgb, disparity, SETTINGS)
    np.testing.assert_array_equal(stylize(model, rgb, disparity, SETTINGS), first)
    other = stylize(model, rgb, disparity, replace(SETTINGS, seed=1))
    assert np.abs(other - first).max() > 1e-2


def test_depth_matters_exactly_as_much_as_its_scale_says(model):
    rgb, disparity = some_views(1)
    for scale, matters in ((1.0, True), (0.0, False)):
        settings = replace(SETTINGS, controlnet_conditioning_scale=scale)
        same = np.array_equal(
            stylize(model, rgb, disparity, settings), stylize(model, rgb, 1 - disparity, settings)
        )
        assert same != matters


def test_a_negative_prompt_counts_only_with_guidance(model):
    rgb, disparity = some_views(1)
    for guidance_scale, matters in ((3.0, True), (1.0, False)):
        plain = replace(SETTINGS, guidance_scale=guidance_scale)
        negative = replace(plain, negative_prompt="lava")
        same = np.array_equal(
            stylize(model, rgb, disparity, plain), stylize(model, rgb, disparity, negative)
        )
        assert same != matters


def test_odd_sizes_come_back_at_their_own_size(model):
    rgb, disparity = some_views(2, width=19, height=13)
    styled = stylize(model, rgb, disparity, SETTINGS)
    assert styled.shape == rgb.shape
    assert styled.dtype == np.float32
    assert 0 <= styled.min() <= styled.max() <= 1


def test_a_full_gpu_is_explained_and_the_pipeline_stays_usable(model):
    rgb, disparity = some_views(2)
    before = stylize(model, rgb, disparity, SETTINGS)

    def run_out_of_memory(*_):
        raise torch.OutOfMemoryError("planted")

    planted = model.pipeline.unet.register_forward_pre_hook(run_out_of_memory)
    with pytest.raises(ParamsError, match=r"2 views at 16x12, 2 per call, do not fit.*image_side"):
        stylize(model, rgb, disparity, SETTINGS)
    planted.remove()
    np.testing.assert_array_equal(stylize(model, rgb, disparity, SETTINGS), before)


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        ((192, 144), 192, (192, 144)),
        ((192, 144), 1024, (1024, 768)),
        ((4000, 3000), 128, (128, 96)),
        ((100, 177), 128, (72, 128)),
        ((1000, 10), 64, (64, 8)),
    ],
)
def test_working_size(size, side, expected):
    assert working_size(*size, side, multiple_of=8) == expected


def test_null_means_the_presets_value_and_given_values_win():
    style = Style(prompt="{caption} in winter", strength=0.7, seed=3)
    params = StylizeViews(num_inference_steps=20, controlnet_conditioning_scale=0.0, seed=4)
    settings = resolve_settings("a {strange} fern", style, params, presets.SDXL)
    assert settings == Settings(
        prompt="a {strange} fern in winter",
        negative_prompt="",
        strength=0.7,
        guidance_scale=presets.SDXL.guidance_scale,
        num_inference_steps=20,
        controlnet_conditioning_scale=0.0,
        image_side=1024,
        seed=7,
    )


@pytest.mark.parametrize(
    ("given", "preset", "resolved"), [(None, True, True), (False, True, False)]
)
def test_noise_is_carried_as_asked_or_as_the_preset_says(given, preset, resolved):
    style, params = Style(prompt="{caption} in winter"), StylizeViews(carry_noise=given)
    defaults = replace(presets.SDXL, carry_noise=preset)
    assert resolve_settings("a fern", style, params, defaults).carry_noise == resolved


def test_a_schedule_without_a_step_is_refused():
    style = Style(prompt="{caption} in winter", strength=0.05)
    with pytest.raises(ParamsError, match=r"strength 0.05 of 10 steps leaves no step"):
        resolve_settings("a fern", style, StylizeViews(), presets.EMBEDDED)


def test_the_expected_time_grows_with_views_and_steps(model):
    rgb, disparity = some_views(6)
    few = expected_seconds(model, list(rgb[:1]), list(disparity[:1]), SETTINGS)
    many = expected_seconds(
        model, list(rgb), list(disparity), replace(SETTINGS, num_inference_steps=40)
    )
    assert 0 < few < many  # one view and 2 steps against six and 20
