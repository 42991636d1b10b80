"""The pipelines that Kubeflow gets: each a loop, the form that starts it, and what its steps hand to the UI."""

from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ...components.kubeflow_task.audit_form import AUDIT as AUDIT_FORM
from ...components.kubeflow_task.entry import Form
from ...components.kubeflow_task.form import TRAINING
from ...components.kubeflow_task.outputs import AUDIT_OUTPUTS, OUTPUTS, Output
from ..loop import Engine, audit, iet


@dataclass(frozen=True, eq=False)
class Definition:
    """What a pipeline is made of.

    Attributes:
        name: in Kubeflow.
        purpose: one line for the user.
        empty: what an empty field means.
        outputs: by step; the others give nothing but their record.
    """

    name: str
    purpose: str
    empty: str
    loop: Callable[[Engine], None]
    form: Form
    outputs: Mapping[str, tuple[Output, ...]]

    @property
    def description(self) -> str:
        """Of the pipeline and of its form's fields: the UI shows this one, and not theirs."""
        needed = " and ".join(entry.name for entry in self.form.entries if entry.default is None)
        lines = [self.purpose, f"{needed} must be given. A field that is left empty means {self.empty}."]
        return "\n".join(lines + [f"* {entry.name}: {entry.help}" for entry in self.form.entries])


IET: Final = Definition(
    "unecho",
    "Trains a diffusion model that does not echo its training images (IET-AGC+), and reports how closely it does.",
    "what the preset says",
    iet,
    TRAINING,
    OUTPUTS,
)
AUDIT: Final = Definition(
    "unecho-audit",
    "Measures how closely a given diffusion model, or given images, echo the images that the model was trained on.",
    "what the model itself says, or the usual",
    audit,
    AUDIT_FORM,
    AUDIT_OUTPUTS,
)
DEFINITIONS: Final[Mapping[str, Definition]] = {"iet": IET, "audit": AUDIT}
"""By the name of the loop."""


def add_pipeline_argument(parser: ArgumentParser) -> None:
    """Add --pipeline."""
    parser.add_argument(
        "--pipeline",
        choices=tuple(DEFINITIONS),
        default="iet",
        help="iet trains a model, audit measures a given one, or given images (default: %(default)s)",
    )
