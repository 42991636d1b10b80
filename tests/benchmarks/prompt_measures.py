"""What measuring prompts costs beside sampling, as a share of it: passes through the UNet, and seconds.

Random weights, on the CPU, on one thread: Stable Diffusion 1.5's classes and depths at a quarter of its widths, 256
pixels. Prompts on the noises of the default, and images by DDIM under guidance, in turns; both are then scaled to what
the preset `text-to-image` does: captions of both sides, of the fine-tune and its base.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline

from tests.benchmarks.encoded_step import CAPTION, save_quarter_sd
from tests.benchmarks.turns import in_turns
from unecho.components.config import resolve
from unecho.components.sample.on_noises import OnNoises

PROMPTS, IMAGES, STEPS, PAIRS = 4, 4, 4, 3
SIDE = 256
_MODELS, _SIDES, _LOOKED_AT, _BACKWARD = 2, 2, 5, 3
"""A pass with its backward pass counts for three."""


def benchmark() -> None:
    torch.set_num_threads(1)
    config = resolve("text-to-image")
    seeds, prompts = config.evaluate.prompt_seeds, _MODELS * _SIDES * config.evaluate.prompts
    with TemporaryDirectory(prefix="unecho-benchmark-") as folder:
        save_quarter_sd(Path(folder))
        pipeline = StableDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.unet.register_to_config(sample_size=SIDE // pipeline.vae_scale_factor)
    texts = [f"{CAPTION} {number}" for number in range(PROMPTS)]

    def sampled() -> None:
        pipeline(texts[:1] * IMAGES, num_inference_steps=STEPS, guidance_scale=7.5, output_type="latent")

    noises = OnNoises.of(pipeline, 0, seeds)
    measured = in_turns(lambda: noises.measured(texts), sampled, PAIRS)
    looked_at = in_turns(lambda: noises.attribution(texts[0]), sampled, 1)
    images = config.sample.count * config.sample.steps
    passes = 2 * seeds * prompts + _BACKWARD * _LOOKED_AT * seeds
    print(f"  passes: {passes:,} of {2 * images:,} for {config.sample.count:,} images: {passes / (2 * images):.2%}")
    for kind in ("cpu", "wall"):
        (one, step), (token, _) = measured.seconds(kind), looked_at.seconds(kind)
        ours = one / PROMPTS * prompts + token * _LOOKED_AT
        share = ours / (step / (IMAGES * STEPS) * images)
        each = f"{one / PROMPTS:.3g} s a prompt on {seeds} noises, {step / (IMAGES * STEPS):.3g} s a step of an image"
        print(f"  {share:.2%} of sampling by {kind}; {each}, {token:.3g} s for the tokens of one", flush=True)
