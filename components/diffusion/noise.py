"""The noise schedule."""

from diffusers import DDIMScheduler, DDPMScheduler

from unecho.components.config import RunConfig


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
