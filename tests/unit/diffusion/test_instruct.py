"""Models that edit by instruction go the same way as all others: the laws, on tiny random parts."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import (
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionXLInstructPix2PixPipeline,
    UNet2DConditionModel,
)

from scenestyle.diffusion import presets
from scenestyle.diffusion.autoencoder import decoded
from scenestyle.diffusion.edit_family import EditFamily
from scenestyle.diffusion.families import family_of
from scenestyle.diffusion.fusion import Fusion
from scenestyle.diffusion.inputs import read_rendered_views
from scenestyle.diffusion.models import edits_by_instruction, licences_of, load_pipeline
from scenestyle.diffusion.noise import CarriedNoise
from scenestyle.diffusion.plan import Plan, plan_views
from scenestyle.diffusion.restyle import Restyler
from scenestyle.diffusion.stylize import expected_seconds
from scenestyle.diffusion.weights import file_sha256
from scenestyle.errors import ParamsError, WeightsError
from scenestyle.params import Control, Lora, Style, StylizeViews
from tests.support.held_memory import held_at_most
from tests.support.original_layout import write_single_file
from tests.support.tiny_diffusion import (
    stylize,
    tiny_first_pipeline,
    tiny_instructed,
    tiny_pipeline,
    write_tiny_lora,
    write_tiny_views,
)
from tests.unit.diffusion.test_models import put_in_cache, same_weights
from tests.unit.diffusion.test_sizes import mixed_views
from tests.unit.diffusion.test_stylize import SETTINGS as UNET_SETTINGS
from tests.unit.diffusion.test_stylize import assert_same_pictures, in_float64, some_views
from training.procedural.demo_scene import demo_cameras

CPU = torch.device("cpu")
SETTINGS = replace(
    UNET_SETTINGS,
    prompt="make it snow",
    strength=1.0,
    num_inference_steps=3,
    guidance_scale=2.5,
    image_guidance_scale=1.5,
)
CASES = {
    "guided": SETTINGS,
    "negative": replace(SETTINGS, negative_prompt="lava"),
    "by text alone": replace(SETTINGS, image_guidance_scale=1.0),
    "unguided": replace(SETTINGS, guidance_scale=1.0),
    "neither": replace(SETTINGS, guidance_scale=1.0, image_guidance_scale=1.0),
}
IN_GROUPS = Plan("references", ((0, 2), (1, 3), (4,)))


def xl():
    return tiny_pipeline(second_text_width=24)  # SDXL's two text encoders differ in width


@pytest.fixture(scope="module", params=[tiny_first_pipeline, xl], ids=["first", "xl"])
def folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny_instructed")
    tiny_instructed(request.param()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return load_pipeline(str(folder), CPU)


@pytest.fixture(scope="module")
def exact(folder):
    return in_float64(load_pipeline(str(folder), CPU))


def stock(model, rgb, settings):
    """diffusers' own pipeline of the same parts."""
    height, width = rgb.shape[1:3]
    parts = dict(model.pipeline.components)
    if "text_encoder_2" in parts:
        kind = StableDiffusionXLInstructPix2PixPipeline
        more, call = {"add_watermarker": False}, {"height": height, "width": width}
    else:
        kind = StableDiffusionInstructPix2PixPipeline
        more, call = {"requires_safety_checker": False}, {}
    return kind(**parts, **more)(
        prompt=[settings.prompt] * len(rgb),
        negative_prompt=[settings.negative_prompt] * len(rgb) if settings.negative_prompt else None,
        image=torch.from_numpy(rgb).permute(0, 3, 1, 2),
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        image_guidance_scale=settings.image_guidance_scale,
        generator=[torch.Generator().manual_seed(settings.seed) for _ in rgb],
        output_type="np",
        **call,
    ).images


@pytest.mark.parametrize("case", CASES)
def test_without_sharing_it_is_the_stock_pipeline(exact, case):
    rgb, disparity = some_views(3)
    plan = Plan("none", ((0, 2), (1,)))
    found = stylize(exact, rgb, disparity, CASES[case], plan)
    assert_same_pictures(found, stock(exact, rgb, CASES[case]))


