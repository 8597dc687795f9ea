from pathlib import Path

import numpy as np
import pytest
import torch

from scenestyle.clip import Clip, clip_weights, open_clip
from scenestyle.clip.embed import REPOSITORY, REVISION
from scenestyle.diffusion.weights import EMBEDDED_FOLDER
from scenestyle.errors import WeightsError

TOKENIZER = EMBEDDED_FOLDER / "tokenizer"
PICTURES = list(np.random.default_rng(0).random((10, 24, 32, 3), dtype=np.float32))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """The real classes, tiny and with random weights."""
    from transformers import AutoTokenizer, CLIPConfig, CLIPImageProcessor, CLIPModel

    folder = tmp_path_factory.mktemp("clip")
    tokenizer = AutoTokenizer.from_pretrained(TOKENIZER, local_files_only=True)
    tower = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    config = CLIPConfig(
        text_config={
            **tower,
            "vocab_size": len(tokenizer),
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config={**tower, "image_size": 16, "patch_size": 4},
        projection_dim=12,
    )
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(folder)
    CLIPImageProcessor(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return open_clip(folder)


def test_every_picture_gets_its_own_embedding_whatever_stands_beside_it(clip: Clip) -> None:
    together = clip.embed_pictures(PICTURES)

    assert together.shape == (10, 12)
    assert together[7:9] == pytest.approx(clip.embed_pictures(PICTURES[7:9]), abs=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-4


def test_a_picture_is_prepared_as_clip_prepares_files(clip: Clip) -> None:
    from PIL import Image

    bytes_of = np.rint(PICTURES[0] * 255).astype(np.uint8)
    inputs = clip.prepare(images=[Image.fromarray(bytes_of)], return_tensors="pt")
    with torch.no_grad():
        oracle = clip.model.get_image_features(**inputs).pooler_output.numpy()

    assert clip.embed_pictures(PICTURES[:1]) == pytest.approx(oracle, abs=0.02)


def test_sentences_of_any_length_are_embedded_alone_as_together(clip: Clip) -> None:
    texts = ["a cat", "an oil painting of a cat", "a cat " * 200]

    together = clip.embed_texts(texts)

    assert together.shape == (3, 12)
    assert together[:1] == pytest.approx(clip.embed_texts(texts[:1]), abs=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-4


def test_what_is_not_in_the_cache_is_not_downloaded_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    small_files = tmp_path / f"models--{REPOSITORY.replace('/', '--')}" / "snapshots" / REVISION

    for _ in range(2):
        with pytest.raises(
            WeightsError, match=r"may not be downloaded.*evaluate\.pretrained: download"
        ):
            clip_weights(may_download=False)
        small_files.mkdir(parents=True, exist_ok=True)
        (small_files / "config.json").write_text("{}")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not hold a CLIP model"):
        open_clip(tmp_path)
