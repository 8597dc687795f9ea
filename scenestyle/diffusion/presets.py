"""Models that are known by name: what they are made of, and the values they are used with."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from scenestyle.params import ControlKind, Scheduler

_OPENRAIL = "CreativeML Open RAIL-M"
_OPENRAIL_PP = "CreativeML Open RAIL++-M"
_APACHE = "Apache-2.0"
EMBEDDED_LICENCE = _APACHE


@dataclass(frozen=True)
class HubRepository:
    """A repository of the Hugging Face hub at one commit."""

    name: str
    """`organisation/name`"""
    revision: str
    """full commit hash, 40 hexadecimal digits; never a branch, whose files may change"""
    licence: str = ""
    """of the weights, as their authors name it; empty: not known here"""

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}"


@dataclass(frozen=True)
class ImageAdapter:
    """An IP-Adapter (Ye et al. 2023, arXiv:2308.06721): a file; beside it `image_encoder/`."""

    repository: HubRepository
    file: str
    """path in the repository"""


@dataclass(frozen=True)
class Preset:
    """Values used where neither the style nor the stage's parameters say otherwise."""

    image_side: int
    """long side at which the model works, pixels"""
    num_inference_steps: int
    """length of the whole noise schedule; `strength` says how much of it is run"""
    strength: float
    """share of the noise schedule that is re-run, 0 < s <= 1"""
    guidance_scale: float
    """classifier-free guidance; 1 is off"""
    image_guidance_scale: float | None = None
    """guidance by the view, of models that edit by instruction; None: it is none"""
    controlnet_conditioning_scale: float = 1.0
    """factor on the ControlNets' residuals"""
    fusion_steps: int = 0
    """executed steps, from the first, at which the views are fused through the source's depth; 0:
    none"""
    carry_noise: bool = False
    """whether the initial noise sticks to the scene instead of the screen"""
    num_references: int = 4
    """views that all others see where not all see all"""
    aesthetic_score: float = 6.0
    """of the prompt's half; only models with an aesthetic embedding (SDXL's refiner) read it"""
    negative_aesthetic_score: float = 2.5
    """of the negative prompt's half"""
    image_adapter: ImageAdapter | None = None
    """lets the model see a style's image; None: there is none for it"""
    scheduler: Scheduler | None = None
    """None: the one that comes with the weights"""
    least_image_side: int | None = None
    """views that are smaller than `image_side` are enlarged to this alone, pixels; None: all to
    `image_side`"""

    def suited(self, view_side: int) -> "Preset":
        """The preset for views of `view_side` pixels at most: no more enlarged than need be."""
        if self.least_image_side is None:
            return self
        side = min(self.image_side, max(self.least_image_side, view_side))
        return replace(self, image_side=side)


@dataclass(frozen=True)
class HubLora:
    """A LoRA in a hub repository."""

    repository: HubRepository
    file: str
    """path in the repository"""


@dataclass(frozen=True)
class HubControlNet:
    """A ControlNet in a hub repository of its own."""

    repository: HubRepository
    variants: tuple[str | None, ...] = (None,)
    """infixes of the weight files' names that it has, such as `fp16`; None: without one"""
    file: str | None = None
    """the file that holds it; None: it is a diffusers folder"""


EMBEDDED = Preset(
    image_side=480,
    num_inference_steps=10,
    strength=0.5,
    guidance_scale=2.0,
    fusion_steps=4,
    carry_noise=True,
    num_references=2,
    least_image_side=320,
)
"""The tiny SDXL in this repository; values at which it was judged best. Views are fused at all of
its five steps but the last, which draws what fusing has smoothed, and agree as well with two
references as if all saw all."""

SDXL_IP_ADAPTER = ImageAdapter(
    HubRepository("h94/IP-Adapter", "018e402774aeeddd60609b4ecdb7e298259dc729", _APACHE),
    "sdxl_models/ip-adapter_sdxl.safetensors",
)
"""4 tokens from a CLIP of the size bigG, whose 3.7 GB come with it."""

