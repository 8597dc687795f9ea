"""The figures of a result, each beside its controls; `docs/metrics.md` lists them."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from scenestyle.artifacts import MIN_OPACITY, read_json, surface_z
from scenestyle.cameras import fit_within
from scenestyle.errors import WeightsError
from scenestyle.evaluation.renders import Map, Orbit, Picture, Step
from scenestyle.metrics.depth import depth_change
from scenestyle.metrics.image import rmse
from scenestyle.metrics.intervals import bootstrap_mean
from scenestyle.metrics.style import style_distances
from scenestyle.metrics.warp import (
    ViewLink,
    link_pairs,
    link_views,
    nearest_pairs,
    perceptual_warp_errors,
    visible_share,
    warp_errors,
)
from scenestyle.params import Evaluate
from scenestyle.resample import area_averaged

if TYPE_CHECKING:
    from torch import Tensor

    from scenestyle.features import FeatureExtractor

_PERCEPTUAL_SIDE = 256
"""longest side at which pairs of pictures are compared through a network, pixels, about the size at
which such networks and distances were made"""
_WARP_GAPS = {"short": 1, "long": 7}
"""frames between the two of a pair, per range of the warp error"""

Distance = Callable[[Picture, Picture], float]
Mask = Bool[np.ndarray, "_ _"]
DistanceMap = Callable[[Picture, Picture], Map]
Measurements = dict[str, float | Float[np.ndarray, " _"]]
"""figures by name; an array holds one value per view or pair of views, its mean is the figure"""

logger = logging.getLogger(__name__)


def judge(
    orbit: Orbit,
    links: Mapping[str, Sequence[ViewLink]],
    steps: Sequence[Step],
    texts: tuple[str, str] | None,
    params: Evaluate,
) -> tuple[Measurements, dict[str, str]]:
    """All figures of an edit that need nothing made for them.

    Args:
        orbit: The novel path.
        links: From `orbit_links`.
        steps: The views of the capture.
        texts: Captions of the scene and of the edit; None: an instruction made it.
        params: `warp_tau`, `pretrained` and `seed`.

    Returns:
        The figures, and why others could not be computed.

    Raises:
        ArtifactError: If the source field shows no surface.
    """
    measured = {**orbit_figures(orbit, links), **view_figures(steps, params)}
    shown = [without_hidden(step) for step in steps]
    more, not_computed = pretrained_figures(orbit, shown, texts, params.pretrained)
    if any(step.photo is None for step in steps):
        not_computed["PSNR, SSIM and LPIPS of the source field"] = (
            "The scene came as splats: there are no photos to compare its renders with."
        )
    return {**measured, **more}, not_computed


def orbit_links(orbit: Orbit, *, tau: float) -> dict[str, list[ViewLink]]:
    """Frames of the orbit that see the same, by the source's geometry, at short and long range."""
    surfaces_z = [surface_z(frame.depth_z, frame.opacity) for frame in orbit.before]
    return {
        name: link_views(surfaces_z, orbit.cameras, gap=gap, tau=tau)
        for name, gap in _WARP_GAPS.items()
    }


def orbit_figures(orbit: Orbit, links: Mapping[str, Sequence[ViewLink]]) -> Measurements:
    """Movement, depth change and warp errors along the orbit.

    Raises:
        ArtifactError: If the source field shows no surface.
    """
    rgb_before, rgb_after = [f.rgb for f in orbit.before], [f.rgb for f in orbit.after]
    is_known = [(frame.opacity > MIN_OPACITY) | (not orbit.is_cut_out) for frame in orbit.before]
    measured: Measurements = {
        "movement_rmse": movements(rgb_before, rgb_after, is_known),
        **depth_figures(orbit),
    }
    distance = feature_distance()
    for name, pairs in links.items():
        for suffix, frames in (("", rgb_after), ("_source", rgb_before)):
            measured[f"warp_{name}{suffix}"] = warp_errors(frames, pairs)
            measured[f"warp_{name}_features{suffix}"] = perceptual_warp_errors(
                frames, pairs, distance
            )
        measured[f"warp_{name}_visible_share"] = visible_share(pairs)
    return measured


def depth_figures(orbit: Orbit) -> Measurements:
    """Change of depth per frame of the orbit, of those that show a surface.

    Raises:
        ArtifactError: If none does.
    """
    pairs = list(zip(orbit.before, orbit.after, strict=True))
    seen = [pair for pair in pairs if (pair[0].opacity > MIN_OPACITY).any()]
    changes = [
        depth_change([before.depth_z], [after.depth_z], [before.opacity > MIN_OPACITY])
        for before, after in seen or pairs
    ]
    return {
        "depth_abs_rel": np.array([change.abs_rel for change in changes]),
        "depth_delta_125": np.array([change.delta_125 for change in changes]),
    }


