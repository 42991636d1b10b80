"""gate.json: what a gate found, typed."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from .policy import Policy


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Check(_Kept):
    """One limit of the policy, and what the report has."""

    group: Literal["report", "memorization", "quality"]
    figure: str
    """By its name in the policy: `smoke`, `verdict`, or a figure's."""
    limit: str
    """By its name in the policy, such as above_floor_at_most."""
    allowed: float | None = None
    """The limit's value."""
    confidence: float | None = None
    value: float | None = None
    """Of the report; None where it lacks the figure. Shares from 0 to 1."""
    bound: float | None = None
    """What is compared with `allowed`: how far above the floor at most, the share's upper bound, or a ratio."""
    beside: float | None = None
    """The floor's share, real images' figure, or the released model's."""
    images: int | None = None
    """So many images would show it, where there are too few."""
    shown: tuple[str, str, str]
    """Value, what stands beside it, and the limit, as text."""
    passed: bool
    reason: str = ""
    """Why it failed, or what is to be known of how it passed; empty where nothing is."""


class Gate(_Kept):
    """The gate's answer on one report."""

    version: Literal[1] = 1
    passed: bool
    run: str
    """Address of the run, or of the audit."""
    report: str
    """Address of report.json."""
    report_sha256: str
    pictures: str
    """Address of report.html."""
    title: str
    """The report's own headline."""
    dataset: str
    """Digest of the data set."""
    model: str | None = None
    """Address of the released model that it was compared with, ROOT/models/NAME; None where none was named."""
    number: int | None = None
    """What that was then, by its number in the history, for `unecho promote --replaces`; 0 where nothing was released
    yet, None where no name was given."""
    against: str | None = None
    """Address of the run that it was compared with; None where there was none."""
    against_sha256: str | None = None
    """Of its report.json."""
    policy: Policy
    policy_sha256: str
    """Of the policy's file."""
    checks: list[Check]

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.checks if not check.passed]
