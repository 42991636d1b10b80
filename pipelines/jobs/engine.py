"""The jobs engine: every step an Indexed Job of plain Kubernetes; what moves records only is done here.

A manifest in the store says that a step is done, whatever Jobs say. A Job that runs is adopted; one that has failed
before, that ended without its manifest, or that was made with other settings is removed and made anew.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final, NoReturn

from ...components.config import RunConfig
from ...components.failure import Fatal
from ...components.progress import Progress
from ...components.run import Run
from ...components.steps import STEPS, committed
from ...components.store.directory import DirectoryStore
from ..display import Display
from ..local import Local
from ..loop import Map, Single
from ..trying import TRIES, Failed
from .cluster import Cluster, OverQuota
from .diagnose import End, end_of, holds, index_of, pods_of, refused, waits_for
from .job_spec import APP, SPEC, StepJob, is_of, template_of, with_gpus
from .owner import owner

_POLL_S: Final = 1.0
_REPORT_EVERY_S: Final = 60.0
_PATIENT_S: Final = 10.0
"""How long a trouble may last before it is told: a pod that waits for the one before it is none."""


class Jobs(Local):
    """Runs steps as Jobs in a cluster, side by side where the method allows it."""

    def __init__(self, run: Run, config: RunConfig, display: Display, cluster: Cluster) -> None:
        """
        Raises:
            Fatal: the run's root is a directory that pods do not reach.
        """
        super().__init__(run, config, display)
        if isinstance(run.store, DirectoryStore) and not cluster.inside:
            raise Fatal(
                f"--root: {run.store.url}: pods do not reach a directory of this machine: give s3://bucket/prefix"
            )
        self.cluster = cluster
        cluster.note = display.note
        self.parallelism = config.execution.parallelism
        self.gpus_per_shard = config.train.gpus_per_shard
        self._owner_seen: str | None = None

    def step(self, name: str, round: int | None = None) -> None:
        if self._is_light(name, round):
            super().step(name, round)
        else:
            self._run_all([StepJob(name, round, 1)])

    def map(self, name: str, round: int | None = None, *, over: str) -> None:
        self.beside(Map(name, round, over=over))

    def beside(self, *works: Single | Map) -> None:
        jobs = []
        for work in works:
            if isinstance(work, Map):
                jobs.append(StepJob(work.name, work.round, self._sizes[work.over]))
            elif self._is_light(work.name, work.round):
                super().step(work.name, work.round)
            else:
                jobs.append(StepJob(work.name, work.round, 1))
        self._run_all([job for job in jobs if job.size])

    def _is_light(self, name: str, round: int | None) -> bool:
        return STEPS[name].light(self._run, self._config, round or 0)

    def owner(self) -> Any:
        """The run's ConfigMap."""
        found = owner(self.cluster, self._run, seen=self._owner_seen)
        self._owner_seen = found.metadata.uid
        return found

    def _run_all(self, works: Sequence[StepJob]) -> None:
        """See that all of these are done."""
        with ExitStack() as shown:
            running = []
            for work in works:
                if missing := self.missing(work):
                    label = (work.step, work.round, None, self._sizes)
                    progress = shown.enter_context(self._display.step(*label))
                    running.append(_RunningJob(self, work, missing, progress))
            while running:
                running = [each for each in running if not each.done()]
                if running:
                    time.sleep(_POLL_S)

    def missing(self, work: StepJob, among: Sequence[int] | None = None) -> list[int]:
        """The indexes of a work whose record is not there."""
        indices = work.indices() if among is None else among
        return [k for k in indices if committed(work.step, self._run, self._config, work.round, k) is None]

    def fail(self, line: str, end: End | None) -> NoReturn:
        """Leave an event, then end with the line."""
        self.cluster.warn(self.owner(), "StepFailed", line)
        if end is not None and end.fatal:
            raise Fatal(line)
        raise Failed(line)