@pytest.mark.parametrize("case", ["guided", "unguided"])
def test_a_view_that_sees_only_itself_is_as_without_sharing(exact, case):
    rgb, disparity = some_views(1)
    found = stylize(exact, rgb, disparity, CASES[case])
    assert_same_pictures(found, stock(exact, rgb, CASES[case]))


def test_views_see_each_other_and_the_pipeline_stays_as_it_was(model):
    rgb, disparity = some_views(3)
    alone = stock(model, rgb, SETTINGS)
    together = stylize(model, rgb, disparity, SETTINGS)
    assert np.abs(together - alone).max() > 1e-3
    np.testing.assert_array_equal(stock(model, rgb, SETTINGS), alone)


def test_the_view_and_the_instruction_decide_and_depth_and_strength_do_not(model):
    rgb, disparity = some_views(1)
    before = stylize(model, rgb, disparity, SETTINGS)
    for other in (
        stylize(model, 1 - rgb, disparity, SETTINGS),
        stylize(model, rgb, disparity, replace(SETTINGS, prompt="a red ball")),
        stylize(model, rgb, disparity, replace(SETTINGS, image_guidance_scale=3.0)),
        stylize(model, rgb, disparity, replace(SETTINGS, seed=1)),
    ):
        assert np.abs(other - before).max() > 1e-3
    np.testing.assert_array_equal(stylize(model, rgb, 1 - disparity, SETTINGS), before)


@pytest.mark.parametrize("case", ["guided", "unguided"])
def test_the_size_of_the_groups_does_not_change_results(exact, case):
    rgb, disparity = some_views(5)
    together, apart, other_order = (
        stylize(exact, rgb, disparity, CASES[case], Plan("references", ((1, 4), *groups)))
        for groups in ([(0, 2, 3)], [(0,), (2,), (3,)], [(3, 2), (0,)])
    )
    assert_same_pictures(apart, together)
    assert_same_pictures(other_order, together)


def test_with_all_views_as_references_it_is_the_exact_form(exact):
    rgb, disparity = some_views(3)
    assert_same_pictures(
        stylize(exact, rgb, disparity, SETTINGS, Plan("references", ((0, 1, 2),))),
        stylize(exact, rgb, disparity, SETTINGS, Plan.joint(3)),
    )


def test_references_are_seen_and_others_are_not(model):
    rgb, disparity = some_views(4)
    plan = Plan("references", ((1,), (0, 2, 3)))
    before = stylize(model, rgb, disparity, SETTINGS, plan)
    for changed, sees_it in ((1, True), (2, False)):
        other = rgb.copy()
        other[changed] = 1 - other[changed]
        after = stylize(model, other, disparity, SETTINGS, plan)
        assert (np.abs(after - before)[[0, 3]].max() > 1e-3) == sees_it


@pytest.mark.parametrize("calls_before_the_end", [1, 3, 4])
def test_an_interrupted_run_goes_on_to_the_same_bytes(model, tmp_path, calls_before_the_end):
    rgb, disparity = some_views(5)
    undisturbed = stylize(model, rgb, disparity, SETTINGS, IN_GROUPS)
    calls = []

    def stop(*_):
        if len(calls) == calls_before_the_end:
            raise KeyboardInterrupt
        calls.append(1)

    planted = model.pipeline.unet.conv_in.register_forward_pre_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        stylize(model, rgb, disparity, SETTINGS, IN_GROUPS, work=tmp_path)
    planted.remove()
    resumed = stylize(model, rgb, disparity, SETTINGS, IN_GROUPS, work=tmp_path)
    np.testing.assert_array_equal(resumed, undisturbed)
    other = replace(SETTINGS, image_guidance_scale=2.0)
    changed = stylize(model, rgb, disparity, other, IN_GROUPS, work=tmp_path)
    np.testing.assert_array_equal(changed, stylize(model, rgb, disparity, other, IN_GROUPS))


