"""The pipelines that Kubeflow gets: each a loop, the form that starts it, and what its steps hand to the UI."""

from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ...components.kubeflow_task.audit_form import AUDIT_FORM
from ...components.kubeflow_task.entry import Entry
from ...components.kubeflow_task.form import FORM
from ...components.kubeflow_task.outputs import AUDIT_OUTPUTS, OUTPUTS, Output
from ...components.kubeflow_task.retrain_form import RETRAIN_FORM
from ..loop import Engine, audit, iet


@dataclass(frozen=True, eq=False)
class Definition:
    """What a pipeline is made of.

    Attributes:
        name: in Kubeflow.
        purpose: one line for the user.
        empty: what an empty field means.
        loop: None where the whole is one task, a command of its own.
        form: what is filled in to start it, sorted by name.
        outputs: by step; the others give nothing but their record.
    """

    name: str
    purpose: str
    empty: str
    loop: Callable[[Engine], None] | None
    form: tuple[Entry, ...]
    outputs: Mapping[str, tuple[Output, ...]]

    @property
    def description(self) -> str:
        """Of the pipeline and of its form's fields: the UI shows this one, and not theirs."""
        needed = " and ".join(entry.name for entry in self.form if entry.default is None)
        lines = [self.purpose, f"{needed} must be given. A field that is left empty means {self.empty}."]
        return "\n".join(lines + [f"* {entry.name}: {entry.help}" for entry in self.form])


IET: Final = Definition(
    "unecho",
    "Trains a diffusion model that does not echo its training images (IET-AGC+), and reports how closely it does.",
    "what the preset says",
    iet,
    FORM,
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
RETRAIN: Final = Definition(
    "unecho-retrain",
    "Trains a model anew where its images or settings have changed since its release, and releases it past a gate.",
    "what the preset says",
    None,
    RETRAIN_FORM,
    {},
)
DEFINITIONS: Final[Mapping[str, Definition]] = {"iet": IET, "audit": AUDIT, "retrain": RETRAIN}
"""By the name of the loop, or of the command."""


def add_pipeline_argument(parser: ArgumentParser) -> None:
    """Add --pipeline."""
    parser.add_argument(
        "--pipeline",
        choices=tuple(DEFINITIONS),
        default="iet",
        help="iet trains a model, audit measures a given one, or given images, retrain keeps a released one up to date "
        "(default: %(default)s)",
    )
