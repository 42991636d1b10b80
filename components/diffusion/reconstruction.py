"""What a latent model's VAE makes of images: there and back, which is as near to an image as the model can come."""

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from numpy.typing import NDArray
from torch import Tensor

from .family import Pretrained
from .loading import one_line, whole
from .quiet import quiet


class Reconstructor:
    """A pipeline's VAE. The same images in the same batches give the same bytes on a CPU."""

    def __init__(self, pretrained: Pretrained, device: torch.device) -> None:
        folder = pretrained.folder("vae")
        with quiet(), one_line(pretrained.where):
            vae = whole(AutoencoderKL, pretrained.where, folder, "vae", torch.float32)
        self._vae, self._device = vae.to(device).eval().requires_grad_(False), device

    def mean(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Decoded from each image's mean latent: uint8 [n, C, H, W] to the same shape, n being one batch."""
        return self._decoded(self._latents(images).mode())

    def drawn(self, images: NDArray[np.uint8], generators: Sequence[torch.Generator]) -> NDArray[np.uint8]:
        """The same from a latent that is drawn as training draws it.

        Args:
            generators: one an image, on the CPU.
        """
        posterior = self._latents(images)
        noise = [torch.randn(posterior.mean.shape[1:], generator=generator) for generator in generators]
        return self._decoded(posterior.mean + posterior.std * torch.stack(noise).to(self._device))

    @torch.no_grad()
    def _latents(self, images: NDArray[np.uint8]) -> DiagonalGaussianDistribution:
        x = torch.from_numpy(images).to(self._device).float() / 127.5 - 1
        found: DiagonalGaussianDistribution = self._vae.encode(x).latent_dist
        return found

    @torch.no_grad()
    def _decoded(self, latents: Tensor) -> NDArray[np.uint8]:
        """To 8 bits as a pipeline's images are brought to them."""
        images: Tensor = self._vae.decode(latents).sample
        values = (images / 2 + 0.5).clamp(0, 1).cpu().numpy()
        return np.asarray((values * 255).round(), np.uint8)