def view_figures(steps: Sequence[Step], params: Evaluate) -> Measurements:
    """Style, agreement, movement and content of the views, the stylized images and the source."""
    from scenestyle.metrics.structure import luminance_ssim

    links = view_links(steps, tau=params.warp_tau)
    is_known = [step.is_known for step in steps]
    steps = [without_hidden(step) for step in steps]
    before, stylized, after = (
        [getattr(step, name) for step in steps] for name in ("before", "stylized", "after")
    )
    held_out = [step for step in steps if step.view.split == "held_out"]
    likeness = feature_likeness()
    return {
        **style_figures(held_out, params.seed),
        "movement_rmse_stylized": movements(before, stylized, is_known),
        "views_warp": warp_errors(after, links),
        "views_warp_source": warp_errors(before, links),
        "views_warp_stylized": warp_errors(stylized, links),
        "content_ssim": each(luminance_ssim, before, after),
        "content_ssim_stylized": each(luminance_ssim, before, stylized),
        "content_features": each(likeness, before, after),
        "content_features_stylized": each(likeness, before, stylized),
        **photo_figures("heldout_ssim_source", luminance_ssim, held_out),
    }


def photo_figures(name: str, figure: Distance, steps: Sequence[Step]) -> Measurements:
    """A figure of the source's renders and the photos, if there are photos."""
    pairs = [
        (s.before, area_averaged(s.photo, s.before.shape[1::-1]))
        for s in steps
        if s.photo is not None
    ]
    return {name: np.array([figure(*pair) for pair in pairs])} if pairs else {}


def view_links(steps: Sequence[Step], *, tau: float) -> list[ViewLink]:
    """Which neighbouring views of the capture see the same, by the source's geometry."""
    cameras = [step.view.camera for step in steps]
    return link_pairs([step.surface_z for step in steps], cameras, nearest_pairs(cameras), tau=tau)


def style_figures(held_out: Sequence[Step], seed: int) -> Measurements:
    """Held-out SWD of the restyled field, and the same of the source field as its yardstick."""
    stylized = [step.stylized for step in held_out]
    distance = feature_swd(stylized, seed)
    return {
        "heldout_swd": style_distances([step.after for step in held_out], stylized, distance),
        "heldout_swd_source": style_distances(
            [step.before for step in held_out], stylized, distance
        ),
    }


def pretrained_figures(
    orbit: Orbit, steps: Sequence[Step], texts: tuple[str, str] | None, access: str
) -> tuple[Measurements, dict[str, str]]:
    """The figures that need weights which do not come with the installation.

    Args:
        orbit: Whose frames CLIP looks at.
        steps: Whose held-out photos LPIPS compares.
        texts: Captions of the scene and of the edit; None: an instruction made it.
        access: `evaluate.pretrained`.

    Returns:
        The figures, and why others could not be computed.
    """
    clip, missing = "CLIP direction consistency (edit, motion)", {}
    if texts is None:
        missing["CLIP text-image directional similarity"] = (
            "The prompt is an instruction: it does not say what the images show."
        )
    else:
        clip = f"CLIP text-image directional similarity, {clip}"
    came_as_splats = any(step.photo is None for step in steps)
    lpips: dict[str, Callable[[bool], Measurements]] = {
        "LPIPS of the source field": lambda may: lpips_figures(steps, may_download=may)
    }
    parts: dict[str, Callable[[bool], Measurements]] = {
        **({} if came_as_splats else lpips),
        clip: lambda may: clip_figures(orbit, steps, texts, may_download=may),
    }
    if access == "off":
        return {}, missing | dict.fromkeys(parts, "Turned off (evaluate.pretrained: off).")
    measured: Measurements = {}
    for name, compute in parts.items():
        try:
            measured |= compute(access == "download")
        except WeightsError as error:
            logger.warning("not computed: %s. %s", name, error)
            missing[name] = str(error)
    return measured, missing


def lpips_figures(steps: Sequence[Step], *, may_download: bool) -> Measurements:
    """LPIPS of the source field against held-out photos.

    Raises:
        WeightsError: If the weights are not there.
    """
    from scenestyle.metrics.lpips import load_lpips

    lpips = load_lpips(may_download=may_download)
    held_out = [step for step in steps if step.view.split == "held_out"]
    return photo_figures("heldout_lpips_source", lpips, held_out)


def clip_figures(
    orbit: Orbit, steps: Sequence[Step], texts: tuple[str, str] | None, *, may_download: bool
) -> Measurements:
    """CLIP's figures along the orbit, and, if there are texts, how far the edit went their way.

    Raises:
        WeightsError: If the weights are not there.
    """
    from scenestyle.clip import clip_weights, open_clip
    from scenestyle.metrics.clip import (
        direction_consistency_edit,
        direction_consistency_motion,
        text_image_directional_similarity,
    )

    clip = open_clip(clip_weights(may_download=may_download))
    before, after, source, stylized = (
        clip.embed_pictures(pictures)
        for pictures in (
            [frame.rgb for frame in orbit.before],
            [frame.rgb for frame in orbit.after],
            [step.before for step in steps],
            [step.stylized for step in steps],
        )
    )
    found: Measurements = {
        "clip_direction_consistency_edit": direction_consistency_edit(before, after),
        "clip_direction_consistency_motion": direction_consistency_motion(before, after),
    }
    if texts is None:
        return found
    captions = clip.embed_texts(texts)
    return {
        "clip_directional_similarity": text_image_directional_similarity(before, after, *captions),
        "clip_directional_similarity_stylized": text_image_directional_similarity(
            source, stylized, *captions
        ),
        **found,
    }


