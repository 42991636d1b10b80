"""How a step tells what it is doing, without knowing who listens."""

from typing import Protocol


class Progress(Protocol):
    """Told by a step about itself, now and then; never once per inner step."""

    def update(self, done: int, total: int, unit: str, **figures: float) -> None:
        """
        Args:
            done, total: work done and work in all, in `unit` ("images", "steps").
            figures: what is worth seeing beside it, such as loss and skip_rate.
        """

    def note(self, text: str) -> None:
        """One line worth keeping: a warning, a count of skipped images."""


class Silent:
    """Listens to nothing."""

    def update(self, done: int, total: int, unit: str, **figures: float) -> None:
        pass

    def note(self, text: str) -> None:
        pass
