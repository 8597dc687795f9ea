"""Laws of Z-Image, on tiny random parts of the real classes: it is diffusers' own but for what is shared."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    ZImageControlNetModel,
    ZImageControlNetPipeline,
    ZImageImg2ImgPipeline,
    ZImageTransformer2DModel,
)

from scenestyle.diffusion import presets
from scenestyle.diffusion.autoencoder import decoded
from scenestyle.diffusion.canvas import Canvas
from scenestyle.diffusion.families import family_of
from scenestyle.diffusion.flow_loop import FlowLoop
from scenestyle.diffusion.fusion import Fusion
from scenestyle.diffusion.inputs import read_rendered_views
from scenestyle.diffusion.joint_attention import Sequences, SharedJointAttention
from scenestyle.diffusion.lockstep import Lockstep
from scenestyle.diffusion.models import licences_of, load_pipeline
from scenestyle.diffusion.plan import Plan, plan_views, weights_gb
from scenestyle.diffusion.restyle import Restyler
from scenestyle.diffusion.weights import file_sha256
from scenestyle.errors import ParamsError, ShapeError, WeightsError
from scenestyle.params import Control, Lora, Style, StylizeViews
from tests.support.held_memory import held_at_most
from tests.support.tiny_diffusion import (
    stylize,
    tiny_z_image,
    write_tiny_lora,
    write_tiny_views,
)
from tests.unit.diffusion.test_models import put_in_cache, same_weights
from tests.unit.diffusion.test_stylize import SETTINGS as UNET_SETTINGS
from tests.unit.diffusion.test_stylize import assert_same_pictures, in_float64, some_views
from training.procedural.demo_scene import demo_cameras

CPU = torch.device("cpu")
SETTINGS = replace(
    UNET_SETTINGS, prompt="a pencil sketch of a red ball on a green meadow", guidance_scale=1.0
)
GUIDED = replace(SETTINGS, guidance_scale=2.5, negative_prompt="lava")
"""the prompt is longer than 32 tokens and the negative one is not, so that one is padded and masked"""
PLANS = [Plan.joint(3), Plan("references", ((0, 2), (1,)))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny_z_image")
    tiny_z_image().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return load_pipeline(str(folder), CPU)


@pytest.fixture(scope="module")
def exact(folder):
    return in_float64(load_pipeline(str(folder), CPU))


def stock(model, kind, settings, num_views, **more):
    """diffusers' own pipeline of the same parts; its guidance counts from 0."""
    parts = {name: getattr(model.pipeline, name) for name in kind.__init__.__annotations__}
    return kind(**parts)(
        prompt=[settings.prompt] * num_views,
        negative_prompt=[settings.negative_prompt] * num_views,
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale - 1,
        generator=[torch.Generator().manual_seed(settings.seed) for _ in range(num_views)],
        output_type="np",
        **more,
    ).images


@pytest.mark.parametrize("settings", [SETTINGS, GUIDED], ids=["unguided", "guided"])
def test_without_sharing_and_control_it_is_the_stock_image_to_image_pipeline(exact, settings):
    rgb, disparity = some_views(3)
    image = torch.from_numpy(rgb).permute(0, 3, 1, 2)
    wanted = stock(exact, ZImageImg2ImgPipeline, settings, 3, image=image, strength=0.5)
    silent = replace(settings, controlnet_conditioning_scale=0.0)
    found = stylize(exact, rgb, disparity, silent, Plan.joint(3, share=False))
    assert_same_pictures(found, wanted)


@pytest.mark.parametrize("settings", [SETTINGS, GUIDED], ids=["unguided", "guided"])
def test_from_pure_noise_without_sharing_it_is_the_stock_pipeline_with_control(exact, settings):
    rgb, disparity = some_views(3)
    batches = []
    watch = exact.pipeline.transformer.register_forward_pre_hook(
        lambda _, args: batches.append(torch.stack(args[0]).squeeze(2)[:3])
    )
    from_noise = replace(settings, strength=1.0)
    found = stylize(exact, rgb, disparity, from_noise, Plan.joint(3, share=False))
    watch.remove()
    wanted = stock(
        exact,
        ZImageControlNetPipeline,
        from_noise,
        3,
        latents=batches[0].float(),
        control_image=2 * torch.from_numpy(disparity)[:, None].repeat(1, 3, 1, 1) - 1,
        controlnet_conditioning_scale=settings.controlnet_conditioning_scale,
        height=12,
        width=16,
    )
    assert_same_pictures(found, wanted)


