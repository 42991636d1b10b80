"""An engine that does something once the data set is there, before anything trains."""

from collections.abc import Callable

from .loop import Engine


class AfterPrepare:
    """An engine; whatever `then` raises leaves the loop there."""

    def __init__(self, engine: Engine, then: Callable[[], None]) -> None:
        self._engine, self._then = engine, then
        self.map, self.beside, self.repeat = engine.map, engine.beside, engine.repeat

    def step(self, name: str, round: int | None = None) -> None:
        self._engine.step(name, round)
        if name == "prepare":
            self._then()