class _RunningJob:
    """One Job, from whatever is there to its records."""

    def __init__(self, engine: Jobs, work: StepJob, missing: list[int], progress: Progress) -> None:
        self._engine, self._work, self._missing, self._progress = engine, work, missing, progress
        self._run, self._cluster = engine._run, engine.cluster
        self._name = work.name(self._run)
        self._template = self._cluster.template(template_of(work.step))
        if work.step == "train" and (gpus := engine.gpus_per_shard) > 1:
            self._template = with_gpus(self._template, gpus)
        self._watched: str | None = None  # uid of the Job that was seen at work
        self._empty = 0  # Jobs that were complete and had committed nothing
        self._ended: set[str] = set()  # pods whose end was told
        self._asked = -_POLL_S * 2  # when the store was asked last
        self._since: float | None = None  # when the trouble began that lasts
        self._reported = ("", -_REPORT_EVERY_S)  # the trouble that was told last, and when

    def done(self) -> bool:
        """Look once; whether all records are there."""
        job = self._cluster.job(self._name)
        if job is None or holds(job, "Complete", "Failed") or self._store_is_due():
            before = len(self._missing)
            self._missing = self._engine.missing(self._work, self._missing)
            if len(self._missing) < before and self._work.size > 1:
                done = self._work.size - len(self._missing)
                self._progress.update(done, self._work.size, "shards" if self._work.step == "train" else "parts")
        if not self._missing:
            return True
        if job is None:
            self._make()
        elif not is_of(job, self._run):
            raise Fatal(
                f"job {self._name}: is there and not of this run: it has no label {APP}=unecho or not the address "
                f"{self._run.url}: remove it (kubectl -n {self._cluster.namespace} delete job {self._name}), or take "
                "another --name"
            )
        elif not job.metadata.deletion_timestamp:
            self._look_at(job)
        return False

    def _store_is_due(self) -> bool:
        """The store is asked for records every other second at most: it is the slower of the two."""
        now = time.monotonic()
        if now - self._asked < 2 * _POLL_S:
            return False
        self._asked = now
        return True

    def _make(self) -> None:
        job = self._wanted()
        try:
            made = self._cluster.create_job(job)
        except OverQuota as error:  # room may come: it waits as a Job waits whose pods have no room
            self._report_waiting(f"job {self._name}: {error}")
            return
        if made is not None:
            self._watched = made.metadata.uid

    def _wanted(self) -> dict[str, Any]:
        return self._work.job(self._run, self._template, self._engine.parallelism, self._engine.owner())

    def _look_at(self, job: Any) -> None:
        failed = holds(job, "Failed", "FailureTarget")
        if self._watched != job.metadata.uid:
            if reason := self._unfit(job, failed):
                self._progress.note(f"job {self._name}: {reason}: made anew")
                self._cluster.delete_job(job)
                return
            self._watched = job.metadata.uid
            self._progress.note(f"job {self._name}: is there: goes on with it")
        if failed:
            self._give_up(job)
        elif holds(job, "Complete"):
            self._empty += 1
            if self._empty >= TRIES:
                raise Failed(f"{self._name}: its pods ended well {self._empty} times and committed nothing")
            self._progress.note(f"job {self._name}: complete without its record: made anew")
            self._cluster.delete_job(job)
        else:
            self._report_pods(job)

    def _unfit(self, job: Any, failed: bool) -> str | None:
        """Why a Job that this process did not make is not gone on with."""
        if failed:
            return "has failed before"
        if holds(job, "Complete"):
            return "complete without its record"
        owners = {reference.uid for reference in job.metadata.owner_references or []}
        wanted = self._wanted()
        if wanted["metadata"]["ownerReferences"][0]["uid"] not in owners:
            return "belongs to a run that was deleted"
        if (job.metadata.annotations or {}).get(SPEC) != wanted["metadata"]["annotations"][SPEC]:
            return "was made with other settings"
        return None

    def _give_up(self, job: Any) -> None:
        """The Job has failed: the worst end of its pods says how."""
        ends = [
            (pod, end) for pod in pods_of(self._cluster, job) if (end := end_of(pod)) and end.status and not end.asked
        ]
        fatal = [(pod, end) for pod, end in ends if end.fatal]
        if not ends:
            self._engine.fail(f"job {self._name}: failed, and its pods have gone", None)
        pod, end = (fatal or ends)[-1]
        where = self._where(pod)
        self._engine.fail(f"{where}: {end.line}" + ("" if end.fatal else f", {TRIES} times"), end)

    def _report_pods(self, job: Any) -> None:
        pods = pods_of(self._cluster, job)
        for pod in pods:
            end = end_of(pod)
            if end and end.status and pod.metadata.name not in self._ended:
                self._ended.add(pod.metadata.name)
                if not end.fatal:
                    self._progress.note(f"{self._where(pod)}: {end.line}: another pod takes over")
        waiting = next((f"{self._where(pod)}: {why}" for pod in pods if (why := waits_for(pod))), None)
        if waiting is None and not pods:
            warnings = self._cluster.warnings(job)
            waiting = (why := refused(job, warnings)) and f"job {self._name}: {why}"
        self._report_waiting(waiting)

    def _report_waiting(self, waiting: str | None) -> None:
        """Tell a trouble that lasts; another one, or another wording, once a minute at most."""
        now = time.monotonic()
        if waiting is None:
            self._since = None
            return
        self._since = self._since or now
        line, reported = self._reported
        if waiting != line and now - self._since >= _PATIENT_S and now - reported >= _REPORT_EVERY_S:
            self._reported = (waiting, now)
            self._progress.note(f"waits: {waiting}")

    def _where(self, pod: Any) -> str:
        """Step, round and index, as its command line counts them, and the pod."""
        parts = [self._work.step]
        if self._work.round is not None:
            parts.append(f"round {self._work.round}")
        if self._work.size > 1:
            parts.append(f"index {index_of(pod)}")
        return f"{' '.join(parts)} (pod {pod.metadata.name})"
