"""A part of sets of images: made by one pipeline, as the objects of a record."""

import json
from collections.abc import Iterator

import torch

from ..config import RunConfig
from ..config.counts import companion_count, part_bounds
from ..diffusion.family import Family
from ..diffusion.sampling import Ready, batches
from ..progress import Progress
from ..run.companions import OWN_STREAM, CompanionSet, images_object, prompts_object
from ..run.prompts import Prompts
from ..run.tensors import state_bytes
from ..run.unfinished import Images, UnfinishedPart


class Making:
    """Makes part `index` of any set; the same images whatever the number of parts."""

    def __init__(
        self, config: RunConfig, family: Family, index: int, unfinished: UnfinishedPart, progress: Progress
    ) -> None:
        """
        Args:
            unfinished: what keeps finished batches until all are made.
        """
        self._config, self._family, self._index, self._progress = config, family, index, progress
        self._unfinished = unfinished

    def own(self, ready: Ready, prompts: Prompts | None) -> dict[str, bytes]:
        """The run's own images, on which it is judged, and what they were asked for."""
        start, stop = part_bounds(self._config, self._index)
        files = {"images.safetensors": self._images(ready, prompts, "own", OWN_STREAM, start, stop, "images")}
        return files if prompts is None else files | {"prompts.json": _asked(prompts, start, stop)}

    def companions(self, ready: Ready, sets: list[CompanionSet]) -> dict[str, bytes]:
        """Those of companion sets that the pipeline's model makes; nothing where the part has none of them."""
        start, stop = part_bounds(self._config, self._index, companion_count(self._config))
        files: dict[str, bytes] = {}
        for one in sets:
            unit = f"images of the companion set {one.name}"
            files[images_object(one.name)] = self._images(ready, one.prompts, one.name, one.stream, start, stop, unit)
            files[prompts_object(one.name)] = _asked(one.prompts, start, stop)
        return files

    def _images(
        self,
        ready: Ready,
        prompts: Prompts | None,
        name: str,
        stream: str,
        start: int,
        stop: int,
        unit: str,
    ) -> bytes:
        seed, sample = self._config.seed, self._config.sample

        def made_from(first: int) -> Iterator[Images]:
            return batches(
                self._family,
                ready.pipeline,
                prompts,
                seed,
                first,
                stop,
                sample.batch_size,
                sample.steps,
                stream,
                ready.compiling,
            )

        def told(done: int) -> None:
            self._progress.update(done, stop - start, unit)

        return state_bytes({"images": torch.from_numpy(self._unfinished.images(name, start, stop, made_from, told))})


def _asked(prompts: Prompts, start: int, stop: int) -> bytes:
    asked = [{"index": i, "prompt": prompts([i])[0], "row": prompts.row(i)} for i in range(start, stop)]
    return json.dumps(asked, ensure_ascii=False, indent=1).encode()
