"""The one way to restyle rendered views: for stage, preview, control and benchmarks."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scenestyle.device import select_device
from scenestyle.diffusion.families import family_of
from scenestyle.diffusion.inputs import RenderedViews, evenly_spaced
from scenestyle.diffusion.instructions import caption_warnings
from scenestyle.diffusion.known_styles import ANY_CAPTION, as_taught, style_warnings
from scenestyle.diffusion.models import DiffusionModel, load_pipeline
from scenestyle.diffusion.monocular import with_chosen_depth
from scenestyle.diffusion.plan import Plan, describe, plan_views
from scenestyle.diffusion.style_image import with_image_adapter
from scenestyle.diffusion.stylize import (
    Picture,
    Settings,
    expected_seconds,
    fusion_of,
    noise_of,
    resolve_settings,
    stylize,
    working_size,
)
from scenestyle.errors import ParamsError
from scenestyle.params import Style, StylizeViews

_REDRAWN_VIEWS = 3
_TOO_LITTLE_REDRAWN = 0.6
"""share of the edges; the report's bound, too"""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Restyler:
    """Views of a scene, the model that will restyle them, and how they pass through it."""

    views: RenderedViews
    """with the depth that the parameters ask for"""
    model: DiffusionModel
    params: StylizeViews
    sizes: Sequence[tuple[int, int]]
    """width and height at which the model sees each view"""
    plan: Plan
    """which views pass through the model together"""

    @classmethod
    def load(
        cls, views: RenderedViews, params: StylizeViews, styles: Iterable[Style | Settings]
    ) -> "Restyler":
        """Load what restyling takes, and plan it for the memory that is there.

        Args:
            views: As they were rendered.
            params: Of the stage `stylize_views`.
            styles: All that the views will be restyled in: whether one takes its look from a
                picture decides what is loaded, whether one is guided how much memory is planned.

        Raises:
            WeightsError: If the weights of the model or of what it needs are missing or damaged.
            ParamsError: If memory does not hold the smallest group of views, or the model lacks a
                control that the parameters ask for, or cannot do what they ask for.
        """
        styles = list(styles)
        views = with_chosen_depth(views, params, select_device())
        model = load_pipeline(
            params.model,
            select_device(),
            params.dtype,
            params.controls,
            params.loras,
            params.scheduler,
            params.model_sha256,
        )
        longest = max(max(camera.width, camera.height) for camera in views.cameras)
        model = replace(model, preset=model.preset.suited(longest))
        family = family_of(model.pipeline)
        if faults := family.faults(params):
            raise ParamsError("\n".join(faults))
        if any(style.image for style in styles):
            model = with_image_adapter(model, params.image_adapter)
        side = model.preset.image_side if params.image_side is None else params.image_side
        factor = family.multiple_of(model.pipeline)
        sizes = [
            working_size(camera.width, camera.height, side, multiple_of=factor)
            for camera in views.cameras
        ]
        scales = [style.guidance_scale for style in styles]
        if None in scales or not scales:
            scales.append(model.preset.guidance_scale)
        guided = any(scale is not None and scale > 1 for scale in scales)
        plan = plan_views(model, views.cameras, sizes, params, guided=guided)
        return cls(views, model, params, sizes, plan)

    def settings(self, caption: str, style: Style) -> Settings:
        """What a style, the parameters and the model's preset say; each outranks those after it.

        A model that knows few styles reads neither the caption nor words that it was not taught;
        what else of a style means nothing to the model is left out.

        Raises:
            ParamsError: If strength leaves no step to run.
        """
        if self.model.known_styles:
            style, strange = as_taught(style, self.model.pipeline.tokenizer)
            if strange:
                listed = ", ".join(strange)
                logger.info("the model was not taught, and does not read: %s", listed)
        style = family_of(self.model.pipeline).read(style)
        return resolve_settings(caption, style, self.params, self.model.preset)

    def warnings(self, styles: Iterable[Style]) -> list[str]:
        """What users should know of what the model makes of the styles; each is logged, too."""
        family, known = family_of(self.model.pipeline), self.model.known_styles
        found = dict.fromkeys(
            text
            for style in styles
            for text in (
                *style_warnings(style.prompt, known),
                *(() if known else caption_warnings(style.prompt, edits=family.edits)),
                *family.unread_warnings(style),
            )
        )
        for text in found:
            logger.warning(text)
        return list(found)

    def edges_redrawn(self, settings: Settings) -> float | None:
        """How much of some views' edges is left when the model redraws them as photographs.

        1 for all. Where it is little, no style will show the scene either: it lies outside of what
        the model can draw. None for a model that knows any style, and so any scene.
        """
        from scenestyle.metrics.structure import edge_correlation

        if "photo" not in self.model.known_styles:
            return None
        shown = self.views.pick(evenly_spaced(len(self.views.names), _REDRAWN_VIEWS))
        after = stylize(
            self.model,
            shown.rgb,
            shown.disparity,
            alone(replace(settings, prompt=f"a photo of {ANY_CAPTION}")),
            replace(Plan.joint(len(shown.names)), sharing="none", offload=self.plan.offload),
        )
        kept = [edge_correlation(*pair) for pair in zip(shown.rgb, after, strict=True)]
        share = sum(kept) / len(kept)
        if share < _TOO_LITTLE_REDRAWN:
            logger.warning(
                "The model is at a loss with this scene: redrawn as photographs, views keep %.2f "
                "of their edges. Expect styles that show little of it; larger models "
                "(stylize_views.model: sdxl) know more scenes.",
                share,
            )
        return share

    def outlook(self, settings: Settings) -> str:
        """The plan and about how long it will take, in a sentence; one view is timed for it."""
        seconds = expected_seconds(
            self.model, self.views.rgb, self.views.disparity, settings, self.plan.offload
        )
        plan = describe(self.plan, self.views.names, self.sizes)
        return f"{plan}, about {seconds / 60:.1f} minutes"

    def restyle(self, settings: Settings, *, work: Path | None = None) -> list[Picture]:
        """The restyled views, 0..1, in the order and sizes of `views`; cut-outs stand on black.

        Args:
            settings: From `settings`, or recorded by an earlier run.
            work: Folder from which an interrupted call with the same views, settings and plan
                resumes.

        Raises:
            ParamsError: If the GPU's memory does not hold the largest group of the plan.
        """
        restyled = stylize(
            self.model,
            self.views.rgb,
            self.views.disparity,
            settings,
            self.plan,
            fusion=fusion_of(self.views, settings),
            noise=noise_of(self.views, settings, self.model),
            work=work,
        )
        if self.views.cover is None:
            return restyled
        pairs = zip(restyled, self.views.cover, strict=True)
        return [picture * cover[..., None] for picture, cover in pairs]


def alone(settings: Settings) -> Settings:
    """The settings for views that know nothing of each other: attention is not shared either."""
    return replace(settings, fusion_steps=0, carry_noise=False)
