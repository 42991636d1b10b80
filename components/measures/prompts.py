"""What a model does with a prompt, without making an image: two measures of memorization, and their figures.

A prompt that leads to a memorized image changes the first prediction more than others do (Y. Wen et al., ICLR 2024),
and at low noise changes it along the unconditional score (R. Asthana and V. Belagiannis, ICLR 2026). Both are read off
pure noise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .prompt_figures import PromptMeasure, PromptMeasureName, Spread
from .ranking import agreement, area, detected

FALSE_ALARMS: Final = 0.01
"""Share of the held-out captions that may be taken for training captions."""
Kind = Literal["training", "held_out", "general"]


def magnitude(conditional: Tensor, unconditional: Tensor) -> Tensor:
    """|eps(x, prompt) - eps(x, '')|, root mean square over an image's values, [B].

    Args:
        conditional: noise predicted with each prompt, [B, C, h, w].
        unconditional: without, the same shape or [1, C, h, w].
    """
    difference = (conditional - unconditional).float().flatten(1)
    norms: Tensor = torch.linalg.vector_norm(difference, dim=1) / sqrt(difference.shape[1])
    return norms


def anisotropy(conditional: Tensor, unconditional: Tensor) -> Tensor:
    """Cosine between unconditional score and guidance vector over channels, mean over positions, [B], -1 to 1.

    Scores are predictions of the noise times the same negative number, so the cosine is the same of both.
    """
    guidance = (conditional - unconditional).float()
    cosine = torch.nn.functional.cosine_similarity(unconditional.float().expand_as(guidance), guidance, dim=1)
    return cosine.mean(dim=(1, 2))


@dataclass(frozen=True)
class PromptValues:
    """Both measures of prompts of one kind, float64 [n, seeds] each."""

    magnitude: NDArray[np.float64]
    anisotropy: NDArray[np.float64]


def measures_of(values: Mapping[Kind, PromptValues], seed: int) -> list[PromptMeasure]:
    """Training captions beside held-out and general ones: each measure, and the sum of the two.

    Args:
        values: of training captions, and of the others where there are some.
        seed: of the bootstrap.
    """
    return [_measure(name, kinds, seed) for name, kinds in _by_measure(values).items()]


def _by_measure(values: Mapping[Kind, PromptValues]) -> dict[PromptMeasureName, dict[Kind, NDArray[np.float64]]]:
    """Each measure by kind; `both` in units of the standard deviation over the captions that are compared."""
    single: dict[PromptMeasureName, dict[Kind, NDArray[np.float64]]] = {
        "magnitude": {kind: of.magnitude for kind, of in values.items()},
        "anisotropy": {kind: of.anisotropy for kind, of in values.items()},
    }
    standard = [_standardised(kinds) for kinds in single.values()]
    return {**single, "both": {kind: standard[0][kind] + standard[1][kind] for kind in values}}


def _standardised(kinds: Mapping[Kind, NDArray[np.float64]]) -> dict[Kind, NDArray[np.float64]]:
    captions = np.concatenate([of.mean(axis=1) for kind, of in kinds.items() if kind != "general"])
    mean, deviation = captions.mean(), captions.std()
    return {kind: (of - mean) / (deviation or 1.0) for kind, of in kinds.items()}


def _measure(name: PromptMeasureName, kinds: Mapping[Kind, NDArray[np.float64]], seed: int) -> PromptMeasure:
    """
    Args:
        kinds: values of each kind, [n, seeds].
    """
    nothing = np.empty((0, kinds["training"].shape[1]))
    training, held_out = kinds["training"], kinds.get("held_out", nothing)
    one, other = training.mean(axis=1), held_out.mean(axis=1)
    return PromptMeasure(
        name=name,
        training=_spread(training),
        held_out=_spread(held_out) if len(held_out) else None,
        general=_spread(kinds["general"]) if len(kinds.get("general", nothing)) else None,
        auc=area(one, other),
        detected=detected(one, other, FALSE_ALARMS, seed),
        agreement=agreement(np.concatenate([training, held_out])),
    )


def _spread(values: NDArray[np.float64]) -> Spread:
    median, high = np.quantile(values.mean(axis=1), (0.5, 0.95)).tolist()
    return Spread(median=median, high=high)
