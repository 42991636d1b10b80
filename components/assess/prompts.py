"""What the prompts of a text-to-image model give away, out of what `sample` has measured."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..config import RunConfig
from ..measures.prompt_figures import PromptFigures, PromptMeasure, WorstPrompt
from ..measures.prompts import Kind, PromptValues, measures_of
from ..run import ModelRecord, Run, SamplesRecord
from ..run.measured_prompts import MeasuredPrompt, read_prompt_parts

_KINDS: Final[tuple[Kind, ...]] = ("training", "held_out", "general")
_WORST: Final = 5
Numbers = Mapping[str, NDArray[np.float64]]


def prompt_figures(run: Run, config: RunConfig, model: ModelRecord) -> PromptFigures | None:
    """Training captions beside those of held-out images and general prompts.

    Returns:
        None for a model without prompts, where none are asked for, and where `sample` did not measure them yet.

    Raises:
        Fatal: a part is missing, or an object of it is missing or altered; names it.
    """
    if config.audit.images is not None:
        return None
    parts = [run.load(SamplesRecord, model.round, part) for part in range(config.sample.parts)]
    if (read := read_prompt_parts(run, parts)) is None:
        return None
    found, numbers = read
    if found.unmeasured or not numbers:
        return PromptFigures(unmeasured=found.unmeasured or "no prompt is left")
    count = {kind: sum(prompt.kind == kind for prompt in found.prompts) for kind in _KINDS}
    return PromptFigures(
        training=count["training"],
        held_out=count["held_out"],
        general=count["general"],
        on_both_sides=found.on_both_sides,
        seeds=numbers["magnitude"].shape[1],
        measures=_measures(found.prompts, numbers, "", config.seed),
        base=_measures(found.prompts, numbers, "base_", config.seed) if "base_magnitude" in numbers else [],
        worst=_worst(found.prompts, numbers["magnitude"]) if config.report.images == "all" else [],
    )


def _measures(prompts: Sequence[MeasuredPrompt], numbers: Numbers, whose: str, seed: int) -> list[PromptMeasure]:
    kinds = np.array([prompt.kind for prompt in prompts])
    values: dict[Kind, PromptValues] = {
        kind: PromptValues(numbers[f"{whose}magnitude"][kinds == kind], numbers[f"{whose}anisotropy"][kinds == kind])
        for kind in _KINDS
        if (kinds == kind).any()
    }
    return measures_of(values, seed)


def _worst(prompts: Sequence[MeasuredPrompt], magnitude: NDArray[np.float64]) -> list[WorstPrompt]:
    """The training captions of the highest magnitude, with their tokens."""
    means = magnitude.mean(axis=1)
    order = sorted((place for place, one in enumerate(prompts) if one.kind == "training"), key=lambda i: -means[i])
    return [
        WorstPrompt(
            text=prompts[place].text,
            row=prompts[place].row,
            magnitude=float(means[place]),
            tokens=prompts[place].tokens or [],
            images=prompts[place].images,
        )
        for place in order[:_WORST]
    ]
