"""Stage 3: the text encoder and the denoiser of latents, trained together."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from ...method.streams import generator_of
from .config import BaseModelConfig
from .training import Keeper, State, Training, positions, train, with_first_weights

_AT_ONCE = 256
_MEASURED = 10
"""Timesteps, evenly spaced, at which the held-out loss is taken."""


@dataclass(frozen=True)
class Encodings:
    """What the denoiser learns from.

    Attributes:
        mean, logvar: of each sample's latents and of its mirror image's, scaled; float32 [N, V, C, h, w], V 1 or 2.
        ids: of its caption, int64 [N, L].
        empty: of the empty caption, int64 [L].
    """

    mean: Tensor
    logvar: Tensor
    ids: Tensor
    empty: Tensor


def noise_schedule() -> DDIMScheduler:
    """Stable Diffusion's."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="epsilon",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def build_networks(config: BaseModelConfig, tokenizer: CLIPTokenizer) -> nn.ModuleDict:
    """`text_encoder` and `unet` of these settings, their weights not yet meaningful."""
    widths, text = config.denoiser.block_out_channels, config.text_encoder
    assert isinstance(config.data.resolution, int)  # the settings have seen to it
    unet = UNet2DConditionModel(
        sample_size=config.data.resolution // config.factor,
        in_channels=config.autoencoder.latent_channels,
        out_channels=config.autoencoder.latent_channels,
        block_out_channels=widths,
        layers_per_block=config.denoiser.layers_per_block,
        down_block_types=("CrossAttnDownBlock2D",) * len(widths),
        up_block_types=("CrossAttnUpBlock2D",) * len(widths),
        norm_num_groups=config.denoiser.norm_num_groups,
        attention_head_dim=config.denoiser.attention_heads,  # diffusers means their number, whatever it calls them
        cross_attention_dim=text.hidden_size,
    )
    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=text.hidden_size,
            intermediate_size=4 * text.hidden_size,
            projection_dim=text.hidden_size,
            num_hidden_layers=text.num_hidden_layers,
            num_attention_heads=text.num_attention_heads,
            max_position_embeddings=tokenizer.model_max_length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    return nn.ModuleDict({"text_encoder": encoder, "unet": unet})


def train_denoiser(config: BaseModelConfig, tokenizer: CLIPTokenizer, data: Encodings, keeper: Keeper) -> State:
    """Train both; the moving average of their weights, names as of `build_networks`."""
    settings, schedule = config.denoiser, noise_schedule()
    networks = with_first_weights(lambda: build_networks(config, tokenizer), "denoiser", config.seed)
    training = Training(networks, settings.steps, settings.learning_rate, settings.ema_decay)

    def loss_at(step: int) -> Tensor:
        rows = positions("denoiser", config.seed, step, len(data.ids), settings.batch_size)
        variant = torch.randint(data.mean.shape[1], (len(rows),))
        mean, logvar = data.mean[rows, variant], data.logvar[rows, variant]
        x0 = mean + (0.5 * logvar).exp() * torch.randn_like(mean)
        t = torch.randint(schedule.config.num_train_timesteps, (len(rows),))
        noise = torch.randn_like(x0)
        dropped = torch.rand(len(rows), 1) < settings.caption_dropout
        ids = torch.where(dropped, data.empty, data.ids[rows])
        return F.mse_loss(_predicted(networks, schedule.add_noise(x0, noise, t), t, ids), noise)

    train(training, "denoiser", config.seed, loss_at, keeper)
    return training.average()


def open_networks(config: BaseModelConfig, tokenizer: CLIPTokenizer, weights: Mapping[str, Tensor]) -> nn.ModuleDict:
    """The trained networks, ready to sample from."""
    networks = build_networks(config, tokenizer)
    networks.load_state_dict(weights)
    return networks.requires_grad_(False).eval()


def held_out_loss(networks: nn.ModuleDict, data: Encodings, seed: int, captioned: bool) -> float:
    """Mean loss over samples and ten timesteps, of the mean latents and with the same noise at every call.

    Args:
        captioned: under each sample's own caption; else under the empty one.
    """
    schedule, total = noise_schedule(), 0.0
    x0, ids = data.mean[:, 0], data.ids if captioned else data.empty.expand_as(data.ids)
    last = schedule.config.num_train_timesteps
    with torch.inference_mode():
        for number in range(_MEASURED):
            noise = torch.randn(x0.shape, generator=generator_of("held-out loss", seed, number))
            t = torch.full((len(x0),), (2 * number + 1) * last // (2 * _MEASURED))
            x_t = schedule.add_noise(x0, noise, t)
            for some in torch.split(torch.arange(len(x0)), _AT_ONCE):
                predicted = _predicted(networks, x_t[some], t[some], ids[some])
                total += float(F.mse_loss(predicted, noise[some], reduction="sum"))
    return total / (_MEASURED * x0.numel())


def _predicted(networks: nn.ModuleDict, x_t: Tensor, t: Tensor, ids: Tensor) -> Tensor:
    states = networks["text_encoder"](ids).last_hidden_state
    predicted: Tensor = networks["unet"](x_t, t, states).sample
    return predicted
