"""`params.yaml` as frozen dataclasses, a block per stage; all faults are listed at once.

Inside the project the values are trusted; nothing after `load_params` looks for typing errors.
"""

import difflib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass

from scenestyle import yaml_text
from scenestyle.errors import ParamsError

T = TypeVar("T")

_STRICT = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

Positive = Annotated[int, Field(gt=0, strict=True)]
Share = Annotated[float, Field(ge=0, le=1, strict=True)]
NonNegative = Annotated[float, Field(ge=0, strict=True)]
Seed = Annotated[int, Field(ge=0, lt=2**31, strict=True)]
Sharing = Literal["auto", "full", "references", "none"]
Dtype = Literal["auto", "float32", "float16", "bfloat16"]
Offload = Literal["auto", "none", "model"]
ControlKind = Literal["depth", "tile", "lineart", "canny"]
Scheduler = Literal["euler", "euler-trailing", "dpm++", "ddim", "ddim-trailing", "lcm"]
Point = tuple[float, float, float]
Box = tuple[Point, Point]
"""two opposite corners of an axis-aligned box"""

_SHOWN_CHARACTERS = 60
"""of a value that is not allowed"""

ID_PATTERN = re.compile(r"[A-Za-z0-9_]{1,64}")
"""Names of scenes and styles: they become paths and stage names, joined by one hyphen."""

Overrides = dict[str, Any]
"""Parameters of a stage that differ for one scene or edit from the stage's block; mostly empty.

It must be written even where it is empty, since DVC can only track a key that is there.
"""


@dataclass(config=_STRICT)
class Scene:
    """One captured scene; its photos or posed dataset lie in `data/scenes/ID/`."""

    caption: Annotated[str, Field(min_length=1)]
    """what the photos show, a noun phrase; fills `{caption}` in a style's prompt"""
    estimate_poses: Overrides
    """parameters of `estimate_poses` that differ for this scene"""
    train_nerf: Overrides
    """parameters of `train_nerf` that differ for this scene"""
    render_views: Overrides
    """parameters of `render_views` that differ for this scene"""


@dataclass(config=_STRICT)
class Style:
    """One sentence, and the strength with which views are pulled towards it."""

    prompt: Annotated[str, Field(min_length=1)]
    """the sentence; `{caption}` becomes the scene's caption. For a model that edits by instruction,
    what is to change (`make it snow`); it needs no caption"""
    negative_prompt: str = ""
    """what the image should not show"""
    strength: Annotated[float, Field(gt=0, le=1, strict=True)] | None = None
    """fraction of the noise schedule that is re-run, 0 < s <= 1; null: the model preset's value. A
    model that edits by instruction runs all of it, and ignores this"""
    guidance_scale: Annotated[float, Field(ge=1, le=50, strict=True)] | None = None
    """classifier-free guidance, 1 (off) to 50; null: the model preset's value"""
    image_guidance_scale: Annotated[float, Field(ge=1, le=50, strict=True)] | None = None
    """for models that edit by instruction, which ignore `strength`: how closely an image keeps to
    the view, 1 (least) to 50, usually 1.2 to 2; null: the model preset's value. Ignored by other
    models, and where guidance_scale is 1"""
    seed: Seed = 0
    """seed of the initial noise"""
    image: Annotated[str, Field(min_length=1)] | None = None
    """an image whose look to take beside the sentence, a file of the project such as
    `data/styles/ID.png`; null: the sentence alone. It requires a model with an image adapter:
    SDXL and Stable Diffusion 1.5 have one, `embedded` has none"""
    image_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """SHA-256 of the image file, so that another image is another style;
    `scenestyle add-style --image` writes it"""
    image_scale: Annotated[float, Field(ge=0, le=2, strict=True)] = 0.6
    """weight of the image beside the sentence, 0 (none) to 2"""


@dataclass(config=_STRICT)
class Edit:
    """One scene in one style; its key in `edits` is `SCENE-STYLE`."""

    scene: str
    """id in `scenes`"""
    style: str
    """id in `styles`"""
    stylize_views: Overrides
    """parameters of `stylize_views` that differ for this edit"""
    finetune_nerf: Overrides
    """parameters of `finetune_nerf` that differ for this edit"""
    evaluate: Overrides
    """parameters of `evaluate` that differ for this edit"""


