"""How somebody samples from a released model, as the images of its report were."""

from ..config import RunConfig


def sampling_lines(model: str, config: RunConfig) -> tuple[str, str, str]:
    """The three lines of diffusers that sample from a released model as the images of its report were.

    Args:
        model: its folder.
    """
    sample = config.sample
    if config.model.family == "latents":
        guided = f"num_inference_steps={sample.steps}, guidance_scale={sample.guidance_scale:g}"
        return (
            "from diffusers import DiffusionPipeline",
            f'pipeline = DiffusionPipeline.from_pretrained("{model}")',
            f'pipeline("a prompt", {guided}).images[0].save("sample.png")',
        )
    pipeline = f"{sample.sampler.upper()}Pipeline"
    return (
        f"from diffusers import {pipeline}",
        f'pipeline = {pipeline}.from_pretrained("{model}")',
        f'pipeline(batch_size=4, num_inference_steps={sample.steps}).images[0].save("sample.png")',
    )
