"""A report beside a policy: every check, in the order that decides."""

from ...components.measures.verdict import Verdict
from ...components.report.figures import Figures
from .measured import quality_of
from .memorization import memorization_checks
from .policy import Policy
from .quality import quality_checks
from .result import Check

_PASSES: dict[str, tuple[Verdict, ...]] = {
    "no_echo": ("at_or_below",),
    "not_echo": ("at_or_below", "unclear", "undecided"),
}
_WORDS: dict[Verdict, str] = {
    "at_or_below": "no echo",
    "above": "it echoes",
    "unclear": "not decided",
    "undecided": "not judged",
}


def judge(figures: Figures, policy: Policy, released: Figures | None) -> list[Check]:
    """All checks of a report.

    Args:
        released: the report of the model now released; None where nothing is, or where no check needs it.
    """
    checks = [_smoke(figures, policy), _verdict(figures, policy)]
    for name, limits in policy.memorization.items():
        checks += memorization_checks(figures, name, limits)
    mine, theirs = quality_of(figures), quality_of(released) if released else None
    for name, quality in policy.quality.items():
        checks += quality_checks(mine, name, quality, theirs)
    return checks


def _smoke(figures: Figures, policy: Policy) -> Check:
    smoke = figures.headline.smoke
    passed = smoke is None or policy.smoke == "allow"
    return Check(
        group="report",
        figure="smoke",
        limit=policy.smoke,
        shown=("smoke run" if smoke else "no smoke run", "", policy.smoke),
        passed=passed,
        reason=f"{smoke}: its figures decide nothing" if smoke else "",
    )


def _verdict(figures: Figures, policy: Policy) -> Check:
    headline = figures.headline
    passed, reason = headline.verdict in _PASSES[policy.verdict], f"{headline.title}. {headline.sentence}"
    if figures.version == 1:
        passed, reason = False, "a report of version 1 was judged by another test: audit the run anew"
    return Check(
        group="report",
        figure="verdict",
        limit=policy.verdict,
        shown=(_WORDS[headline.verdict], "", policy.verdict.replace("_", " ")),
        passed=passed,
        reason="" if passed else reason,
    )
