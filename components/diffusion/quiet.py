"""Libraries that draw bars and warn on their own, while they load and save."""

from collections.abc import Iterator
from contextlib import contextmanager

import diffusers.utils.logging as of_diffusers
import transformers.utils.logging as of_transformers


@contextmanager
def quiet() -> Iterator[None]:
    """Without bars for what takes no time, and without warnings of captions that are cut; may stand within another."""
    logs = (of_diffusers, of_transformers)
    before = [(log, log.is_progress_bar_enabled(), log.get_verbosity()) for log in logs]
    for log in logs:
        log.disable_progress_bar()
        log.set_verbosity_error()
    try:
        yield
    finally:
        for log, bars, verbosity in before:
            log.set_verbosity(verbosity)
            if bars:
                log.enable_progress_bar()
