"""A depth-controlled SDXL pipeline of the real classes, small enough for a second per call.

Random weights, 4 latent channels, a VAE factor of 2, SDXL's own kind of scheduler: everything in
which SDXL and the embedded model differ, it has from neither or from SDXL.
"""

from pathlib import Path
from typing import Any

import numpy as np

from scenestyle.artifacts import View, write_map, write_rgb, write_views
from scenestyle.cameras import PinholeCamera
from training import tokenizer

_TEXT_WIDTH = 16


def tiny_pipeline(*, second_text_width: int = _TEXT_WIDTH) -> Any:
    import torch
    from diffusers import (
        AutoencoderKL,
        ControlNetModel,
        EulerDiscreteScheduler,
        StableDiffusionXLControlNetImg2ImgPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(0)
    words = tokenizer.load()
    unet = UNet2DConditionModel(
        sample_size=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(16, 32),
        layers_per_block=1,
        cross_attention_dim=_TEXT_WIDTH + second_text_width,
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + second_text_width,
        norm_num_groups=4,
    )
    controlnet = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 16))
    with torch.no_grad():
        for parameter in controlnet.parameters():  # a fresh ControlNet ends in zeros: no effect
            if not parameter.any():
                parameter.normal_(std=0.2)
        for name, parameter in unet.named_parameters():  # fresh attention is almost uniform
            if ".attn1." in name:
                parameter.mul_(6)

    def text_config(width: int) -> CLIPTextConfig:
        return CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=tokenizer.LENGTH,
            projection_dim=width,
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
        )

    return StableDiffusionXLControlNetImg2ImgPipeline(
        vae=AutoencoderKL(
            down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
            up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
            block_out_channels=(8, 16),
            latent_channels=4,
            force_upcast=False,
            norm_num_groups=4,
        ),
        text_encoder=CLIPTextModel(text_config(_TEXT_WIDTH)),
        text_encoder_2=CLIPTextModelWithProjection(text_config(second_text_width)),
        tokenizer=words,
        tokenizer_2=words,
        unet=unet,
        controlnet=controlnet,
        scheduler=EulerDiscreteScheduler(timestep_spacing="leading", steps_offset=1),
        add_watermarker=False,
    )


def with_tile(pipeline: Any) -> Any:
    """The pipeline with a second ControlNet, another one than the first, as the embedded model has one for the picture itself."""
    import torch
    from diffusers import ControlNetModel, MultiControlNetModel

    first = pipeline.controlnet
    torch.manual_seed(1)
    second = ControlNetModel.from_config(first.config)
    with torch.no_grad():
        for parameter in second.parameters():
            if not parameter.any():
                parameter.normal_(std=0.2)
    pipeline.register_modules(controlnet=MultiControlNetModel([first, second]))
    return pipeline


def tiny_union(pipeline: Any, *, num_kinds: int = 8) -> Any:
    """A ControlNet Union for the pipeline's UNet, one network that sees several kinds of images."""
    import torch
    from diffusers import ControlNetUnionModel

    torch.manual_seed(2)
    union = ControlNetUnionModel.from_config(
        pipeline.controlnet.config,
        num_control_type=num_kinds,
        num_trans_channel=16,
        num_trans_head=2,
        num_proj_channel=16,
    )
    with torch.no_grad():
        for parameter in union.parameters():
            if not parameter.any():
                parameter.normal_(std=0.2)
    return union