@pytest.mark.parametrize("settings", [SETTINGS, GUIDED], ids=["unguided", "guided"])
def test_a_view_that_sees_only_itself_is_as_without_sharing(exact, settings):
    rgb, disparity = some_views(2)
    alone = stylize(exact, rgb, disparity, settings, Plan.joint(2, share=False))
    for view in range(2):
        one = slice(view, view + 1)
        assert_same_pictures(stylize(exact, rgb[one], disparity[one], settings), alone[one])


def test_views_see_each_other_and_the_pipeline_stays_as_it_was(model):
    rgb, disparity = some_views(3)
    apart = Plan.joint(3, share=False)
    alone = stylize(model, rgb, disparity, SETTINGS, apart)
    together = stylize(model, rgb, disparity, SETTINGS)
    assert np.abs(together - alone).max() > 1e-3
    np.testing.assert_array_equal(stylize(model, rgb, disparity, SETTINGS, apart), alone)


@pytest.mark.parametrize("settings", [SETTINGS, GUIDED], ids=["unguided", "guided"])
def test_the_size_of_the_groups_does_not_change_results(exact, settings):
    rgb, disparity = some_views(5)
    together, apart, other_order = (
        stylize(exact, rgb, disparity, settings, Plan("references", ((1, 4), *groups)))
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
        assert (np.abs(after - before)[[0, 3]].max() > 1e-4) == sees_it


@pytest.mark.parametrize("calls_before_the_end", [1, 3, 4])
def test_an_interrupted_run_goes_on_to_the_same_bytes(model, tmp_path, calls_before_the_end):
    rgb, disparity = some_views(5)
    plan = Plan("references", ((0, 2), (1, 3), (4,)))
    undisturbed = stylize(model, rgb, disparity, SETTINGS, plan)
    calls = []

    def stop(*_):
        if len(calls) == calls_before_the_end:
            raise KeyboardInterrupt
        calls.append(1)

    planted = model.pipeline.transformer.layers[0].register_forward_pre_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        stylize(model, rgb, disparity, SETTINGS, plan, work=tmp_path / "work")
    planted.remove()
    resumed = stylize(model, rgb, disparity, SETTINGS, plan, work=tmp_path / "work")
    np.testing.assert_array_equal(resumed, undisturbed)
    other = stylize(model, rgb, disparity, replace(SETTINGS, seed=1), plan, work=tmp_path / "work")
    assert not np.array_equal(other, undisturbed)


def test_as_many_steps_are_run_as_are_said(model):
    rgb, disparity = some_views(1)
    for num_steps, strength in ((4, 0.5), (5, 0.7), (12, 0.67), (10, 0.3), (3, 1.0)):
        calls = []
        watch = model.pipeline.transformer.register_forward_pre_hook(
            lambda *_, calls=calls: calls.append(1)
        )
        settings = replace(SETTINGS, num_inference_steps=num_steps, strength=strength)
        stylize(model, rgb, disparity, settings, Plan.joint(1, share=False))
        watch.remove()
        assert len(calls) == settings.executed_steps


def test_a_control_counts_within_its_steps_alone(model):
    rgb, disparity = some_views(2)
    calls = []
    watch = model.pipeline.controlnet.control_layers[0].register_forward_pre_hook(
        lambda *_: calls.append(1)
    )
    four = replace(SETTINGS, strength=1.0)
    for control, steps in (
        (Control("depth"), 4),
        (Control("depth", start=0.5), 2),
        (Control("depth", end=0.25), 1),
        (Control("depth", scale=0.0), 0),
    ):
        calls.clear()
        stylize(replace(model, controls=(control,)), rgb, disparity, four)
        assert len(calls) == steps
    watch.remove()


def test_the_image_that_controls_is_encoded_once_per_view(model):
    rgb, disparity = some_views(3)
    pictures = []
    watch = model.pipeline.vae.encoder.conv_in.register_forward_pre_hook(
        lambda _, args: pictures.append(args[0])
    )
    stylize(model, rgb, disparity, SETTINGS, Plan("references", ((2,), (0, 1))))
    watch.remove()
    assert SETTINGS.executed_steps > 1
    assert len(pictures) == 3 + 3  # and the views that are begun from
    seen = torch.cat(pictures[3:])[:, 0]
    np.testing.assert_allclose(seen, 2 * disparity[[2, 0, 1]] - 1, atol=1e-6)


def test_the_text_is_encoded_once(model):
    rgb, disparity = some_views(3)
    rows = []
    watch = model.pipeline.text_encoder.embed_tokens.register_forward_pre_hook(
        lambda _, args: rows.append(len(args[0]))
    )
    stylize(model, rgb, disparity, GUIDED)
    watch.remove()
    assert rows == [1, 1]


def test_a_negative_prompt_counts_only_with_guidance(model):
    rgb, disparity = some_views(1)
    for guidance_scale, matters in ((3.0, True), (1.0, False)):
        plain = replace(SETTINGS, guidance_scale=guidance_scale)
        negative = replace(plain, negative_prompt="lava")
        same = np.array_equal(
            stylize(model, rgb, disparity, plain), stylize(model, rgb, disparity, negative)
        )
        assert same != matters


def test_offloaded_weights_give_the_same_pictures(folder):
    """Layers that ControlNet and transformer have in common come and go with either.

    To rounding: weights that came back lie elsewhere in memory, and on some processors products of
    matrices are summed in an order that depends on where they begin.
    """
    model = load_pipeline(str(folder), CPU)
    rgb, disparity = some_views(3, width=32, height=24)
    cameras = [camera.resized(32, 24) for camera in list(demo_cameras().values())[:3]]
    fusion = Fusion(list(np.full(disparity.shape, 4.0, np.float32)), cameras, 1)
    resident, offloaded = (
        stylize(
            model,
            rgb,
            disparity,
            SETTINGS,
            Plan("references", ((0,), (1, 2)), offload=offload),
            fusion=fusion,
        )
        for offload in ("none", "model")
    )
    np.testing.assert_allclose(offloaded, resident, rtol=0, atol=1e-5)


# --- the attention of one layer --------------------------------------------------------------


@pytest.fixture(scope="module")
def layer():
    """Attention of Z-Image's blocks, and the rotations of 5 tokens for an image and 4 for a text."""
    torch.manual_seed(0)
    transformer = ZImageTransformer2DModel(
        in_channels=4,
        dim=32,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[4, 6, 6],
        axes_lens=[64, 64, 64],
    )
    places = torch.stack([torch.arange(9), torch.arange(9) % 3, torch.arange(9) % 2], 1)
    return transformer.layers[0].attention.double(), transformer.rope_embedder(places)


def parts_of(layer, rotations, tokens):
    """Queries, keys and values of one view, as the paper of rotary embeddings has them: H S E."""
    query, key, value = (
        project(tokens).unflatten(-1, (2, 16)) for project in (layer.to_q, layer.to_k, layer.to_v)
    )
    query, key = layer.norm_q(query), layer.norm_k(key)
    angles = torch.angle(rotations).double()[:, None]
    cosine, sine = angles.cos(), angles.sin()

    def turned(part):
        even, odd = part[..., ::2], part[..., 1::2]
        return torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], -1).flatten(-2)

    return [part.transpose(0, 1) for part in (turned(query), turned(key), value)]


