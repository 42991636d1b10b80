"""A kind of model behind one small protocol: what is particular to it, and nothing of shards, rounds or stores."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from diffusers import DiffusionPipeline
from torch import Tensor, nn

Base = Mapping[str, Any]
"""What a network is built from, kept as network.json beside each model: its diffusers config."""


@dataclass(frozen=True)
class Batch:
    """What one update learns from.

    Attributes:
        x0: clean samples as the network sees them, float32 [B, ...].
        condition: the augmentation that each had, by number, 0 for none; int64 [B].
    """

    x0: Tensor
    condition: Tensor


class Family(Protocol):
    """A kind of model."""

    def base(self, channels: int, resolution: int) -> Base:
        """What a new network for samples of that shape is built from.

        Raises:
            Fatal: the configuration does not fit the shape; names the field.
        """

    def pretrained(self, address: str, read: Callable[[str], bytes], new: Base) -> tuple[Base, dict[str, Tensor]]:
        """Base and weights of a pretrained folder, where the run's `base` says what they must fit.

        Args:
            address: of the folder, for messages.
            read: a file of it by its path.

        Raises:
            Fatal: it holds something else, or weights of other shapes; names them.
        """

    def initial(self, base: Base, seed: int) -> dict[str, Tensor]:
        """The weights that every variant and every engine starts from, drawn on the CPU from `seed`."""

    def trainable(self, base: Base) -> nn.Module:
        """What trains, is averaged and is committed; its weights are not yet meaningful."""

    def x0(self, images: Tensor) -> Tensor:
        """Pixels, uint8 [B, C, H, W], as the network's clean samples, float32."""

    def losses(self, network: nn.Module, batch: Batch, t: Tensor, noise: Tensor) -> Tensor:
        """Per-sample training losses, float32 [B].

        Args:
            network: of `trainable`.
            t: timesteps, int64 [B].
            noise: shaped as `batch.x0`.
        """

    def pipeline(self, base: Base, weights: Mapping[str, Tensor], sampler: str) -> DiffusionPipeline:
        """What is sampled and released, on the CPU and without a progress bar.

        Args:
            sampler: "ddpm" or "ddim".
        """