def tiny_first_pipeline() -> Any:
    """The same of Stable Diffusion 1.5's class: one text encoder, no pooled text, convolutions as projections."""
    import torch
    from diffusers import (
        ControlNetModel,
        PNDMScheduler,
        StableDiffusionControlNetImg2ImgPipeline,
        UNet2DConditionModel,
    )

    xl = tiny_pipeline()
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(16, 32),
        layers_per_block=1,
        cross_attention_dim=_TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    controlnet = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 16))
    with torch.no_grad():
        for parameter in controlnet.parameters():
            if not parameter.any():
                parameter.normal_(std=0.2)
        for name, parameter in unet.named_parameters():
            if ".attn1." in name:
                parameter.mul_(6)
    return StableDiffusionControlNetImg2ImgPipeline(
        vae=xl.vae,
        text_encoder=xl.text_encoder,
        tokenizer=xl.tokenizer,
        unet=unet,
        controlnet=controlnet,
        scheduler=PNDMScheduler(skip_prk_steps=True, steps_offset=1, set_alpha_to_one=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def tiny_instructed(pipeline: Any) -> Any:
    """InstructPix2Pix of the pipeline's class: its parts, a UNet that is shown the view too, and no ControlNet."""
    import torch
    from diffusers import (
        StableDiffusionInstructPix2PixPipeline,
        StableDiffusionXLInstructPix2PixPipeline,
        UNet2DConditionModel,
    )

    torch.manual_seed(3)
    unet = UNet2DConditionModel.from_config(pipeline.unet.config, in_channels=8)
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if ".attn1." in name:
                parameter.mul_(6)
    parts = {name: part for name, part in pipeline.components.items() if name != "controlnet"}
    if "text_encoder_2" in parts:
        del parts["image_encoder"], parts["feature_extractor"]
        kind, options = StableDiffusionXLInstructPix2PixPipeline, {"add_watermarker": False}
    else:
        kind, options = StableDiffusionInstructPix2PixPipeline, {"requires_safety_checker": False}
    return kind(**{**parts, "unet": unet}, **options)


def tiny_z_image(*, control_in_dim: int = 4) -> Any:
    """Z-Image of the real classes: transformer, ControlNet, a text encoder of Qwen3's class, an autoencoder with a shift."""
    import torch
    from diffusers import (
        AutoencoderKL,
        FlowMatchEulerDiscreteScheduler,
        ZImageControlNetModel,
        ZImageTransformer2DModel,
    )
    from transformers import Qwen3Config, Qwen3Model

    from scenestyle.diffusion.z_image import ZImageControlNetImg2ImgPipeline

    torch.manual_seed(0)
    sizes = {"dim": 32, "n_refiner_layers": 2, "n_heads": 2, "n_kv_heads": 2}
    transformer = ZImageTransformer2DModel(
        in_channels=4,
        n_layers=3,
        cap_feat_dim=16,
        axes_dims=[4, 6, 6],
        axes_lens=[256, 64, 64],
        **sizes,
    )
    places = {"control_layers_places": [0, 2], "control_refiner_layers_places": [0, 1]}
    controlnet = ZImageControlNetModel(
        **places,
        control_in_dim=control_in_dim,
        add_control_noise_refiner="control_noise_refiner",
        **sizes,
    )
    with torch.no_grad():
        for network in (transformer, controlnet):
            for name, parameter in network.named_parameters():
                if not parameter.any():  # fresh pads are zeros, and a fresh ControlNet ends in them
                    parameter.normal_(std=0.2)
                elif ".to_q." in name or ".to_k." in name:  # fresh attention is almost uniform
                    parameter.mul_(6)
    words = byte_tokenizer()
    text_encoder = Qwen3Model(
        Qwen3Config(
            vocab_size=len(words),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=8,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
        )
    )
    return ZImageControlNetImg2ImgPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=AutoencoderKL(
            down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
            up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
            block_out_channels=(8, 16),
            latent_channels=4,
            scaling_factor=0.36,
            shift_factor=0.12,
            force_upcast=False,
            norm_num_groups=4,
        ),
        text_encoder=text_encoder.eval(),
        tokenizer=words,
        transformer=transformer,
        controlnet=controlnet,
    )


def byte_tokenizer() -> Any:
    """A tokenizer of Qwen2's class whose words are single bytes, with a template for chats."""
    from transformers import Qwen2Tokenizer

    from scenestyle.diffusion.architectures import letters_of_bytes

    vocabulary = {letter: index for index, letter in enumerate(letters_of_bytes())}
    words = Qwen2Tokenizer(vocab={**vocabulary, "<|endoftext|>": 256}, merges=[])
    words.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}:"
    return words


def stylize(model: Any, rgb: np.ndarray, disparity: np.ndarray, *more: Any, **named: Any) -> Any:
    """The library's `stylize` for views of one size, which come and go as one array."""
    from scenestyle.diffusion import stylize as module

    return np.stack(module.stylize(model, list(rgb), list(disparity), *more, **named))


def write_tiny_views(folder: Path, *, num_views: int, width: int = 32, height: int = 24) -> None:
    """A views folder: random pictures, and a surface that comes nearer from left to right."""
    rng = np.random.default_rng(0)
    names = [f"view_{index}" for index in range(num_views)]
    for index, name in enumerate(names):
        write_rgb(folder / "rgb" / f"{name}.png", rng.random((height, width, 3)))
        depth_z = np.linspace(3 + index, 1, width)[None].repeat(height, axis=0)
        write_map(folder / "depth_z" / f"{name}.npy", depth_z)
        write_map(folder / "opacity" / f"{name}.npy", np.ones((height, width)))
    camera = PinholeCamera(np.eye(4), 30.0, 30.0, width / 2, height / 2, width, height)
    write_views(folder, [View(name, "train", camera) for name in names])


def write_tiny_image_adapter(folder: Path, unet: Any) -> Path:
    """A random IP-Adapter for the UNet, as published: the file, and its CLIP image encoder beside it."""
    import torch
    from safetensors.torch import save_file
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    width, tokens = unet.config.cross_attention_dim, 4
    tensors = {
        "image_proj.proj.weight": random(tokens * width, _TEXT_WIDTH),
        "image_proj.proj.bias": random(tokens * width),
        "image_proj.norm.weight": torch.ones(width),
        "image_proj.norm.bias": torch.zeros(width),
    }
    layers = [name for name in unet.attn_processors if ".attn2." in name]
    for index, name in enumerate(layers):
        layer = unet.get_submodule(name.removesuffix(".processor"))
        for part in ("to_k_ip", "to_v_ip"):
            channels = layer.to_k.out_features
            tensors[f"ip_adapter.{2 * index + 1}.{part}.weight"] = random(channels, width)
    encoder = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=32,
            patch_size=8,
            projection_dim=_TEXT_WIDTH,
        )
    )
    encoder.save_pretrained(folder / "image_encoder")
    file = folder / "ip-adapter_tiny.safetensors"
    save_file(tensors, file)
    return file


def write_tiny_lora(file: Path, *, seed: int, unet: Any = None, network: Any = None) -> Path:
    """A random LoRA of rank 2 for attention, as diffusers saves it: of a UNet, `tiny_pipeline`'s by default, or of a transformer (`network`)."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    prefix, names = "unet", {"down": "lora.down", "up": "lora.up"}
    if network is not None:
        prefix, names = "transformer", {"down": "lora_A", "up": "lora_B"}
    for name, layer in (network or unet or tiny_pipeline().unet).named_modules():
        if name.rsplit(".", 1)[-1] in ("to_q", "to_k", "to_v"):
            for part, shape in (("down", (2, layer.in_features)), ("up", (layer.out_features, 2))):
                key = f"{prefix}.{name}.{names[part]}.weight"
                tensors[key] = torch.randn(shape, generator=generator)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, file)
    return file