SCENE_STAGES = tuple(field.name for field in fields(Scene) if field.type is Overrides)
"""stages that run once per scene"""
EDIT_STAGES = tuple(field.name for field in fields(Edit) if field.type is Overrides)
"""stages that run once per scene and style"""


@dataclass(config=_STRICT)
class EstimatePoses:
    """Structure from motion (COLMAP)."""

    min_registered_share: Share = 0.7
    """smallest fraction of photos that must get a pose, 0 to 1; below it the stage fails. Photos
    count that hang together with the others by 30 points of the scene that two see in common"""
    max_image_side: Positive = 1600
    """long side of the photos, pixels; larger ones are reduced before matching. Where the lens
    distorts, the image without distortion may be some pixels longer"""
    max_num_features: Positive = 8192
    """most SIFT keypoints per photo; time and memory of matching grow with the square"""
    seed: Seed = 0
    """seed of the robust estimators and of global mapping"""


@dataclass(config=_STRICT)
class TrainNerf:
    """Source radiance field: nerfacto, or Gaussian splats."""

    field: Literal["splats", "nerfacto"] = "splats"
    """kind of field: `splats`, Gaussians that are drawn as a whole view within milliseconds;
    `nerfacto`, the paper's, a neural field that is rendered along rays. What is said of one kind
    below is ignored by the other"""
    iterations: Positive = 1500
    """optimisation steps"""
    max_image_side: Positive | None = None
    """long side of the training images, pixels; null: 480 for splats, 240 for nerfacto"""
    holdout_every: Annotated[int, Field(ge=2, strict=True)] = 8
    """every n-th view is held out of training and measures PSNR"""
    num_gaussians: Positive | None = None
    """splats: most Gaussians; null: 17500 at max_image_side 240, and with its 1.2th power, which is
    40000 at 480"""
    sh_degree: Annotated[int, Field(ge=0, le=3, strict=True)] = 0
    """splats: degree of the harmonics by which a colour changes with the direction, 0 (not at all)
    to 3"""
    start_pixels: Annotated[int, Field(ge=0, strict=True)] = 3000
    """splats: Gaussians at the start besides the points of the poses: pixels of training views, at
    the depth of the points around them"""
    coarse_image_side: Positive = 240
    """splats: long side of the images in the first steps, pixels"""
    coarse_share: Share = 0.4
    """splats: fraction of the steps, from the first, that see images of coarse_image_side"""
    rays_per_batch: Positive = 1024
    """nerfacto: rays per step"""
    num_levels: Positive = 8
    """nerfacto, as all that follows but background and seed: resolutions of the hash encoding; GPU
    (paper) value 16"""
    max_resolution: Positive = 1024
    """finest resolution of the hash encoding, cells per axis; GPU 2048"""
    log2_hashmap_size: Annotated[int, Field(ge=8, le=24, strict=True)] = 16
    """log2 of the table entries per resolution; GPU 19"""
    proposal_log2_hashmap_size: Annotated[int, Field(ge=8, le=24, strict=True)] = 15
    """log2 of the table entries per resolution of the proposal networks; GPU 17"""
    hidden_dim: Positive = 32
    """width of the perceptrons; GPU 64"""
    num_proposal_samples: Annotated[tuple[Positive, ...], Field(min_length=1)] = (64,)
    """samples per ray of each proposal network; GPU [256, 96]"""
    num_samples: Positive = 24
    """samples per ray of the field; GPU 48"""
    appearance_dim: Annotated[int, Field(ge=0, strict=True)] = 0
    """numbers that absorb a photo's exposure; GPU 32, 0: none"""
    background: Literal["random", "last_sample", "black", "white"] = "random"
    """what lies behind a ray that meets nothing; `random` teaches that every ray meets something;
    `last_sample` is nerfacto's alone"""
    proposal_warmup: Positive = 5000
    """steps until the proposal networks learn only every fifth step"""
    anneal_iterations: Positive = 100
    """steps over which sampling turns from spread to concentrated; GPU 1000"""
    learning_rate: Annotated[float, Field(gt=0, strict=True)] = 0.01
    """learning rate of Adam at the first step"""
    final_learning_rate: Annotated[float, Field(gt=0, strict=True)] = 0.001
    """learning rate of Adam at the last step"""
    seed: Seed = 0
    """seed of initialisation and of the choice of rays or views"""


