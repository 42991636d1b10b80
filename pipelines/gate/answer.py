"""The answer of a policy on a run: every check, and of which report it is."""

from ...components.report.figures import load_figures
from ...components.run import ReportRecord, Run
from ...components.store.directory import DirectoryStore
from ..finished import finished_report
from .judging import judge
from .policy import PolicyFile
from .result import Gate
from .rival import Rival


def gate_of(run: Run, policy: PolicyFile, rival: Rival | None = None) -> Gate:
    """The answer of a policy on a run.

    Args:
        rival: whom it is compared with, where the policy compares.

    Raises:
        Fatal: it has not ended, or its report cannot be read.
    """
    report, rival = finished_report(run, "the gate"), rival or Rival()
    figures = load_figures(run, report)
    checks = judge(figures, policy.policy, rival.figures)
    return Gate(
        passed=all(check.passed for check in checks),
        run=run.url,
        report=run.store.address(report.objects["report.json"].key),
        report_sha256=report.objects["report.json"].sha256,
        pictures=_pictures(run, report),
        title=figures.headline.title,
        dataset=figures.provenance.dataset,
        model=rival.model,
        number=rival.number,
        against=rival.run,
        against_sha256=rival.report_sha256,
        policy=policy.policy,
        policy_sha256=policy.sha256,
        checks=checks,
    )


def _pictures(run: Run, report: ReportRecord) -> str:
    """A path that a browser opens, or an address."""
    key = report.objects["report.html"].key
    return str(run.store.path(key)) if isinstance(run.store, DirectoryStore) else run.store.address(key)
