"""The report of a run that has ended."""

from ..components.failure import Fatal
from ..components.run import Plan, ReportRecord, Run
from ..components.run.state import State, state_of


def finished_report(run: Run, then: str) -> ReportRecord:
    """The report of a finished run.

    Args:
        then: what its user wants to do with it.

    Raises:
        Fatal: there is no such run, or it has not ended.
    """
    if run.find(Plan, 0) is None:
        raise Fatal(f"{run.url}: no such run")
    state: State = state_of(run)
    if state.report is None:
        raise Fatal(f"{run.url}: not finished ({state}): start it again and it goes on, then {then}")
    return state.report
