"""A small copy descriptor that is trained on the data itself: a map that knows an image again after crop and colour.

Two views of an image, each cropped, mirrored, shifted, blurred, tinted and noised at random, are to be nearer to each
other than to all other images of the batch: NT-Xent (T. Chen et al., "A Simple Framework for Contrastive Learning of
Visual Representations", arXiv 2002.05709, eq. 1), as SSCD is trained (E. Pizzi et al., arXiv 2202.10261).
"""

from collections.abc import Callable, Iterator
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data import Dataset
from ..failure import Fatal
from .planting import blurred, either, noised, tinted, uniform, warped
from .quality import spread

DIMENSIONS: Final = 64
_WIDTHS = (32, 64, 128)
_BATCH = 256
_SEED = 0
_LARGEST = 64
"""Pixels of height and width; larger images are averaged down to at most so many."""
_SMALL = 16
"""Pixels of height and width up to which the first convolution sees all of them, not every other one."""
_MOST_BYTES = 1 << 30
"""Training images in memory; of larger data sets evenly spaced ones are taken."""
_LEARNING_RATE = 2e-3
_TEMPERATURE = 0.05
_ENTROPY = 2.0
"""Weight of `crowding`; SSCD's is 30."""
_FLAT = 0.02
"""A deviation, of values in [0, 1], below which a channel counts as flat."""
_FEWEST = 8
"""Training images: what an image is told apart from are the others of its batch."""


class CopyDescriptor(nn.Module):
    """Three convolutions, means over the quarters of what is left of the picture, a hidden layer; length 1."""

    def __init__(self, channels: int, resolution: int) -> None:
        super().__init__()
        shrink = -(-resolution // _LARGEST)
        layers: list[nn.Module] = [nn.AvgPool2d(shrink)] if shrink > 1 else []
        for number, (before, width) in enumerate(zip((channels, *_WIDTHS), _WIDTHS, strict=False)):
            stride = 2 if number or resolution > _SMALL else 1
            layers += [nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        width = 4 * _WIDTHS[-1]
        self.layers = nn.Sequential(
            *layers,
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(width, width // 2, bias=False),
            nn.BatchNorm1d(width // 2),
            nn.ReLU(),
            nn.Linear(width // 2, DIMENSIONS),
        )

    def forward(self, images: Tensor) -> Tensor:
        """float32 [n, C, H, W] in [0, 1] to unit vectors, float32 [n, 64]."""
        mean = images.mean(dim=(2, 3), keepdim=True)
        deviation = (images - mean).square().mean(dim=(2, 3), keepdim=True).sqrt()
        # brightness, contrast and a tint are gone before anything is learned; a flat image stays near 0
        return F.normalize(self.layers((images - mean) / (deviation + _FLAT)), dim=1)


def train_copy_descriptor(
    dataset: Dataset, steps: int, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> CopyDescriptor:
    """Train on the data set's training split; the seed is fixed.

    Args:
        steps: optimizer steps (AdamW, cosine learning rate) of 256 images, or of all where there are fewer.
        on_progress: called with steps done and steps in all.

    Raises:
        Fatal: there are fewer than 8 training images.
    """
    rows = dataset.train_rows
    if len(rows) < _FEWEST:
        raise Fatal(f"descriptor: {len(rows)} training images: at least {_FEWEST} are needed to tell one from others")
    most = max(_BATCH, _MOST_BYTES // (dataset.channels * dataset.resolution**2))
    images = torch.from_numpy(dataset.rows(rows[spread(len(rows), min(len(rows), most))]))
    generator = torch.Generator().manual_seed(_SEED)
    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        network = CopyDescriptor(dataset.channels, dataset.resolution)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step, some in enumerate(_batches(len(images), steps, generator), start=1):
        values = images[some].float() / 255
        vectors = network(torch.cat([view(values, generator), view(values, generator)]))
        torch.autograd.backward(nt_xent(vectors, _TEMPERATURE) + _ENTROPY * crowding(vectors))
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        on_progress(step, steps)
    return network.eval()


def _batches(count: int, steps: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Positions of as many batches, none of which holds an image twice: it would have to be told from itself."""
    size, order, place = min(_BATCH, count), torch.empty(0, dtype=torch.int64), 0
    for _ in range(steps):
        if place + size > len(order):
            order, place = torch.randperm(count, generator=generator), 0
        yield order[place : place + size]
        place += size


def nt_xent(vectors: Tensor, temperature: float) -> Tensor:
    """Mean over all views of -log(exp(s_ij / T) / sum over k != i of exp(s_ik / T)), j being the other view of i.

    Args:
        vectors: unit vectors, float32 [2n, D]; view i and view n + i are of one image.
    """
    count = len(vectors) // 2
    similarity = vectors @ vectors.T / temperature
    similarity = similarity.masked_fill(torch.eye(2 * count, dtype=torch.bool, device=vectors.device), -torch.inf)
    other = torch.arange(2 * count, device=vectors.device).roll(count)
    return F.cross_entropy(similarity, other)


def crowding(vectors: Tensor) -> Tensor:
    """Mean over all views of -log(distance to the nearest view of another image).

    It spreads images evenly, so that one threshold does for those in a crowd and those apart (SSCD, section 4.2; A.
    Sablayrolles et al., "Spreading vectors for similarity search", arXiv 1806.03198, eq. 2).

    Args:
        vectors: as in `nt_xent`.
    """
    count = len(vectors) // 2
    same = torch.eye(count, dtype=torch.bool, device=vectors.device).repeat(2, 2)
    nearest = (vectors @ vectors.T).masked_fill(same, -1.0).amax(dim=1)
    return -(2 - 2 * nearest).clamp(min=1e-6).log().mean() / 2


def view(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image as a copy of it may look; each of what it may go through happens to half of them, in random strength.

    Args:
        images: float32 [n, C, H, W] in [0, 1].
    """
    n, channels = images.shape[:2]

    def half(strength: Tensor, nothing: float) -> Tensor:
        return torch.where(either(n, generator) > 0, strength, nothing)

    zoom = half(uniform(n, 0.65, 1, generator), 1)
    # the window stays within the image, but for a shift
    down, right = (
        uniform(n, -0.5, 0.5, generator) * (1 - zoom) + half(uniform(n, -0.15, 0.15, generator), 0) for _ in range(2)
    )
    seen = warped(images, either(n, generator) > 0, zoom, down, right)
    share = half(uniform(n, 0, 1, generator), 0)[:, None, None, None]
    seen = torch.lerp(seen, blurred(seen, max(0.7, images.shape[2] / 32)), share)
    gain = torch.stack([half(uniform(n, 0.6, 1.3, generator), 1) for _ in range(channels)], dim=1)
    seen = tinted(seen, gain, half(uniform(n, -0.15, 0.15, generator), 0))
    return noised(seen, half(uniform(n, 0, 0.08, generator), 0), generator).clamp(0, 1)
