"""Checks of quality: a figure by itself, beside real images', and beside the model now released."""

from dataclasses import dataclass

from ...components.report.tables import with_bounds
from .measured import Measured
from .policy import QualityLimits, more_is_better
from .result import Check


@dataclass(frozen=True)
class Compared:
    """A ratio, or why there is none.

    Attributes:
        beside: what the figure stands beside.
    """

    ratio: float | None
    beside: float | None = None
    reason: str = ""


def quality_checks(
    found: dict[str, Measured], name: str, limits: QualityLimits, released: dict[str, Measured] | None
) -> list[Check]:
    """What a policy asks of one figure.

    Args:
        found, released: of the report, and of the model now released; None where nothing is released yet.
    """
    return [_check(found, name, limit, allowed, released) for limit, allowed in limits.given.items()]


def _check(
    found: dict[str, Measured], name: str, limit: str, allowed: float, released: dict[str, Measured] | None
) -> Check:
    words = f"{'>=' if more_is_better(name) else '<='} {allowed:g} x"
    asked = Check(group="quality", figure=name, limit=limit, allowed=allowed, shown=("none", "", words), passed=False)
    mine = found.get(name)
    if mine is None:
        has = f"it has {', '.join(found)}" if found else "it has no figure of quality"
        return asked.model_copy(update={"reason": f"the report has no {name}; {has}"})
    if "ratio" not in limit:
        return _alone(asked, mine, allowed)
    asked = asked.model_copy(update={"value": mine.value, "shown": (_bounded(mine), "", words)})
    if "real" in limit:
        return _in_ratio(asked, mine, allowed, beside_real(mine), "real")
    if released is None:
        reason = "nothing is released yet to compare it with"
        return asked.model_copy(update={"passed": True, "reason": reason})
    return _in_ratio(asked, mine, allowed, beside_released(mine, released.get(name)), "released")


def _alone(asked: Check, mine: Measured, allowed: float) -> Check:
    sign = ">=" if more_is_better(asked.figure) else "<="
    passed = _holds(asked.figure, mine.value, allowed)
    real = "" if mine.real is None else f"real {mine.text(mine.real)}"
    reason = f"{mine.text(mine.value)}, where {sign} {mine.text(allowed)} is asked for"
    return asked.model_copy(
        update={
            "value": mine.value,
            "beside": mine.real,
            "shown": (_bounded(mine), real, f"{sign} {mine.text(allowed)}"),
            "passed": passed,
            "reason": "" if passed else reason,
        }
    )


def _in_ratio(asked: Check, mine: Measured, allowed: float, compared: Compared, to: str) -> Check:
    if compared.ratio is None:
        return asked.model_copy(update={"reason": compared.reason})
    words = asked.shown[2]
    passed = _holds(asked.figure, compared.ratio, allowed)
    whose = "that of real images" if to == "real" else "the released model's"
    reason = f"{compared.ratio:.3g} times {whose}, where {words} is asked for"
    beside = "" if compared.beside is None else f"{to} {mine.text(compared.beside)}"
    return asked.model_copy(
        update={
            "bound": compared.ratio,
            "beside": compared.beside,
            "shown": (f"{mine.text(mine.value)} ({compared.ratio:.3g} x)", beside, words),
            "passed": passed,
            "reason": "" if passed else reason,
        }
    )


def beside_real(mine: Measured) -> Compared:
    """In units of real images' own."""
    if mine.real is None:
        return Compared(None, reason="real images have no such figure: give it another limit")
    if mine.real <= 0:
        return Compared(None, reason=f"no ratio: real images have {mine.real:.3g}: give it another limit")
    return Compared(mine.value / mine.real, mine.real)


def beside_released(mine: Measured, theirs: Measured | None) -> Compared:
    """Both in units of real images' own, where these have one: of one data set that is the plain ratio."""
    if theirs is None:
        return Compared(None, reason="the released model's report lacks it: audit its run with the same fields")
    unlike = [
        f"{name} ({mine.rests_on.get(name, 'none')}, released {theirs.rests_on.get(name, 'none')})"
        for name in dict.fromkeys((*mine.rests_on, *theirs.rests_on))
        if mine.rests_on.get(name) != theirs.rests_on.get(name)
    ]
    if unlike:
        return Compared(None, reason=f"not comparable: {'; '.join(unlike)}: audit the released model's run anew")
    ours, its = (one.value if one.real is None else beside_real(one).ratio for one in (mine, theirs))
    if ours is None or its is None or its <= 0:
        return Compared(None, reason="no ratio: the released model's, or real images', is not above 0")
    return Compared(ours / its, theirs.value)


def _holds(name: str, value: float, allowed: float) -> bool:
    return value >= allowed if more_is_better(name) else value <= allowed


def _bounded(one: Measured) -> str:
    return with_bounds(one.text(one.value), one.interval)
