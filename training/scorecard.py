"""How well the embedded model does on held-out scenes, in figures.

    python -m training.scorecard --weights scenestyle/embedded/weights --out scorecard.md
    python -m training.scorecard --weights WEIGHTS --photographs .work/embedded --out real.md

The second is on views of captures that no training has seen, gathered by `training.photos.collect`,
whole and 480 pixels long.

Recognition: a classifier that has only seen what the style filters draw of other scenes (a linear
layer on means and deviations of pretrained feature maps) names the style of the model's pictures.
Beside it, two bounds: how it does on the filters' own pictures of the held-out scenes, and on these
once encoded and decoded, about the best that a denoiser can reach with this autoencoder. Edges:
correlation of the gradient's strength with that of the filter's picture, and the same bound.
Content: how much of the photograph is kept, as the correlation of the edges with the photograph's
own and as the likeness of deep features at the same place, each beside what the filter's picture
keeps. Identity: what the prompt for a photograph changes.
A style's picture is wanted in the look that the noise asks for (`training.looks`); how much of it
the model's has is the last column: 1 all, 0 as much as of the other look, -1 all of the wrong one.
"""

import argparse
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenestyle.features import FeatureExtractor, load_features
from scenestyle.metrics.structure import edge_correlation
from training.contact_sheet import (
    PROMPTS,
    Drawn,
    Picture,
    colour_difference,
    in_looks,
    load_model,
    restyle,
)
from training.data import scaled_disparity, scene_views, spoilt
from training.looks import LOOKS_FILE
from training.photos.collect import Photograph, read_photographs
from training.photos.sheet import whole
from training.procedural.scenes import random_scene
from training.procedural.styles import stylize

if TYPE_CHECKING:
    from scenestyle.diffusion.models import DiffusionModel

log = logging.getLogger(__name__)

PHOTO = "photo"
PHOTO_PROMPT = "a photo of some objects"
CLASSES = (*PROMPTS, PHOTO)
_TRAINING_SCENES, _HELD_OUT_SCENES = 11, 7
"""first part of a scene's seed; the training data's scenes have seeds of another length"""

Classifier = Callable[[Sequence[Picture]], list[str]]
Draw = Callable[[Picture, Float[np.ndarray, "height width"], Sequence[str]], Sequence[Drawn]]
"""photograph, its disparity 0..1 and prompts -> one picture per prompt"""
Code = Callable[[Sequence[Picture]], Sequence[Picture]]
"""pictures -> the same, encoded and decoded"""


@dataclass(frozen=True)
class Example:
    """A made-up scene as its photograph and as the style filters draw it."""

    photo: Picture
    disparity: Float[np.ndarray, "height width"]
    styled: dict[str, Picture]
    """by style, in the order of `PROMPTS`; as the filters draw it, in no look"""

    def wanted(self, style: str, look: int | None) -> Picture:
        """In a look, or as the filter draws it."""
        drawn = self.styled[style]
        return drawn if look is None else in_looks(drawn, style)[look]


@dataclass(frozen=True)
class Score:
    """Figures of one style over the held-out scenes."""

    recognised: float
    """share of the model's pictures whose style the classifier names"""
    coded_recognised: float
    """the same of the filter's pictures, encoded and decoded by the model's autoencoder"""
    filter_recognised: float
    """the same of the filter's pictures"""
    edges: float
    """mean correlation with the filter's edges, at most 1"""
    coded_edges: float
    """the same of the filter's pictures, encoded and decoded"""
    colour: float
    """mean absolute colour difference from the filter at 32 x 32 pixels, 0..1"""
    content_edges: float
    """mean correlation with the photograph's edges, at most 1"""
    filter_content_edges: float
    """the same of the filter's pictures"""
    content_features: float
    """mean cosine between deep features and the photograph's at the same place, at most 1"""
    filter_content_features: float
    """the same of the filter's pictures"""
    look: float
    """mean share of the look that the noise asked for, -1..1; NaN for weights that know no looks"""


