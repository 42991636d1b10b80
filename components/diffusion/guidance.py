"""What a prompt adds to a pipeline's prediction: the noise predicted with it, and without it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from diffusers import DDPMScheduler, DiffusionPipeline
from torch import Tensor

from .quiet import quiet

GUIDED: Final = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
"""Classes whose prompts can be looked at: one UNet that is told a text by its states."""
_STEPS: Final = 50
"""Of the sampling schedule that both timesteps are of, whatever the images are sampled with."""


@dataclass(frozen=True)
class Embedded:
    """Texts as the UNet takes them.

    Attributes:
        states: input of its cross-attention, [B, L, D].
        pooled: XL's, [B, P].
    """

    states: Tensor
    pooled: Tensor | None = None


class Guidance:
    """A pipeline of Stable Diffusion's classes, asked for predictions and not for images."""

    def __init__(self, pipeline: DiffusionPipeline) -> None:
        """
        Args:
            pipeline: one that `not_guided` has nothing to say of, on its device; none of its network trains any more.
        """
        self._pipeline: Any = pipeline
        self._unet: Any = pipeline.unet.requires_grad_(False)
        schedule = DDPMScheduler.from_config(pipeline.scheduler.config)
        self._alphas, self._predicts = schedule.alphas_cumprod, schedule.config.prediction_type
        self.first, self.low = timesteps(len(self._alphas))

    def noise(self, generator: torch.Generator) -> Tensor:
        """Pure noise of one latent, [1, C, h, w], the same on every device."""
        side = self._unet.config.sample_size
        return torch.randn(1, self._unet.config.in_channels, side, side, generator=generator).to(self._pipeline.device)

    @torch.no_grad()
    def embed(self, texts: Sequence[str]) -> Embedded:
        """The states of texts."""
        return self._encoded(texts, 0)

    @torch.no_grad()
    def nothing(self) -> Embedded:
        """The state of no prompt, as guidance takes it: that of the empty text, or zeros where the pipeline says so."""
        return self._encoded(["-"], 1)

    def _encoded(self, texts: Sequence[str], which: int) -> Embedded:
        """
        Args:
            which: 0 for the texts, 1 for what stands in their place.
        """
        with quiet():  # a prompt longer than the model reads is somebody's caption: not for the log
            encoded = self._pipeline.encode_prompt(
                list(texts),
                device=self._pipeline.device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=True,
            )
        return Embedded(encoded[which], encoded[2 + which] if len(encoded) > 2 else None)

    def epsilon(self, embedded: Embedded, noise: Tensor, t: int) -> Tensor:
        """The noise that the network finds in a latent which is all noise, [B, C, h, w].

        Whatever the network predicts is turned into it; a difference of two is then the difference of two scores, times
        a negative number that is the same for both.

        Args:
            noise: [1, C, h, w], for all of them.
            t: timestep that the network is told.
        """
        x = noise.expand(len(embedded.states), -1, -1, -1)
        predicted = self._unet(x, t, encoder_hidden_states=embedded.states, added_cond_kwargs=self._added(embedded))
        return as_epsilon(predicted.sample, x, float(self._alphas[t]), self._predicts)

    def _added(self, embedded: Embedded) -> dict[str, Tensor] | None:
        """XL is told the size of an image that has its full size and is not cropped, as its pipeline tells it."""
        if embedded.pooled is None:
            return None
        pixels = float(self._unet.config.sample_size * self._pipeline.vae_scale_factor)
        sizes = torch.tensor([[pixels, pixels, 0.0, 0.0, pixels, pixels]], device=embedded.pooled.device)
        return {"text_embeds": embedded.pooled, "time_ids": sizes.expand(len(embedded.pooled), -1)}

    def tokens(self, text: str) -> list[tuple[int, str]]:
        """Place among the states, and text, of each token of a prompt; neither its frame nor its padding."""
        tokenizer = self._pipeline.tokenizer
        with quiet():
            ids = tokenizer(text, truncation=True, max_length=tokenizer.model_max_length).input_ids
        special = set(tokenizer.all_special_ids)
        return [(place, tokenizer.decode([i]).strip()) for place, i in enumerate(ids) if i not in special]


def not_guided(pipeline: DiffusionPipeline) -> str | None:
    """Why the prompts of a pipeline cannot be measured; None where they can be."""
    name = type(pipeline).__name__
    if name not in GUIDED:
        return f"the model is a {name}, and prompts are measured of {' and '.join(GUIDED)}"
    scheduler = pipeline.scheduler.config
    if "beta_schedule" not in scheduler and not scheduler.get("trained_betas"):
        return f"its {type(pipeline.scheduler).__name__} has no beta schedule, so that its noise is another"
    if scheduler.get("prediction_type", "epsilon") not in ("epsilon", "v_prediction", "sample"):
        return f"its network predicts {scheduler['prediction_type']}"
    if pipeline.unet.config.get("time_cond_proj_dim"):
        return "its network is told the guidance (LCM), and has no prediction without a prompt"
    return None


def timesteps(total: int) -> tuple[int, int]:
    """The first and the third last timestep of a sampling schedule of 50 steps, as Stable Diffusion's is.

    Args:
        total: that the model was trained with: 1,000 gives 981 and 41.
    """
    steps = min(_STEPS, total)
    gap = total // steps
    offset = int(gap > 1)
    return (steps - 1) * gap + offset, min(2, steps - 1) * gap + offset


def as_epsilon(predicted: Tensor, x: Tensor, alpha: float, predicts: str) -> Tensor:
    """A prediction as one of the noise.

    Args:
        x: what the network was given.
        alpha: cumulative product of the alphas at its timestep.
        predicts: "epsilon", "v_prediction" (arXiv 2202.00512) or "sample".
    """
    signal, noise = float(alpha**0.5), float((1 - alpha) ** 0.5)
    match predicts:
        case "v_prediction":
            return signal * predicted + noise * x
        case "sample":
            return (x - signal * predicted) / noise
        case _:
            return predicted
