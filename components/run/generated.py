"""The generated images of a model, out of the records of its parts."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..config import RunConfig
from ..data import Dataset
from ..failure import Fatal
from .address import Run
from .records import SamplesRecord
from .tensors import load_state


class Generated:
    """Images of a model in order of their index, one part in memory at a time."""

    def __init__(self, run: Run, parts: Sequence[SamplesRecord], shape: tuple[int, int, int]) -> None:
        """
        Args:
            parts: in order, from index 0, without a gap.
            shape: C, H, W that the images must have.

        Raises:
            Fatal: the parts do not join up; names the first that does not.
        """
        self._run, self._parts, self._shape = run, parts, shape
        stop = 0
        for part in parts:
            if part.start != stop or part.stop < part.start:
                where = run.store.address(run.key(SamplesRecord, part.round, part.part))
                raise Fatal(f"{where}: altered: images {part.start} to {part.stop}, expected to start at {stop}")
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
        ref = part.objects.get("images.safetensors")
        if ref is None:
            where = self._run.store.address(self._run.key(SamplesRecord, part.round, part.part))
            raise Fatal(f"{where}: altered: it names no images.safetensors")
        images = load_state(self._run.store, ref).get("images")
        wanted = (part.stop - part.start, *self._shape)
        if images is None or tuple(images.shape) != wanted or str(images.dtype) != "torch.uint8":
            found = "nothing" if images is None else f"{images.dtype} {list(images.shape)}"
            raise Fatal(f"{self._run.store.address(ref.key)}: 'images' is {found}, not torch.uint8 {list(wanted)}")
        return np.asarray(images.numpy(), np.uint8)


def generated_images(run: Run, config: RunConfig, round: int, dataset: Dataset) -> Generated:
    """The images that model `round` generated.

    Raises:
        Fatal: a part is missing, or they are not as many as the configuration says.
    """
    parts = [run.load(SamplesRecord, round, part) for part in range(config.sample.parts)]
    images = Generated(run, parts, (dataset.channels, dataset.resolution, dataset.resolution))
    if len(images) != config.sample.count:
        where = run.store.address(run.key(SamplesRecord, round, config.sample.parts - 1))
        raise Fatal(f"{where}: altered: the parts end at image {len(images)}, sample.count is {config.sample.count}")
    return images
