"""Where a proxy's checkpoints are, and what each says of itself."""

from pydantic import BaseModel

from unecho.components.run.address import Run
from unecho.components.run.records import RoundFigures
from unecho.components.store import ObjectRef, Stat

MANIFEST = "checkpoint.json"


class Checkpoint(BaseModel):
    """A committed snapshot of a shard slot.

    Attributes:
        step: the slot's global step, over all rounds.
        state: safetensors of `train.slot.Slot.snapshot`.
        figures: of its round, so far.
    """

    step: int
    state: ObjectRef
    figures: RoundFigures | None = None


def checkpoints_prefix(run: Run, round: int, shard: int) -> str:
    """Key prefix of all attempts of one proxy: <attempt>/<step>/ below it."""
    return f"{run.prefix}/checkpoints/{round}/{shard}/"


def checkpoint_manifests(run: Run, round: int, shard: int) -> list[Stat]:
    """The checkpoints' manifests, the newest first."""
    found = [
        stat for stat in run.store.list(checkpoints_prefix(run, round, shard)) if stat.key.endswith(f"/{MANIFEST}")
    ]
    return sorted(found, key=lambda stat: int(stat.key.split("/")[-2]), reverse=True)
