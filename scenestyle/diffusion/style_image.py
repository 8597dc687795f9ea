"""A style's picture beside its sentence, through an IP-Adapter (Ye et al. 2023, arXiv:2308.06721).

The adapter gives every *cross*-attention layer of the UNet further keys and values, from an
encoding of the picture; shared attention concerns the *self*-attention layers, and all views get
the same picture, so the two do not meet.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from scenestyle.diffusion.models import UNKNOWN_LICENCE, DiffusionModel
from scenestyle.diffusion.weights import file_sha256, hub_snapshot
from scenestyle.errors import ParamsError, WeightsError, reason

_ENCODER = "image_encoder"
_INSTEAD = "set stylize_views.image_adapter to a local file, or leave out the style's image"


def with_image_adapter(model: DiffusionModel, adapter: str | None) -> DiffusionModel:
    """The model, whose pipeline can take a picture from now on; before `place`.

    Args:
        model: Its UNet gets the adapter's layers.
        adapter: An IP-Adapter's file, with its CLIP image encoder in the folder `image_encoder`
            beside it; None: the one of the model's preset.

    Raises:
        WeightsError: If there is none, or it does not fit the model.
    """
    from safetensors import SafetensorError
    from transformers import CLIPVisionModelWithProjection

    file, source = _adapter_file(model, adapter)
    pipeline = model.pipeline
    try:
        encoder = CLIPVisionModelWithProjection.from_pretrained(
            file.parent / _ENCODER,
            dtype=pipeline.dtype,
            use_safetensors=True,
            local_files_only=True,
        )
        pipeline.register_modules(image_encoder=encoder)
        pipeline.load_ip_adapter(
            str(file.parent), subfolder="", weight_name=file.name, local_files_only=True
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise WeightsError(
            f"{file} could not be loaded as an IP-Adapter of this model, with the CLIP image "
            f"encoder in {file.parent / _ENCODER} ({reason(error)}). Take the adapter that "
            f"belongs to the model and its own encoder; else {_INSTEAD}."
        ) from error
    known = model.preset.image_adapter if adapter is None else None
    return replace(
        model,
        sources={**model.sources, "image_adapter": source},
        licences={
            **model.licences,
            "image_adapter": known.repository.licence if known else UNKNOWN_LICENCE,
        },
    )


def image_arguments(
    pipeline: Any, image: str | None, sha256: str | None, scale: float
) -> Mapping[str, Any]:
    """What to call the pipeline with for this image; without one, nothing or one without weight.

    Raises:
        ParamsError: If the file is missing, not a picture, or not the one of this checksum.
    """
    from PIL import Image

    if getattr(pipeline, _ENCODER, None) is None:
        if image:
            raise ParamsError(
                f"The style's image {image} needs a model with an image adapter, and this one has "
                "none loaded."
            )
        return {}
    pipeline.set_ip_adapter_scale(scale if image else 0.0)
    return {"ip_adapter_image": _read(image, sha256) if image else Image.new("RGB", (224, 224))}


def _read(image: str, sha256: str | None) -> Any:
    from PIL import Image

    path = Path(image)
    if not path.is_file():
        raise ParamsError(
            f"styles: there is no image {image}. Put it there, or name another one (with its "
            "image_sha256)."
        )
    if (found := file_sha256(path)) != sha256:
        raise ParamsError(
            f"styles: the image {image} has the SHA-256 {found}, and params.yaml says {sha256}: "
            f"the picture was changed. If that is meant, write image_sha256: {found}; else bring "
            "the old picture back."
        )
    try:
        return Image.open(path).convert("RGB")
    except (OSError, SyntaxError) as error:
        raise ParamsError(
            f"styles: {image} cannot be read as a picture ({reason(error)})."
        ) from error


def _adapter_file(model: DiffusionModel, adapter: str | None) -> tuple[Path, str]:
    known = model.preset.image_adapter
    if adapter is not None:
        file = Path(adapter)
        if file.suffix != ".safetensors" or not file.is_file():
            raise WeightsError(
                f"stylize_views.image_adapter: there is no file {adapter!r} of the kind "
                f".safetensors. Wanted: a local IP-Adapter with the folder {_ENCODER} beside it; "
                "null: the one of the model's preset."
            )
        return file, adapter
    if known is None:
        raise WeightsError(
            f"The style has an image, and the model {model.sources['base']} has no image encoder "
            "to see it with. Set stylize_views.model: sdxl, name an adapter trained for the model "
            "in stylize_views.image_adapter, or leave out the style's image."
        )
    folder = Path(known.file).parent
    encoder = f"{folder}/{_ENCODER}/model.safetensors"
    snapshot = hub_snapshot(known.repository, [known.file, encoder], instead=_INSTEAD)
    return snapshot / known.file, f"{known.repository}/{known.file}"
