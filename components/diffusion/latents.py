"""Text-to-image models: the UNet of a pretrained pipeline, or adapters in it, on the latents of its VAE."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from shutil import copyfile
from typing import Any, Final, cast

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    DiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers import __version__ as diffusers_version
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import RunConfig
from ..failure import Fatal
from ..method.augment import augmentations
from .adapters import add_adapters, draw_adapters, is_adapter, load_adapters, merged, sort_metadata
from .arithmetic import train_precision
from .base_folder import INDEX, TOKENIZER_SUFFIXES, read_config, read_index
from .device import choose_device
from .family import Base, Batch, Pretrained
from .loading import one_line, pipeline_class, pipeline_with, whole
from .noise import prediction_target, snr_weights
from .quiet import quiet
from .samplers import check_sampler, scheduler_of

CONDITION_ROWS: Final = "class_embedding.weight"
_FROZEN: Final = ("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")


class Latents:
    """The family of Stable Diffusion's models. VAE and text encoders are frozen, and only read where they are used."""

    def __init__(self, config: RunConfig, pretrained: Pretrained | None) -> None:
        assert pretrained is not None  # the configuration requires it
        self._config, self._pretrained = config, pretrained
        self._scheduler, self._vae = map(self._config_of, ("scheduler/scheduler_config.json", "vae/config.json"))
        _check_noise(pretrained.where, self._scheduler)
        self._schedule = DDPMScheduler.from_config(self._scheduler)
        timesteps = len(self._schedule.alphas_cumprod)
        if config.noise.timesteps != timesteps:
            raise Fatal(
                f"noise.timesteps: {config.noise.timesteps}, but {pretrained.address} was trained with {timesteps}: "
                "leave it out, or set that"
            )

    def base(self, channels: int, resolution: int) -> Base:
        """The pipeline's class and the configs of its UNet and scheduler, which the released one keeps."""
        pretrained, config = self._pretrained, self._config
        index = read_index(pretrained.where, pretrained.read(INDEX))
        vae, unet = self._vae, self._config_of("unet/config.json")
        if channels != vae.get("in_channels", 3):
            raise Fatal(
                f"data.channels: {channels}: the base model's VAE takes {vae.get('in_channels', 3)} channels: "
                f"set data.channels={vae.get('in_channels', 3)}"
            )
        if unet.get("class_embed_type") or unet.get("num_class_embeds") or unet.get("class_embeddings_concat"):
            raise Fatal(f"{pretrained.where}: its UNet takes class labels beside text: not supported")
        if unet.get("time_cond_proj_dim"):
            raise Fatal(
                f"{pretrained.where}: its UNet is told the guidance (LCM): not "
                "supported: give the model that it was distilled from"
            )
        if unet.get("in_channels") != vae.get("latent_channels", 4):
            raise Fatal(
                f"{pretrained.where}: its UNet takes {unet.get('in_channels')} channels, its VAE's "
                f"latents have {vae.get('latent_channels', 4)}: an inpainting or depth model is not text-to-image"
            )
        shrinks, halvings = shrinking(vae), shrinking(unet)
        if resolution % shrinks:
            raise Fatal(
                f"data.resolution: {resolution}: the base model's VAE makes it {shrinks} times smaller, which does not "
                f"divide it: choose a multiple of {shrinks * halvings}"
            )
        if resolution // shrinks % halvings:
            raise Fatal(
                f"data.resolution: {resolution}: the base model's UNet halves its latents of {resolution // shrinks} "
                f"{halvings.bit_length() - 1} times: choose a multiple of {shrinks * halvings}"
            )
        scheduler = self._scheduler | {"_class_name": index["scheduler"][1]}
        check_sampler(pretrained.address, index["_class_name"], scheduler, config.sample, config.noise.timesteps)
        lora = config.lora
        return {
            "pipeline": index["_class_name"],
            "unet": unet | {"sample_size": resolution // shrinks},
            "scheduler": scheduler,
            "resolution": resolution,
            # XL's pipeline takes zeros unless its index says otherwise
            "zeros_for_no_caption": bool(
                index.get("force_zeros_for_empty_prompt", index["_class_name"] == "StableDiffusionXLPipeline")
            ),
            "conditions": self._conditions(),
            "lora": {"rank": lora.rank, "alpha": lora.alpha or lora.rank, "target_modules": list(lora.target_modules)}
            if lora.enabled
            else None,
        }

    def _config_of(self, name: str) -> dict[str, Any]:
        return read_config(self._pretrained.where, name, self._pretrained.read(name))

    def _conditions(self) -> int | None:
        taa = self._config.taa
        return 1 + len(augmentations(taa)) if taa.enabled and taa.augment_conditioning else None

    def initial(self, base: Base, seed: int) -> dict[str, Tensor]:
        """The pretrained UNet, or adapters whose product is zero; condition rows of zeros."""
        if base["lora"] is None:
            return dict(self._network(base).state_dict())
        with torch.device("meta"):  # shapes only
            network = self._network(base)
        return draw_adapters(network, seed)

    def trainable(self, base: Base) -> nn.Module:
        network: nn.Module = self._network(base, weights=base["lora"] is not None)
        if self._config.execution.gradient_checkpointing:
            cast(UNet2DConditionModel, network).enable_gradient_checkpointing()
        if base["lora"] is None:
            return network
        half = train_precision(self._config, choose_device(self._config)) == "bfloat16"
        for name, parameter in network.named_parameters():
            trains = is_adapter(name) and not (self._config.lora.average == "freeze_a" and ".lora_A." in name)
            parameter.requires_grad_(trains or name == CONDITION_ROWS)
            if half and not is_adapter(name) and name != CONDITION_ROWS:
                parameter.data = parameter.data.to(torch.bfloat16)
        return network

    def _network(self, base: Base, weights: bool = True) -> UNet2DConditionModel:
        """The UNet with the rows of the condition and, where asked for, adapters.

        Args:
            weights: whether those of the pretrained one are needed in it.
        """
        on_meta = torch.get_default_device().type == "meta"  # shapes only
        network = self._pretrained_unet(base) if weights and not on_meta else _new_unet(base)
        if (rows := base["conditions"]) is not None:
            # row 0, 'none', stays zero: `padding_idx` keeps it from having a gradient
            width = network.time_embedding.linear_2.out_features
            network.class_embedding = nn.Embedding(rows, width, padding_idx=0, _weight=torch.zeros(rows, width))
            network.register_to_config(num_class_embeds=rows)
        if (lora := base["lora"]) is not None:
            add_adapters(network, lora["rank"], lora["alpha"], lora["target_modules"])
        return network

    def _pretrained_unet(self, base: Base) -> UNet2DConditionModel:
        folder = self._pretrained.folder("unet")
        with quiet(), one_line(self._pretrained.where):
            network: UNet2DConditionModel = whole(
                UNet2DConditionModel, self._pretrained.where, folder, "unet", torch.float32, low_cpu_mem_usage=False
            )
        # of a UNet that diffusers below 0.9 saved, as Stable Diffusion 1.5's, its pipeline makes any size below 64 that
        network.register_to_config(sample_size=base["unet"]["sample_size"], _diffusers_version=diffusers_version)
        return network

    def x0(self, held: Tensor) -> Tensor:
        """A latent of each posterior, scaled as the base model scales it. Source: AutoencoderKL of diffusers."""
        mean, logvar = held.float().chunk(2, dim=1)
        latent = mean + torch.exp(0.5 * logvar.clamp(-30.0, 20.0)) * torch.randn_like(mean)
        return scaled(latent, self._vae)

    def losses(self, network: nn.Module, batch: Batch, t: Tensor, noise: Tensor) -> Tensor:
        """Mean squared error of the prediction over a latent's values, float32 [B]."""
        assert batch.text is not None
        x_t = self._schedule.add_noise(batch.x0, noise, t)
        target = prediction_target(self._schedule, batch.x0, noise, t)
        states, added = text_states(network.config, batch.text, batch.x0.shape[-1], self._vae)
        told = batch.condition if getattr(network, "class_embedding", None) is not None else None
        half = train_precision(self._config, x_t.device) == "bfloat16"
        with torch.autocast(x_t.device.type, torch.bfloat16, enabled=half):
            predicted = network(x_t, t, states, class_labels=told, added_cond_kwargs=added).sample
        return F.mse_loss(predicted.float(), target, reduction="none").mean(dim=(1, 2, 3))

    def weights_of(self, t: Tensor) -> Tensor | None:
        gamma = self._config.train.min_snr_gamma
        return None if gamma is None else snr_weights(self._schedule, t, gamma)

    def pipeline(self, base: Base, weights: Mapping[str, Tensor], sampler: str) -> DiffusionPipeline:
        """A plain pipeline of the base's class: adapters are merged, the condition 'none' adds nothing."""
        network = self._plain(base, weights)
        folder = self._pretrained.folder(*_FROZEN)
        with quiet(), one_line(self._pretrained.where):
            pipeline = pipeline_with(
                self._pretrained.where,
                folder,
                base,
                torch.float32,
                unet=network,
                vae=whole(AutoencoderKL, self._pretrained.where, folder, "vae", torch.float32),
                scheduler=scheduler_of(base["scheduler"], sampler),
            )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def _plain(self, base: Base, weights: Mapping[str, Tensor]) -> UNet2DConditionModel:
        """The UNet alone, with neither rows nor adapters."""
        plain = {**base, "conditions": None}
        own = {name: tensor for name, tensor in weights.items() if name != CONDITION_ROWS}
        network = self._network(plain, weights=base["lora"] is not None)
        if base["lora"] is not None:
            network = merged(network, own)
        else:
            network.load_state_dict(own)
        return network.requires_grad_(False).eval()

    def images(
        self, pipeline: DiffusionPipeline, generators: list[torch.Generator], prompts: Sequence[str] | None, steps: int
    ) -> NDArray[np.float32]:
        assert prompts is not None
        side = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
        with quiet():  # a prompt longer than the model reads is somebody's caption: not for the log
            made = pipeline(
                list(prompts),
                height=side,
                width=side,
                generator=generators,
                num_inference_steps=steps,
                guidance_scale=self._config.sample.guidance_scale,
                output_type="np",
            ).images
        return np.asarray(made, np.float32)

    def release(self, base: Base, weights: Mapping[str, Tensor], folder: Path) -> None:
        """The plain pipeline, and under lora/ the adapters by themselves, for the base's `load_lora_weights`."""
        with quiet():
            self.pipeline(base, weights, self._config.sample.sampler).save_pretrained(folder, safe_serialization=True)
            self._copy_tokenizers(folder)
            if base["lora"] is not None:
                from peft.utils import get_peft_model_state_dict

                network = self._network({**base, "conditions": None}, weights=False)
                load_adapters(network, {n: t for n, t in weights.items() if is_adapter(n)})
                lora = base["lora"]
                pipeline_class(base).save_lora_weights(
                    folder / "lora",
                    unet_lora_layers=get_peft_model_state_dict(network),
                    # without it a reader takes alpha for the rank
                    unet_lora_adapter_metadata={
                        "r": lora["rank"],
                        "lora_alpha": lora["alpha"],
                        "target_modules": lora["target_modules"],
                    },
                )
                for path in (folder / "lora").glob("*.safetensors"):
                    sort_metadata(path)

    def _copy_tokenizers(self, folder: Path) -> None:
        """The base's own files beside those saved anew, which name one that older libraries do not read."""
        names = [name for name in _FROZEN if name.startswith("tokenizer") and (folder / name).is_dir()]
        given = self._pretrained.folder(*names)
        for path in (path for name in names for path in sorted((given / name).iterdir())):
            if path.suffix in TOKENIZER_SUFFIXES:
                copyfile(path, folder / path.parent.name / path.name)


def shrinking(network: Mapping[str, Any]) -> int:
    """How many times smaller the inmost level of a VAE or UNet is than what it is given: each level halves it.

    Args:
        network: its config.
    """
    return int(2 ** (len(network.get("block_out_channels", (0,) * 4)) - 1))


def scaled(latent: Tensor, vae: Mapping[str, Any]) -> Tensor:
    """A VAE's latent as its UNet sees it.

    Args:
        vae: its config.
    """
    factor = float(vae.get("scaling_factor", 0.18215))
    mean, std = vae.get("latents_mean"), vae.get("latents_std")
    if mean is None or std is None:
        return latent * factor
    mean, std = (_constant(tuple(of), latent.device).view(1, -1, 1, 1).to(latent.dtype) for of in (mean, std))
    return (latent - mean) * factor / std


def text_states(unet: Any, rows: Tensor, side: int, vae: Mapping[str, Any]) -> tuple[Tensor, dict[str, Tensor] | None]:
    """Rows of encoded texts as a UNet takes them: states [B, L, D], and what XL is told besides.

    Args:
        unet: its config.
        rows: float [B, L * D], or [B, L * D + P] with the pooled text.
        side: of the latents.
        vae: its config.

    XL's size conditions say that the image has its full size and is not cropped, which is what its pipeline says.
    """
    width = unet.cross_attention_dim
    width = width if isinstance(width, int) else width[0]
    if unet.addition_embed_type != "text_time":
        return rows.reshape(len(rows), -1, width), None
    pooled = unet.projection_class_embeddings_input_dim - 6 * unet.addition_time_embed_dim
    pixels = float(side * shrinking(vae))
    sizes = _constant((pixels, pixels, 0.0, 0.0, pixels, pixels), rows.device).expand(len(rows), -1)
    states = rows[:, : rows.shape[1] - pooled].reshape(len(rows), -1, width)
    return states, {"text_embeds": rows[:, rows.shape[1] - pooled :], "time_ids": sizes}


@cache
def _constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Numbers on a device, sent once: to send them anew at every step is to wait for the device at every step."""
    return torch.tensor(values, device=device)


def _new_unet(base: Base) -> UNet2DConditionModel:
    """A UNet whose weights are to be loaded: none are drawn, which takes longer than reading them."""
    device = torch.get_default_device()
    with torch.device("meta"):
        network = UNet2DConditionModel.from_config(dict(base["unet"]))
    return cast(UNet2DConditionModel, network.to_empty(device=device))


def _check_noise(where: str, scheduler: Mapping[str, Any]) -> None:
    """Whether the base was trained under DDPM's noise: for want of a schedule diffusers would take one of its own."""
    if "beta_schedule" not in scheduler and not scheduler.get("trained_betas"):
        raise Fatal(
            f"{where}: scheduler/scheduler_config.json has no beta_schedule: a base of EDM or of "
            "flow matching is not supported"
        )
    predicts = scheduler.get("prediction_type", "epsilon")
    if predicts not in ("epsilon", "v_prediction", "sample"):
        raise Fatal(
            f"{where}: its scheduler's prediction_type is {predicts}: epsilon, v_prediction or sample is supported"
        )