def example(kind: int, index: int) -> Example:
    """Scene `index` of a kind, the same at every call."""
    rng = np.random.default_rng((kind, index))
    named = random_scene(rng)
    views = scene_views(named, rng)
    styled = {style: stylize(views[0], style, named.style_seed) for style in PROMPTS}
    return Example(views[0].rgb, scaled_disparity(views)[0], styled)


def example_of_photograph(photograph: Photograph, long_side: int) -> Example:
    """A photograph, whole, at a size whose sides are multiples of 8."""
    buffers = whole(photograph, long_side)
    styled = {style: stylize(buffers, style, seed=0) for style in PROMPTS}
    return Example(buffers.rgb, scaled_disparity([buffers])[0], styled)


def train_classifier(examples: Sequence[Example]) -> Classifier:
    """Multinomial logistic regression on clean and on soft, noisy copies, fitted to convergence.

    A third of the examples each is as the filters draw it, in the first and in the second look.
    """
    rng = np.random.default_rng(0)
    clean = [
        picture
        for index, each in enumerate(examples)
        for picture in (
            *(each.wanted(style, (None, 0, 1)[index % 3]) for style in PROMPTS),
            each.photo,
        )
    ]
    # Sharpness would otherwise tell the filters' styles apart, and the model's pictures are softer.
    pictures = [*clean, *(spoilt(picture, rng) for picture in clean)]
    wanted = torch.arange(len(CLASSES)).repeat(2 * len(examples))
    features = load_features("efficientnet_lite0")
    known = _describe(pictures, features)
    mean, spread = known.mean(0), known.std(0) + 1e-3
    layer = nn.Linear(known.shape[1], len(CLASSES))
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(layer((known - mean) / spread), wanted)
        value = value + 1e-3 * layer.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)

    @torch.no_grad()
    def classify(pictures: Sequence[Picture]) -> list[str]:
        scores = layer((_describe(pictures, features) - mean) / spread)
        return [CLASSES[index] for index in scores.argmax(1).tolist()]

    return classify


@torch.no_grad()
def _describe(
    pictures: Sequence[Picture], features: FeatureExtractor
) -> Float[Tensor, "pictures numbers"]:
    rows = []
    for picture in pictures:
        maps = features(torch.from_numpy(picture.astype(np.float32)).movedim(-1, 0)[None])
        rows.append(torch.cat([part for m in maps for part in (m.mean((2, 3)), m.std((2, 3)))], 1))
    return torch.cat(rows)


def score(
    examples: Sequence[Example], classify: Classifier, draw: Draw, code: Code
) -> tuple[dict[str, Score], float]:
    """Scores by style, and the mean absolute change that the photograph's prompt makes."""
    prompts = [*PROMPTS.values(), PHOTO_PROMPT]
    answers = [draw(each.photo, each.disparity, prompts) for each in examples]
    drawn = [[each.picture for each in row] for row in answers]
    wanted = [
        [each.wanted(style, a.look) for style, a in zip(PROMPTS, row, strict=False)]
        for each, row in zip(examples, answers, strict=True)
    ]
    coded = [list(code(pictures)) for pictures in wanted]
    named, named_coded, named_filter = (
        [classify(pictures) for pictures in kind] for kind in (drawn, coded, wanted)
    )
    photos = [each.photo for each in examples]
    likeness = DeepLikeness()
    scores = {}
    for column, style in enumerate(PROMPTS):

        def mean(figure: Figure, first: Rows, second: Rows, column: int = column) -> float:
            pairs = zip(first, second, strict=True)
            return float(np.mean([figure(_at(a, column), _at(b, column)) for a, b in pairs]))

        scores[style] = Score(
            recognised=float(np.mean([row[column] == style for row in named])),
            coded_recognised=float(np.mean([row[column] == style for row in named_coded])),
            filter_recognised=float(np.mean([row[column] == style for row in named_filter])),
            edges=mean(edge_correlation, drawn, wanted),
            coded_edges=mean(edge_correlation, coded, wanted),
            colour=mean(colour_difference, drawn, wanted),
            content_edges=mean(edge_correlation, drawn, photos),
            filter_content_edges=mean(edge_correlation, wanted, photos),
            content_features=mean(likeness, drawn, photos),
            filter_content_features=mean(likeness, wanted, photos),
            look=float(
                np.mean(
                    [
                        share_of_look(row[column], in_looks(each.styled[style], style))
                        for each, row in zip(examples, answers, strict=True)
                    ]
                )
            ),
        )
    changes = [
        np.abs(row[-1] - each.photo).mean() for row, each in zip(drawn, examples, strict=True)
    ]
    return scores, float(np.mean(changes))


