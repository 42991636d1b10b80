"""The noise schedule, and what a network predicts under it."""

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