SDXL = Preset(
    image_side=1024,
    num_inference_steps=50,
    strength=0.8,
    guidance_scale=7.5,
    image_adapter=SDXL_IP_ADAPTER,
)
"""Fujiwara et al. 2024, arXiv:2406.13393: 50 steps, guidance 7.5 to 22.5, strength up to 1. The
strength and the aesthetic scores are the defaults of their code, whose guidance default is 5."""

SDXL_LIGHTNING = Preset(
    image_side=1024,
    num_inference_steps=8,
    strength=0.5,
    guidance_scale=1.0,
    image_adapter=SDXL_IP_ADAPTER,
    scheduler="euler-trailing",
)
"""SDXL with a LoRA that needs eight steps and no guidance (Lin et al. 2024, arXiv:2402.13929): here
four of them, at SDXL's own size."""

SDXL_LIGHTNING_LORA = HubLora(
    HubRepository(
        "ByteDance/SDXL-Lightning", "c9a24f48e1c025556787b0c58dd67a091ece2e44", _OPENRAIL_PP
    ),
    "sdxl_lightning_8step_lora.safetensors",
)

SDXL_TURBO = Preset(
    image_side=512,
    num_inference_steps=8,
    strength=0.5,
    guidance_scale=1.0,
    image_adapter=SDXL_IP_ADAPTER,
)
"""SDXL distilled to few steps without guidance, at 512 pixels (Sauer et al. 2023,
arXiv:2311.17042): here four of eight. Its licence is for non-commercial use."""

SD15 = Preset(
    image_side=512,
    num_inference_steps=50,
    strength=0.8,
    guidance_scale=7.5,
    image_adapter=ImageAdapter(SDXL_IP_ADAPTER.repository, "models/ip-adapter_sd15.safetensors"),
)
"""Stable Diffusion 1.5 (Rombach et al. 2022, arXiv:2112.10752) at the size it was trained for;
steps, strength and guidance as with SDXL."""

SD15_BASE = HubRepository(
    "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
    _OPENRAIL,
)
SD15_DEPTH_CONTROLNET = HubRepository(
    "lllyasviel/control_v11f1p_sd15_depth", "539f99181d33db39cf1af2e517cd8056785f0a87", _OPENRAIL
)

INSTRUCT_PIX2PIX = Preset(
    image_side=512,
    num_inference_steps=20,
    strength=1.0,
    guidance_scale=7.5,
    image_guidance_scale=1.5,
    scheduler="ddim",
)
"""InstructPix2Pix (Brooks, Holynski, Efros 2023, arXiv:2211.09800), Stable Diffusion 1.5 finetuned
to edit by instruction: guidance and size of the authors' code; steps and scheduler of
Instruct-NeRF2NeRF (Haque et al. 2023, arXiv:2303.12789), which edits views of a scene with it."""

INSTRUCT_PIX2PIX_BASE = HubRepository(
    "timbrooks/instruct-pix2pix",
    "31519b5cb02a7fd89b906d88731cd4d6a7bbf88d",
    f"MIT, and of the Stable Diffusion that it was finetuned from: {_OPENRAIL}",
)
"""Six independent public repositories name this commit."""

SDXL_INSTRUCT_PIX2PIX = Preset(
    image_side=768,
    num_inference_steps=30,
    strength=1.0,
    guidance_scale=3.0,
    image_guidance_scale=1.5,
)
"""The same of SDXL's class; values of diffusers' example."""

DEPTH_ANYTHING = HubRepository(
    "depth-anything/Depth-Anything-V2-Small-hf", "5426e4f0f36572d16453bbda7a8389317b1bef99", _APACHE
)
"""Relative disparity from one picture (Yang et al. 2024, arXiv:2406.09414), 25 million parameters,
Apache 2.0."""

