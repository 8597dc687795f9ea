from dataclasses import replace

import numpy as np
import pytest
import torch

from scenestyle.diffusion.models import DiffusionModel
from scenestyle.diffusion.plan import (
    MAX_JOINT_VIEWS,
    VIEWS_PER_CALL_ON_CPU,
    describe,
    plan_views,
    views_per_call_on_cpu,
    weights_gb,
)
from scenestyle.diffusion.presets import SDXL
from scenestyle.diffusion.unet_family import call_gb
from scenestyle.errors import ParamsError
from scenestyle.params import StylizeViews
from tests.support.held_memory import held_at_most
from tests.support.tiny_diffusion import tiny_pipeline
from training.procedural.demo_scene import demo_cameras

SIZE = (64, 48)
CAMERAS = list(demo_cameras().values())
SIZES = [SIZE] * len(CAMERAS)


@pytest.fixture(scope="module")
def model():
    return DiffusionModel(tiny_pipeline(), torch.device("cpu"), SDXL, {})


@pytest.fixture(scope="module")
def on_gpu(model):
    """The same networks for a device where more views per call are faster, and where they are not yet."""
    return replace(model, device=torch.device("cuda"))


def groups(plan):
    return [list(group) for group in plan.groups]


def test_few_views_see_all_of_each_other_and_many_see_references(model):
    for num_views in (1, 3, MAX_JOINT_VIEWS):
        plan = plan_views(model, CAMERAS[:num_views], SIZES[:num_views], StylizeViews())
        assert (plan.sharing, groups(plan)) == ("full", [list(range(num_views))])
    plan = plan_views(model, CAMERAS, SIZES, StylizeViews())
    assert plan.sharing == "references"
    assert len(plan.groups[0]) == model.preset.num_references
    assert sorted(index for group in plan.groups for index in group) == list(range(len(CAMERAS)))


def test_the_user_may_insist(model):
    for sharing, first in (("full", 32), ("references", 4), ("none", 8)):
        plan = plan_views(model, CAMERAS, SIZES, StylizeViews(sharing=sharing))
        assert (plan.sharing, len(plan.groups[0])) == (sharing, first)


@pytest.mark.parametrize(("given", "preset", "wanted"), [(None, 2, 2), (None, 4, 4), (3, 2, 3)])
def test_there_are_as_many_references_as_asked_for_or_as_the_preset_says(
    model, given, preset, wanted
):
    other = replace(model, preset=replace(model.preset, num_references=preset))
    plan = plan_views(other, CAMERAS, SIZES, StylizeViews(num_references=given))
    assert len(plan.groups[0]) == wanted


def test_groups_fill_the_memory_that_they_may_take_and_no_more(on_gpu):
    view, kept = call_gb(on_gpu.pipeline.unet, SIZE, 2)
    memory = 4 * kept + 7.5 * view
    plan = plan_views(on_gpu, CAMERAS, SIZES, StylizeViews(memory_gb=memory), free=99.0)
    assert [len(group) for group in plan.groups] == [4, 7, 7, 7, 7]
    assert plan.step_gb == pytest.approx(4 * kept + 7 * view)
    few = plan_views(on_gpu, CAMERAS[:10], SIZES[:10], StylizeViews(memory_gb=memory), free=99.0)
    assert few.sharing == "references"  # ten at once would not fit


@pytest.mark.parametrize("sharing", ["auto", "full", "references", "none"])
def test_what_fits_in_no_way_is_refused_with_the_figures(on_gpu, sharing):
    view, _ = call_gb(on_gpu.pipeline.unet, SIZE, 2)
    params = StylizeViews(sharing=sharing, memory_gb=0.9 * view)
    with pytest.raises(
        ParamsError, match=r"64x48.* need about 0\.0\d*[1-9].* GB may be used\. Lower .*image_side"
    ):
        plan_views(on_gpu, CAMERAS, SIZES, params, free=99.0)


def test_weights_stay_in_main_memory_only_where_they_and_the_views_do_not_fit(on_gpu):
    view, kept = call_gb(on_gpu.pipeline.unet, SIZE, 2)
    least = (4 * kept + 4 * view) / 0.8  # of the four references; a fifth is left free
    whole, in_turn = (weights_gb(on_gpu, offload) for offload in ("none", "model"))
    assert 0 < in_turn < whole
    for free, offload in ((whole + 1.01 * least, "none"), (whole + 0.99 * least, "model")):
        plan = plan_views(on_gpu, CAMERAS, SIZES, StylizeViews(), free=free)
        assert plan.offload == offload
        assert plan.peak_gb <= 0.8 * (free - plan.weights_gb)
        sentence = describe(plan, [str(index) for index in range(len(CAMERAS))], SIZES)
        assert ("on the GPU in turn (offload: model)" in sentence) == (offload == "model")
    with pytest.raises(ParamsError, match=r"GB of weights.*offload: model"):
        plan_views(on_gpu, CAMERAS, SIZES, StylizeViews(), free=in_turn + 0.99 * least)
    for offload in ("none", "model"):
        params = StylizeViews(offload=offload)
        assert plan_views(on_gpu, CAMERAS, SIZES, params, free=99.0).offload == offload


def test_on_the_cpu_there_is_nothing_to_bring_anywhere(model):
    plan = plan_views(model, CAMERAS, SIZES, StylizeViews(offload="model"))
    assert (plan.offload, plan.weights_gb) == ("none", 0)


