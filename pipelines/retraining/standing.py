"""Whether what is wanted is released already, or was and has been taken back."""

from collections.abc import Callable, Sequence

from ...components.run import Plan, Run
from ...components.run.records import code_version
from ...components.run.released import Release, config_digest
from ...components.store import Store


def is_same(store: Store, release: Release, dataset: str, config: str) -> bool:
    """Whether a model was trained on this data set with this configuration.

    Args:
        config: of `config_digest`. One that another version of the program has written lacks the fields that came
            since, so it is worked out anew, where the run is still there.
    """
    if release.dataset != dataset:
        return False
    if release.config == config:
        return True
    run = Run(store, release.run)
    return release.code != code_version() and run.find(Plan, 0) is not None and config_digest(run.plan()) == config


def taken_back(history: Sequence[Release], is_ours: Callable[[Release], bool]) -> Release | None:
    """The rollback that took a model back; None where it stands, never stood, or was replaced by a newer one.

    Args:
        history: the first record first.
        is_ours: whether a record is of that model.
    """
    stood = [release for release in history if is_ours(release)]
    if not stood or stood[-1] is history[-1]:
        return None
    last = stood[-1]
    later = [release for release in history if release.number > last.number]
    if later[0].kind == "rollback":
        return later[0]
    # a rollback goes back to before all that was promoted since
    further = (release for release in later if release.restores is not None and release.restores < last.promotion)
    return next(further, None)
