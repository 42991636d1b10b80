"""The local engine where one step runs at a time: every step in this process, one after another."""

from collections.abc import Callable

from ..components.config import RunConfig
from ..components.run import BeginRecord, Run
from ..components.run.failures import kept_failure
from ..components.run.state import ended_rounds
from ..components.steps import plan, run_step
from .display import Display
from .loop import Engine, Map, Single


class Local:
    """Runs steps here and shows their progress."""

    def __init__(self, run: Run, config: RunConfig, display: Display) -> None:
        self._run, self._config, self._display = run, config, display
        self._sizes = config.sizes()

    def step(self, name: str, round: int | None = None) -> None:
        self._one(name, round, None)

    def map(self, name: str, round: int | None = None, *, over: str) -> None:
        for index in range(self._sizes[over]):
            self._one(name, round, index)

    def beside(self, *works: Single | Map) -> None:
        for work in works:
            work.on(self)

    def repeat(self, body: Callable[[Engine, int], None], over: str) -> None:
        for round in range(ended_rounds(self._run), self._sizes[over]):
            begun = self._one("begin", round, None)
            assert isinstance(begun, BeginRecord)
            if begun.decision == "stop":
                self._display.note(f"stops before round {round}: {begun.reason}")
                return
            body(self, round)

    def _one(self, name: str, round: int | None, index: int | None) -> object:
        with self._display.step(name, round, index, self._sizes) as progress:
            if name == "plan":
                return plan(self._run, self._config, progress)
            with kept_failure(self._run, name, round, index):
                return run_step(name, self._run, round, index, progress)
