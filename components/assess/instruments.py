"""What images are measured by: the same for a report and for a look at a model."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..measures.features import Features, features_of
from ..run import Plan
from ..run.given_files import check_file, read_extractor


@dataclass(frozen=True)
class Instruments:
    """Maps that images are measured by.

    Attributes:
        features: of the quality figures, in the order of `evaluate.features`.
    """

    features: Sequence[Features]


def planned_instruments(plan: Plan, device: torch.device) -> Instruments:
    """What the plan names, of files that hold what it has frozen.

    Raises:
        Fatal: a file is missing or holds something else, or a package is not installed; names it.
    """
    for field in ("evaluate.inception_weights", "evaluate.onnx_model"):
        check_file(plan.config, plan.files, field)
    return Instruments(features=features_of(plan.config.evaluate, device, read_extractor))
