"""Early stop: rules on what proxies return."""

from unecho.components.config.fields import Stop
from unecho.components.run import RoundFigures


def stop_reason(rules: Stop, now: RoundFigures, before: RoundFigures | None) -> str | None:
    """Why no further round shall start, or None.

    Args:
        now: the round that has just ended.
        before: the round before it, if there was one.
    """
    if rules.skip_rate_above is not None and now.skip_rate > rules.skip_rate_above:
        return (
            f"stop.skip_rate_above: round {now.round} skipped {now.skip_rate:.1%}, "
            f"more than {rules.skip_rate_above:.1%}"
        )
    if rules.loss_plateau is not None and before is not None and now.loss >= (1 - rules.loss_plateau) * before.loss:
        return (
            f"stop.loss_plateau: round {now.round}'s loss {now.loss:.4g} is not {rules.loss_plateau:.1%} below "
            f"{before.loss:.4g}"
        )
    return None
