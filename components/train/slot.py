"""The state of a shard slot: weights, moving average, optimizer, memory bank, counts; saved and loaded by itself."""

from collections.abc import Mapping, Sequence

import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from ..config import RunConfig
from ..failure import Fatal
from ..method.anti_gradient import MemoryBank
from .ranks import part_like, whole


class Slot:
    """All state of a proxy in training, in one place that saves and loads itself.

    Where several ranks train the proxy, each has its part of what is as large as the network; what is saved is whole,
    on the first of them.

    Attributes:
        network: what computes; parameters: those of it that train; ema: their moving average.
        batches, step: batches seen and optimizer steps of the slot over all rounds; where every batch trains, the same.
        visits, skips: int32 [n_k], counted since the round began.
        augment_next: bool [n_k], samples flagged at their last visit.
        loss_sum, augmented, lost: sums over the round's visits.
        queued: samples that wait to be trained, by position in the shard, int64 on the CPU (train.gate samples).
    """

    def __init__(
        self,
        config: RunConfig,
        network: nn.Module,
        raw: Mapping[str, Tensor],
        ema: Mapping[str, Tensor],
        augment_next: Tensor,
        device: torch.device,
    ) -> None:
        """Begin a round from these weights; moments and bank are empty until loaded.

        Args:
            network: what computes, its weights not yet those of the model.
            raw, ema: the model's, or the proxy's own: all that is committed, what trains among it.
        """
        self.network = network
        self._committed = sorted(raw)  # as they were read, they stand in another order in each process
        self._take_over(raw)
        self.network.to(device).train()
        trained = {name: p for name, p in self.network.named_parameters() if p.requires_grad}
        self._names, self.parameters = list(trained), list(trained.values())
        self.optimizer = optimizer_of(config, self.parameters)
        self.ema = EMAModel(
            [torch.empty_like(p).copy_(part_like(ema[name], p)) for name, p in trained.items()],
            decay=config.train.ema_decay,
            min_decay=0.0 if config.train.ema_warmup else config.train.ema_decay,
            foreach=True,
        )
        self.batches = self.step = 0
        samples = len(augment_next)
        self.bank = MemoryBank(torch.zeros(config.noise.timesteps, device=device))
        self.augment_next = augment_next.to(device)
        self.visits = torch.zeros(samples, dtype=torch.int32, device=device)
        self.skips = torch.zeros(samples, dtype=torch.int32, device=device)
        exact = torch.float32 if device.type == "mps" else torch.float64
        self.loss_sum = torch.zeros((), dtype=exact, device=device)
        self.augmented, self.lost = (torch.zeros((), dtype=torch.int64, device=device) for _ in range(2))
        self.queued = torch.zeros(0, dtype=torch.int64)

    def _take_over(self, raw: Mapping[str, Tensor]) -> None:
        """Put the model's weights into the network; what the model does not hold keeps the pretrained ones."""
        own = self.network.state_dict()
        raw = {name: part_like(tensor, own.get(name, tensor)) for name, tensor in raw.items()}
        missing, unknown = self.network.load_state_dict(raw, strict=False)
        trained = {name for name, parameter in self.network.named_parameters() if parameter.requires_grad}
        if wrong := sorted(trained.intersection(missing) | set(unknown)):
            raise ValueError(f"model and network differ in {wrong[0]}")

    def weights(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The raw and the averaged weights, by the names of the model's; what does not train is its own average."""
        state = self.network.state_dict()
        raw = {name: whole(state[name]) for name in self._committed}
        return raw, raw | dict(zip(self._names, map(whole, self.ema.shadow_params), strict=True))

    def average(self) -> None:
        """The moving average after a step; the steps of before a resume count in its warm-up."""
        self.ema.optimization_step = self.step
        average = average_at_once if self.parameters[0].device.type == "cuda" else EMAModel.step
        average(self.ema, self.parameters)

    def gradients(self) -> list[Tensor]:
        """Those that there are."""
        return [parameter.grad for parameter in self.parameters if parameter.grad is not None]

    def optimizer_state(self) -> dict[str, Tensor]:
        """The optimizer's tensors as `exp_avg.NAME`, `exp_avg_sq.NAME`, or as another optimizer calls them."""
        state = self.optimizer.state
        return {
            f"{moment}.{name}": whole(tensor)
            for name, parameter in zip(self._names, self.parameters, strict=True)
            for moment, tensor in sorted(state[parameter].items())
            if isinstance(tensor, Tensor) and moment != "step"
        }

    def continue_from(self, optimizer: Mapping[str, Tensor], bank: Tensor, batches: int, step: int) -> None:
        """Take over what stays with the slot from round to round."""
        self.batches, self.step = batches, step
        self.bank.level.copy_(bank)
        if step:
            kept = moments_by_name(optimizer, self._names)
            moments = {
                i: {
                    **as_they_lie({m: part_like(t, parameter) for m, t in kept[name].items()}, parameter),
                    "step": self._counted(step),
                }
                for i, (name, parameter) in enumerate(zip(self._names, self.parameters, strict=True))
            }
            self.optimizer.load_state_dict(
                {"state": moments, "param_groups": self.optimizer.state_dict()["param_groups"]}
            )

    def _counted(self, step: int) -> Tensor | int:
        """The count of steps as the optimizer keeps it."""
        return torch.tensor(float(step)) if isinstance(self.optimizer, torch.optim.Adam) else step

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of everything on the CPU, from which `restore` goes on to the same bytes."""
        raw, ema = self.weights()
        tensors = {f"raw.{name}": tensor for name, tensor in raw.items()}
        tensors |= {f"ema.{name}": tensor for name, tensor in ema.items()}
        tensors |= self.optimizer_state() if self.step else {}
        tensors |= {name: getattr(self, name) for name in self._COUNTED} | {"bank": self.bank.level}
        tensors |= {"lost": self.lost, "queued": self.queued, "step": torch.tensor(self.step)}
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}

    def restore(self, tensors: Mapping[str, Tensor], batches: int) -> None:
        """Continue from a snapshot that was taken after so many batches."""
        self._take_over({n.removeprefix("raw."): t for n, t in tensors.items() if n.startswith("raw.")})
        for name, average in zip(self._names, self.ema.shadow_params, strict=True):
            average.copy_(part_like(tensors[f"ema.{name}"], average))
        for name in self._COUNTED:
            getattr(self, name).copy_(tensors[name])
        step = batches
        if "queued" in tensors:  # an older snapshot is of a slot where every batch trains
            self.queued, step = tensors["queued"].clone(), int(tensors["step"])
            self.lost.copy_(tensors["lost"])
        self.continue_from(tensors, tensors["bank"], batches, step)

    _COUNTED = ("augment_next", "visits", "skips", "loss_sum", "augmented")


def optimizer_of(config: RunConfig, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer that the configuration names, empty.

    Raises:
        Fatal: the one of 8 bits, and its package is not installed.
    """
    rate, decay = config.train.learning_rate, config.train.weight_decay
    if config.train.optimizer == "adamw8bit":
        try:
            from bitsandbytes.optim import AdamW8bit
        except ImportError:
            raise Fatal(
                "train.optimizer: adamw8bit needs the package bitsandbytes: pip install 'unecho[adam8bit]', or choose "
                "adamw"
            ) from None
        eight_bit: torch.optim.Optimizer = AdamW8bit(parameters, lr=rate, weight_decay=decay)
        return eight_bit
    kind = torch.optim.AdamW if config.train.optimizer == "adamw" else torch.optim.Adam
    return kind(parameters, lr=rate, weight_decay=decay, fused=True)


@torch.no_grad()
def average_at_once(ema: EMAModel, parameters: Sequence[Tensor]) -> None:
    """`EMAModel.step` in one pass over the weights, in place of two with a copy of them between.

    On a CPU it is not taken: where the decay is low, its last bits are others.
    """
    ema.optimization_step += 1
    torch._foreach_lerp_(ema.shadow_params, [*parameters], 1 - ema.get_decay(ema.optimization_step))


def as_they_lie(moments: Mapping[str, Tensor], parameter: Tensor) -> dict[str, Tensor]:
    """Moments whose values lie in memory as their parameter's do, so that all are passed in one go."""

    def lies_otherwise(moment: Tensor) -> bool:
        return moment.shape == parameter.shape and moment.stride() != parameter.stride()

    return {
        name: torch.empty_strided(moment.shape, parameter.stride(), dtype=moment.dtype).copy_(moment)
        if lies_otherwise(moment)
        else moment
        for name, moment in moments.items()
    }


def moments_by_name(tensors: Mapping[str, Tensor], names: Sequence[str]) -> dict[str, dict[str, Tensor]]:
    """From `MOMENT.NAME` to each parameter's moments."""
    found: dict[str, dict[str, Tensor]] = {name: {} for name in names}
    for key, tensor in tensors.items():
        moment, _, name = key.partition(".")
        if name in found and moment not in ("raw", "ema"):
            found[name][moment] = tensor
    return found
