"""Stage 2: pixels to latents and back."""

from collections.abc import Iterator, Mapping

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from .config import BaseModelConfig
from .training import Keeper, State, Training, positions, train, with_first_weights

_AT_ONCE = 256
"""Images that are encoded at once: fixed, since arithmetic may depend on it in the last bit."""


def build_autoencoder(config: BaseModelConfig, scaling_factor: float = 1.0) -> AutoencoderKL:
    """A network of these settings, its weights not yet meaningful.

    Args:
        scaling_factor: what latents are multiplied by before they are noised.
    """
    widths = config.autoencoder.block_out_channels
    return AutoencoderKL(
        block_out_channels=widths,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        layers_per_block=config.autoencoder.layers_per_block,
        latent_channels=config.autoencoder.latent_channels,
        norm_num_groups=config.autoencoder.norm_num_groups,
        sample_size=config.data.resolution,
        scaling_factor=scaling_factor,
    )


def train_autoencoder(config: BaseModelConfig, images: Tensor, keeper: Keeper) -> State:
    """Train it on images, uint8 [N, 3, R, R]; the moving average of its weights."""
    settings = config.autoencoder
    network = with_first_weights(lambda: build_autoencoder(config), "autoencoder", config.seed)
    training = Training(network, settings.steps, settings.learning_rate, settings.ema_decay)

    def loss_at(step: int) -> Tensor:
        rows = positions("autoencoder", config.seed, step, len(images), settings.batch_size)
        x = pixels(images[rows])
        if config.flip:
            x = torch.where(torch.rand(len(x), 1, 1, 1) < 0.5, x.flip(-1), x)
        posterior = network.encode(x).latent_dist
        decoded = network.decode(posterior.sample()).sample
        divergence = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
        loss: Tensor = F.l1_loss(decoded, x) + F.mse_loss(decoded, x) + settings.kl_weight * divergence
        return loss

    train(training, "autoencoder", config.seed, loss_at, keeper)
    return training.average()


def open_autoencoder(config: BaseModelConfig, weights: Mapping[str, Tensor], scaling_factor: float) -> AutoencoderKL:
    """The trained network, ready to encode and decode."""
    network = build_autoencoder(config, scaling_factor)
    network.load_state_dict(weights)
    return network.requires_grad_(False).eval()


def pixels(images: Tensor) -> Tensor:
    """uint8 to float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def encode(network: AutoencoderKL, images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log variance of each image's latent, float32 [N, C, h, w] each, not scaled."""
    with torch.inference_mode():
        found = [network.encode(pixels(some)).latent_dist for some in _parts(images)]
        return torch.cat([one.mean for one in found]).clone(), torch.cat([one.logvar for one in found]).clone()


def scaling_factor(mean: Tensor, logvar: Tensor) -> float:
    """One over the standard deviation of all values of drawn latents, so that scaled ones have 1."""
    values = mean.double()
    variance = values.var(correction=0) + logvar.double().exp().mean()
    return float(f"{float(variance) ** -0.5:.6g}")


def reconstructed(network: AutoencoderKL, images: Tensor) -> Tensor:
    """Images through the autoencoder (the mean latent) and back, uint8 as they came."""
    with torch.inference_mode():
        decoded = [network.decode(network.encode(pixels(some)).latent_dist.mean).sample for some in _parts(images)]
        return ((torch.cat(decoded) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).clone()


def reconstruction_error(network: AutoencoderKL, images: Tensor) -> float:
    """Root of the mean squared difference between images and their reconstructions, in grey levels of 255."""
    difference = reconstructed(network, images).double() - images.double()
    return float(difference.square().mean().sqrt())


def _parts(images: Tensor) -> Iterator[Tensor]:
    return iter(torch.split(images, _AT_ONCE))