def test_offloaded_weights_give_the_same_pictures_bit_for_bit(model):
    rgb, disparity = some_views(5)
    resident = stylize(model, rgb, disparity, SETTINGS, IN_GROUPS)
    offloaded = replace(IN_GROUPS, offload="model")
    np.testing.assert_array_equal(stylize(model, rgb, disparity, SETTINGS, offloaded), resident)


def test_views_of_several_sizes_are_each_as_if_alone_and_groups_change_nothing(exact):
    from scenestyle.diffusion.stylize import stylize

    rgb, disparity = mixed_views()
    alone = [
        stylize(exact, [picture], [of_it], SETTINGS, Plan.joint(1, share=False))[0]
        for picture, of_it in zip(rgb, disparity, strict=True)
    ]
    together = stylize(exact, rgb, disparity, SETTINGS, Plan("none", ((1, 4), (0,), (2, 3))))
    first, second = (
        stylize(exact, rgb, disparity, SETTINGS, Plan("references", ((1, 2), *groups)))
        for groups in ([(0, 3, 4)], [(0,), (3,), (4,)])
    )
    for found, wanted in ((together, alone), (first, second)):
        for each, other in zip(found, wanted, strict=True):
            assert_same_pictures(each, other)


def test_carried_noise_is_the_stock_pipelines_in_the_middle_and_another_beside_it(model):
    rgb, disparity = some_views(2)
    cameras = [camera.resized(16, 12) for camera in list(demo_cameras().values())[:2]]
    noise = CarriedNoise(list(np.full_like(disparity, 4.0)), cameras, [(6, 8)] * 2)
    apart = Plan.joint(2, share=False)
    plain = stylize(model, rgb, disparity, SETTINGS, apart)
    stuck = stylize(model, rgb, disparity, SETTINGS, apart, noise=noise)
    np.testing.assert_array_equal(stuck[noise.first], plain[noise.first])
    assert np.abs(stuck - plain)[1 - noise.first].max() > 1e-2


@pytest.mark.parametrize("case", ["guided", "unguided"])
def test_after_the_last_step_views_are_the_fused_clean_latents(exact, case):
    """So the change reaches the image whole, through all parts of guidance."""
    rgb, disparity = some_views(2)

    class Brighter(Fusion):
        """Fusing that adds the same to all views, whatever they show."""

        def __init__(self):
            self.num_steps = 99

        def change(self, clean, vae):
            seen.append(clean)
            return [torch.full_like(latents, 0.1) for latents in clean]

    seen = []
    in_order = load_with(exact, "ddim")
    found = stylize(in_order, rgb, disparity, CASES[case], fusion=Brighter())
    assert len(seen) == SETTINGS.executed_steps
    pictures = decoded(exact.pipeline.vae, [latents + 0.1 for latents in seen[-1]])
    for picture, after in zip(found, pictures, strict=True):
        wanted = (after * 0.5 + 0.5).clamp(0, 1)[0].movedim(0, -1).numpy()
        np.testing.assert_allclose(picture, wanted, atol=1e-5)


def load_with(model, scheduler):
    """The model with a scheduler that ends at the clean latents."""
    from scenestyle.diffusion.schedulers import set_scheduler

    parts = dict(model.pipeline.components)
    more = {} if "text_encoder_2" in parts else {"requires_safety_checker": False}
    pipeline = type(model.pipeline)(**parts, **more)
    set_scheduler(pipeline, scheduler)
    pipeline.scheduler.register_to_config(set_alpha_to_one=True)
    pipeline.scheduler.final_alpha_cumprod = torch.tensor(1.0)
    pipeline.set_progress_bar_config(disable=True)
    return replace(model, pipeline=pipeline)


def test_the_expected_time_is_that_of_one_step(model):
    rgb, disparity = some_views(2)
    calls = []
    watch = model.pipeline.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    many = replace(SETTINGS, num_inference_steps=40)
    assert expected_seconds(model, list(rgb), list(disparity), many) > 0
    watch.remove()
    assert len(calls) == 2


# --- memory -----------------------------------------------------------------------------------


