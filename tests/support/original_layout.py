"""Pipelines as checkpoints of one file: the names of the original code, in which models are passed on.

The inverse of what diffusers' `from_single_file` does; no weights are changed, only renamed, joined and transposed.
"""

import re
import shutil
from pathlib import Path
from typing import Any

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_UNET = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_VAE_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}
_OPEN_CLIP = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def write_single_file(pipeline: Any, file: Path, *, marks: tuple[str, ...] = ()) -> Path:
    """The checkpoint, and beside it a folder with the configuration, which is not that of a published model.

    `marks` are names of empty tensors that say how it was trained.
    """
    import torch
    from safetensors.torch import save_file

    tensors = {name: value.contiguous() for name, value in original(pipeline).items()}
    save_file({**tensors, **{mark: torch.zeros(0) for mark in marks}}, file)
    write_configuration(pipeline, file.with_suffix(""))
    return file


def write_configuration(pipeline: Any, folder: Path) -> Path:
    """A diffusers folder of the pipeline without weights and ControlNets."""
    pipeline.save_pretrained(folder)
    for weights in folder.rglob("*.safetensors"):
        weights.unlink()
    for controlnet in folder.glob("controlnet*"):
        shutil.rmtree(controlnet)
    return folder


def original(pipeline: Any) -> dict[str, Any]:
    """Every tensor of UNet, autoencoder and text encoders under its original name."""
    unet = {
        f"model.diffusion_model.{name}": value
        for name, value in original_unet(pipeline.unet).items()
    }
    vae = {f"first_stage_model.{name}": value for name, value in _vae(pipeline.vae).items()}
    if not hasattr(pipeline, "text_encoder_2"):
        return {**unet, **vae, **_clip(pipeline.text_encoder, "cond_stage_model.transformer.")}
    return {
        **unet,
        **vae,
        **_clip(pipeline.text_encoder, "conditioner.embedders.0.transformer."),
        **_open_clip(pipeline.text_encoder_2, "conditioner.embedders.1.model."),
    }


def original_unet(unet: Any) -> dict[str, Any]:
    """Blocks are numbered through, with down- and upsamplers among them."""
    per_block = unet.config.layers_per_block + 1

    def name_of(name: str) -> str:
        for ours, theirs in _UNET.items():
            if name.startswith(f"{ours}."):
                return name.replace(ours, theirs, 1)
        if match := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", name):
            kind, index, rest = match.groups()
            return f"middle_block.{2 * int(index) + (kind == 'attentions')}.{_resnet(kind, rest)}"
        side, block, kind, index, rest = re.fullmatch(
            r"(down|up)_blocks\.(\d)\.(\w+)\.(\d)\.(.*)", name
        ).groups()
        block, index = int(block), int(index)
        if kind == "downsamplers":
            return f"input_blocks.{(block + 1) * per_block}.0.op.{rest.removeprefix('conv.')}"
        if kind == "upsamplers":
            place = 2 if hasattr(unet.up_blocks[block], "attentions") else 1
            return f"output_blocks.{(block + 1) * per_block - 1}.{place}.{rest}"
        number = block * per_block + index + (side == "down")
        blocks = {"down": "input_blocks", "up": "output_blocks"}[side]
        return f"{blocks}.{number}.{int(kind == 'attentions')}.{_resnet(kind, rest)}"

    return {name_of(name): value for name, value in unet.state_dict().items()}


def _resnet(kind: str, rest: str) -> str:
    layer, _, leaf = rest.rpartition(".")
    return f"{_RESNET[layer]}.{leaf}" if kind == "resnets" else rest


def _vae(vae: Any) -> dict[str, Any]:
    last = len(vae.config.up_block_types) - 1
    tensors = {}
    for name, value in vae.state_dict().items():
        if match := re.fullmatch(r"(\w+)\.mid_block\.attentions\.0\.(.*)\.(\w+)", name):
            side, layer, leaf = match.groups()
            is_matrix = leaf == "weight" and value.ndim == 2  # a convolution of one pixel, there
            value = value[:, :, None, None] if is_matrix else value
            name = f"{side}.mid.attn_1.{_VAE_ATTENTION[layer]}.{leaf}"
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
        name = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", name)
        name = re.sub(r"up_blocks\.(\d)\.resnets", lambda m: f"up.{last - int(m[1])}.block", name)
        name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
        name = re.sub(
            r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{last - int(m[1])}.upsample", name
        )
        tensors[
            name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
        ] = value
    return tensors


def _clip(encoder: Any, prefix: str) -> dict[str, Any]:
    """As transformers had it when the checkpoints were made: within `text_model`."""
    return {
        f"{prefix}text_model.{name.removeprefix('text_model.')}": value
        for name, value in encoder.state_dict().items()
    }


def _open_clip(encoder: Any, prefix: str) -> dict[str, Any]:
    import torch

    state = {
        name.removeprefix("text_model."): value for name, value in encoder.state_dict().items()
    }
    tensors = {
        "token_embedding.weight": state.pop("embeddings.token_embedding.weight"),
        "positional_embedding": state.pop("embeddings.position_embedding.weight"),
        "ln_final.weight": state.pop("final_layer_norm.weight"),
        "ln_final.bias": state.pop("final_layer_norm.bias"),
        "text_projection": state.pop("text_projection.weight").T,
    }
    for index in range(encoder.config.num_hidden_layers):
        layer, theirs = f"encoder.layers.{index}.", f"transformer.resblocks.{index}."
        for leaf in ("weight", "bias"):
            joined = [state.pop(f"{layer}self_attn.{each}_proj.{leaf}") for each in "qkv"]
            tensors[f"{theirs}attn.in_proj_{leaf}"] = torch.cat(joined)
            for ours, name in _OPEN_CLIP.items():
                tensors[f"{theirs}{name}.{leaf}"] = state.pop(f"{layer}{ours}.{leaf}")
    assert not state, f"not named: {sorted(state)}"
    return {f"{prefix}{name}": value for name, value in tensors.items()}
