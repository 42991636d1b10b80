"""Which images a report shows: the run's own copy, and the one that may be passed on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..config import RunConfig
from ..data import Dataset
from ..measures.images import Images, InMemory, Rows
from ..measures.memorization import Closeness, closeness
from ..measures.transforms import stages
from ..measures.verdict import Memorization, copy_threshold
from ..run import ModelRecord, Run
from ..run.prompts import Prompts
from . import history
from .figures import Pair
from .page import Pictures, split_strip

_SAMPLES = 48
_PREVIEWS = 12


def pairs(config: RunConfig, aware: Closeness, dataset: Dataset, training: Rows, prompts: Prompts | None) -> list[Pair]:
    """The most-memorized images with their nearest training images; none unless `report.images` is all."""
    if config.report.images != "all":
        return []
    chosen = []
    for generated in aware.order()[: config.report.pairs].tolist():
        nearest, second = (int(training.rows[who[generated]]) for who in (aware.nearest, aware.second))
        chosen.append(
            Pair(
                generated=generated,
                nearest=nearest,
                second=second,
                nearest_name=dataset.name(nearest),
                second_name=dataset.name(second),
                ratio=float(aware.mq[generated]),
                second_ratio=float(aware.second_ratio[generated]),
                prompt=prompts([generated])[0] if prompts else None,
                own_caption=prompts is not None and prompts.row(generated) == nearest,
            )
        )
    return chosen


@dataclass(frozen=True)
class Material:
    """What the pages can draw from.

    Attributes:
        last: the model that the rounds have ended with.
        measured: closeness of the generated images, plain then augmentation-aware.
    """

    run: Run
    config: RunConfig
    last: ModelRecord
    generated: Images
    training: Rows
    dataset: Dataset
    memorization: Sequence[Memorization]
    measured: Sequence[Closeness]
    device: torch.device

    def own(self, chosen: Sequence[Pair]) -> Pictures:
        """For the copy in the run's own prefix: all that `report.images` allows."""
        if self.config.report.images == "none":
            return Pictures()
        everything = np.zeros(len(self.generated), np.bool_)
        return Pictures(
            pairs=[
                (
                    pair,
                    self.generated.take(np.array([pair.generated]))[0],
                    *self.dataset.rows(np.array([pair.nearest, pair.second])),
                )
                for pair in chosen
            ],
            samples=self._samples(everything),
            previews=self._previews(withhold=False),
        )

    def shared(self) -> Pictures:
        """For a UI or a CI summary: no training image, and no generated one that is as good as one."""
        if self.config.report.images == "none":
            return Pictures()
        copies = self._copies(self.measured)
        return Pictures(
            samples=self._samples(copies),
            previews=self._previews(withhold=True),
            withheld=int(copies.sum()),
        )

    def _samples(self, left_out: NDArray[np.bool_]) -> list[NDArray[np.uint8]]:
        """Random ones of the rest, the same at every try."""
        rest = np.flatnonzero(~left_out)
        drawn = np.random.default_rng(self.config.seed).permutation(len(rest))[:_SAMPLES]
        return list(self.generated.take(rest[np.sort(drawn)]))

    def _previews(self, withhold: bool) -> dict[int, list[NDArray[np.uint8] | None]]:
        """Previews by the number of rounds that the model had; a near-copy is None if it is to be withheld."""
        pngs = history.previews(self.run, self.last, _PREVIEWS)
        strips = {number: split_strip(png, self.dataset.channels) for number, png in pngs.items()}
        hidden = np.zeros(sum(len(images) for images in strips.values()), np.bool_)
        if withhold and len(hidden):
            every = InMemory(np.concatenate(list(strips.values())))
            allowed = stages(self.config.taa)
            hidden = self._copies(closeness(every, self.training, allowed, self.config.evaluate, self.device))
        shown, first = {}, 0
        for number, images in strips.items():
            here = hidden[first : first + len(images)].tolist()
            shown[number] = [None if hide else image for image, hide in zip(images, here, strict=True)]
            first += len(images)
        return shown

    def _copies(self, measured: Sequence[Closeness]) -> NDArray[np.bool_]:
        """Which images some measure takes for a near-copy, at its widest informative threshold."""
        copies = np.zeros(len(measured[0].mq), np.bool_)
        for aware, found in enumerate(measured):
            tau = copy_threshold(self.memorization, bool(aware))
            copies |= found.copies(tau, self.config.evaluate.second_nearest)
        return copies
