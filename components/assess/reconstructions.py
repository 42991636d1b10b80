"""Reconstructions of training images by the model's VAE: what a latent model that copies perfectly would make.

A VAE loses something, so that a copy of a training image that a latent model makes is near to the image's
reconstruction, and need not be near to the image itself. A copy is therefore sought among both. All that a model makes
has gone through its VAE, and images that have done so are nearer to each other's reconstructions than others are: so
the held-out images of the floor go through it, too.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import chain
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from ..config import RunConfig
from ..diffusion import given_of
from ..diffusion.reconstruction import Reconstructor
from ..failure import Fatal, memory_by_field
from ..host_memory import gigabytes
from ..measures.exact import exact
from ..measures.images import Images, InMemory
from ..measures.quality import spread
from ..method.streams import generator_of
from ..progress import Progress
from ..run import Plan
from ..run.base_model import BaseModel, pretrained_of
from .reference import Reference

CEILING: Final = 512
"""Training images at most of which the ceiling is measured."""
_IN_MEMORY_BYTES: Final = 256 << 20


@exact()
def with_reconstructions(plan: Plan, reference: Reference, device: torch.device, progress: Progress) -> Reference:
    """The reference with the training images' reconstructions, from mean latents, as a further view of these; and with
    held-out images that were given back from drawn latents.

    As it is for a model of pixels, for one whose VAE is not known here, and where they are not asked for.

    Raises:
        Fatal: the VAE does not load, or holds something else than when the run was planned; names it.
    """
    pretrained = _vae_of(plan, reference)
    if pretrained is None:
        return reference
    vae, config = Reconstructor(pretrained, device), plan.config
    training, held_out = reference.training, reference.floor_images
    every = _batches(np.arange(len(training), dtype=np.int64), config.encode.batch_size)
    means = (vae.mean(training.take(part)) for part in _told(every, progress, "training images through the VAE"))
    drawn = _drawn(vae, held_out, np.arange(len(held_out)), config, "floor")
    with _memory_by_batch(config):
        given_back = _kept(drawn, len(held_out)) if len(held_out) else held_out
        return replace(reference, views=(_kept(means, len(training)),), given_back=given_back)


@exact()
def perfect_copies(plan: Plan, reference: Reference, device: torch.device) -> Images | None:
    """Reconstructions of some training images, evenly spaced, from drawn latents: what a model that copies perfectly
    would generate. None where `with_reconstructions` adds nothing; its errors.
    """
    pretrained = _vae_of(plan, reference)
    if pretrained is None:
        return None
    vae, training = Reconstructor(pretrained, device), reference.training
    some = spread(len(training), min(len(training), CEILING))
    with _memory_by_batch(plan.config):
        return InMemory(np.concatenate(list(_drawn(vae, training, some, plan.config, "ceiling"))))


def _memory_by_batch(config: RunConfig) -> AbstractContextManager[None]:
    return memory_by_field("encode.batch_size", lambda: config.encode.batch_size, or_on_cpu=True)


def _vae_of(plan: Plan, reference: Reference) -> BaseModel | None:
    """The pipeline whose VAE it is: the images of a given one must have its own shape, as trained ones have."""
    config, pretrained = plan.config, pretrained_of(plan)
    if pretrained is None or not config.evaluate.reconstructions:
        return None
    if config.audit.model is None:
        return pretrained if config.model.family == "latents" else None
    given, dataset = given_of(config, pretrained), reference.dataset
    return pretrained if given.has_vae and given.shape() == (dataset.channels, dataset.resolution) else None


def _drawn(
    vae: Reconstructor, images: Images, positions: NDArray[np.int64], config: RunConfig, stream: str
) -> Iterator[NDArray[np.uint8]]:
    """Each from a latent that is drawn by the run's seed and the image's position."""
    for part in _batches(positions, config.encode.batch_size):
        generators = [generator_of(stream, config.seed, position) for position in part.tolist()]
        yield vae.drawn(images.take(part), generators)


def _told(batches: list[NDArray[np.int64]], progress: Progress, unit: str) -> Iterator[NDArray[np.int64]]:
    """The batches; each is told of when the next one is asked for."""
    total = int(batches[-1][-1]) + 1
    for part in batches:
        yield part
        progress.update(int(part[-1]) + 1, total, unit)


def _batches(positions: NDArray[np.int64], at_once: int) -> list[NDArray[np.int64]]:
    return [positions[first : first + at_once] for first in range(0, len(positions), at_once)]


def _kept(batches: Iterator[NDArray[np.uint8]], count: int) -> Images:
    """In memory, or in a file without a name, which goes with the images."""
    first = next(batches)
    if first[0].nbytes * count <= _IN_MEMORY_BYTES:
        return InMemory(np.concatenate([first, *batches]))
    needed, free = first[0].nbytes * count, shutil.disk_usage(tempfile.gettempdir()).free
    if needed > free:
        raise Fatal(
            f"evaluate.reconstructions: true: {count:,} images of the VAE are {gigabytes(needed)}, where "
            f"{tempfile.gettempdir()} has {gigabytes(free)}: set TMPDIR to a folder of a larger disk, or "
            "evaluate.reconstructions=false"
        )
    # written, not mapped for writing: a disk that is full is an error then, and no signal that ends the process
    with tempfile.TemporaryFile(prefix="unecho-reconstructions-") as file:
        for batch in chain([first], batches):
            file.write(batch.tobytes())
        file.flush()
        return InMemory(np.asarray(np.memmap(file, np.uint8, "r", shape=(count, *first.shape[1:]))))