@dataclass(config=_STRICT)
class RenderViews:
    """Renders of the source field from every posed camera."""

    max_image_side: Positive | None = None
    """long side of the rendered views, pixels, rounded down to a multiple of 8; at most that of the
    training images, which null stands for. The diffusion model is shown them at its own size"""


PICKLES = (".ckpt", ".pt", ".pth", ".bin")
"""Endings of files of weights that can run code when they are opened; none is."""


@dataclass(config=_STRICT)
class Lora:
    """A small file that shifts the weights of the diffusion model."""

    file: Annotated[str, Field(min_length=1)]
    """local .safetensors file, made for the model that is used"""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """its checksum (`sha256sum FILE`), so that another file is another result"""
    scale: Annotated[float, Field(ge=-4, le=4, strict=True)] = 1.0
    """factor on the shift; 0: none"""


@dataclass(config=_STRICT)
class Control:
    """What the model is shown of each view beside its noisy self, through a ControlNet."""

    kind: ControlKind
    """`depth`; the image itself (`tile`), which the noise hides; or what is drawn from the image:
    its dark lines (`lineart`) or its edges (`canny`)"""
    weights: Annotated[str, Field(min_length=1)] | None = None
    """a ControlNet of the model's class, or for SDXL a ControlNet Union: a local diffusers folder
    or `organisation/name@COMMIT`; null: the model's own"""
    scale: Annotated[float, Field(ge=0, le=2, strict=True)] = 1.0
    """how strongly it holds the scene, a factor on `controlnet_conditioning_scale`; 0: as if it
    were not listed"""
    start: Share = 0.0
    """fraction of the steps that are run after which it begins to count"""
    end: Share = 1.0
    """fraction of the steps that are run after which it counts no more"""


def _control_of_kind(value: object) -> object:
    """A kind alone stands for a control with the model's own weights."""
    return {"kind": value} if isinstance(value, str) else value


def _not_empty(controls: tuple[Control, ...]) -> tuple[Control, ...]:
    if not controls:
        raise ValueError("must not be empty; null takes all that the model has")
    return controls


@dataclass(config=_STRICT)
class StylizeViews:
    """All views of a scene restyled together."""

    model: Annotated[str, Field(min_length=1)] = "embedded"
    """`embedded`, `sdxl`, `sdxl-lightning`, `sdxl-turbo`, `sd15`, `z-image-turbo`,
    `instruct-pix2pix`, a hub repository `organisation/name@COMMIT`, a local diffusers folder, or a
    checkpoint of SDXL, Stable Diffusion 1.5 or InstructPix2Pix in one file (.safetensors)"""
    model_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """checksum of a model that is one file (`sha256sum FILE`), so that another file is another
    result"""
    loras: tuple[Lora, ...] = ()
    """LoRAs that are added to the model's weights, in order"""
    scheduler: Scheduler | None = None
    """how the model goes from noise to image; null: the model's own, and the only one for Z-Image.
    The trailing ones are for models distilled to few steps"""
    sharing: Sharing = "auto"
    """what a view's self-attention sees: all views (`full`, cost grows with their square), itself
    and a few `references` (any number of views), itself alone (`none`); `auto`: full up to 18 views
    that memory holds"""
    num_references: Positive | None = None
    """views that all others see where sharing is by references; null: the model preset's value"""
    align_attention: StrictBool = False
    """where attention is shared, give every view's queries and keys the mean and std of the
    references' (StyleAligned)"""
    depth: Literal["nerf", "monocular"] = "nerf"
    """where the depth that holds the geometry comes from: rendered by the field, or estimated from
    each rendered view and brought to the field's scale, for scenes whose field looks good but has
    poor depth"""
    depth_model: Annotated[str, Field(min_length=1)] | None = None
    """the monocular estimator: a local folder of transformers or `organisation/name@COMMIT`, of
    Depth Anything's or DPT's class; null: Depth Anything V2 Small"""
    image_adapter: Annotated[str, Field(min_length=1)] | None = None
    """what lets the model see a style's image: a local IP-Adapter file (.safetensors) with its
    image encoder in the folder `image_encoder` beside it; null: the one of the model's preset"""
    dtype: Dtype = "auto"
    """floating-point type of the networks; `auto`: float16 on a GPU (Z-Image: bfloat16), float32 on
    the CPU"""
    offload: Offload = "auto"
    """where the weights are kept: all on the GPU (`none`), or in main memory and swapped to the GPU
    when needed (`model`, slower); `auto`: swapped if they and the smallest group of views do not
    fit the free memory. Ignored on the CPU"""
    share_norms: StrictBool = False
    """where attention is shared, have the group norms take mean and std over the references
    together (StyleAligned)"""
    memory_gb: Annotated[float, Field(gt=0, strict=True)] | None = None
    """memory that the views of one call may take beside the weights, 1e9 bytes; null: most of what
    is free"""
    num_inference_steps: Positive | None = None
    """length of the whole noise schedule, steps; null: the model preset's value"""
    controls: (
        Annotated[
            tuple[Annotated[Control, BeforeValidator(_control_of_kind)], ...],
            AfterValidator(_not_empty),
        ]
        | None
    ) = None
    """what holds the scene, one `Control` each, or its kind alone for one of the model's own; null:
    all that the model has; of models that edit by instruction, none"""
    controlnet_conditioning_scale: Annotated[float, Field(ge=0, le=2, strict=True)] | None = None
    """how strongly the controls hold the scene, 0 (not at all) to 2; null: the preset's value"""
    fusion_steps: Annotated[int, Field(ge=0, strict=True)] | None = None
    """executed steps, from the first, at which what the views show of one surface becomes one
    colour, by the source's depth; 0 (paper): none, null: the model preset's value"""
    carry_noise: StrictBool | None = None
    """whether views that see the same surface, by the source's depth, start from the same noise
    there; false (paper): all views start from the same noise at the same place of the image,
    null: the model preset's value"""
    image_side: Annotated[int, Field(ge=64, le=2048, strict=True)] | None = None
    """long side at which the model works, pixels; null: the model preset's value (embedded: the
    views' own side, but 320 to 480)"""
    seed: Seed = 0
    """added to the style's seed"""