@pytest.mark.parametrize("attends_from", [0, 1], ids=["as SD 1.5", "as SDXL"])
def test_the_plan_knows_what_the_unet_holds_at_the_fullest_moment(attends_from):
    """Traced on a UNet of the published proportions, a tenth as wide, without numbers."""
    side, attends = 256, [level >= attends_from for level in range(3)]
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            in_channels=8,
            block_out_channels=(32, 64, 128),
            down_block_types=["CrossAttn" * a + "DownBlock2D" for a in attends],
            up_block_types=["CrossAttn" * a + "UpBlock2D" for a in reversed(attends)],
            layers_per_block=2,
            attention_head_dim=8,
            cross_attention_dim=32,
        )

    def step(views):
        with torch.device("meta"), torch.no_grad():
            rows = 3 * views
            unet(torch.empty(rows, 8, side // 8, side // 8), 9, torch.empty(rows, 77, 32))

    one, three = (held_at_most(lambda views=views: step(views)) for views in (1, 3))
    pipeline = SimpleNamespace(
        unet=unet,
        vae=SimpleNamespace(config=SimpleNamespace(latent_channels=4)),
        vae_scale_factor=8,
    )
    family = family_of(pipeline)
    assert isinstance(family, EditFamily)
    view_gb, _ = family.call_gb(pipeline, (side, side), parts=family.guidance_parts)
    assert view_gb == pytest.approx((three - one) / 2e9, rel=0.1)


def test_guidance_triples_what_is_planned_and_no_image_of_a_control_waits(model):
    cameras = list(demo_cameras().values())[:6]
    sizes, params = [(16, 12)] * 6, StylizeViews(sharing="full")
    on_gpu = replace(model, device=torch.device("cuda"))
    guided, unguided = (
        plan_views(on_gpu, cameras, sizes, params, free=9.0, guided=each).step_gb
        for each in (True, False)
    )
    assert guided == pytest.approx(3 * unguided)
    on_cpu = plan_views(model, cameras, sizes, params, free=9.0, guided=False).step_gb
    assert on_cpu - unguided == pytest.approx(6 * 6 * 16 * 12 * 4 / 1e9)


# --- loading ----------------------------------------------------------------------------------


def is_xl(folder):
    return (folder / "text_encoder_2").is_dir()


def test_a_folder_is_known_by_the_channels_of_its_unet(folder, tmp_path):
    """Whatever its pipeline is called."""
    wanted = presets.SDXL_INSTRUCT_PIX2PIX if is_xl(folder) else presets.INSTRUCT_PIX2PIX
    for name in ("StableDiffusion{}InstructPix2PixPipeline", "StableDiffusion{}Pipeline"):
        copy = shutil.copytree(folder, tmp_path / name.format(""))
        index = json.loads((copy / "model_index.json").read_text())
        index["_class_name"] = name.format("XL" if is_xl(folder) else "")
        (copy / "model_index.json").write_text(json.dumps(index))
        found = load_pipeline(str(copy), CPU)
        assert isinstance(family_of(found.pipeline), EditFamily)
        assert found.preset == replace(wanted, scheduler=None)
        assert (found.sources, found.controls) == ({"base": str(copy)}, ())
        assert edits_by_instruction(str(copy))


def test_an_inpainting_model_is_refused(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    config = json.loads((copy / "unet" / "config.json").read_text())
    (copy / "unet" / "config.json").write_text(json.dumps({**config, "in_channels": 9}))
    with pytest.raises(WeightsError, match=r"for inpainting.* takes 9 channels instead of 4, or 8"):
        load_pipeline(str(copy), CPU)


def test_controls_are_refused(folder):
    with pytest.raises(WeightsError, match=r"edits by instruction.*Set controls: null"):
        load_pipeline(str(folder), CPU, controls=[Control("depth")])


def test_a_checkpoint_of_one_file_and_a_lora_are_taken(folder, model, tmp_path):
    """With the configuration of the model that it was finetuned from: the file itself tells."""
    as_saved = type(model.pipeline).from_pretrained(folder)  # without quick layers for a CPU
    file = write_single_file(as_saved, tmp_path / "my_model.safetensors")
    config = tmp_path / "my_model" / "unet" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "in_channels": 4}))
    found = load_pipeline(str(file), CPU, sha256=file_sha256(file))
    assert edits_by_instruction(str(file))
    assert isinstance(family_of(found.pipeline), EditFamily)
    assert same_weights(found.pipeline.unet, model.pipeline.unet)
    path = write_tiny_lora(tmp_path / "ink.safetensors", seed=0, unet=model.pipeline.unet)
    lora = Lora(str(path), file_sha256(path))
    shifted = load_pipeline(str(folder), CPU, loras=[lora]).pipeline.unet
    assert not same_weights(shifted, model.pipeline.unet)


