"""README.md of a release folder in Hugging Face's form: metadata in YAML, then sections that people read.

A card is a function of what was computed and no more. It has no address, time, device or name of a run, so that a
release has the same bytes whichever engine made it; and no training image, no name of one and no caption.
"""

from typing import Any, Final

import yaml

from ...config import RunConfig
from ..figures import Figures
from ..sampling import sampling_lines
from .limits import limits
from .measured import measured
from .training import training
from .wording import bullets, escaped, hub_base, is_prompted

CARD: Final = "README.md"
"""Its path in the folder, where hubs look for it."""


def model_card(figures: Figures, config: RunConfig) -> str:
    """The card of a released model.

    Args:
        figures: of the report on it.
        config: of the run that trained it.
    """
    sections = [
        _head(figures, config),
        ["## What was measured", "", *measured(figures)],
        ["## Data", "", *_data(figures, config)],
        ["## Training", "", *training(figures, config)],
        ["## Limits", "", *limits(figures, config)],
        ["## How to sample", "", *_sampling(config)],
        ["## Licence", "", _licence(config)],
    ]
    text = "\n\n".join("\n".join(lines) for lines in sections)
    return f"---\n{yaml.safe_dump(_metadata(config), sort_keys=False, allow_unicode=True)}---\n\n{text}\n"


def _metadata(config: RunConfig) -> dict[str, Any]:
    """What hubs and their libraries read."""
    base = hub_base(config)
    return {
        "library_name": "diffusers",
        "pipeline_tag": "text-to-image" if is_prompted(config) else "unconditional-image-generation",
        "license": "other",
        "license_name": "not-stated",
        **({"base_model": base, "base_model_relation": "finetune"} if base else {}),
        "tags": ["unecho", "diffusion", "memorization", *(["lora"] if config.lora.enabled else [])],
    }


def _head(figures: Figures, config: RunConfig) -> list[str]:
    kind = "Text-to-image model" if is_prompted(config) else "Image model"
    headline, side = figures.headline, figures.resolution
    smoke = ["", f"This is a smoke run, whose figures decide nothing: {headline.smoke}."] if headline.smoke else []
    return [
        f"# {kind}, {side} x {side} pixels",
        "",
        "Trained and measured by Unecho (arXiv [2407.15328](https://arxiv.org/abs/2407.15328) and "
        "[2502.09434](https://arxiv.org/abs/2502.09434)): do its images repeat its training images?",
        "",
        f"**{headline.title}.** {escaped(headline.sentence)}",
        "",
        escaped(headline.quality),
        *smoke,
    ]


def _data(figures: Figures, config: RunConfig) -> list[str]:
    source = figures.provenance
    images = f"{source.train_images:,} images{' with captions' if is_prompted(config) else ''} for training"
    held_out = f"{source.held_out_images:,}" if source.held_out_images else "none"
    return bullets(
        [
            f"{images}, {held_out} held out.",
            *([f"{figures.forgotten.sentence}."] if figures.forgotten else []),
            f"Digest of the data set (SHA-256 over pixels, labels, captions and split): `{source.dataset}`.",
            "This card shows no training image and repeats no caption.",
        ]
    )


def _sampling(config: RunConfig) -> list[str]:
    lines = ["As the images were made that were measured; `model` is this folder:", "", "```python"]
    lines += [*sampling_lines("model", config), "```"]
    if config.lora.enabled:
        lines += [
            "",
            "The adapters are merged into the UNet here. `lora/` holds them alone, for `load_lora_weights` of the "
            "pretrained model.",
        ]
    return lines


def _licence(config: RunConfig) -> str:
    base = " and by those of the pretrained model" if config.model.pretrained is not None else ""
    return (
        f"Not stated. What is allowed is bounded by the terms of the training images{base}: whoever passes the model "
        "on says so under `license` above."
    )