@dataclass(config=_STRICT)
class FinetuneNerf:
    """The source field continued towards the stylized views."""

    iterations: Positive | None = None
    """further optimisation steps, one patch or whole view each; null: 150 for splats, 400 for
    nerfacto; paper 15000"""
    patch_size: Annotated[int, Field(ge=32, le=1024, strict=True)] | None = None
    """side of the square that a step renders and compares, pixels, 32 to 1024; null: 64 for
    nerfacto (paper 256), whole views for splats"""
    patch_scales: Annotated[
        tuple[Annotated[float, Field(gt=0, le=1, strict=True)], ...], Field(min_length=1)
    ] = (1.0, 0.5)
    """scales at which a stylized view is compared, 0 to 1 of its own size; a step draws one"""
    features: Literal["efficientnet_lite0", "vgg19"] = "efficientnet_lite0"
    """pretrained network whose activations the losses compare; paper vgg19"""
    features_weights: str | None = None
    """a local file with vgg19's weights; null: torchvision's, downloaded once"""
    balance_taps: StrictBool = True
    """divide each tap of the network by its standard deviation over the stylized views; paper
    false"""
    num_directions: Positive | None = None
    """projections per tap and step; null (paper): as many as the tap has channels"""
    directions: Literal["gaussian", "orthonormal"] = "gaussian"
    """independent projections (paper), or orthonormal ones, which cover the sphere more evenly"""
    layer_reduction: Literal["sum", "mean"] = "sum"
    """how the style losses of the taps become one"""
    content_weight: NonNegative = 0.1
    """weight of the squared difference of deep features at the same place, 0: off"""
    pixel_weight: NonNegative | None = None
    """weight of the difference from the stylized view at the same pixels, measured as in training,
    0 (paper): off; null: 10 for splats, 0 for nerfacto"""
    depth_weight: NonNegative = 0.1
    """weight of the relative change of depth against the source, 0 (paper): off"""
    interlevel_weight: NonNegative = 1.0
    """nerfacto: weight of its loss that keeps the proposal networks in step with the field"""
    distortion_weight: NonNegative = 0.002
    """nerfacto: weight of its loss that concentrates density along a ray"""
    freeze_geometry: StrictBool = False
    """learn colours only: density, depth and opacity stay as they are, to the bit"""
    rays_per_pass: Positive | None = None
    """nerfacto: rays whose intermediate values are in memory at a time; null: the whole patch.
    Fewer bound the memory of large patches, up to whole views, at the price of rendering twice"""
    region_box: Box | None = None
    """two corners, in the trained field's frame, of the box to which the edit is confined; null:
    everywhere"""
    region_masks: str | None = None
    """a folder with a mask NAME.png per view, white where it is to change, at the size of the
    views; null: everywhere. DVC does not watch it: after new masks, `dvc repro -f -s
    finetune_nerf@EDIT`, then `dvc repro`"""
    colour_passes: Annotated[int, Field(ge=0, le=100, strict=True)] = 3
    """of splats: passes over all views in which colours become those of the stylized views before
    the first step, 0 to 100; 0: none"""
    learning_rate: Annotated[float, Field(gt=0, strict=True)] = 0.01
    """learning rate of Adam at the first step; paper 0.0025. Of splats, colours move nine times as
    fast, opacities as fast, shapes and centres more slowly"""
    final_learning_rate: Annotated[float, Field(gt=0, strict=True)] = 0.001
    """learning rate of Adam at the last step; paper 0.0018"""
    decay_iterations: Positive | None = None
    """steps over which the learning rate falls, and after which it stays; null: all"""
    min_movement: Share = 0.02
    """least RMSE between held-out renders before and after, 0 to 1; below it the stage fails"""
    max_depth_change: Annotated[float, Field(gt=0, strict=True)] = 0.3
    """largest mean relative change of depth in the views; above it the stage fails"""
    seed: Seed = 0
    """seed of patch choice and projection directions"""