def test_the_preset_is_loaded_at_its_commit(hub_cache, tmp_path):
    base = tmp_path / "base"
    tiny_instructed(tiny_first_pipeline()).save_pretrained(base)
    for part in base.rglob("*.safetensors"):
        part.rename(part.with_suffix(".fp16.safetensors"))
    # As published: with a checker and what that sees with, which are neither fetched nor loaded.
    index = json.loads((base / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    index["feature_extractor"] = ["transformers", "CLIPFeatureExtractor"]
    (base / "model_index.json").write_text(json.dumps(index))
    repository = presets.INSTRUCT_PIX2PIX_BASE
    put_in_cache(hub_cache, repository.name, repository.revision, base)
    found = load_pipeline("instruct-pix2pix", CPU)
    assert found.preset is presets.INSTRUCT_PIX2PIX
    assert type(found.pipeline.scheduler).__name__ == "DDIMScheduler"
    assert found.sources == {"base": str(repository)}
    assert found.licences == licences_of("instruct-pix2pix")
    assert found.licences["base"].startswith("MIT")
    assert edits_by_instruction("instruct-pix2pix")


# --- what a user sees -------------------------------------------------------------------------


def restyler(folder, tmp_path, *styles, **params):
    write_tiny_views(tmp_path, num_views=2)
    given = StylizeViews(model=str(folder), image_side=64, num_inference_steps=2, **params)
    return Restyler.load(read_rendered_views(tmp_path), given, styles)


def test_an_instruction_needs_no_caption_and_begins_at_noise(folder, tmp_path):
    style = Style("make it snow", image_guidance_scale=1.8)
    found = restyler(folder, tmp_path, style)
    settings = found.settings("toys", style)
    assert settings.prompt == "make it snow"
    assert settings.image_guidance_scale == 1.8
    assert settings.executed_steps == 2
    assert found.warnings([style]) == []
    preset = found.model.preset.image_guidance_scale
    assert found.settings("toys", Style("make it snow")).image_guidance_scale == preset == 1.5


def test_what_is_for_other_models_is_warned_of_once_and_left_out(folder, tmp_path, caplog):
    style = Style("a mosaic of {caption}", strength=0.5)
    found = restyler(folder, tmp_path, style)
    described, strong = found.warnings([style, style])
    assert "Say what is to change" in described
    assert "strength, 0.5, means nothing to this model: it begins at noise alone" in strong
    assert caplog.messages == [described, strong]
    settings = found.settings("toys", style)
    assert (settings.prompt, settings.strength) == ("a mosaic of toys", 1.0)


def test_an_instruction_for_another_model_is_warned_of(tiny_folder, tmp_path):
    style = Style("make it snow", image_guidance_scale=1.8)
    found = restyler(tiny_folder, tmp_path, style)
    instruction, scale = found.warnings([style])
    assert "instruct-pix2pix" in instruction
    assert "image_guidance_scale, 1.8, means nothing" in scale
    assert found.settings("toys", style).image_guidance_scale is None


def test_parameters_that_mean_nothing_are_refused_all_at_once(folder, tmp_path):
    given = {"image_adapter": "adapter.safetensors", "controlnet_conditioning_scale": 0.5}
    with pytest.raises(ParamsError) as error:
        restyler(folder, tmp_path, **given)
    for name in given:
        assert f"stylize_views.{name} means nothing to a model that edits" in str(error.value)
    (monocular,) = EditFamily().faults(StylizeViews(depth="monocular"))
    assert monocular.startswith("stylize_views.depth: monocular means nothing")
