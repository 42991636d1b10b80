"""How long a tracker that is away may hold up a run."""

import threading
import time
from collections.abc import Callable


class Patience:
    """Bounds what is spent on waiting for somebody who may not be there."""

    def __init__(self, together_s: float = 60.0, rest_s: float = 300.0) -> None:
        """
        Args:
            together_s: most that one piece of work may take, all its requests together: time-outs of a client bound a
                read, and neither the look-up of a name nor an answer that comes in drops.
            rest_s: after a failure nothing more is tried for so long.
        """
        self._together_s, self._rest_s = together_s, rest_s
        self._failed: float | None = None

    def spend(self, work: Callable[[], None], *, insist: bool = False) -> None:
        """Do the work, or pass over it for as long as the last failure is fresh.

        Args:
            insist: do not pass over it.

        Raises:
            TimeoutError: it took too long, and is left to itself.
            Exception: what the work raises.
        """
        if self._failed is not None and time.monotonic() - self._failed < self._rest_s and not insist:
            return
        try:
            _within(self._together_s, work)
        except Exception:
            self._failed = time.monotonic()
            raise
        self._failed = None


patience = Patience()
"""Of this process."""


def _within(seconds: float, work: Callable[[], None]) -> None:
    failed: list[Exception] = []

    def target() -> None:
        try:
            work()
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=target, daemon=True)  # the process may end before it does
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {seconds:g} s")
    if failed:
        raise failed[0]