@dataclass(config=_STRICT)
class Evaluate:
    """Metrics, orbit video and report."""

    num_frames: Annotated[int, Field(ge=8, le=10_000, strict=True)] = 48
    """frames of the orbit, each rendered before and after; 8 to 10000"""
    fps: Annotated[int, Field(ge=1, le=120, strict=True)] = 12
    """frames per second of the orbit video, 1 to 120"""
    max_image_side: Annotated[int, Field(ge=32, le=4096, strict=True)] | None = None
    """long side of the orbit's frames, pixels, 32 to 4096; at most that of the rendered views,
    which null stands for"""
    num_stills: Annotated[int, Field(ge=1, le=64, strict=True)] = 6
    """views shown before and after, held-out ones first; 1 to 64"""
    warp_tau: Annotated[float, Field(gt=0, lt=1, strict=True)] = 0.02
    """a point counts as seen by two frames if their depths agree within this fraction, 0 to 1"""
    pretrained: Literal["off", "cached", "download"] = "cached"
    """weights of LPIPS and CLIP, which do not come with the installation: unused, only those in the
    caches of torch and the hub, or downloaded (1.9 GB); without them their metrics are reported as
    not computed"""
    unshared_control: StrictBool = False
    """make the edit once more with each view restyled by itself, to see what sharing is worth;
    takes as long as stylize_views, finetune_nerf and the rendering of evaluate together"""
    refit_iterations: Annotated[int, Field(ge=0, strict=True)] = 0
    """training steps of the fresh fields that tell whether the stylized views agree, two or three
    fields; 0: none"""
    seed: Seed = 0
    """seed of the projection directions of the held-out SWD"""


@dataclass(config=_STRICT)
class Params:
    """The whole of `params.yaml`."""

    scenes: dict[str, Scene]
    styles: dict[str, Style]
    edits: dict[str, Edit]
    estimate_poses: EstimatePoses
    train_nerf: TrainNerf
    render_views: RenderViews
    stylize_views: StylizeViews
    finetune_nerf: FinetuneNerf
    evaluate: Evaluate


def check_id(kind: str, name: str) -> None:
    """Refuse a scene or style name that could not be a folder and part of a stage name.

    Raises:
        ParamsError: If `name` is not 1 to 64 letters, digits and underscores.
    """
    if not ID_PATTERN.fullmatch(name):
        raise ParamsError(_bad_id(kind, name))


def lookup(kind: str, name: str, known: Mapping[str, T]) -> T:
    """The scene or style called `name`.

    Args:
        kind: "scene" or "style", for the message.
        name: As the user typed it.
        known: `Params.scenes` or `Params.styles`.

    Raises:
        ParamsError: If there is none of this name; suggests a near one or how to add it.
    """
    check_id(kind, name)
    if name not in known:
        raise ParamsError(_unknown(kind, name, known))
    return known[name]


