"""Checks of near-copies: a share beside its floor, and by itself, with the confidence that the images allow."""

from ...components.measures.intervals import Share, highest_excess, highest_share, p_beyond
from ...components.measures.sample_size import enough_below, enough_beside_floor
from ...components.measures.verdict import Memorization
from ...components.report.figures import Figures
from ...components.report.tables import with_bounds
from ...components.report.wording import percent
from .policy import MemorizationLimits
from .result import Check


def memorization_checks(figures: Figures, name: str, limits: MemorizationLimits) -> list[Check]:
    """What a policy asks of one figure."""
    found = next((figure for figure in figures.memorization if figure.name == name), None)
    old = figures.version == 1 and found is not None and found.aware
    checks = []
    for limit in ("above_floor_at_most", "share_at_most"):
        allowed: float | None = getattr(limits, limit)
        if allowed is None:
            continue
        asked = _asked(name, limit, allowed, limits.confidence)
        if found is None:
            checks.append(_without(asked, f"the report has no {name}; it has {_names(figures)}"))
        elif old:
            checks.append(
                _without(asked, "a report of version 1 misses copies that are mirrored or shifted: audit the run anew")
            )
        elif not found.generated.of:
            checks.append(_without(asked, f"the report counts no {_kind(found)} for it"))
        elif limit == "share_at_most":
            checks.append(_share(asked, found, allowed, limits.confidence))
        elif found.floor is None or not found.floor.of:
            checks.append(_without(asked, "no floor without held-out images: audit it with --held-out SOURCE"))
        else:
            checks.append(_above_floor(asked, found, found.floor, allowed, limits.confidence))
    return checks


def _asked(name: str, limit: str, allowed: float, confidence: float) -> Check:
    words = f"floor + {100 * allowed:g} %" if limit == "above_floor_at_most" else f"<= {100 * allowed:g} %"
    return Check(
        group="memorization",
        figure=name,
        limit=limit,
        allowed=allowed,
        confidence=confidence,
        shown=("none", "", words),
        passed=False,
    )


def _without(asked: Check, reason: str) -> Check:
    return asked.model_copy(update={"reason": reason})


def _above_floor(asked: Check, figure: Memorization, floor: Share, allowed: float, confidence: float) -> Check:
    found = figure.generated
    counts = found.count, found.of, floor.count, floor.of
    bound = highest_excess(*counts, confidence)
    passed, images, reason = bool(p_beyond(*counts, allowed) < 1 - confidence), None, ""
    if passed and not figure.informative:
        reason = f"its floor is {percent(floor.share)}: so high that it says little about copies"
    if not passed:
        beside = floor.count, floor.of, allowed, confidence
        points, sure = f"{100 * allowed:g} points", f"with {100 * confidence:g} % confidence"
        if p_beyond(0, found.of, *beside[:3]) >= 1 - confidence:
            images = enough_beside_floor(0.0, *beside)
            reason = _too_few(figure, f"less than {points} above the floor {sure}", images)
        elif found.share - floor.share >= allowed:
            reason = f"{100 * (found.share - floor.share):.2g} points above the floor"
        else:
            images = enough_beside_floor(found.share, *beside)
            more = _as_many(figure, images) if images else "more held-out images are needed too"
            reason = f"{sure} at most {100 * bound:.2g} points above the floor, not {points}; {more}"
    return asked.model_copy(
        update={
            "value": found.share,
            "bound": bound,
            "beside": floor.share,
            "images": images,
            "shown": (with_bounds(percent(found.share), found), f"floor {percent(floor.share)}", asked.shown[2]),
            "passed": passed,
            "reason": reason,
        }
    )


def _share(asked: Check, figure: Memorization, allowed: float, confidence: float) -> Check:
    found = figure.generated
    bound = highest_share(found.count, found.of, confidence)
    passed, images, reason = bound <= allowed, None, ""
    if not passed:
        limit, sure = f"{100 * allowed:g} %", f"with {100 * confidence:g} % confidence"
        if highest_share(0, found.of, confidence) > allowed:
            images = enough_below(0.0, allowed, confidence)
            reason = _too_few(figure, f"at most {limit} {sure}", images)
        elif found.share >= allowed:
            reason = f"{percent(found.share)} is not below {limit}"
        else:
            images = enough_below(found.share, allowed, confidence)
            reason = f"{sure} at most {percent(bound)}, not {limit}; {_as_many(figure, images)}"
    floor = f"floor {percent(figure.floor.share)}" if figure.floor else ""
    return asked.model_copy(
        update={
            "value": found.share,
            "bound": bound,
            "beside": figure.floor.share if figure.floor else None,
            "images": images,
            "shown": (with_bounds(percent(found.share), found), floor, asked.shown[2]),
            "passed": passed,
            "reason": reason,
        }
    )


def _too_few(figure: Memorization, what: str, images: int | None) -> str:
    """Not even a model without any copy would pass."""
    kind, of = _kind(figure), f"{figure.generated.of:,}"
    enough = f"{images:,} would" if images else "no number would"
    return f"{of} {kind} cannot show {what}, even with no copies at all: {enough}"


def _as_many(figure: Memorization, images: int | None) -> str:
    return (
        f"about {images:,} {_kind(figure)} with the same share would" if images else "no number with this share would"
    )


def _kind(figure: Memorization) -> str:
    """What the share is of."""
    return "training images" if figure.measure == "extraction" else "generated images"


def _names(figures: Figures) -> str:
    return ", ".join(figure.name for figure in figures.memorization)