def share_of_look(drawn: Drawn, both: tuple[Picture, Picture]) -> float:
    """Where a picture lies between both looks: 1 at the one asked for, -1 at the other."""
    if drawn.look is None:
        return float("nan")
    right, wrong = both[drawn.look], both[1 - drawn.look]
    half = (right - wrong) / 2
    return float(((drawn.picture - (right + wrong) / 2) * half).sum() / np.square(half).sum())


Rows = Sequence[Sequence[Picture] | Picture]
"""per example its pictures in the order of the styles, or its one photograph"""
Figure = Callable[[Picture, Picture], float]


def _at(row: Sequence[Picture] | Picture, column: int) -> Picture:
    return row if isinstance(row, np.ndarray) else row[column]


class DeepLikeness:
    """Mean cosine of a pretrained network's deepest features at the same place of two images."""

    def __init__(self) -> None:
        self._features = load_features("efficientnet_lite0")

    @torch.no_grad()
    def __call__(self, first: Picture, second: Picture) -> float:
        """At most 1."""
        maps = [
            self._features(torch.from_numpy(picture.astype(np.float32)).movedim(-1, 0)[None])[-1]
            for picture in (first, second)
        ]
        return nn.functional.cosine_similarity(*maps).mean().item()


def report(scores: dict[str, Score], identity: float, num_scenes: int) -> str:
    """The scores as Markdown."""
    rows = [*scores.items(), ("**all**", _mean(list(scores.values())))]
    knows_looks = not any(np.isnan(each.look) for _, each in rows)
    lines = [
        f"{num_scenes} held-out scenes. The photograph's prompt changes a picture by "
        f"{identity:.3f} on average.",
        "",
        "| style | recognised | the filter's, coded | the filter's | edges | the filter's, coded "
        "| colour | content, edges | the filter's | content, features | the filter's |"
        + " look |"
        * knows_looks,
        "|---" * (11 + knows_looks) + "|",
        *(
            f"| {style} | {each.recognised:.0%} | {each.coded_recognised:.0%} | "
            f"{each.filter_recognised:.0%} | {each.edges:.2f} | {each.coded_edges:.2f} | "
            f"{each.colour:.3f} | {each.content_edges:.2f} | {each.filter_content_edges:.2f} | "
            f"{each.content_features:.2f} | {each.filter_content_features:.2f} |"
            + f" {each.look:.2f} |"
            * knows_looks
            for style, each in rows
        ),
    ]
    return "\n".join(lines) + "\n"


def _mean(scores: Sequence[Score]) -> Score:
    names = [field.name for field in fields(Score)]
    return Score(**{name: float(np.mean([getattr(s, name) for s in scores])) for name in names})


def model_draw(
    model: "DiffusionModel", *, strength: float, guidance_scale: float, has_looks: bool = False
) -> Draw:
    """The exported pipeline at the settings it is best at."""

    def draw(
        photo: Picture, disparity: Float[np.ndarray, "height width"], prompts: Sequence[str]
    ) -> Sequence[Drawn]:
        return restyle(
            model, photo, disparity, prompts,
            strength=strength, guidance_scale=guidance_scale, has_looks=has_looks,
        )  # fmt: skip

    return draw


def model_code(autoencoder: Any) -> Code:
    """An autoencoder's encoder and decoder in a row."""

    @torch.no_grad()
    def code(pictures: Sequence[Picture]) -> Sequence[Picture]:
        signed = torch.from_numpy(np.stack(pictures).astype(np.float32)).movedim(-1, 1) * 2 - 1
        decoded = autoencoder.decode(autoencoder.encode(signed).latent_dist.mode()).sample
        return list((decoded / 2 + 0.5).clamp(0, 1).movedim(1, -1).numpy())

    return code