def edit_key(params: Params, scene: str, style: str) -> str:
    """The key in `edits` of a scene in a style.

    Raises:
        ParamsError: If the scene, the style or the edit is not there; says which command adds it.
    """
    lookup("scene", scene, params.scenes)
    lookup("style", style, params.styles)
    key = f"{scene}-{style}"
    if key not in params.edits:
        raise ParamsError(
            f"scene {scene!r} is not yet asked for in style {style!r}; "
            f"add the edit: scenestyle restyle {scene} {style}"
        )
    return key


def stage_params(params: Params, stage: str, scene: str, style: str | None = None) -> Any:
    """Parameters of a stage instance: the stage's block, overridden by its scene or edit.

    Args:
        params: All parameters.
        stage: Name of the stage.
        scene: Id of the scene.
        style: Id of the style, for a stage of an edit.

    Raises:
        ParamsError: If there is no such scene, style or edit.
    """
    entry = (
        lookup("scene", scene, params.scenes)
        if style is None
        else params.edits[edit_key(params, scene, style)]
    )
    return replace(getattr(params, stage), **getattr(entry, stage))


def block_of(stage: str) -> Any:
    """The dataclass of a stage's parameters."""
    return get_type_hints(Params)[stage]


def override_faults(stage: str, overrides: object) -> list[str]:
    """Faults of the parameters that a scene or edit overrides, a sentence each; or none."""
    return faults_in(block_of(stage), overrides, within=(stage,))


def faults_in(block: type, values: object, *, within: tuple[str, ...] = ()) -> list[str]:
    """Faults of the values for a block of parameters, a sentence each; or none.

    Args:
        block: A dataclass of this module.
        values: By name.
        within: Keys that the block lies under, for the sentence.
    """
    try:
        TypeAdapter(block).validate_python(values)
    except ValidationError as error:
        return list(_field_faults(error, within=within))
    return []


def load_params(path: Path) -> Params:
    """Read and check `params.yaml`.

    Raises:
        ParamsError: Listing every fault of the file at once.
    """
    return read_params(path)[0]


def read_params(path: Path) -> tuple[Params, dict[str, Any]]:
    """As `load_params`, and the file's own values beside what they mean."""
    text = yaml_text.read_text(path)
    raw = yaml_text.parse(text, str(path))
    return parse_params(raw, source=str(path), text=text), raw


def parse_params(raw: object, *, source: str = "params.yaml", text: str = "") -> Params:
    """Check parsed YAML.

    Args:
        raw: The values.
        source: Names the file in the message.
        text: What was parsed, so that the message can name lines.

    Raises:
        ParamsError: Listing every fault at once.
    """
    if not isinstance(raw, Mapping):
        got = {type(None): "nothing", list: "a list"}.get(type(raw), "a single value")
        raise ParamsError(
            f"{source}: wanted blocks such as `scenes:` and `train_nerf:`, got {got}."
        )
    if faults := params_faults(raw):
        raise ParamsError(list_faults(source, [_with_line(fault, text) for fault in faults]))
    return TypeAdapter(Params).validate_python(raw)


def _with_line(fault: str, text: str) -> str:
    line = yaml_text.line_of(text, fault.split(":")[0].split(".")) if text else None
    return f"line {line}: {fault}" if line else fault


def params_faults(raw: Mapping[str, Any]) -> list[str]:
    """What is wrong with parsed YAML, one sentence each; empty if nothing."""
    faults = [*_reference_faults(raw), *_override_faults(raw), *_model_faults(raw)]
    try:
        TypeAdapter(Params).validate_python(raw)
    except ValidationError as error:
        return [*_field_faults(error), *faults]
    return faults


def list_faults(source: str, faults: Sequence[str]) -> str:
    """One message for all faults of a file."""
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    return "\n".join([f"{source}: {count}", *(f"  - {fault}" for fault in faults)])


