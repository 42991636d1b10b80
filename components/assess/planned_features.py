"""What a run's images are compared by in the quality figures."""

import torch

from ..measures.features import Features, features_of
from ..run import Plan
from ..run.given_files import check_file, read_extractor


def planned_features(plan: Plan, device: torch.device) -> list[Features]:
    """The features that `evaluate.features` names, of files that hold what the plan has frozen.

    Raises:
        Fatal: a file is missing or holds something else, or a package is not installed; names it.
    """
    for field in ("evaluate.inception_weights", "evaluate.onnx_model"):
        check_file(plan.config, plan.files, field)
    return features_of(plan.config.evaluate, device, read_extractor)
