"""What the local engine shows: bars on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ..components.log import emit, is_json
from ..components.progress import Lines, step_label
from ..components.progress import Progress as StepProgress


class Display:
    """Shows steps, on a terminal a bar each under one for the whole of the rounds. Threads may share it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Progress | None = None
        self._rounds: TaskID | None = None

    def __enter__(self) -> "Display":
        if self._console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description:<22}"),
                BarColumn(bar_width=10),
                MofNCompleteColumn(),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(compact=True),
                console=self._console,
                transient=True,
            )
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars:
            self._bars.stop()

    def note(self, text: str) -> None:
        """One line that stays."""
        if is_json():
            emit(text)
        else:
            self._console.print(text)

    def warn(self, text: str) -> None:
        """One line that stays, of something one should think about."""
        if is_json():
            emit(text, level="warning")
        else:
            self._console.print(f"warning: {text}")

    @contextmanager
    def step(
        self, name: str, round: int | None, index: int | None, sizes: Mapping[str, int], before: int | None = None
    ) -> Iterator[StepProgress]:
        """Show a step while the block runs.

        Args:
            sizes: how many of what loops go over there are, see `RunConfig.sizes`.
            before: how many of its kind have ended in this round; None where they go by their index.
        """
        label = step_label(name, round, index)
        started = time.monotonic()
        if self._bars is None:
            yield Lines(label, step=name, round=round, index=index)
            if (seconds := time.monotonic() - started) >= 1:
                self.note(f"{label}: done in {seconds:.0f} s")
            return
        self._show_round(name, round, index or 0 if before is None else before, sizes)
        task = self._bars.add_task(label, total=None, figures="")
        try:
            yield _Bar(self, self._bars, task)
        finally:
            self._bars.remove_task(task)

    def _show_round(self, name: str, round: int | None, before: int, sizes: Mapping[str, int]) -> None:
        assert self._bars is not None
        if name == "train" and round is not None:
            if self._rounds is None:
                total = sizes["rounds"] * sizes["shards"]
                self._rounds = self._bars.add_task("all rounds", total=total, figures="proxies trained")
            self._bars.update(self._rounds, completed=round * sizes["shards"] + before)
        elif name == "sample" and self._rounds is not None:
            self._bars.remove_task(self._rounds)
            self._rounds = None


class _Bar:
    """A step's bar."""

    def __init__(self, display: Display, bars: Progress, task: TaskID) -> None:
        self._display, self._bars, self._task = display, bars, task

    def update(self, done: int, total: int, unit: str, **figures: float) -> None:
        shown = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in figures.items())
        self._bars.update(self._task, completed=done, total=total, figures=shown or unit)  # fits 80 columns

    def note(self, text: str) -> None:
        self._display.note(text)