def _unknown(kind: str, name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, [str(key) for key in known], n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"add it: scenestyle add-{kind} {name} ..."
    return f"unknown {kind} {name!r}; {hint}"


def _bad_id(kind: str, name: object) -> str:
    return (
        f"{kind} name {name!r} is not allowed: use 1 to 64 letters, digits and underscores "
        "(it becomes a folder and part of a stage name)."
    )


def _field_faults(error: ValidationError, within: tuple[str, ...] = ()) -> Iterator[str]:
    for detail in error.errors():
        location = (*within, *detail["loc"])
        where = ".".join(str(part) for part in location)
        if detail["type"] == "unexpected_keyword_argument":
            yield f"{where}: unknown key{_did_you_mean(location)}"
        elif detail["type"] == "missing":
            own = len(location) > 1 and location[-1] in (*SCENE_STAGES, *EDIT_STAGES)
            yield f"{where}: missing{'; write {} where it has nothing of its own' if own else ''}"
        else:
            yield f"{where}: {_in_plain_words(detail)}"


def _in_plain_words(detail: Mapping[str, Any]) -> str:
    """What pydantic found, without names of Python's types."""
    kind, got, context = detail["type"], detail["input"], detail.get("ctx", {})
    if got is None and kind in _EMPTY:
        return f"is empty; {_EMPTY[kind]}"
    if kind == "int_type" and isinstance(got, float) and got.is_integer():
        return f"must be a whole number; write {got:.0f}"
    wanted = _WANTED[kind].format(**context) if kind in _WANTED else detail["msg"]
    return f"{wanted} (got {_as_written(got)})"


_EMPTY = {
    "dict_type": "write {} where there is nothing",
    "string_type": 'write "" for an empty text',
    "tuple_type": "write [] where there is nothing",
    "list_type": "write [] where there is nothing",
}
_WANTED = {
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "string_too_short": "must not be empty",
    "literal_error": "must be {expected}",
    "dict_type": "must be a block of `name: value`",
    "dataclass_type": "must be a block of `name: value`",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "finite_number": "must be finite",
    "value_error": "{error}",
    "missing_argument": "is missing",
}
"""pydantic's kind of fault -> what is wanted"""


def _as_written(value: object) -> str:
    """As YAML writes it, on one line and not too long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _did_you_mean(location: tuple[Any, ...]) -> str:
    *parents, key = (str(part) for part in location)
    classes = {"scenes": Scene, "styles": Style, "edits": Edit}
    blocks = {name: field.type for name, field in Params.__dataclass_fields__.items()}
    lists = {"loras": Lora, "controls": Control}
    owner: Any = Params if not parents else classes.get(parents[0], blocks.get(parents[0]))
    owner = next((lists[parent] for parent in parents[1:] if parent in lists), owner)
    known = list(_fields_of(owner))
    close = difflib.get_close_matches(key, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    places = {"scenes.ID": Scene, "styles.ID": Style, **blocks}
    elsewhere = [place for place, has in places.items() if key in _fields_of(has)]
    belongs = f"it belongs in {' and '.join(elsewhere)}; " if elsewhere else ""
    return f"; {belongs}known: {', '.join(known)}"


def _fields_of(block: Any) -> Collection[str]:
    return getattr(block, "__dataclass_fields__", {})


def _reference_faults(raw: Mapping[str, Any]) -> Iterator[str]:
    scenes, styles, edits = (
        block if isinstance(block := raw.get(name), Mapping) else {}
        for name in ("scenes", "styles", "edits")
    )
    for kind, names in (("scene", scenes), ("style", styles)):
        yield from (
            _bad_id(kind, name)
            for name in names
            if not (isinstance(name, str) and ID_PATTERN.fullmatch(name))
        )
    for name, scene in scenes.items():
        caption = scene.get("caption") if isinstance(scene, Mapping) else None
        if isinstance(caption, str) and caption and not caption.strip():
            yield f"scenes.{name}.caption: must say what the photos show (got {caption!r})"
    for name, style in styles.items():
        yield from _prompt_faults(name, style)
        yield from _image_faults(name, style)
    for key, edit in edits.items():
        yield from _edit_faults(key, edit, scenes, styles)


def _override_faults(raw: Mapping[str, Any]) -> Iterator[str]:
    for block, stages in (("scenes", SCENE_STAGES), ("edits", EDIT_STAGES)):
        entries = raw.get(block)
        for key, entry in entries.items() if isinstance(entries, Mapping) else ():
            for stage in stages if isinstance(entry, Mapping) else ():
                if isinstance(own := entry.get(stage), Mapping):
                    yield from (f"{block}.{key}.{fault}" for fault in override_faults(stage, own))


def _model_faults(raw: Mapping[str, Any]) -> Iterator[str]:
    """Faults that show only in several parameters of `stylize_views` together."""
    stage, edits = raw.get("stylize_views"), raw.get("edits")
    common = stage if isinstance(stage, Mapping) else {}
    yield from _checkpoint_faults("stylize_views", common)
    yield from _pickle_faults("stylize_views", common)
    yield from _control_faults("stylize_views", common)
    for key, edit in edits.items() if isinstance(edits, Mapping) else ():
        own = edit.get("stylize_views") if isinstance(edit, Mapping) else None
        if not isinstance(own, Mapping):
            continue
        where = f"edits.{key}.stylize_views"
        if own.keys() & {"model", "model_sha256"}:
            yield from _checkpoint_faults(where, {**common, **own})
        yield from _pickle_faults(where, own)
        yield from _control_faults(where, own)


def _checkpoint_faults(where: str, block: Mapping[str, Any]) -> Iterator[str]:
    model, sha256 = block.get("model"), block.get("model_sha256")
    is_file = isinstance(model, str) and model.endswith(".safetensors")
    if is_file and not sha256:
        yield (
            f"{where}.model_sha256: missing; write the SHA-256 of the file (`sha256sum {model}`)"
        )
    if sha256 and not is_file and not _is_pickle(model):
        yield (
            f"{where}.model_sha256: is for a model that is one .safetensors file; leave it out for "
            f"{_as_written(model)}"
        )


def _pickle_faults(where: str, block: Mapping[str, Any]) -> Iterator[str]:
    loras = block.get("loras")
    named = {"model": block.get("model")} | {
        f"loras.{index}.file": lora.get("file")
        for index, lora in enumerate(loras if isinstance(loras, list) else ())
        if isinstance(lora, Mapping)
    }
    for key, file in named.items():
        if _is_pickle(file):
            yield (
                f"{where}.{key}: such a file can run code when it is opened; take the author's "
                f".safetensors instead (got {_as_written(file)})"
            )


def _is_pickle(file: object) -> bool:
    return isinstance(file, str) and file.endswith(PICKLES)


def _control_faults(where: str, block: Mapping[str, Any]) -> Iterator[str]:
    controls = block.get("controls")
    for index, control in enumerate(controls if isinstance(controls, list) else ()):
        if not isinstance(control, Mapping):
            continue
        start, end = control.get("start", 0.0), control.get("end", 1.0)
        if all(isinstance(each, int | float) for each in (start, end)) and start >= end:
            yield f"{where}.controls.{index}.end: must be above start (got {start} to {end})"


def _prompt_faults(name: object, style: object) -> Iterator[str]:
    prompt = style.get("prompt") if isinstance(style, Mapping) else None
    if not isinstance(prompt, str):
        return
    if not prompt.strip():
        yield f"styles.{name}.prompt: must say how the images should look (got {prompt!r})"
    fields = re.findall(r"\{([^{}]*)\}", prompt)
    leftover = re.sub(r"\{[^{}]*\}", "", prompt)
    unknown = [field for field in fields if field != "caption"]
    if unknown or "{" in leftover or "}" in leftover:
        yield f"styles.{name}.prompt: only {{caption}} may stand in braces (got {prompt!r})"


def _image_faults(name: object, style: object) -> Iterator[str]:
    if not isinstance(style, Mapping):
        return
    if style.get("image") and not style.get("image_sha256"):
        yield (
            f"styles.{name}.image_sha256: missing; write the SHA-256 of the image "
            f"(`sha256sum {style['image']}`)"
        )
    if style.get("image_sha256") and not style.get("image"):
        yield (
            f"styles.{name}.image: missing, but there is an image_sha256; write the image's file "
            "or neither"
        )


def _edit_faults(
    key: object, edit: object, scenes: Mapping[str, Any], styles: Mapping[str, Any]
) -> Iterator[str]:
    if not isinstance(edit, Mapping):
        return
    scene, style = edit.get("scene"), edit.get("style")
    for kind, name, known in (("scene", scene, scenes), ("style", style, styles)):
        if isinstance(name, str) and name not in known:
            yield f"edits.{key}: {_unknown(kind, name, known)}"
    if isinstance(scene, str) and isinstance(style, str) and key != f"{scene}-{style}":
        yield f"edits.{key}: its key must be '{scene}-{style}'"
