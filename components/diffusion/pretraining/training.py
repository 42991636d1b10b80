"""A network in training: weights, moments and moving average, which save and load themselves."""

import math
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from ...failure import Fatal
from ...method.streams import begin_default, generator_of, seed_of

_WARM_UP = 0.05
_CLIP = 1.0
State = dict[str, Tensor]
N = TypeVar("N", bound=nn.Module)


class Keeper(Protocol):
    """Keeps the progress of a training outside of the process."""

    def newest(self) -> tuple[int, State] | None:
        """Steps done and state of the newest snapshot, or None."""

    def keep(self, step: int, loss: float, snapshot: Callable[[], State]) -> None:
        """Told after every step, the last one included; takes a snapshot when it wants one.

        Args:
            step: steps done.
            loss: of the last of them.

        Raises:
            Stopped: the process was asked to stop.
        """


class Training:
    """All state of a network in training.

    Attributes:
        steps: optimizer steps planned; step: done.
    """

    def __init__(self, network: nn.Module, steps: int, rate: float, ema_decay: float) -> None:
        """
        Args:
            network: with its first weights.
            steps: planned.
            rate: the highest learning rate.
        """
        self.network, self.step = network.train(), 0
        self.steps, self._rate = steps, rate
        self._names = [name for name, _ in network.named_parameters()]
        self._parameters = list(network.parameters())
        self._optimizer = torch.optim.AdamW(self._parameters, lr=rate, fused=True)
        self._ema = EMAModel(self._parameters, decay=ema_decay, foreach=True)

    def update(self, loss: Tensor) -> None:
        """One update of the weights and of their moving average."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * rate_share(self.step, self.steps)
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self._parameters, _CLIP)
        self._optimizer.step()
        self._ema.optimization_step = self.step
        self._ema.step(self._parameters)
        self.step += 1

    def average(self) -> State:
        """The moving average of the weights; buffers as they are."""
        shadow = zip(self._names, self._ema.shadow_params, strict=True)
        return dict(self.network.state_dict()) | dict(shadow)

    def snapshot(self) -> State:
        """A copy of everything, from which `restore` goes on to the same bytes."""
        state = {f"raw.{name}": tensor for name, tensor in self.network.state_dict().items()}
        for name, parameter, shadow in zip(self._names, self._parameters, self._ema.shadow_params, strict=True):
            state[f"ema.{name}"] = shadow
            for moment in _MOMENTS:
                state[f"{moment}.{name}"] = self._optimizer.state[parameter][moment]
        return {name: tensor.detach().clone() for name, tensor in state.items()}

    def restore(self, step: int, state: Mapping[str, Tensor]) -> None:
        """Continue from a snapshot that was taken after `step` steps, at least one."""
        self.step = step
        self.network.load_state_dict({n.removeprefix("raw."): t for n, t in state.items() if n.startswith("raw.")})
        for name, shadow in zip(self._names, self._ema.shadow_params, strict=True):
            shadow.copy_(state[f"ema.{name}"])
        moments = {
            number: {"step": torch.tensor(float(step))} | {m: state[f"{m}.{name}"] for m in _MOMENTS}
            for number, name in enumerate(self._names)
        }
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})


_MOMENTS = ("exp_avg", "exp_avg_sq")


def train(training: Training, purpose: str, seed: int, loss_at: Callable[[int], Tensor], keeper: Keeper) -> None:
    """Train to the last step, from the newest snapshot on.

    Args:
        purpose: what a step's stream of random numbers is for, the seed and the step's number aside.
        loss_at: the loss of a step by its number; it draws from torch's default generator.

    Raises:
        Fatal: the loss is not a number.
        Stopped: the process was asked to stop; the progress is kept.
    """
    if newest := keeper.newest():
        training.restore(*newest)
    while training.step < training.steps:
        begin_default(torch.device("cpu"), purpose, seed, training.step)
        loss = loss_at(training.step)
        training.update(loss)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise Fatal(f"{purpose}: the loss is not a number at step {training.step}: lower {purpose}.learning_rate")
        keeper.keep(training.step, value, training.snapshot)


def rate_share(step: int, steps: int) -> float:
    """Share of the learning rate at a step (from 0): linear warm-up, then a cosine to 0."""
    warm_up = max(1, round(_WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def positions(purpose: str, seed: int, step: int, samples: int, batch: int) -> Tensor:
    """The samples of a step, int64 [batch]: epoch after epoch in another order, what does not fill a batch left out."""
    batch = min(batch, samples)
    epoch, place = divmod(step, samples // batch)
    order = torch.randperm(samples, generator=generator_of(f"{purpose} order", seed, epoch))
    return order[place * batch : (place + 1) * batch]


def with_first_weights(build: Callable[[], N], purpose: str, seed: int) -> N:
    """A network whose weights are a function of purpose and seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(f"{purpose} weights", seed))
        return build()