def test_on_the_cpu_the_pictures_and_depth_maps_of_all_views_count(model):
    few, many = (
        plan_views(model, CAMERAS[:number], SIZES[:number], StylizeViews(sharing="none")).peak_gb
        for number in (8, 32)
    )
    width, height = SIZE
    channels = model.pipeline.controlnet.config.block_out_channels[0]
    a_view = 4 * (7 * width * height + channels * (width // 2) * (height // 2))
    assert many - few == pytest.approx(24 * a_view / 1e9)


def test_the_weights_are_as_large_as_their_files(on_gpu, tmp_path):
    on_gpu.pipeline.save_pretrained(tmp_path)
    on_disk = sum(file.stat().st_size for file in tmp_path.rglob("*.safetensors"))
    assert weights_gb(on_gpu, "none") == pytest.approx(on_disk / 1e9, rel=0.2)  # and file headers


def test_keys_and_values_are_as_large_as_said(model):
    from scenestyle.diffusion.attention import shared_self_attention

    unet, (height, width) = model.pipeline.unet, (24, 32)
    with shared_self_attention(unet, 1) as layers, torch.no_grad():
        unet(
            torch.zeros(2, 4, height, width),
            500,
            encoder_hidden_states=torch.zeros(2, 24, 32),
            added_cond_kwargs={"text_embeds": torch.zeros(2, 16), "time_ids": torch.ones(2, 6)},
        )
        stored = sum(part.numel() * 4 for layer in layers for part in layer._kept)
    _, kept_gb = call_gb(unet, (2 * width, 2 * height), 2)
    assert stored / 1e9 == pytest.approx(kept_gb)


@pytest.mark.parametrize("attends_from", [0, 1], ids=["as SD 1.5", "as SDXL"])
@pytest.mark.parametrize("side", [256, 512])
def test_the_plan_knows_what_the_networks_hold_at_the_fullest_moment(attends_from, side):
    """Traced on networks of the published proportions, a tenth as wide, without numbers."""
    from diffusers import ControlNetModel, UNet2DConditionModel

    attends = [level >= attends_from for level in range(3)]
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            block_out_channels=(32, 64, 128),
            down_block_types=["CrossAttn" * a + "DownBlock2D" for a in attends],
            up_block_types=["CrossAttn" * a + "UpBlock2D" for a in reversed(attends)],
            layers_per_block=2,
            attention_head_dim=8,
            cross_attention_dim=32,
        )
        controlnet = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 8, 8))

    def step(rows):
        with torch.device("meta"), torch.no_grad():
            noisy, text = torch.empty(rows, 4, side // 8, side // 8), torch.empty(rows, 77, 32)
            picture = torch.empty(rows, 3, side // 2, side // 2)
            down, middle = controlnet(noisy, 9, text, picture, return_dict=False)
            unet(
                *(noisy, 9, text),
                down_block_additional_residuals=down,
                mid_block_additional_residual=middle,
            )

    one, three = (held_at_most(lambda rows=rows: step(rows)) for rows in (2, 6))
    view_gb, _ = call_gb(unet, (side, side), 8)
    assert view_gb == pytest.approx((three - one) / 2e9, rel=0.1)


def test_sdxls_figures_are_those_known_of_it():
    """2.567e9 parameters, and 0.84 GB of keys and values per view at 1024 pixels in half precision."""
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=128,
            block_out_channels=(320, 640, 1280),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            layers_per_block=2,
            transformer_layers_per_block=(1, 2, 10),
            attention_head_dim=(5, 10, 20),
            cross_attention_dim=2048,
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=2816,
            use_linear_projection=True,
        ).half()
    assert sum(each.numel() for each in unet.parameters()) == pytest.approx(2.567e9, rel=1e-3)
    view_gb, kept_gb = call_gb(unet, (1024, 1024), 8)
    assert kept_gb == pytest.approx(0.84, abs=0.005)
    assert 0.3 < view_gb < 1.5


def test_the_plan_reads_as_a_sentence(model):
    plan = plan_views(model, CAMERAS, SIZES, StylizeViews(num_references=2))
    names = [f"v{index}" for index in range(32)]
    first, second = plan.groups[0]
    assert f"each sees itself and 2 references (v{first}, v{second}); at most 8" in describe(
        plan, names, SIZES
    )
    assert np.isfinite(plan.peak_gb)


def test_on_a_cpu_the_smaller_views_are_the_more_pass_at_once():
    calls = [views_per_call_on_cpu(view_gb) for view_gb in (0.001, 0.018, 0.06, 0.2, 1.5)]
    assert calls == [8, 8, 4, VIEWS_PER_CALL_ON_CPU, VIEWS_PER_CALL_ON_CPU]


def test_groups_beside_the_references_are_of_one_size_each(model):
    """The references are one group whatever their sizes: they see each other."""
    sizes = [SIZE if index % 3 else SIZE[::-1] for index in range(len(CAMERAS))]
    for sharing in ("references", "none"):
        plan = plan_views(model, CAMERAS, sizes, StylizeViews(sharing=sharing))
        first = sharing == "references"
        assert sorted(view for group in groups(plan) for view in group) == list(range(len(CAMERAS)))
        assert all(len({sizes[view] for view in group}) == 1 for group in plan.groups[first:])
    flipped = plan_views(model, CAMERAS, [SIZE[::-1]] * len(CAMERAS), StylizeViews())
    assert flipped == plan_views(model, CAMERAS, SIZES, StylizeViews())


def test_views_of_two_sizes_are_described(model):
    sizes = [SIZE, *[SIZE[::-1]] * (len(CAMERAS) - 1)]
    plan = plan_views(model, CAMERAS, sizes, StylizeViews())
    names = [str(index) for index in range(len(CAMERAS))]
    assert describe(plan, names, sizes).startswith(f"{len(CAMERAS)} views at 64x48 and 48x64, ")