SDXL_BASE = HubRepository(
    "stabilityai/stable-diffusion-xl-base-1.0",
    "462165984030d82259a11f4367a4eed129e94a7b",
    _OPENRAIL_PP,
)
SDXL_TURBO_BASE = HubRepository(
    "stabilityai/sdxl-turbo",
    "71153311d3dbb46851df1931d3ca6e939de83304",
    "Stability AI Non-Commercial: non-commercial use only",
)
SDXL_DEPTH_CONTROLNET = HubRepository(
    "diffusers/controlnet-depth-sdxl-1.0", "17bb97973f29801224cd66f192c5ffacf82648b4", _OPENRAIL_PP
)
SDXL_FP16_VAE = HubRepository(
    "madebyollin/sdxl-vae-fp16-fix", "207b116dae70ace3637169f1ddd2434b91b3a8cd", "MIT"
)
"""SDXL's own VAE overflows in float16; this one was finetuned not to."""

SDXL_CONTROLNETS: Mapping[ControlKind, HubControlNet] = {
    "depth": HubControlNet(SDXL_DEPTH_CONTROLNET, (None, "fp16")),
    "tile": HubControlNet(
        HubRepository(
            "xinsir/controlnet-tile-sdxl-1.0", "1ae8d9529efe58f7362a987363ff86a7904dc84f", _APACHE
        )
    ),
    "canny": HubControlNet(
        HubRepository(
            "xinsir/controlnet-canny-sdxl-1.0", "1271357eda52d54b857c650cacb5b51144643ccb", _APACHE
        )
    ),
}
"""What SDXL and its finetunes can be shown without naming weights. The commits of tile and canny
are those that three and four independent public repositories pin."""
SDXL_UNION = HubRepository(
    "xinsir/controlnet-union-sdxl-1.0", "801a4a3fa3d4c936f4feea95b98607bc6726f80c", _APACHE
)
"""Sees depth, canny and lineart; its file for tile, ProMax, has a name of its own there. Nine
independent public repositories pin this commit."""
SD15_CONTROLNETS: Mapping[ControlKind, HubControlNet] = {
    "depth": HubControlNet(SD15_DEPTH_CONTROLNET, (None, "fp16")),
    "canny": HubControlNet(
        HubRepository(
            "lllyasviel/control_v11p_sd15_canny",
            "115a470d547982438f70198e353a921996e2e819",
            _OPENRAIL,
        ),
        ("fp16",),
    ),
}
"""The same for Stable Diffusion 1.5; its tile is published as a pickle alone."""

Z_IMAGE_TURBO = Preset(
    image_side=1024,
    num_inference_steps=12,
    strength=0.67,
    guidance_scale=1.0,
    controlnet_conditioning_scale=0.75,
    num_references=2,
)
"""Z-Image, 6 billion parameters, distilled to eight steps without guidance (Z-Image team 2025,
arXiv:2511.22699): here eight of twelve, from a noise of 0.86 on, as strong as SDXL's at 0.8. The
scale is the middle of what the ControlNet's authors recommend; each reference keeps 2 GB at
1024 x 1024."""

Z_IMAGE_TURBO_BASE = HubRepository(
    "Tongyi-MAI/Z-Image-Turbo", "f332072aa78be7aecdf3ee76d5c247082da564a6", _APACHE
)
"""Stands in more than ten public files."""
Z_IMAGE_CONTROLNET = HubControlNet(
    HubRepository(
        "alibaba-pai/Z-Image-Turbo-Fun-Controlnet-Union-2.1",
        "5155fc56d17821007d6f62ac192c09e0f0e72016",
        _APACHE,
    ),
    file="Z-Image-Turbo-Fun-Controlnet-Union-2.1-2602-8steps.safetensors",
)
"""Sees depth or edges, one at a time. The commit stands in five public files, in three of them with
this file."""
Z_IMAGE_CONTROLNETS: Mapping[ControlKind, HubControlNet] = {
    "depth": Z_IMAGE_CONTROLNET,
    "canny": Z_IMAGE_CONTROLNET,
}
