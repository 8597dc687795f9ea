from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scenestyle.diffusion.known_styles import read_known_styles
from scenestyle.diffusion.models import load_pipeline
from scenestyle.diffusion.weights import EMBEDDED_FOLDER
from scenestyle.errors import ParamsError
from training import data, latents, tokenizer, train_autoencoder
from training.export import CONTROLS, HASH_FILE, export, trained_autoencoder
from training.exported import load_autoencoder, load_denoiser
from training.models import Denoiser, autoencoder
from training.muon import orthogonalised
from training.train_denoiser import (
    Recipe,
    Training,
    _update,
    advance,
    draw_batch,
    samples_per_batch,
    start_training,
    validate,
)

RECIPE = Recipe(batch=2)
MADE_UP = next(index for index in range(99) if not data.shows_photographs(index))
"""a shard for which no photographs need to have been gathered"""


@pytest.fixture(autouse=True)
def one_thread():
    """As in training; and threads that wait for each other crawl on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    data.write_shard(folder, shard=MADE_UP, scenes=2)
    return folder


@pytest.fixture(scope="module")
def shards(work) -> dict[data.Size, list[Path]]:
    return data.training_shards(work)


@pytest.fixture(scope="module")
def shard(work) -> data.Shard:
    return data.load_shard(data.shard_path(work, MADE_UP))


def tiny_training(shard: data.Shard) -> Training:
    torch.manual_seed(0)
    model = Denoiser(vocabulary=len(tokenizer.load()), widths=(32, 32, 32))
    batch = draw_batch(shard, 4, np.random.default_rng(0))
    model.calibrate(batch.noisy, batch.controls, batch.tokens)
    return start_training(model, RECIPE)


def flat_tensors(state: object) -> list[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        return [state]
    values = state.values() if isinstance(state, dict) else state if isinstance(state, list) else []
    return [tensor for value in values for tensor in flat_tensors(value)]


def test_shard_holds_the_latents_of_its_pictures(work, shard):
    pictures = np.load(work / "data" / f"pictures-{MADE_UP:06d}.npy")
    for scene, view in ((0, 0), (1, 1)):
        expected = latents.encode(data.to_signed(pictures[scene, view])).numpy()
        stored = np.concatenate([shard.photos[scene, view], shard.styled[scene, view]])
        np.testing.assert_allclose(stored, expected, atol=0.02)
        np.testing.assert_array_equal(shard.pictures[scene, view], pictures[scene, view, :3])
    assert shard.disparity[0].max() == 255


def test_every_style_is_drawn_equally_often():
    styles = data._even_choice(np.random.default_rng(0), scenes=30)
    assert set(np.bincount(styles.ravel())[1:]) == {10}
    assert all(len(set(scene)) == len(scene) for scene in styles)


def test_shards_take_turns_in_size_and_batches_in_pixels(tmp_path):
    made_up = (i for i in range(99) if not data.shows_photographs(i))
    wide = next(i for i in made_up if data.shard_size(i) == (96, 160))
    data.write_shard(tmp_path, shard=wide, scenes=1)
    assert data.training_shards(tmp_path) == {(96, 160): [data.shard_path(tmp_path, wide)]}
    shard = data.load_shard(data.shard_path(tmp_path, wide))
    assert shard.size == (96, 160)
    batch = draw_batch(shard, 3, np.random.default_rng(0))
    assert batch.noisy.shape == (3, latents.CHANNELS, 12, 20)
    assert batch.controls.disparity.shape == (3, 3, 96, 160)
    assert batch.controls.picture.shape == (3, 3, 96, 160)
    recipe = Recipe(batch=16)
    assert samples_per_batch(recipe, data.SQUARE) == 16
    for size in {data.shard_size(index) for index in range(8)}:
        assert size[0] % 32 == size[1] % 32 == 0
        assert 0.9 < samples_per_batch(recipe, size) * size[0] * size[1] / (16 * 128**2) < 1.1


def test_validation_is_the_same_at_every_call_(shard):
    training = tiny_training(shard)
    first, second = (validate(training.average, shard, in_looks=True) for _ in range(2))
    assert first == second
    assert any(name.endswith("L") for name in first)
    assert not any(name.endswith("L") for name in validate(training.average, shard))
    assert all(np.isfinite(figure) for figure in first.values())
    assert all(figure > 0 for name, figure in first.items() if not name.endswith("L"))


def test_resumed_run_is_the_uninterrupted_run(shard, shards, tmp_path):
    whole = tiny_training(shard)
    for _ in range(2):
        advance(whole, shards, RECIPE, lr_scale=0.5)
    first = tiny_training(shard)
    advance(first, shards, RECIPE, lr_scale=0.5)
    first.save(tmp_path / "trunk.pt")
    second = tiny_training(shard)
    second.restore(tmp_path / "trunk.pt")
    assert second.progress.samples == first.progress.samples > 0
    advance(second, shards, RECIPE, lr_scale=0.5)
    assert second.progress == whole.progress
    pairs = list(zip(flat_tensors(second.state()), flat_tensors(whole.state()), strict=True))
    assert len(pairs) > 100
    assert all(torch.equal(mine, other) for mine, other in pairs)


def test_a_run_with_looks_does_not_go_on_from_one_without(shard, tmp_path):
    without = tiny_training(shard)
    without.save(tmp_path / "trunk.pt")
    with pytest.raises(ParamsError, match=r"trained without looks(.|\n)*Leave out --looks"):
        start_training(without.model, replace(RECIPE, looks=True)).restore(tmp_path / "trunk.pt")


def test_looks_change_what_is_wanted_and_nothing_else_of_a_sample(shard):
    plain, looking = (
        draw_batch(shard, 4, np.random.default_rng(0), together=2, in_looks=each)
        for each in (False, True)
    )
    assert torch.equal(plain.tokens, looking.tokens)
    assert torch.equal(plain.controls.picture, looking.controls.picture)
    assert not torch.allclose(plain.target, looking.target, atol=0.05)


def test_three_of_four_shards_show_photographs_in_every_size():
    kinds = {(data.shows_photographs(i), data.shard_size(i)) for i in range(64)}
    assert len(kinds) == 2 * len({size for _, size in kinds})
    assert sum(data.shows_photographs(i) for i in range(64)) == 48
    held_out = [data.HELD_OUT_SHARD, data.HELD_OUT_PHOTOGRAPHS]
    assert [data.shows_photographs(i) for i in held_out] == [False, True]


def test_a_control_counts_as_much_as_its_scale_says(shard):
    """And the tile that begins from the depth ControlNet says the same, but a tenth as loud."""
    model = tiny_training(shard).model
    with torch.no_grad():  # the UNet's last layer begins at zero
        torch.nn.init.normal_(model.unet.conv_out.weight, std=0.1)
    batch = draw_batch(shard, 2, np.random.default_rng(0))
    conditions = (batch.tokens, batch.keep_text, batch.time_ids)
    zero, one = torch.zeros(2), torch.ones(2)

    def predicted(depth_scale, tile_scale, **seen):
        controls = replace(batch.controls, depth_scale=depth_scale, tile_scale=tile_scale, **seen)
        with torch.no_grad():
            return model(batch.noisy, batch.timestep, controls, *conditions)

    for name, scales in (("disparity", (zero, one)), ("picture", (one, zero))):
        other = {name: 1 - getattr(batch.controls, name)}
        assert torch.equal(predicted(*scales, **other), predicted(*scales))
        assert not torch.equal(predicted(one, one, **other), predicted(one, one))
    model.begin_tile_from_depth()
    same = {"picture": batch.controls.disparity}
    with torch.no_grad():
        for layer in (
            *model.controlnet.controlnet_down_blocks,
            model.controlnet.controlnet_mid_block,
        ):
            layer.bias.zero_()
    torch.testing.assert_close(
        predicted(zero, one, **same), predicted(0.1 * one, zero, **same), rtol=1e-3, atol=1e-4
    )


def test_training_on_one_batch_lowers_its_loss(shard):
    training = tiny_training(shard)
    batch = draw_batch(shard, 2, np.random.default_rng(1))
    losses = []
    for _ in range(8):
        losses.append(_update(training, batch, RECIPE, lr_scale=1.0))
        training.progress.step += 1
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])


def test_autoencoder_run_resumes_from_its_checkpoint(work):
    data.write_shard(work, shard=data.HELD_OUT_SHARD, scenes=1)
    train_autoencoder.run(work, minutes=0.01)
    first = torch.load(train_autoencoder.checkpoint_path(work), weights_only=True)
    train_autoencoder.run(work, minutes=first["seconds"] / 60 + 0.01)
    second = torch.load(train_autoencoder.checkpoint_path(work), weights_only=True)
    assert 0 < first["step"] < second["step"]
    assert first["seconds"] < second["seconds"]


def test_orthogonalised_keeps_directions_and_evens_out_their_lengths():
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(24, 60, generator=generator)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    result = orthogonalised(matrix)
    spread = torch.linalg.svdvals(result)
    assert spread.min() > 0.5
    assert spread.max() < 1.4
    cosine = torch.nn.functional.cosine_similarity(
        result.flatten(), (left @ right).flatten(), dim=0
    )
    assert cosine > 0.95


def test_exported_folder_runs_in_the_pipeline_class(tmp_path):
    from diffusers import StableDiffusionXLControlNetImg2ImgPipeline
    from PIL import Image

    torch.manual_seed(0)
    training = start_training(Denoiser(vocabulary=len(tokenizer.load())), RECIPE)
    training.save(tmp_path / "denoiser.pt")
    train_autoencoder.checkpoint_path(tmp_path).parent.mkdir()
    torch.save({"model": autoencoder().state_dict()}, train_autoencoder.checkpoint_path(tmp_path))
    export(tmp_path / "denoiser.pt", trained_autoencoder(tmp_path), tmp_path / "weights")

    known = read_known_styles(tmp_path / "weights")
    assert set(known) == set(data.STYLE_NAMES)
    listed = (tmp_path / "weights" / HASH_FILE).read_text().splitlines()
    files = [p for p in (tmp_path / "weights").rglob("*") if p.is_file() and p.name != HASH_FILE]
    assert len(listed) == len(files)
    assert sum(path.stat().st_size for path in files) < 30e6
    pipeline = StableDiffusionXLControlNetImg2ImgPipeline.from_pretrained(
        tmp_path / "weights", torch_dtype=torch.float32
    )
    grey = Image.new("RGB", (64, 64), (128, 128, 128))
    loaded = load_pipeline(str(tmp_path / "weights"), torch.device("cpu"))
    assert tuple(control.kind for control in loaded.controls) == CONTROLS
    result = pipeline(
        "a pencil sketch", image=grey, control_image=[grey, grey], strength=0.5, num_inference_steps=2,
        output_type="np",
    )  # fmt: skip
    assert result.images.shape == (1, 64, 64, 3)
    assert np.isfinite(result.images).all()


def test_training_goes_on_from_exported_weights(tmp_path):
    torch.manual_seed(1)
    training = start_training(Denoiser(vocabulary=len(tokenizer.load())), RECIPE)
    pictures = autoencoder()
    training.save(tmp_path / "denoiser.pt")
    export(tmp_path / "denoiser.pt", pictures, tmp_path / "weights")
    for found, wanted in (
        (load_denoiser(tmp_path / "weights"), training.average),
        (load_autoencoder(tmp_path / "weights"), pictures),
    ):
        state = found.state_dict()
        for name, value in wanted.state_dict().items():
            assert torch.allclose(state[name].float(), value.float(), rtol=1e-3, atol=1e-5), name


def test_words_of_another_tokenizer_are_carried_over_by_token():
    """The repository's weights have a tokenizer of their own."""
    from transformers import CLIPTextModel, CLIPTokenizer

    before = CLIPTextModel.from_pretrained(EMBEDDED_FOLDER / "text_encoder", dtype=torch.float32)
    ids_before = CLIPTokenizer.from_pretrained(EMBEDDED_FOLDER / "tokenizer").get_vocab()
    ids = tokenizer.load().get_vocab()
    vectors = load_denoiser(EMBEDDED_FOLDER).text_encoder.get_input_embeddings().weight
    for token in ("<|startoftext|>", "pencil</w>", "watercolor</w>"):
        wanted = before.get_input_embeddings().weight[ids_before[token]]
        assert torch.equal(vectors[ids[token]], wanted), token


def test_a_group_shows_one_scene_in_one_style_at_one_noise_level(shard):
    batch = draw_batch(shard, 7, np.random.default_rng(3), together=3)
    assert batch.together == 3
    assert len(batch.target) == 6
    scene_of = {
        row.tobytes(): scene
        for scene, each in enumerate(shard.pictures)
        for view in each
        for row in view
    }
    shown = [scene_of[to_bytes(picture)] for picture in batch.controls.picture]
    for group in (slice(0, 3), slice(3, 6)):
        assert len(set(shown[group])) == 1
        for of_one in (batch.timestep, batch.tokens, batch.keep_text, batch.controls.tile_scale):
            assert (of_one[group] == of_one[group][0]).all()
        pictures = batch.controls.picture[group].flatten(1)
        assert not any(torch.equal(pictures[0], other) for other in pictures[1:])


def to_bytes(picture: torch.Tensor) -> bytes:
    return (picture.movedim(0, -1) * 255).round().to(torch.uint8).numpy().tobytes()
