"""The embedded model's parts at their tiny sizes, in SDXL's own classes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from training import latents, tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence

_TEXT_WIDTH = 64
_UNET_WIDTHS = (64, 96, 128)
_DETERMINISTIC_LOG_VARIANCE = -14.0


class _Together:
    """Self-attention of `views` views in a row as one picture, as in `diffusion.attention`."""

    def __init__(self) -> None:
        self.views = 1
        self._plain = AttnProcessor()

    def __call__(
        self, layer: Any, hidden_states: Tensor, *args: Any, **kwargs: Any
    ) -> Float[Tensor, "batch tokens channels"]:
        """Of `views` views each."""
        joined = hidden_states.unflatten(0, (-1, self.views)).flatten(1, 2)
        attended = self._plain(layer, joined, *args, **kwargs)
        return attended.unflatten(1, (self.views, -1)).flatten(0, 1)


class Denoiser(nn.Module):
    """UNet, two ControlNets and both text encoders, trained together.

    `controlnet` sees the disparity, `tile` the picture that is to be restyled: noise hides from the
    UNet what it shows.
    """

    def __init__(self, vocabulary: int, widths: "Sequence[int]" = _UNET_WIDTHS) -> None:
        super().__init__()
        self.text_encoder = CLIPTextModel._from_config(
            _text_config(vocabulary, "quick_gelu"), attn_implementation="eager"
        )
        self.text_encoder_2 = CLIPTextModelWithProjection._from_config(
            _text_config(vocabulary, "gelu"), attn_implementation="eager"
        )
        self.unet = _unet(widths)
        self.controlnet, self.tile = (_controlnet(self.unet) for _ in range(2))
        for encoder in (self.text_encoder, self.text_encoder_2):
            for name, parameter in encoder.named_parameters():
                if "embedding" in name:
                    nn.init.normal_(parameter, std=0.1 if "token" in name else 0.03)
        # CLIP's default spread of 0.02 would leave the pooled style vector near zero.
        nn.init.normal_(self.text_encoder_2.text_projection.weight, std=_TEXT_WIDTH**-0.5)
        for parameter in self.unet.conv_out.parameters():
            nn.init.zeros_(parameter)
        for part in (self.unet, self.controlnet, self.tile):
            use_layout(part, torch.channels_last)
            # The fused CPU attention's backward pass took 22 % of a step at these sizes.
            part.set_attn_processor(AttnProcessor())
        self._together = _Together()
        processors: dict[str, Any] = dict(self.unet.attn_processors)
        processors |= {name: self._together for name in processors if "attn1" in name}
        self.unet.set_attn_processor(processors)

    def encode_text(
        self, tokens: Int[Tensor, "batch length"], keep: Bool[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch length features"], Float[Tensor, "batch pooled"]]:
        """States per token and pooled vector, as SDXL's pipeline takes them; else zero."""
        first = self.text_encoder(tokens, output_hidden_states=True)
        second = self.text_encoder_2(tokens, output_hidden_states=True)
        states = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1)
        kept = keep.to(states.dtype)
        return states * kept[:, None, None], second.text_embeds * kept[:, None]

    def forward(
        self,
        noisy: Float[Tensor, "batch channels rows columns"],
        timestep: Int[Tensor, " batch"],
        controls: "Controls",
        tokens: Int[Tensor, "batch length"],
        keep_text: Bool[Tensor, " batch"],
        time_ids: Float[Tensor, "batch 6"],
        together: int = 1,
    ) -> Float[Tensor, "batch channels rows columns"]:
        """The clean latents behind noisy ones; `together` views in a row share attention."""
        self._together.views = together
        states, pooled = self.encode_text(tokens, keep_text)
        conditions = {
            "encoder_hidden_states": states,
            "added_cond_kwargs": {"text_embeds": pooled, "time_ids": time_ids},
            "return_dict": False,
        }
        depth, depth_middle = self.controlnet(
            noisy, timestep, controlnet_cond=controls.disparity, **conditions
        )
        tile, tile_middle = self.tile(
            noisy, timestep, controlnet_cond=controls.picture, **conditions
        )
        of_depth = controls.depth_scale[:, None, None, None]
        of_tile = controls.tile_scale[:, None, None, None]
        return self.unet(
            noisy,
            timestep,
            down_block_additional_residuals=[
                first * of_depth + second * of_tile
                for first, second in zip(depth, tile, strict=True)
            ],
            mid_block_additional_residual=depth_middle * of_depth + tile_middle * of_tile,
            **conditions,
        )[0]

    @torch.no_grad()
    def calibrate(
        self,
        noisy: Float[Tensor, "batch channels rows columns"],
        controls: "Controls",
        tokens: Int[Tensor, "batch length"],
    ) -> None:
        """Give the ControlNets' zero convolutions a start at which gradients flow.

        Two zero layers in a row are a saddle that training from scratch leaves only after hundreds
        of steps. The embedding of what a net sees gets the spread of the latents' own embedding,
        each residual 0.3.
        """
        batch = len(noisy)
        states, pooled = self.encode_text(tokens, torch.ones(batch, dtype=torch.bool))
        for net, seen in ((self.controlnet, controls.disparity), (self.tile, controls.picture)):
            stem = net.controlnet_cond_embedding
            zero_layers = _zero_layers(net)
            for layer in (*(m for m in stem.modules() if isinstance(m, nn.Conv2d)), *zero_layers):
                nn.init.kaiming_normal_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
            stem.conv_out.weight.mul_(net.conv_in(noisy).std() / stem(seen).std())
            residuals, middle = net(
                noisy,
                torch.full((batch,), 500),
                encoder_hidden_states=states,
                controlnet_cond=seen,
                added_cond_kwargs={
                    "text_embeds": pooled,
                    "time_ids": picture_time_ids(batch, 128, 128),
                },
                return_dict=False,
            )
            for layer, residual in zip(zero_layers, (*residuals, middle), strict=True):
                layer.weight.mul_(0.3 / residual.std())

    @torch.no_grad()
    def begin_tile_from_depth(self, strength: float = 0.1) -> None:
        """Start `tile` as a copy of the depth ControlNet that says the same, but weakly."""
        self.tile.load_state_dict(self.controlnet.state_dict())
        for layer in _zero_layers(self.tile):
            layer.weight.mul_(strength)
            if layer.bias is not None:
                layer.bias.zero_()


