"""How a retraining has ended, typed: what `--json` prints."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from ..gate.result import Gate


class Outcome(BaseModel):
    """How it ended, and what is released now."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Literal[1] = 1
    outcome: Literal["promoted", "unchanged", "failed", "beaten", "submitted"]
    """`unchanged`: what is wanted is released already, or was and has been taken back; `failed`: the gate was not
    passed; `beaten`: another job was first; `submitted`: it is under way on Kubeflow."""
    line: str
    """What is told."""
    model: str
    """Address of the released model, ROOT/models/NAME."""
    number: int
    """What is released now, by its number in the history; 0 where nothing is."""
    folder: str | None = None
    """Address of its diffusers folder."""
    run: str | None = None
    """Address of the run that was trained, or would have been; None where none was begun."""
    gate: Gate | None = None
    """The gate's answer on that run; None where it was not asked."""

    @property
    def is_good(self) -> bool:
        """Whether nothing is to be done about it."""
        return self.outcome in ("promoted", "unchanged", "submitted")
