"""IET-AGC+, once, over any engine."""

from collections.abc import Callable
from typing import Protocol


class Engine(Protocol):
    """Where steps run: in this process, as Kubernetes Jobs, or as tasks of a Kubeflow pipeline."""

    def step(self, name: str, round: int | None = None) -> None:
        """Run one step to its end."""

    def map(self, name: str, round: int | None = None, *, over: str) -> None:
        """Run a step for every index of `over`, side by side where there is room: "encodings", "shards", "parts"."""

    def beside(self, *steps: tuple[str] | tuple[str, int]) -> None:
        """Run steps that do not need each other, (name,) or (name, round)."""

    def repeat(self, body: Callable[["Engine", int], None], over: str) -> None:
        """Run `body(engine, r)` for r = 0, 1, ... of `over` ("rounds"), each after step `begin` has said go.

        Rounds that have ended are passed over.
        """


def one_round(engine: Engine, round: int) -> None:
    """Train every proxy on its shard; then one model of all, and a new assignment."""
    engine.map("train", round, over="shards")
    engine.beside(("aggregate", round), ("redistribute", round))


def iet(engine: Engine) -> None:
    """Iterative ensemble training, from images to a report."""
    engine.step("plan")
    engine.step("prepare")
    engine.map("encode", over="encodings")
    engine.beside(("initialize",), ("shard",))
    engine.repeat(one_round, "rounds")
    engine.map("sample", over="parts")
    engine.step("evaluate")
