"""Names and labels of what a run has in a cluster."""

import hashlib
from typing import Final

RUN: Final = "unecho/run"
STEP: Final = "unecho/step"
ROUND: Final = "unecho/round"
SPEC: Final = "unecho/spec"
"""Annotation of a Job: a hash of what it was made of."""
ADDRESS: Final = "unecho/address"
"""Annotation: the run's address, ROOT/runs/NAME."""

_LONGEST = 57  # a Job's name and a dash and its index name a pod's host: 63 letters


def owner_name(run: str) -> str:
    """The ConfigMap that owns all that a run has."""
    return f"unecho-run-{run}"


def job_name(run: str, step: str, round: int | None) -> str:
    """Deterministic and at most 57 letters: RUN-STEP-ROUND, a long run's name shortened to a hash."""
    end = f"-{step}" if round is None else f"-{step}-{round}"
    if len(run) + len(end) <= _LONGEST:
        return run + end
    digest = hashlib.sha256(run.encode()).hexdigest()[:8]
    return f"{run[: _LONGEST - len(end) - 9].rstrip('-')}-{digest}{end}"


def labels(run: str, step: str, round: int | None) -> dict[str, str]:
    """Of a Job and its pods."""
    found = {"app.kubernetes.io/name": "unecho", RUN: run, STEP: step}
    return found if round is None else found | {ROUND: str(round)}