@pytest.mark.parametrize("lengths", [[9, 9, 9], [9, 8, 7]], ids=["whole", "padded"])
def test_shared_joint_attention_is_the_formula(layer, lengths):
    """Own queries and text; image keys and values of the references; and of itself, for others."""
    attention, rotations = layer
    tokens = torch.randn(3, 9, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    sequences = Sequences()
    shared = SharedJointAttention(attention.processor, sequences, 2)
    calls = []
    for rows in ([0, 1], [2]):
        sequences.tell(0, 5, [lengths[row] for row in rows])
        turned = rotations[None].expand(len(rows), -1, -1)
        calls.append(shared(attention, tokens[rows], freqs_cis=turned))
    found = torch.cat(calls)
    parts = [parts_of(attention, rotations, view) for view in tokens]
    for view, length in enumerate(lengths):
        query, key, value = parts[view]
        own = slice(5 if view < 2 else 0, length)
        keys = torch.cat([parts[0][1][:, :5], parts[1][1][:, :5], key[:, own]], 1)
        values = torch.cat([parts[0][2][:, :5], parts[1][2][:, :5], value[:, own]], 1)
        weights = (query @ keys.transpose(1, 2) / 16**0.5).softmax(-1)
        wanted = attention.to_out[0]((weights @ values).transpose(0, 1).flatten(1))
        torch.testing.assert_close(found[view, :length], wanted[:length], rtol=1e-6, atol=1e-6)


def test_one_reference_alone_is_the_stock_processor(layer):
    attention, rotations = layer
    tokens = torch.randn(1, 9, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    sequences = Sequences()
    sequences.tell(0, 5, [9])
    shared = SharedJointAttention(attention.processor, sequences, 1)
    wanted = attention.processor(attention, tokens, freqs_cis=rotations[None])
    found = shared(attention, tokens, freqs_cis=rotations[None])
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_references_in_lockstep_are_as_in_one_call(layer):
    attention, rotations = layer
    tokens = torch.randn(2, 9, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    turned = rotations[None].expand(2, -1, -1)
    together = Sequences()
    together.tell(0, 5, [9, 9])
    wanted = SharedJointAttention(attention.processor, together, 2)(
        attention, tokens, freqs_cis=turned
    )
    lockstep, apart = Lockstep(), Sequences()
    shared = SharedJointAttention(attention.processor, apart, (1, 1), lockstep=lockstep)

    def call(view):
        apart.tell(lockstep.turn, 5, [9])
        return shared(attention, tokens[[view]], freqs_cis=turned[[view]])

    found = torch.cat(lockstep.run([lambda: call(0), lambda: call(1)]))
    torch.testing.assert_close(found, wanted)


def test_aligned_images_have_the_statistics_of_the_references_and_text_keeps_its_own(layer):
    attention, rotations = layer
    tokens = torch.randn(3, 9, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    sequences, seen = Sequences(), []
    shared = SharedJointAttention(attention.processor, sequences, 2, align=True)
    aligned = shared._aligned

    def watched(*args):
        seen.append((args[0], aligned(*args)[0]))
        return seen[-1][1], args[1]

    shared._aligned = watched
    for rows in ([0, 1], [2]):
        sequences.tell(0, 5, [9] * len(rows))
        shared(attention, tokens[rows], freqs_cis=rotations[None].expand(len(rows), -1, -1))
    of_references = seen[0][0][:, :, :5].transpose(0, 1).flatten(1, 2)
    for before, after in seen:
        torch.testing.assert_close(after[:, :, 5:], before[:, :, 5:])
        for view in after[:, :, :5]:
            torch.testing.assert_close(view.mean(1), of_references.mean(1))


def test_a_batch_that_is_no_whole_set_of_references_is_refused(layer):
    attention, rotations = layer
    sequences = Sequences()
    sequences.tell(0, 5, [9, 9])
    shared = SharedJointAttention(attention.processor, sequences, 3)
    with pytest.raises(ShapeError, match=r"over 3 views got a batch of 2; wanted the same number"):
        shared(
            attention,
            torch.zeros(2, 9, 32, dtype=torch.float64),
            freqs_cis=rotations[None].expand(2, -1, -1),
        )


# --- fusing -----------------------------------------------------------------------------------


@pytest.fixture
def loop(model):
    return FlowLoop(model.pipeline, [(0, 1)], Canvas(((6, 8),) * 2), None, None)


def test_clean_latents_are_where_the_scheduler_would_go_in_one_step(loop):
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    noisy, prediction = torch.randn((2, 2, 4, 6, 8), generator=torch.Generator().manual_seed(0))
    scheduler.set_timesteps(sigmas=[0.6])  # from there to 0
    timestep = scheduler.timesteps[0]
    wanted = scheduler.step(-prediction, timestep, noisy).prev_sample
    found = loop.clean(noisy, prediction, (1000 - timestep.expand(2)) / 1000)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_a_shifted_prediction_has_the_shifted_clean_latents_behind_it(loop, model):
    """Whole through guidance as well, as the stock pipeline combines its halves."""
    both = torch.randn(4, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    noisy, change = torch.randn((2, 2, 4, 6, 8), generator=torch.Generator().manual_seed(1))
    model.pipeline._guidance_scale = 1.5
    timestep = torch.full((4,), 0.3)
    before = loop.clean(noisy, loop.guided(both, 2), timestep)
    after = loop.clean(noisy, loop.guided(loop.shifted(both, change, timestep), 2), timestep)
    torch.testing.assert_close(after, before + change, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("settings", [SETTINGS, GUIDED], ids=["unguided", "guided"])
def test_after_the_last_step_views_are_the_fused_clean_latents(exact, settings):
    rgb, disparity = some_views(2)

    class Brighter(Fusion):
        """Fusing that adds the same to all views, whatever they show."""

        def __init__(self):
            self.num_steps = 99

        def change(self, clean, vae):
            seen.append(clean)
            return [torch.full_like(latents, 0.1) for latents in clean]

    seen = []
    found = stylize(exact, rgb, disparity, settings, fusion=Brighter())
    assert len(seen) == settings.executed_steps
    pictures = decoded(exact.pipeline.vae, [latents.double() + 0.1 for latents in seen[-1]])
    for picture, after in zip(found, pictures, strict=True):
        wanted = (after * 0.5 + 0.5).clamp(0, 1)[0].movedim(0, -1).numpy()
        np.testing.assert_allclose(picture, wanted, atol=1e-5)


def test_views_are_fused_through_the_sources_depth(model):
    rgb, disparity = some_views(2, width=32, height=24)
    cameras = [camera.resized(32, 24) for camera in list(demo_cameras().values())[:2]]
    fusion = Fusion(list(np.full(disparity.shape, 4.0, np.float32)), cameras, 2)
    fused = stylize(model, rgb, disparity, SETTINGS, fusion=fusion)
    assert np.isfinite(fused).all()
    assert not np.array_equal(fused, stylize(model, rgb, disparity, SETTINGS))


# --- memory -----------------------------------------------------------------------------------


def test_layers_in_common_are_counted_once(model):
    on_gpu = replace(model, device=torch.device("cuda"))
    parts = [model.pipeline.transformer, model.pipeline.text_encoder, model.pipeline.vae]
    own = [*model.pipeline.controlnet.control_layers.parameters()]
    own += model.pipeline.controlnet.control_noise_refiner.parameters()
    own += model.pipeline.controlnet.control_all_x_embedder.parameters()
    wanted = sum(each.numel() for part in parts for each in part.parameters())
    wanted += sum(each.numel() for each in own)
    assert weights_gb(on_gpu, "none") == pytest.approx(4 * wanted / 1e9, rel=1e-4)  # and buffers
    assert weights_gb(on_gpu, "model") < weights_gb(on_gpu, "none")


def test_kept_keys_and_values_are_as_large_as_said(model):
    rgb, disparity = some_views(2, width=32, height=24)
    sizes = []
    kept = SharedJointAttention._images

    def watched(*args):
        result = kept(*args)
        sizes.append(sum(part.numel() * 4 for part in result))
        return result

    settings = replace(SETTINGS, image_side=32, num_inference_steps=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SharedJointAttention, "_images", watched)
        stylize(model, rgb, disparity, settings, Plan("references", ((0,), (1,))))
    _, kept_gb = family_of(model.pipeline).call_gb(model.pipeline, (32, 24), parts=1)
    assert sum(sizes) / 1e9 == pytest.approx(kept_gb)


@pytest.mark.parametrize(("side", "num_hints"), [(128, 3), (256, 15)])
def test_the_plan_knows_what_the_networks_hold_at_the_fullest_moment(side, num_hints):
    """Traced on networks of the published proportions, a tenth as wide, without numbers."""
    from types import SimpleNamespace

    sizes = {"dim": 384, "n_refiner_layers": 2, "n_heads": 3, "n_kv_heads": 3}
    with torch.device("meta"):
        transformer = ZImageTransformer2DModel(
            n_layers=num_hints, cap_feat_dim=256, axes_dims=[32, 48, 48], **sizes
        )
        controlnet = ZImageControlNetModel(
            control_layers_places=list(range(num_hints)),
            control_refiner_layers_places=[0, 1],
            control_in_dim=33,
            add_control_noise_refiner="control_noise_refiner",
            **sizes,
        )
    controlnet = ZImageControlNetModel.from_transformer(controlnet, transformer)
    transformer.rope_embedder = lambda ids: torch.empty(
        len(ids), 64, dtype=torch.complex64, device="meta"
    )
    controlnet.rope_embedder = transformer.rope_embedder

    def step(rows):
        with torch.device("meta"), torch.no_grad():
            noisy = list(torch.empty(rows, 16, 1, side // 8, side // 8))
            texts, times = list(torch.empty(rows, 64, 256)), torch.empty(rows)
            seen = list(torch.empty(rows, 33, 1, side // 8, side // 8))
            hints = controlnet(noisy, times, texts, seen)
            transformer(noisy, times, texts, controlnet_block_samples=hints)

    one, three = (held_at_most(lambda rows=rows: step(rows)) for rows in (1, 3))
    pipeline = SimpleNamespace(transformer=transformer, controlnet=controlnet, vae_scale_factor=8)
    view_gb, _ = family_of(pipeline).call_gb(pipeline, (side, side), parts=1)
    assert view_gb == pytest.approx((three - one) / 2e9, rel=0.1)


def test_guidance_doubles_what_is_planned(model):
    cameras, sizes = list(demo_cameras().values())[:3], [(64, 48)] * 3
    plans = [
        plan_views(
            replace(model, device=torch.device("cuda")),
            cameras,
            sizes,
            StylizeViews(sharing="full"),
            free=99.0,
            guided=guided,
        )
        for guided in (False, True)
    ]
    assert plans[1].step_gb == pytest.approx(2 * plans[0].step_gb)


# --- loading ----------------------------------------------------------------------------------


@pytest.fixture
def base(folder, tmp_path):
    """A text-to-image folder, as Z-Image is published."""
    copy = shutil.copytree(folder, tmp_path / "base")
    shutil.rmtree(copy / "controlnet")
    index = json.loads((copy / "model_index.json").read_text())
    del index["controlnet"]
    index["_class_name"] = "ZImagePipeline"
    (copy / "model_index.json").write_text(json.dumps(index))
    return copy


def test_the_preset_is_put_together_from_its_two_repositories(base, folder, hub_cache, monkeypatch):
    """The ControlNet is one file; its configuration comes with scenestyle."""
    control = presets.Z_IMAGE_CONTROLNET
    source = shutil.copytree(folder / "controlnet", base.with_name("control"))
    (source / "diffusion_pytorch_model.safetensors").rename(source / str(control.file))
    (source / "config.json").unlink()
    put_in_cache(hub_cache, control.repository.name, control.repository.revision, source)
    repository = presets.Z_IMAGE_TURBO_BASE
    put_in_cache(hub_cache, repository.name, repository.revision, base)
    monkeypatch.setattr(
        "scenestyle.diffusion.control_nets.configuration", lambda _: folder
    )  # of the tiny one's size
    model = load_pipeline("z-image-turbo", CPU)
    assert model.preset is presets.Z_IMAGE_TURBO
    assert model.sources == {"base": str(repository), "controlnet": str(control.repository)}
    assert (
        set(model.licences.values()) == {"Apache-2.0"} == set(licences_of("z-image-turbo").values())
    )
    stock = load_pipeline(str(folder), CPU).pipeline
    for part in ("transformer", "controlnet", "vae", "text_encoder"):
        assert same_weights(getattr(model.pipeline, part), getattr(stock, part))
    canny = load_pipeline("z-image-turbo", CPU, controls=[Control("canny")])
    assert canny.controls == (Control("canny"),)


def test_without_the_hub_the_message_says_what_to_fetch(hub_cache):
    with pytest.raises(WeightsError, match=r"Z-Image-Turbo at revision f332072aa.*hf download"):
        load_pipeline("z-image-turbo", CPU)


def test_half_precision_is_bfloat16(folder):
    assert load_pipeline(str(folder), torch.device("cuda")).pipeline.dtype == torch.bfloat16


def test_a_controlnet_of_ones_own_and_faults_of_them(base, folder, tiny_folder, tmp_path):
    own = str(folder / "controlnet")
    model = load_pipeline(str(base), CPU, controls=[Control("depth", weights=own)])
    assert model.sources["controlnet depth"] == own
    with pytest.raises(WeightsError, match=r"takes one control, and depth, canny are asked for"):
        load_pipeline(
            str(base),
            CPU,
            controls=[Control(kind, weights=own) for kind in ("depth", "canny")],
        )
    other = str(tiny_folder / "controlnet")
    with pytest.raises(WeightsError, match=r"holds a ControlNetModel; Z-Image takes a ZImage"):
        load_pipeline(str(base), CPU, controls=[Control("depth", weights=other)])
    wide = ZImageControlNetModel(
        control_layers_places=[0], control_in_dim=4, dim=64, n_heads=2, n_kv_heads=2
    )
    wide.save_pretrained(tmp_path / "wide")
    with pytest.raises(WeightsError, match=r"layers have 64 channels, the model's 32"):
        load_pipeline(str(base), CPU, controls=[Control("depth", weights=str(tmp_path / "wide"))])


def test_the_transformer_alone_in_one_file_is_known_for_what_it_is(folder):
    file = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    with pytest.raises(WeightsError, match=r"Z-Image's transformer without.*model: z-image-turbo"):
        load_pipeline(str(file), CPU, sha256=file_sha256(file))


def test_a_lora_shifts_the_transformers_weights(folder, model, tmp_path):
    file = write_tiny_lora(
        tmp_path / "lora.safetensors", seed=0, network=model.pipeline.transformer
    )
    given = [Lora(str(file), file_sha256(file), 0.5)]
    shifted = load_pipeline(str(folder), CPU, loras=given).pipeline.transformer.state_dict()
    before = model.pipeline.transformer.state_dict()
    from safetensors.torch import load_file

    name = "layers.0.attention.to_q"
    tensors = load_file(file)
    down, up = (tensors[f"transformer.{name}.lora_{part}.weight"] for part in "AB")
    torch.testing.assert_close(
        shifted[f"{name}.weight"], before[f"{name}.weight"] + 0.5 * up @ down
    )


def test_parameters_of_unets_are_refused_all_at_once(folder, tmp_path):
    write_tiny_views(tmp_path / "views", num_views=2)
    views = read_rendered_views(tmp_path / "views")
    params = StylizeViews(model=str(folder), share_norms=True, image_adapter="a.safetensors")
    with pytest.raises(ParamsError, match=r"(?s)share_norms.*no group norms.*image_adapter"):
        Restyler.load(views, params, [Style("ink")])
    with pytest.raises(ParamsError, match=r"scheduler: euler means nothing.*set it to null"):
        Restyler.load(views, replace(params, scheduler="euler"), [Style("ink")])
