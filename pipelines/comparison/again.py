"""The runs of a comparison sampled and measured again in another way: an audit of each, and nothing trains."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...components.config.fields import flat_fields
from ...components.failure import Fatal
from ...components.run import Plan, Run
from ...components.run.audited import audit_config, audit_name
from ...components.store import Store
from .arms import Arm, Entry, run_of
from .processes import Start
from .results import Result, result_of


@dataclass(frozen=True)
class Again:
    """An audit of a finished run.

    Attributes:
        trained: what that run's own report says; how it was trained is told by it.
    """

    entry: Entry
    trained: Result
    given: Mapping[str, Any]

    @property
    def start(self) -> Start:
        """How it is started: its configuration file holds what is set otherwise than in the run, and no more."""
        return Start(self.entry, ("audit", self.trained.entry.run.url), dict(self.given))

    def result(self) -> Result | None:
        """What the audit has found, or None where it has not ended."""
        found = result_of(self.entry)
        return found and replace(found, train_s=self.trained.train_s, audited=self.trained)


def finished_runs(store: Store, name: str, arms: Sequence[Arm], seeds: int) -> tuple[list[Result], list[Run]]:
    """The comparison's runs by their names, as they were planned, seeds outermost.

    Returns:
        The results of those that are finished, and the runs that are not.
    """
    found, rest = list[Result](), list[Run]()
    for seed in range(seeds):
        for arm in arms:
            run = run_of(store, name, arm, seed)
            result = result_of(Entry(arm, seed, run, run.config())) if run.find(Plan, 0) else None
            if result:
                found.append(result)
            else:
                rest.append(run)
    return found, rest


def audits_of(finished: Sequence[Result], given: dict[str, Any]) -> list[Again]:
    """An audit of each run. One that was audited in this way before, by whatever command, has its audit already.

    Args:
        given: fields that are set otherwise, for all of them.

    Raises:
        Fatal: a field may not be given, or does not fit a run; names it.
    """
    if "seed" in given:
        raise Fatal(f"seed: {given['seed']}: runs of one comparison keep the seeds that they are told apart by")
    found = []
    for result in finished:
        trained = result.entry
        config = audit_config(trained.run.store, trained.run.url, overrides=given)
        audit = Run(trained.run.store, audit_name(config))
        found.append(Again(replace(trained, run=audit, config=config), result, given))
    return found


def mark_of(given: Mapping[str, Any]) -> str:
    """Six letters that tell one way to sample and measure from another."""
    decides = {field: value for field, value in flat_fields(given).items() if not field.startswith("execution.")}
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:6]
