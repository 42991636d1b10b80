"""The generated images of a model, out of the records of its parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..config import RunConfig
from ..data import Dataset
from ..failure import Fatal
from ..host_memory import check_memory
from ..store import ObjectRef, Store
from .address import Run
from .records import SamplesRecord
from .tensors import load_state


@dataclass(frozen=True)
class Part:
    """A part of a set of images.

    Attributes:
        where: address of the record that names its object, for messages.
        start, stop: index of its first image, and of the one after its last.
        name, ref: of the object.
    """

    where: str
    start: int
    stop: int
    name: str
    ref: ObjectRef | None


class Generated:
    """Images of a model in order of their index, one part in memory at a time."""

    def __init__(self, store: Store, parts: Sequence[Part], shape: tuple[int, int, int]) -> None:
        """
        Args:
            parts: in order, from index 0, without a gap.
            shape: C, H, W that the images must have.

        Raises:
            Fatal: the parts do not join up; names the first that does not.
        """
        self._store, self._parts, self._shape = store, parts, shape
        stop = 0
        for part in parts:
            if part.start != stop or part.stop < part.start:
                raise Fatal(f"{part.where}: altered: images {part.start} to {part.stop}, expected to start at {stop}")
            stop = part.stop
        self._starts = np.array([part.start for part in parts], np.int64)
        self._count = stop
        self._part = lru_cache(maxsize=1)(self._read)

    def __len__(self) -> int:
        return self._count

    def take(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        images = np.empty((len(positions), *self._shape), np.uint8)
        owner = np.searchsorted(self._starts, positions, side="right") - 1
        for number in np.unique(owner).tolist():
            mine = owner == number
            images[mine] = self._part(number)[positions[mine] - self._starts[number]]
        return images

    def _read(self, number: int) -> NDArray[np.uint8]:
        part = self._parts[number]
        if part.ref is None:
            raise Fatal(f"{part.where}: altered: it names no {part.name}")
        self._part.cache_clear()  # the part that is held is not wanted any more
        check_memory(
            2 * part.ref.size,  # the object, and what is unpacked of it
            f"{self._store.address(part.ref.key)}: its {part.stop - part.start:,} images",
            "give the step more memory, or sample in more sample.parts",
        )
        images = load_state(self._store, part.ref).get("images")
        wanted = (part.stop - part.start, *self._shape)
        if images is None or tuple(images.shape) != wanted or str(images.dtype) != "torch.uint8":
            found = "nothing" if images is None else f"{images.dtype} {list(images.shape)}"
            raise Fatal(f"{self._store.address(part.ref.key)}: 'images' is {found}, not torch.uint8 {list(wanted)}")
        return np.asarray(images.numpy(), np.uint8)


def generated_images(run: Run, config: RunConfig, round: int, dataset: Dataset) -> Generated:
    """The images that model `round` generated.

    Raises:
        Fatal: a part is missing, or they are not as many as the configuration says.
    """
    name, parts = "images.safetensors", []
    for number in range(config.sample.parts):
        record = run.load(SamplesRecord, round, number)
        parts.append(Part(address_of(run, record), record.start, record.stop, name, record.objects.get(name)))
    images = Generated(run.store, parts, (dataset.channels, dataset.resolution, dataset.resolution))
    if len(images) != config.sample.count:
        raise Fatal(
            f"{parts[-1].where}: altered: the parts end at image {len(images)}, sample.count is {config.sample.count}"
        )
    return images


def address_of(run: Run, record: SamplesRecord) -> str:
    """Where a record of samples is."""
    return run.store.address(run.key(SamplesRecord, record.round, record.part))
