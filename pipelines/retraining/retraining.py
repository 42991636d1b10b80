"""One retraining: what is looked at before anything trains, and what follows when a run has ended."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...components.config import RunConfig
from ...components.config.counts import floor_count
from ...components.failure import Beaten, Fatal
from ...components.measures.verdict import smoke_reason
from ...components.run import DatasetRecord, Run
from ...components.run.released import Release, ReleasedModel
from ..finished import finished_report
from ..gate.answer import gate_of
from ..gate.foreseen import check_foreseen
from ..gate.policy import PolicyFile
from ..gate.rival import Rival, released_as
from ..gate.showing import outcome as gate_outcome
from ..gate.writing import check_out, write_answer
from ..releasing import promote, said
from .outcome import Outcome
from .standing import is_same, taken_back
from .wanted import Wanted


@dataclass(frozen=True)
class Retraining:
    """A job that trains what is to be released as a name.

    Attributes:
        by: who decides, in a line.
        out: where the gate's answer is written.
        if_changed: whether it ends where nothing has changed since what is released.
    """

    model: ReleasedModel
    policy: PolicyFile
    by: str
    out: Path
    if_changed: bool

    def check(self, config: RunConfig | None = None) -> None:
        """What can be wrong, before anything trains.

        Args:
            config: of the run that is to be trained.

        Raises:
            Fatal: what is released cannot be read, the gate's answer cannot be written, or a run of this configuration
                would lack a figure that the policy asks for.
        """
        check_out(self.out)
        self._rival()
        if config is not None:
            check_foreseen(self.policy, config)

    def known(self, wanted: Wanted) -> Outcome | None:
        """How it ends by what the store knows of the data already; None where they must be prepared first."""
        return None if wanted.dataset is None else self._ended_by(wanted.dataset, wanted.config)

    def look(self, run: Run, config: RunConfig, wanted: Wanted) -> Outcome | None:
        """How it ends, the run being prepared and nothing trained; None where it goes on.

        Raises:
            Fatal: this very model was taken back; or the run will be too small for the policy.
        """
        dataset = run.load(DatasetRecord)
        if ended := self._ended_by(dataset.digest, wanted.config):
            return ended.model_copy(update={"run": run.url})
        smoke = smoke_reason(config, config.sample.count, floor_count(config, dataset.held_out_samples))
        if smoke and self.policy.policy.smoke == "refuse":
            raise Fatal(
                f"{self.policy.path}: smoke: refuse, and {run.url} would be a smoke run ({smoke}): nothing is trained: "
                "raise sample.count or data.held_out, take another preset, or set smoke: allow to try a pipeline out"
            )
        return None

    def judge(self, run: Run) -> Outcome:
        """Gate a run that has ended, and promote it where it passes: only in place of what the gate has compared it
        with.

        Raises:
            Fatal: it has not ended or is an audit, or its model was taken back.
        """
        report, history = finished_report(run, "retrain"), self.model.history()
        now = history[-1] if history else None
        if now and now.objects == report.objects and now.gate:
            self.model.mend()
            return self._outcome("unchanged", f"{_standing(now)}: released already, by {now.by}", now, run)
        back = taken_back(history, lambda release: release.objects == report.objects)
        if back:
            return self._taken_back(back, history[-1]).model_copy(update={"run": run.url})
        gate = gate_of(run, self.policy, self._rival())
        write_answer(gate, self.out)
        if not gate.passed:
            stays = f"{_standing(now)} stays" if now else f"{self.model.name}: nothing is released"
            return self._outcome("failed", f"{gate_outcome(gate)} Nothing was changed: {stays}", now, run, gate=gate)
        try:
            change = promote(run, self.model.name, self.by, str(self.out / "gate.json"), gate.number)
        except Beaten as beaten:
            return self._beaten(beaten, run, report.objects, gate=gate)
        return self._outcome("promoted", said(change), change.release, run, gate=gate)

    def submitted(self, run: Run) -> Outcome:
        """It goes on elsewhere."""
        line = f"{run.url}: under way: given again once it has ended, the same command gates and promotes it"
        return self._outcome("submitted", line, self.model.current(), run)

    def _ended_by(self, dataset: str, config: str) -> Outcome | None:
        history = self.model.history()

        def is_ours(release: Release) -> bool:
            return is_same(self.model.store, release, dataset, config)

        if self.if_changed and history and is_ours(history[-1]):
            self.model.mend()
            line = f"{_standing(history[-1])}: on these data, with this configuration: nothing is trained"
            return self._outcome("unchanged", line, history[-1])
        back = taken_back(history, is_ours)
        return self._taken_back(back, history[-1]) if back else None

    def _taken_back(self, back: Release, now: Release) -> Outcome:
        """A person's decision stands."""
        line = (
            f"{_standing(now)} stays: what these data and this configuration give was taken back by {back.by} "
            f"(number {back.number}): unecho promote RUN --model {self.model.name} releases it all the same"
        )
        if not self.if_changed:
            raise Fatal(line)
        return self._outcome("unchanged", line, now)

    def _beaten(self, beaten: Beaten, run: Run, objects: Any, **fields: Any) -> Outcome:
        """Another job was first: with the same model, then it is released; or with another."""
        now = self.model.current()
        if now and now.objects == objects:
            return self._outcome("unchanged", f"{_standing(now)}: released already, by {now.by}", now, run, **fields)
        return self._outcome("beaten", str(beaten), now, run, **fields)

    def _rival(self) -> Rival:
        """What the gate compares with; its report is read only where the policy asks for it."""
        now = self.model.current()
        if now is None or not self.policy.policy.compares:
            return Rival(self.model.url, now.number if now else 0)
        try:
            return released_as(self.model)
        except Fatal as error:
            raise Fatal(
                f"{self.model.url}: number {now.number} is released, and the policy compares with its report: {error}: "
                f"unecho rollback {self.model.name} --root {self.model.store.url}"
            ) from None

    def _outcome(self, outcome: Any, line: str, now: Release | None, run: Run | None = None, **fields: Any) -> Outcome:
        return Outcome(
            outcome=outcome,
            line=line,
            model=self.model.url,
            number=now.number if now else 0,
            folder=self.model.store.address(now.folder) if now else None,
            run=run.url if run else None,
            **fields,
        )


def _standing(now: Release) -> str:
    return f"{now.model} is number {now.number}, of run {now.run}"
