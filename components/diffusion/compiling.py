"""A network that torch compiles at its first pass: fewer and larger kernels, the same weights under the same names."""

import os
import warnings
from collections.abc import Callable, Iterator
from typing import Final, Literal, TypeVar

import torch
from torch import nn

from ..failure import Fatal, memory_line

T = TypeVar("T")
BACKEND = "inductor"
_SHAPES: Final = 64
"""Shapes of batches that one network may meet; beyond them torch would go on without compiling, and say so in a log."""
_MOST_CAUSES: Final = 20
_LEAST_WORKERS: Final = 4
"""Processes that compile, in a pod of few threads too: each waits for a compiler most of the time."""


class Compiling:
    """Compiles a network as a whole, and says what to do where that cannot be.

    One graph a shape of the batch: were shapes left open, which kernels a batch meets would depend on those before it,
    and a training that was killed would not end with the same bytes. No kernel is chosen by a trial on the device.
    """

    def __init__(self, network: nn.Module, asked: Literal["auto"] | bool, note: Callable[[str], None]) -> None:
        """
        Args:
            network: that is passed; it is compiled in place, and its state dict stays as it is.
            asked: the field `compile`: under "auto" a network that cannot be compiled is passed without.
            note: called with a line on that.
        """
        import torch._dynamo
        import torch._inductor.config

        self._network, self._asked, self._note = network, asked, note
        self.works: bool | None = None
        """Whether the network is compiled; None until it has been passed."""
        torch._dynamo.reset()  # what another network has left would count among the shapes
        torch._dynamo.config.recompile_limit = _SHAPES
        torch._dynamo.config.fail_on_recompile_limit_hit = True
        torch._inductor.config.deterministic = True
        if "TORCHINDUCTOR_COMPILE_THREADS" not in os.environ:  # it would start one a core of the node, up to 32
            torch._inductor.config.compile_threads = min(32, max(_LEAST_WORKERS, torch.get_num_threads()))
        warnings.filterwarnings("ignore", "Dynamo detected a call to a `functools.lru_cache`")  # of diffusers' versions
        network.compile(backend=BACKEND, dynamic=False)

    def __call__(self, compute: Callable[[], T], *, settles: bool = True) -> T:
        """What `compute` gives, which passes the network, or does so and goes back.

        Args:
            settles: whether all that is to be compiled has been, once it succeeds.

        Raises:
            Fatal: the network cannot be compiled, and that was asked for.
        """
        if self.works is not None:
            return compute()
        state = _random_state()
        try:
            result = compute()
        except Exception as error:
            reason = _reason(error)
            if reason is None:
                raise
            line = f"torch cannot compile the network here ({reason})"
            if self._asked is True:
                raise Fatal(f"compile: true: {line}: set compile=false") from None
            self._note(f"compile: auto: {line}: it goes on without")
            self._network._compiled_call_impl = None
            self._network.zero_grad(set_to_none=True)  # of a pass that has gone half of its way back
            self.works = False
            _set_random_state(state)
            return compute()
        self.works = True if settles else None
        return result


def _reason(error: Exception) -> str | None:
    """Why it could not be compiled, in a line; None for an error that is another."""
    if memory_line(error):
        return None
    causes = list(_causes(error))
    if not any(type(one).__module__.startswith(("torch._dynamo", "torch._inductor", "triton")) for one in causes):
        return None
    text = next((str(one) for one in reversed(causes) if str(one).strip()), type(error).__name__)
    line = next(line.strip() for line in text.splitlines() if line.strip())
    return f"{type(causes[-1]).__name__}: {line}"[:300]


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came of, the outermost first."""
    inner: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if inner is None:
            return
        yield inner
        wrapped = getattr(inner, "inner_exception", None)
        inner = wrapped or inner.__cause__ or inner.__context__


def _random_state() -> list[torch.Tensor]:
    """Of the default generators, which a pass draws from."""
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [])]


def _set_random_state(state: list[torch.Tensor]) -> None:
    torch.set_rng_state(state[0])
    if len(state) > 1:
        torch.cuda.set_rng_state_all(state[1:])
