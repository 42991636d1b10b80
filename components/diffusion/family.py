"""A kind of model behind one small protocol: what is particular to it, and nothing of shards, rounds or stores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from diffusers import DiffusionPipeline
from numpy.typing import NDArray
from torch import Tensor, nn

Base = Mapping[str, Any]
"""What a network is built from, kept as network.json beside each model: its diffusers config, and what goes with it."""


class Pretrained(Protocol):
    """The pretrained pipeline that a run starts from or audits, as the plan has frozen it.

    Attributes:
        address: of its folder, for messages.
    """

    @property
    def address(self) -> str: ...

    @property
    def where(self) -> str:
        """The field that names it, and its address: how a line on it begins."""

    def read(self, path: str) -> bytes:
        """A file of it. Raises `Fatal`: missing, or not what was planned; names it."""

    def folder(self, *components: str) -> Path:
        """Where its index and these components are on this machine."""


@dataclass(frozen=True)
class Batch:
    """What one update learns from.

    Attributes:
        x0: clean samples as the network sees them, float32 [B, ...].
        condition: the augmentation that each had, by number, 0 for none; int64 [B].
        text: a row of text states each, as the encoders made it, [B, S]; None for a model without prompts.
    """

    x0: Tensor
    condition: Tensor
    text: Tensor | None = None

    def split(self, parts: int) -> "list[Batch]":
        """So many batches that follow one another, as even as can be."""
        texts = [None] * parts if self.text is None else self.text.tensor_split(parts)
        split = zip(self.x0.tensor_split(parts), self.condition.tensor_split(parts), texts, strict=True)
        return [Batch(*part) for part in split]


class Family(Protocol):
    """A kind of model, as far as it is sampled."""

    def pipeline(self, base: Base, weights: Mapping[str, Tensor], sampler: str) -> DiffusionPipeline:
        """What is sampled, on the CPU and without a progress bar.

        Args:
            weights: what trained of it, by the names of `TrainableFamily.initial`.
            sampler: "ddpm", "ddim" or "base".
        """

    def images(
        self, pipeline: DiffusionPipeline, generators: list[torch.Generator], prompts: Sequence[str] | None, steps: int
    ) -> NDArray[np.float32]:
        """Images in [0, 1], [B, H, W, C], one a generator.

        Args:
            pipeline: of `pipeline`.
            prompts: one a generator, where the model takes them.
        """


class TrainableFamily(Family, Protocol):
    """A kind of model that trains, and is released."""

    def base(self, channels: int, resolution: int) -> Base:
        """What a network for images of that shape is built from.

        Raises:
            Fatal: the configuration or the pretrained model does not fit the shape; names the field.
        """

    def initial(self, base: Base, seed: int) -> dict[str, Tensor]:
        """The weights that every variant and every engine starts from: the pretrained ones, or drawn from `seed`.

        They are all that trains or goes with it, and what is committed and averaged.

        Raises:
            Fatal: the pretrained model has weights of other shapes; names them.
        """

    def trainable(self, base: Base) -> nn.Module:
        """The network; `initial`'s weights in it are not yet meaningful. What needs a gradient trains, no more."""

    def x0(self, held: Tensor) -> Tensor:
        """What is held of samples as the network's clean samples, float32 [B, ...].

        Args:
            held: pixels, uint8 [B, C, H, W]; or the VAE's moments [B, 2 C, h, w], from which latents are drawn with the
                default generator of their device.
        """

    def losses(self, network: nn.Module, batch: Batch, t: Tensor, noise: Tensor) -> Tensor:
        """Per-sample training losses, unweighted, float32 [B].

        Args:
            network: of `trainable`.
            t: timesteps, int64 [B].
            noise: shaped as `batch.x0`.
        """

    def weights_of(self, t: Tensor) -> Tensor | None:
        """By what each loss is multiplied for the gradient, float32 [B]; None for 1."""

    def release(self, base: Base, weights: Mapping[str, Tensor], folder: Path) -> None:
        """Save the pipeline as a diffusers folder, and what else a user may want beside it. No pickle is written."""