def summary(
    measured: Measurements, seed: int
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """The figures, and of those that are means the interval in which they lie over other views."""
    figures, intervals = {}, {}
    for name, value in measured.items():
        if isinstance(value, np.ndarray):
            estimate = bootstrap_mean(value, seed=seed)
            figures[name], intervals[name] = estimate.mean, (estimate.low, estimate.high)
        else:
            figures[name] = value
    return figures, intervals


def source_psnr(nerf: Path, steps: Sequence[Step]) -> Measurements:
    """PSNR of the source field at every held-out view, as train_nerf noted it, if it trained."""
    by_view = read_json(nerf / "metrics.json").get("psnr_by_view")
    if by_view is None:
        return {}
    held_out = [step.view.name for step in steps if step.view.split == "held_out"]
    return {"heldout_psnr_source": np.array([by_view[name] for name in held_out])}


def movements(
    pictures: Sequence[Picture], others: Sequence[Picture], is_known: Sequence[Mask]
) -> Float[np.ndarray, " views"]:
    """RMSE of every two pictures that belong together, where there is something to judge."""
    triples = zip(pictures, others, is_known, strict=True)
    return np.array([rmse([x], [y], [where]) for x, y, where in triples])


def without_hidden(step: Step) -> Step:
    """The step with the source render wherever the photo is hidden, so that no image differs there.

    The photo is then of the size of the render.
    """
    if step.is_used.all():
        return step
    used = step.is_used[..., None]
    stylized, after = (np.where(used, rgb, step.before) for rgb in (step.stylized, step.after))
    photo = step.photo
    if photo is not None:
        photo = np.where(used, area_averaged(photo, step.before.shape[1::-1]), step.before)
    rendering = replace(step.rendering, rgb=after)
    return replace(step, photo=photo, stylized=stylized, rendering=rendering)


def model_fit(stylized: Path) -> Measurements:
    """How much of the views the model can draw, if stylize_views noted it."""
    share = read_json(stylized / "manifest.json").get("redrawn_edges")
    return {} if share is None else {"redrawn_edges": float(share)}


def by_instruction(stylized: Path) -> bool:
    """Whether the model was told what to change, and not what the images show."""
    settings = read_json(stylized / "manifest.json")["settings"]
    return settings.get("image_guidance_scale") is not None


def each(
    figure: Distance, pictures: Iterable[Picture], others: Iterable[Picture]
) -> Float[np.ndarray, " views"]:
    """A figure of every two pictures that belong together."""
    return np.array([figure(x, y) for x, y in zip(pictures, others, strict=True)])


def as_batch(pictures: Sequence[Picture]) -> "Tensor":
    """Pictures of one size as the features want them: channels first."""
    import torch

    return torch.from_numpy(np.stack(pictures).astype(np.float32)).movedim(-1, 1)


def packaged_features() -> "FeatureExtractor":
    """The features of the installation, whatever the finetuning used: metrics compare."""
    from scenestyle.features import load_features

    return load_features("efficientnet_lite0")


def feature_distance() -> DistanceMap:
    """LPIPS-class distance of two pictures at every pixel; they are looked at at 256 pixels."""
    import torch

    from scenestyle.metrics.perceptual import perceptual_map

    features = packaged_features()

    @torch.no_grad()
    def distance(picture: Picture, other: Picture) -> Map:
        height, width = picture.shape[:2]
        small = fit_within(width, height, _PERCEPTUAL_SIDE)
        maps = [features(as_batch([area_averaged(rgb, small)])) for rgb in (picture, other)]
        return perceptual_map(*maps, size=(height, width))[0].numpy()

    return distance


def feature_likeness() -> Distance:
    """Mean cosine of the deep features of two pictures."""
    import torch

    from scenestyle.metrics.perceptual import feature_similarity

    features = packaged_features()

    @torch.no_grad()
    def likeness(picture: Picture, other: Picture) -> float:
        deep = slice(-features.num_content_taps, None)
        height, width = picture.shape[:2]
        small = fit_within(width, height, _PERCEPTUAL_SIDE)
        maps = [features(as_batch([area_averaged(rgb, small)]))[deep] for rgb in (picture, other)]
        return float(feature_similarity(*maps))

    return likeness


def feature_swd(targets: Sequence[Picture], seed: int) -> Distance:
    """SWD between the features of two pictures, along the same directions at every call.

    Each tap is divided by its deviation over `targets`.
    """
    import torch

    from scenestyle.losses import directions_for, style_loss

    features = packaged_features().balanced([as_batch([target])[0] for target in targets])

    @torch.no_grad()
    def distance(render: Picture, target: Picture) -> float:
        render_maps, target_maps = features(as_batch([render])), features(as_batch([target]))
        directions = directions_for(target_maps, torch.Generator().manual_seed(seed))
        return float(style_loss(render_maps, target_maps, directions))

    return distance
