"""Steps in processes that are forked from one which has imported everything: a process of its own takes seconds."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.reduction import DupFd
from typing import Any, BinaryIO

_FORKSERVER = multiprocessing.get_context("forkserver")


class Forked:
    """What of a Popen is used, over a process that is forked."""

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], before: Callable[[], None] | None = None
    ) -> None:
        """
        Args:
            before: called there first; a function of a module.
        """
        (of_child, mine), (said, of_its) = os.pipe(), os.pipe()
        self.stdin: BinaryIO = os.fdopen(mine, "wb")
        self.stderr: BinaryIO = os.fdopen(said, "rb")
        everything = {**os.environ, "UNECHO_LOG": "json", "UNECHO_PARENT": "keeps", **environment}
        self._process = _FORKSERVER.Process(
            target=_step, args=(_Files(of_child, of_its), list(arguments), everything, before)
        )
        self._process.start()
        os.close(of_child)
        os.close(of_its)

    def wait(self) -> int:
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


class _Files:
    """Two open files that a process is started with."""

    def __init__(self, *files: int) -> None:
        self.files = files

    def __reduce__(self) -> Any:
        return _detached, tuple(DupFd(file) for file in self.files)


def _detached(*files: Any) -> list[int]:
    return [file.detach() for file in files]


def _step(files: Any, arguments: list[str], environment: dict[str, str], before: Callable[[], None] | None) -> None:
    from unecho.components.__main__ import main

    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    for number, file in zip((0, 2), files, strict=True):
        os.dup2(file, number)
        os.close(file)
    sys.stderr = os.fdopen(2, "w", closefd=False)
    if before:
        before()
    status = main(arguments)
    sys.stderr.flush()
    os._exit(status)
