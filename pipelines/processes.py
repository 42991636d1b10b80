"""The local engine on a machine with several GPUs: what computes on one is a process, and they run side by side."""

from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final

from ..components.child import Children, End
from ..components.config import RunConfig
from ..components.failure import DONE, FATAL, TERMINATED, Fatal, Stopped, stop_asked
from ..components.progress import step_label
from ..components.run import Run
from ..components.steps import STEPS, done
from .accelerators import Seats
from .display import Display
from .local import Local
from .loop import Map, Single
from .trying import TRIES, Failed

_LOOK_EVERY_S: Final = 0.2


@dataclass(frozen=True)
class Task:
    """A step at its address."""

    step: str
    round: int | None = None
    index: int | None = None

    def __str__(self) -> str:
        return step_label(self.step, self.round, self.index)

    def arguments(self, run: Run) -> list[str]:
        """Of the command that a pod runs, after `unecho step`."""
        found = [self.step, "--run", run.url]
        for option, value in (("--round", self.round), ("--index", self.index)):
            found += [] if value is None else [option, str(value)]
        return found


class Processes(Local):
    """Runs what computes on a device in processes of this machine, and what stands beside something else.

    All other steps run in this process, one after another. It makes no context on a GPU: all of that is there for them.
    """

    def __init__(self, run: Run, config: RunConfig, display: Display, seats: Seats) -> None:
        super().__init__(run, config, display)
        self._seats = seats

    def step(self, name: str, round: int | None = None) -> None:
        if STEPS[name].on_device and not self._is_light(name, round):
            self._run_all([Task(name, round)])
        else:
            super().step(name, round)

    def map(self, name: str, round: int | None = None, *, over: str) -> None:
        if STEPS[name].on_device:
            self.beside(Map(name, round, over=over))
        else:  # its own processes take every core
            super().map(name, round, over=over)

    def beside(self, *works: Single | Map) -> None:
        tasks = []
        for work in works:
            if isinstance(work, Map):
                tasks += [Task(work.name, work.round, index) for index in range(self._sizes[work.over])]
            elif self._is_light(work.name, work.round):
                super().step(work.name, work.round)
            else:
                tasks.append(Task(work.name, work.round))
        self._run_all(tasks)

    def _is_light(self, name: str, round: int | None) -> bool:
        return STEPS[name].light(self._run, self._config, round or 0)

    def _run_all(self, tasks: Sequence[Task]) -> None:
        """See that all of these are done, as many at once as there are seats.

        Raises:
            Fatal: a step says so; the others were stopped after a checkpoint.
            Failed: a step has failed as often as it may; the same of the others.
            Stopped: asked to; all have kept their progress.
        """
        left = [task for task in tasks if done(task.step, self._run, task.round, task.index) is None]
        if left:
            _Together(self._run, self._config, self._display, self._seats, tasks, left).to_the_end()


class _Together:
    """Tasks that need nothing of each other."""

    def __init__(
        self,
        run: Run,
        config: RunConfig,
        display: Display,
        seats: Seats,
        tasks: Sequence[Task],
        left: Sequence[Task],
    ) -> None:
        """
        Args:
            tasks: all of them; left: those that are not done.
        """
        self._run, self._sizes, self._display, self._seats = run, config.sizes(), display, seats
        self._tasks, self._left = tasks, list(left)
        self._gpus_per_shard = config.train.gpus_per_shard
        self._children = Children()

    def to_the_end(self) -> None:
        with stop_asked() as asked, ThreadPoolExecutor(self._seats.count, "unecho-process") as pool:
            pending = {pool.submit(self._see_to, task) for task in self._left}
            ended: list[Future[None]] = []
            while pending:
                finished, pending = wait(pending, _LOOK_EVERY_S, FIRST_COMPLETED)
                ended += finished
                if asked() is not None or any(future.exception() for future in finished):
                    self._stop(pending)
                    ended, pending = [*ended, *pending], set()
            status = asked()
        errors = [error for future in ended if (error := future.exception())]
        for error in errors:
            if not isinstance(error, Stopped):  # the others were stopped for its sake
                raise error
        if status is not None:
            raise Stopped(status, "stopped; what is done is kept")
        if errors:
            raise errors[0]

    def _stop(self, pending: set[Future[None]]) -> None:
        """Ask the others to stop, and wait for their checkpoints; asked once more, they write none."""
        with stop_asked() as again:  # before they are told: it may come at any moment
            self._children.terminate()
            while pending:
                _, pending = wait(pending, _LOOK_EVERY_S)
                if again() is not None:
                    self._children.kill()

    def _see_to(self, task: Task) -> None:
        """Try a task as often as it may fail."""
        for tried in range(1, TRIES + 1):
            try:
                self._try(task)
                return
            except _NotDone as error:
                end = error.end
            if end.status == FATAL:
                raise Fatal(end.line)
            if self._children.stopping:
                raise Stopped(TERMINATED, end.line)
            if tried == 1 and end.traceback:
                self._display.warn(end.traceback.rstrip())
            if tried < TRIES:
                self._display.warn(f"{task}: {end}: tried again")
        raise Failed(f"{task}: {end}, {TRIES} times")

    def _try(self, task: Task) -> None:
        gpus = self._gpus_per_shard if task.step == "train" else 1
        with self._seats.taken(gpus) as environment:
            before = len(self._tasks) - len(self._left)
            with self._display.step(task.step, task.round, task.index, self._sizes, before) as progress:
                end = self._children.run(task.arguments(self._run), environment, progress)
                if end.status != DONE:
                    raise _NotDone(end)
            self._left.remove(task)


class _NotDone(Exception):
    """A process has ended before its work."""

    def __init__(self, end: End) -> None:
        super().__init__(str(end))
        self.end = end
