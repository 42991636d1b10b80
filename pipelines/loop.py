"""The loops, once, over any engine: IET-AGC+, and the audit of what is given."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Protocol


@dataclass(frozen=True)
class Single:
    """A step by itself.

    Attributes:
        round: None for a step whose address has none.
    """

    name: str
    round: int | None = None

    def on(self, engine: "Engine") -> None:
        """Run it to its end."""
        engine.step(self.name, self.round)


@dataclass(frozen=True)
class Map:
    """A step for every index of `over`."""

    name: str
    round: int | None = None
    _: KW_ONLY
    over: str

    def on(self, engine: "Engine") -> None:
        """Run it to its end."""
        engine.map(self.name, self.round, over=self.over)


class Engine(Protocol):
    """Where steps run: in this process, as Kubernetes Jobs, or as tasks of a Kubeflow pipeline."""

    def step(self, name: str, round: int | None = None) -> None:
        """Run one step to its end."""

    def map(self, name: str, round: int | None = None, *, over: str) -> None:
        """Run a step for every index of `over`, side by side where there is room.

        Over "packs", "encodings", "shards" or "parts".
        """

    def beside(self, *works: Single | Map) -> None:
        """Run what does not need each other, side by side where there is room."""

    def repeat(self, body: Callable[["Engine", int], None], over: str) -> None:
        """Run `body(engine, r)` for r = 0, 1, ... of `over` ("rounds"), each after step `begin` has said go.

        Rounds that have ended are passed over.
        """


def one_round(engine: Engine, round: int) -> None:
    """Train every proxy on its shard, and look at the model they start from; then one of all, and a new assignment."""
    engine.beside(Single("watch", round), Map("train", round, over="shards"))
    engine.beside(Single("aggregate", round), Single("redistribute", round))


def iet(engine: Engine) -> None:
    """Iterative ensemble training, from images to a report."""
    engine.step("plan")
    engine.map("pack", over="packs")
    engine.step("prepare")
    engine.map("encode", over="encodings")
    engine.beside(Single("initialize"), Single("shard"))
    engine.repeat(one_round, "rounds")
    engine.step("select")
    engine.map("sample", over="parts")
    engine.step("evaluate")


def audit(engine: Engine) -> None:
    """A model that is given, or images that were generated elsewhere, from the address to a report. Nothing trains."""
    engine.step("plan")
    engine.map("pack", over="packs")
    engine.step("prepare")
    engine.step("initialize")
    engine.map("sample", over="parts")
    engine.step("evaluate")
