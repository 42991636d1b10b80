"""The pipelines that Kubeflow gets: each a loop, the form that starts it, and what its steps hand to the UI."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ...components.kubeflow_task.entry import ROOT, Form
from ...components.kubeflow_task.form import TRAINING
from ...components.kubeflow_task.outputs import OUTPUTS, Output
from ..loop import Engine, iet


@dataclass(frozen=True, eq=False)
class Definition:
    """What a pipeline is made of.

    Attributes:
        name: in Kubeflow.
        purpose: one line for the user.
        outputs: by step; the others give nothing but their record.
    """

    name: str
    purpose: str
    loop: Callable[[Engine], None]
    form: Form
    outputs: Mapping[str, tuple[Output, ...]]

    @property
    def description(self) -> str:
        """Of the pipeline and of its form's fields: the UI shows this one, and not theirs."""
        lines = [self.purpose, f"{ROOT} must be given. A field that is left empty means what the preset says."]
        return "\n".join(lines + [f"* {entry.name}: {entry.help}" for entry in self.form.entries])


IET: Final = Definition(
    "unecho",
    "Trains a diffusion model that does not echo its training images (IET-AGC+), and reports how closely it does.",
    iet,
    TRAINING,
    OUTPUTS,
)
DEFINITIONS: Final[Mapping[str, Definition]] = {"iet": IET}
"""By the name of the loop."""
