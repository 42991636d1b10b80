"""What a retraining asks for, by digests that are known before anything trains."""

import hashlib
import json
from dataclasses import dataclass
from typing import Final

from ...components.config import RunConfig
from ...components.data.manifest import find_prepared
from ...components.data.prepare import prepared_hash
from ...components.plan.step import frozen_by
from ...components.run.forgotten import lines_of, requests_through
from ...components.run.released import config_digest
from ...components.store import Store

_LONGEST: Final = 39
"""Letters of a model's name in that of its run, which may have 48."""


@dataclass(frozen=True)
class Wanted:
    """The configuration and the data.

    Attributes:
        config: of `config_digest`.
        identity: of all that the result depends on: the configuration, the released model that it starts from, the
            source's objects and the deletion requests.
        dataset: digest of the packed data set, where the store has the source prepared already.
        forgotten: deletion requests 1 to this one apply.
    """

    config: str
    identity: str
    dataset: str | None
    forgotten: int = 0

    def run_name(self, model: str) -> str:
        """The run's, where none is given: the same for the same, so that the same command finds its run again."""
        return f"{model[:_LONGEST].rstrip('-')}-{self.identity[:8]}"


def wanted_of(store: Store, config: RunConfig) -> Wanted:
    """What is asked for. The source is listed, nothing is written.

    Args:
        store: at the root of the run and of what is released.

    Raises:
        Fatal: the source, a file or a released model that the configuration names is missing; names it.
    """
    plan = frozen_by(store, config)
    source = prepared_hash(store, config.data, lines_of(requests_through(store, plan.forgotten)))
    prepared, digest = find_prepared(store, source), config_digest(plan)
    counted = [digest, plan.base if plan.released else None, source]
    identity = hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()
    return Wanted(digest, identity, prepared.digest if prepared else None, plan.forgotten)
