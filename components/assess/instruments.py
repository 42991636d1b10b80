"""What images are measured by: the same for a report and for a look at a model."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..config import RunConfig
from ..measures.descriptors import Descriptor
from ..measures.features import Features, Onnx, features_of
from ..run import Plan
from ..run.given_files import check_file, read_extractor


@dataclass(frozen=True)
class Instruments:
    """Maps that images are measured by.

    Attributes:
        features: of the quality figures, in the order of `evaluate.features`.
        descriptor: that copies are found by; None where `evaluate.descriptor` names none.
    """

    features: Sequence[Features]
    descriptor: Descriptor | None = None

    @property
    def onnx_provider(self) -> str | None:
        """What ONNX files among them are run by, as onnxruntime calls it; None without one."""
        named = (one.provider for one in (*self.features, self.descriptor) if isinstance(one, Onnx | Descriptor))
        return next((provider for provider in named if provider), None)


def planned_instruments(plan: Plan, device: torch.device) -> Instruments:
    """What the plan names, of files that hold what it has frozen.

    Raises:
        Fatal: a file is missing or holds something else, or a package is not installed; names it.
    """
    for field in ("evaluate.inception_weights", "evaluate.onnx_model"):
        check_file(plan.config, plan.files, field)
    return Instruments(
        features=features_of(plan.config.evaluate, device, read_extractor),
        descriptor=planned_descriptor(plan, device),
    )


def planned_descriptor(plan: Plan, device: torch.device) -> Descriptor | None:
    """The copy descriptor alone.

    Raises:
        Fatal: of `planned_instruments`.
    """
    check_file(plan.config, plan.files, "evaluate.descriptor")
    return descriptor_of(plan.config, device)


def check_descriptor(config: RunConfig) -> None:
    """Whether the copy descriptor, where there is one, can be used: said by a plan, not after all training.

    Raises:
        Fatal: of `descriptor_of`.
    """
    descriptor_of(config, torch.device("cpu"))


def descriptor_of(config: RunConfig, device: torch.device) -> Descriptor | None:
    """The copy descriptor that a configuration names, tried where the size of its images is known.

    Raises:
        Fatal: the file is missing, or is no descriptor that goes with the transform; names it.
    """
    return None if config.evaluate.descriptor is None else Descriptor(config.evaluate, device, read_extractor)