@dataclass(frozen=True)
class Controls:
    """What the ControlNets see, and how much each counts."""

    disparity: Float[Tensor, "batch 3 height width"]
    """0..1"""
    picture: Float[Tensor, "batch 3 height width"]
    """the one to be restyled, 0..1"""
    depth_scale: Float[Tensor, " batch"]
    """factor on what the depth ControlNet says"""
    tile_scale: Float[Tensor, " batch"]


def picture_time_ids(batch: int, height: int, width: int) -> Float[Tensor, "batch 6"]:
    """SDXL's size conditions for uncropped pictures: original size, crop, target size; pixels."""
    return torch.tensor([height, width, 0, 0, height, width], dtype=torch.float32).repeat(batch, 1)


def scheduler() -> DDIMScheduler:
    """DDIM for models that predict the clean latents; its last timestep is pure noise."""
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="sample",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=False,
    )


def autoencoder(widths: "Sequence[int]" = (16, 32, 64, 96)) -> AutoencoderKL:
    """An autoencoder whose posterior is a point, since the pipeline draws from the posterior."""
    sizes: Any = {
        "down_block_types": ("DownEncoderBlock2D",) * len(widths),
        "up_block_types": ("UpDecoderBlock2D",) * len(widths),
        "block_out_channels": tuple(widths),
    }
    model = AutoencoderKL(
        **sizes,
        in_channels=3,
        out_channels=3,
        layers_per_block=1,
        latent_channels=latents.CHANNELS,
        norm_num_groups=4,
        sample_size=128,
        mid_block_add_attention=False,
        force_upcast=False,
        scaling_factor=1.0,
    )
    log_variance = slice(latents.CHANNELS, None)
    with torch.no_grad():
        for name, value in (("weight", 0.0), ("bias", _DETERMINISTIC_LOG_VARIANCE)):
            model.get_parameter(f"quant_conv.{name}")[log_variance] = value
    return model


def use_layout(module: nn.Module, memory_format: torch.memory_format) -> None:
    """Reorder the module's weights; diffusers' own `to` hides this argument from type checkers."""
    nn.Module.to(module, memory_format=memory_format)


def _controlnet(unet: UNet2DConditionModel) -> ControlNetModel:
    return ControlNetModel.from_unet(
        unet,
        conditioning_channels=3,
        conditioning_embedding_out_channels=(8, 16, 32, 64),
        load_weights_from_unet=False,
    )


def _zero_layers(net: ControlNetModel) -> list[Any]:
    """The convolutions through which a ControlNet speaks, zero where it starts from nothing."""
    return [*net.controlnet_down_blocks, net.controlnet_mid_block]


def _unet(widths: "Sequence[int]") -> UNet2DConditionModel:
    # Typed as Any because the class hints at 1-tuples where it takes one entry per level.
    per_level: Any = {
        "transformer_layers_per_block": (1,) * len(widths),
        "attention_head_dim": tuple(max(1, width // 32) for width in widths),
    }
    return UNet2DConditionModel(
        **per_level,
        sample_size=16,
        in_channels=latents.CHANNELS,
        out_channels=latents.CHANNELS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=tuple(widths),
        layers_per_block=1,
        cross_attention_dim=2 * _TEXT_WIDTH,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=16,
        projection_class_embeddings_input_dim=16 * 6 + _TEXT_WIDTH,
        norm_num_groups=8,
    )


def _text_config(vocabulary: int, activation: str) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=_TEXT_WIDTH,
        intermediate_size=3 * _TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=tokenizer.LENGTH,
        projection_dim=_TEXT_WIDTH,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        hidden_act=activation,
    )
