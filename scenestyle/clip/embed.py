"""Open a CLIP model and embed with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from scenestyle.errors import WeightsError, reason

REPOSITORY = "openai/clip-vit-large-patch14"
REVISION = "32bd64288804d66eefd0ccbe215aa642df71cc41"

_FILES = ("*.json", "merges.txt", "model.safetensors")
_BATCH = 8

Picture = Float[np.ndarray, "_ _ 3"]


@dataclass(frozen=True)
class Clip:
    """A CLIP model with what prepares its inputs; parts are of transformers."""

    model: Any
    prepare: Any
    tokenizer: Any

    def embed_pictures(
        self, pictures: Sequence[Picture]
    ) -> Float[np.ndarray, "pictures dimension"]:
        """Embeddings, unnormalised, of RGB images in [0, 1], each cropped to its middle square."""
        import torch

        channels_first = [np.moveaxis(np.clip(picture, 0, 1), -1, 0) for picture in pictures]
        embedded = []
        with torch.no_grad():
            for begin in range(0, len(pictures), _BATCH):
                batch = channels_first[begin : begin + _BATCH]
                inputs = self.prepare(images=batch, do_rescale=False, return_tensors="pt")
                embedded.append(self.model.get_image_features(**inputs).pooler_output)
        return torch.cat(embedded).numpy()

    def embed_texts(self, texts: Sequence[str]) -> Float[np.ndarray, "texts dimension"]:
        """Embeddings, not normalised; what a sentence has beyond 77 tokens is cut off."""
        import torch

        inputs = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        with torch.no_grad():
            embedded = self.model.get_text_features(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
            )
        return embedded.pooler_output.numpy()


def clip_weights(*, may_download: bool) -> Path:
    """Folder of the pinned CLIP (ViT-L/14), from the hub's cache or, if allowed, from the hub.

    Raises:
        WeightsError: If it is neither in the cache nor to be had.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HTTPError

    cause: Exception | None = None
    try:
        folder = snapshot_download(
            REPOSITORY,
            revision=REVISION,
            allow_patterns=list(_FILES),
            local_files_only=not may_download,
        )
        if Path(folder, "model.safetensors").is_file():  # the cache may hold the small files only
            return Path(folder)
    except (OSError, HTTPError) as error:
        cause = error
    raise WeightsError(_missing(constants.HF_HUB_CACHE, may_download=may_download)) from cause


def open_clip(folder: Path) -> Clip:
    """Load a CLIP model, its image preparation and its tokenizer from a local folder.

    Raises:
        WeightsError: If the folder does not hold all three.
    """
    from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

    try:
        return Clip(
            model=CLIPModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True
            ).eval(),
            prepare=CLIPImageProcessor.from_pretrained(folder, local_files_only=True),
            tokenizer=AutoTokenizer.from_pretrained(folder, local_files_only=True),
        )
    except (OSError, ValueError) as error:
        raise WeightsError(f"{folder} does not hold a CLIP model ({reason(error)}).") from error


def _missing(cache: str, *, may_download: bool) -> str:
    way_out = (
        f"Bring {REPOSITORY} at revision {REVISION} into that cache from a machine that reaches "
        "the hub."
        if may_download
        else "Allow it with evaluate.pretrained: download (1.7 GB)."
    )
    tried = "and the hub did not answer" if may_download else "and may not be downloaded"
    return f"CLIP's weights are not in {cache}, {tried}. {way_out}"
