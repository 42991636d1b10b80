"""The state of a shard slot: weights, moving average, optimizer, memory bank, counts; saved and loaded by itself."""

from collections.abc import Mapping

import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from ..config import RunConfig
from ..method.anti_gradient import MemoryBank


class Slot:
    """All state of a proxy in training, in one place that saves and loads itself.

    Attributes:
        network, parameters: what trains; ema: its moving average.
        step: optimizer steps of the slot over all rounds.
        visits, skips: int32 [n_k], counted since the round began.
        augment_next: bool [n_k], samples flagged at their last visit.
        loss_sum, augmented: sums over the round's visits.
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
        """Begin a round from the aggregated model; moments and bank are empty until loaded.

        Args:
            network: what trains, its weights not yet those of the model.
            raw, ema: the model's.
        """
        self.network = network
        self.network.load_state_dict(raw)
        self.network.to(device).train()
        self._names = [name for name, _ in self.network.named_parameters()]
        self.parameters = list(self.network.parameters())
        kind = torch.optim.AdamW if config.train.optimizer == "adamw" else torch.optim.Adam
        self.optimizer = kind(
            self.parameters, lr=config.train.learning_rate, weight_decay=config.train.weight_decay, fused=True
        )
        self.ema = EMAModel(
            [ema[name].to(device) for name in self._names],
            decay=config.train.ema_decay,
            min_decay=0.0 if config.train.ema_warmup else config.train.ema_decay,
            foreach=True,
        )
        self.step = 0
        samples = len(augment_next)
        self.bank = MemoryBank(torch.zeros(config.noise.timesteps, device=device))
        self.augment_next = augment_next.to(device)
        self.visits = torch.zeros(samples, dtype=torch.int32, device=device)
        self.skips = torch.zeros(samples, dtype=torch.int32, device=device)
        exact = torch.float32 if device.type == "mps" else torch.float64
        self.loss_sum = torch.zeros((), dtype=exact, device=device)
        self.augmented = torch.zeros((), dtype=torch.int64, device=device)

    def weights(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The raw and the averaged state dict."""
        averaged = dict(zip(self._names, self.ema.shadow_params, strict=True))
        return dict(self.network.state_dict()), averaged

    def optimizer_state(self) -> dict[str, Tensor]:
        """`exp_avg.NAME` and `exp_avg_sq.NAME`."""
        state = self.optimizer.state
        return {
            f"{moment}.{name}": state[parameter][moment]
            for name, parameter in zip(self._names, self.parameters, strict=True)
            for moment in ("exp_avg", "exp_avg_sq")
        }

    def continue_from(self, optimizer: Mapping[str, Tensor], bank: Tensor, step: int) -> None:
        """Take over what stays with the slot from round to round."""
        self.step = step
        self.bank.level.copy_(bank)
        if step:
            counted = torch.tensor(float(step))
            moments = {
                i: {"step": counted.clone()} | {m: optimizer[f"{m}.{name}"] for m in ("exp_avg", "exp_avg_sq")}
                for i, name in enumerate(self._names)
            }
            self.optimizer.load_state_dict(
                {"state": moments, "param_groups": self.optimizer.state_dict()["param_groups"]}
            )

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of everything on the CPU, from which `restore` goes on to the same bytes."""
        raw, ema = self.weights()
        tensors = {f"raw.{name}": tensor for name, tensor in raw.items()}
        tensors |= {f"ema.{name}": tensor for name, tensor in ema.items()}
        tensors |= self.optimizer_state() if self.step else {}
        tensors |= {name: getattr(self, name) for name in self._COUNTED} | {"bank": self.bank.level}
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}

    def restore(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Continue from a snapshot that was taken after `step` steps."""
        self.network.load_state_dict({n.removeprefix("raw."): t for n, t in tensors.items() if n.startswith("raw.")})
        for name, average in zip(self._names, self.ema.shadow_params, strict=True):
            average.copy_(tensors[f"ema.{name}"])
        for name in self._COUNTED:
            getattr(self, name).copy_(tensors[name])
        self.continue_from(tensors, tensors["bank"], step)

    _COUNTED = ("augment_next", "visits", "skips", "loss_sum", "augmented")
