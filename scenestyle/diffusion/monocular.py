"""Depth estimated from each rendered picture by itself, for scenes whose field has poor depth.

The estimators of transformers: Depth Anything (Yang et al. 2024, arXiv:2401.10891 and 2406.09414)
and DPT / MiDaS (Ranftl et al. 2021, arXiv:2103.13413).
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float

from scenestyle.diffusion import presets
from scenestyle.diffusion.inputs import RenderedViews
from scenestyle.diffusion.weights import hub_snapshot, named_folder
from scenestyle.errors import ArtifactError, WeightsError, reason
from scenestyle.geometry import on_one_scale, scaled_disparity
from scenestyle.params import StylizeViews

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

_FILES = ("*.safetensors",)
_INSTEAD = "set stylize_views.depth_model to a local folder, or depth: nerf"
_ENDS = (1.0, 99.0)
"""percentiles of the scene's disparities that become 0 and 1, as where the field's own depth is
taken"""
_LEAST_DEPTH = 1e-3
"""metres; nearer is taken for this near"""


@dataclass(frozen=True)
class DepthEstimator:
    """A depth estimator with what prepares its inputs; parts are of transformers."""

    model: Any
    prepare: Any
    output: Literal["disparity", "depth"]
    """what it predicts: disparity up to scale and shift, or depth in metres"""

    def disparity(
        self, picture: Float[np.ndarray, "height width 3"]
    ) -> Float[np.ndarray, "height width"]:
        """Disparity of an RGB image in [0, 1], up to a positive scale and a shift per image."""
        import torch

        # Rendered views are files of 8 bits, and such is what preparations are written for.
        image = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
        inputs = self.prepare(
            images=[image], input_data_format="channels_last", return_tensors="pt"
        )
        with torch.no_grad():
            outputs = self.model(inputs["pixel_values"].to(self.model.device))
        (processed,) = self.prepare.post_process_depth_estimation(
            outputs, target_sizes=[picture.shape[:2]]
        )
        predicted = processed["predicted_depth"].float().cpu().numpy()
        return predicted if self.output == "disparity" else 1 / np.maximum(predicted, _LEAST_DEPTH)


def with_chosen_depth(
    views: RenderedViews, params: StylizeViews, device: "torch.device"
) -> RenderedViews:
    """The views with the disparity that `params.depth` and `params.depth_model` ask for.

    Raises:
        ArtifactError: As `with_estimated_disparity`.
        WeightsError: As `load_estimator`.
    """
    if params.depth == "nerf":
        return views
    return with_estimated_disparity(views, load_estimator(params.depth_model, device).disparity)


def with_estimated_disparity(
    views: RenderedViews, estimate: Callable[[np.ndarray], np.ndarray]
) -> RenderedViews:
    """The views with estimated disparities, all on the scale of the scene, instead of the field's.

    Each view's scale and shift are fitted to the field's depth where it has surface; the fit goes
    with the majority of pixels. `depth_z`, which fusing the views needs and which only the field
    has in scene units, stays.

    Args:
        views: With the field's depth.
        estimate: From a picture to its disparity up to a positive scale and a shift, such as
            `DepthEstimator.disparity`.

    Raises:
        ArtifactError: If the estimates contradict the field in most views.
    """
    relative = [estimate(picture) for picture in views.rgb]
    disparity, is_fitted = on_one_scale(relative, views.depth_z)
    if is_fitted.mean() < 0.5:
        raise ArtifactError(
            "stylize_views.depth: monocular could be brought to the scene's scale in only "
            f"{is_fitted.sum()} of {len(is_fitted)} views; in the others the field has too little "
            "surface, or comes nearer where the estimate recedes. Look at the rendered views and "
            "their depth; train the field for longer, take another stylize_views.depth_model, or "
            "set depth: nerf."
        )
    if not is_fitted.all():
        names = [name for name, fits in zip(views.names, is_fitted, strict=True) if not fits]
        logger.warning(
            "the estimated depth of %d of %d views (%s) does not fit the field's and was "
            "stretched to the scene's range",
            len(names), len(is_fitted), _listed(names),
        )  # fmt: skip
    ends = np.percentile(np.concatenate([each.ravel() for each in disparity]), _ENDS)
    return replace(views, disparity=scaled_disparity(disparity, ends))


def load_estimator(model: str | None, device: "torch.device") -> DepthEstimator:
    """Load a depth estimator.

    Args:
        model: A local folder of transformers or `organisation/name@COMMIT`; None: Depth Anything V2
            Small, pinned.
        device: Where it runs, in float32.

    Raises:
        WeightsError: If `model` is neither, cannot be loaded, or is of a kind whose output is not
            known to be disparity or depth.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoImageProcessor, AutoModelForDepthEstimation

    folder = _folder(model)
    local: dict[str, Any] = {"local_files_only": True}
    try:
        config = AutoConfig.from_pretrained(folder, **local)
        output = output_of(config, folder)
        network = AutoModelForDepthEstimation.from_pretrained(folder, use_safetensors=True, **local)
        prepare = AutoImageProcessor.from_pretrained(folder, **local)
    except (OSError, ValueError, SafetensorError) as error:
        raise WeightsError(
            f"{folder} could not be loaded as a depth estimator of transformers ({reason(error)}). "
            "It needs config.json, preprocessor_config.json and safetensors weights; else "
            f"{_INSTEAD}."
        ) from error
    return DepthEstimator(network.eval().to(device), prepare, output)


def output_of(config: Any, folder: Path) -> Literal["disparity", "depth"]:
    """What an estimator with this configuration predicts.

    Raises:
        WeightsError: If it is of another kind than Depth Anything and DPT on a backbone of MiDaS.
    """
    if config.model_type == "depth_anything":
        return "depth" if config.depth_estimation_type == "metric" else "disparity"
    backbone = (
        getattr(config.backbone_config, "model_type", "vit") if config.model_type == "dpt" else None
    )
    # DPT on DINOv2 was trained for metres indoors or on the road, which its configuration does not
    # say.
    if backbone is None or backbone.startswith("dino"):
        kind = config.model_type + (f" on {backbone}" if backbone else "")
        raise WeightsError(
            f"{folder} is a depth estimator of the kind {kind}, of which it is not known whether "
            "it predicts disparity. Wanted: Depth Anything (relative or metric) or DPT of MiDaS "
            "3. Choose another stylize_views.depth_model, or set depth: nerf."
        )
    return "disparity"


def _folder(model: str | None) -> Path:
    if model is None:
        return hub_snapshot(presets.DEPTH_ANYTHING, _FILES, instead=_INSTEAD)
    folder = named_folder(model, _FILES, instead=_INSTEAD)
    if folder is None:
        raise WeightsError(
            f"stylize_views.depth_model: {model!r} is neither an existing folder nor a hub "
            "repository with its commit (organisation/name@ and 40 hexadecimal digits; a branch "
            "name is not enough)."
        )
    return folder


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
