"""The noise schedule, and what a network predicts under it."""

import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor

from ..config import RunConfig


def noise_schedule(config: RunConfig, sampler: str = "ddpm") -> DDPMScheduler | DDIMScheduler:
    """diffusers' scheduler of the run: q(x_t | x_0) in training, the sampler in sampling."""
    kind = DDIMScheduler if sampler == "ddim" else DDPMScheduler
    return kind(
        num_train_timesteps=config.noise.timesteps,
        beta_schedule=config.noise.schedule,
        beta_start=config.noise.beta_start,
        beta_end=config.noise.beta_end,
        prediction_type=config.noise.prediction,
    )


def prediction_target(schedule: DDPMScheduler, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """What the network's output is compared with: the noise, the velocity (arXiv 2202.00512) or x0."""
    match schedule.config.prediction_type:
        case "v_prediction":
            velocity: Tensor = schedule.get_velocity(x0, noise, t)
            return velocity
        case "sample":
            return x0
        case _:
            return noise


def snr_weights(schedule: DDPMScheduler, t: Tensor, gamma: float) -> Tensor:
    """min(SNR, gamma) in place of each loss's own weight, float32 [B] (arXiv 2303.09556, section 3.4).

    The loss of the noise has the weight SNR in terms of x0, that of the velocity SNR + 1, that of x0 itself 1.
    """
    alpha = schedule.alphas_cumprod.to(t.device)[t]
    snr = alpha / (1 - alpha)
    own = {"epsilon": snr, "v_prediction": snr + 1}.get(schedule.config.prediction_type, torch.ones_like(snr))
    weights: Tensor = (snr.clamp(max=gamma) / own.clamp(min=1e-8)).float()
    return weights