def scorecard(
    weights: Path,
    *,
    num_scenes: int = 20,
    num_training_scenes: int = 60,
    strength: float = 0.5,
    guidance_scale: float = 2.0,
) -> str:
    """The scores of an exported folder of weights as Markdown.

    Args:
        weights: A diffusers folder.
        num_scenes: Held-out scenes.
        num_training_scenes: Scenes whose filters' pictures the classifier sees.
        strength: Share of the noise schedule that is re-run, 0 < s <= 1.
        guidance_scale: Classifier-free guidance; 1 is off.
    """
    known = [example(_TRAINING_SCENES, index) for index in range(num_training_scenes)]
    held_out = [example(_HELD_OUT_SCENES, index) for index in range(num_scenes)]
    return _scored(weights, known, held_out, strength, guidance_scale)


def scorecard_of_photographs(
    weights: Path,
    work: Path,
    *,
    num_views: int = 3,
    num_training_photographs: int = 24,
    long_side: int = 480,
    strength: float = 0.5,
    guidance_scale: float = 2.0,
) -> str:
    """The scores on captures that no training has seen, as Markdown.

    Args:
        weights: A diffusers folder.
        work: Where `training.photos.collect` has gathered photographs.
        num_views: Of every capture held out: renders of its field, evenly spaced, as the pipeline
            is given them.
        num_training_photographs: Photographs whose filters' pictures the classifier sees.
        long_side: Pixels of a picture's longer side.
        strength: Share of the noise schedule that is re-run, 0 < s <= 1.
        guidance_scale: Classifier-free guidance; 1 is off.
    """
    known = read_photographs(work, held_out=False)
    known = _spread(known, num_training_photographs)
    chosen = _renders(read_photographs(work, held_out=True), num_views)
    text = _scored(
        weights,
        [example_of_photograph(each, long_side) for each in known],
        [example_of_photograph(each, long_side) for each in chosen],
        strength,
        guidance_scale,
    )
    return f"Views {', '.join(each.name for each in chosen)}. {text}"


def _renders(photographs: Sequence[Photograph], num_views: int) -> list[Photograph]:
    """Some renders of every capture."""
    captures: dict[str, list[Photograph]] = {}
    for each in photographs:
        capture, _, rest = each.name.partition("-")
        if rest.startswith("render"):
            captures.setdefault(capture, []).append(each)
    return [view for views in captures.values() for view in _spread(views, num_views)]


def _spread(photographs: Sequence[Photograph], count: int) -> list[Photograph]:
    """At most `count` of them, first and last among them: those of every scorecard so far."""
    last, count = len(photographs) - 1, min(count, len(photographs))
    return [photographs[i] for i in np.linspace(0, last, count).round().astype(int)]


def _scored(
    weights: Path,
    known: Sequence[Example],
    held_out: Sequence[Example],
    strength: float,
    guidance_scale: float,
) -> str:
    model = load_model(weights)
    has_looks = (weights / LOOKS_FILE).is_file()
    draw = model_draw(model, strength=strength, guidance_scale=guidance_scale, has_looks=has_looks)
    scored = score(held_out, train_classifier(known), draw, model_code(model.pipeline.vae))
    return report(*scored, len(held_out))


def main() -> None:
    """Command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="Markdown file")
    parser.add_argument("--photographs", type=Path, help="work folder: score captures held out")
    parser.add_argument("--views", type=int, default=3, help="of each capture")
    parser.add_argument("--scenes", type=int, default=20, help="held out")
    parser.add_argument("--training-scenes", type=int, default=60, help="for the classifier")
    parser.add_argument("--strength", type=float, default=0.5)
    parser.add_argument("--guidance", type=float, default=2.0)
    arguments = parser.parse_args()
    options = {"strength": arguments.strength, "guidance_scale": arguments.guidance}
    if arguments.photographs:
        text = scorecard_of_photographs(
            arguments.weights, arguments.photographs, num_views=arguments.views, **options
        )
    else:
        text = scorecard(
            arguments.weights,
            num_scenes=arguments.scenes,
            num_training_scenes=arguments.training_scenes,
            **options,
        )
    log.info(text)
    arguments.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
