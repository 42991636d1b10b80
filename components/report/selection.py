"""Which images a report shows: the run's own copy, and the one that may be passed on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..assess.assessment import Assessment
from ..config import RunConfig
from ..data import Dataset
from ..data.forgotten import LeftOut
from ..measures.images import Images, InMemory, Rows
from ..measures.likeness import Likeness
from ..measures.memorization import Closeness, closeness
from ..measures.prompt_figures import WorstPrompt
from ..measures.verdict import copy_threshold
from ..run import ModelRecord, Run
from ..run.prompts import Prompts
from . import history
from .figures import Pair
from .page import Pictures, split_strip

_SAMPLES = 48
_PREVIEWS = 12
_LEFT_OUT = 500


def pairs(
    config: RunConfig, found: Assessment, dataset: Dataset, training: Rows, prompts: Prompts | None
) -> list[Pair]:
    """The most-memorized images with their nearest training images; none unless `report.images` is all.

    With a copy descriptor they are those that are first by MQ and those that are first by similarity, in turns, each
    with the training images that are nearest to it by that measure.
    """
    if config.report.images != "all":
        return []
    aware, alike = found.closeness[-1], found.likeness
    chosen = []
    for generated, on_descriptor in _first(aware, alike, config.report.pairs):
        near = alike.similar.index[generated] if alike and on_descriptor else _nearest(aware, generated)
        nearest, second = (int(training.rows[who]) for who in near[:2])
        chosen.append(
            Pair(
                generated=generated,
                nearest=nearest,
                second=second,
                nearest_name=dataset.name(nearest),
                second_name=dataset.name(second),
                ratio=float(aware.mq[generated]),
                second_ratio=float(aware.second_ratio[generated]),
                similarity=float(alike.similar.largest[generated]) if alike else None,
                on_descriptor=on_descriptor,
                prompt=prompts([generated])[0] if prompts else None,
                own_caption=prompts is not None and prompts.row(generated) == nearest,
            )
        )
    return chosen


def _first(aware: Closeness, alike: Likeness | None, count: int) -> list[tuple[int, bool]]:
    """So many images, each once, and whether it was first by similarity."""
    by_ratio = [(image, False) for image in aware.order().tolist()]
    if alike is None:
        return by_ratio[:count]
    by_similarity = [(image, True) for image in alike.order().tolist()]
    chosen: dict[int, bool] = {}
    for image, on_descriptor in (one for both in zip(by_ratio, by_similarity, strict=True) for one in both):
        chosen.setdefault(image, on_descriptor)
    return list(chosen.items())[:count]


def _nearest(aware: Closeness, image: int) -> NDArray[np.int64]:
    return np.array([aware.nearest[image], aware.second[image]])


Strips = Mapping[int, NDArray[np.uint8]]
"""Images of fixed noise, uint8 [n, C, H, W], by the number of rounds that the model had."""


def previews(run: Run, config: RunConfig, last: ModelRecord, dataset: Dataset) -> Strips:
    """Those of the rounds; none where `report.images` is none.

    Args:
        last: the model that the rounds have ended with.
    """
    if config.report.images == "none":
        return {}
    pngs = history.previews(run, last, _PREVIEWS)
    return {number: split_strip(png, dataset.channels) for number, png in pngs.items()}


def in_order(strips: Strips) -> Images | None:
    """All of them, one strip after another; None where there is none."""
    return InMemory(np.concatenate(list(strips.values()))) if strips else None


@dataclass(frozen=True)
class Material:
    """What the pages can draw from.

    Attributes:
        found: of the generated images, and, on a copy descriptor, of the previews in order.
        views: further views of the training images.
    """

    config: RunConfig
    generated: Images
    training: Rows
    dataset: Dataset
    found: Assessment
    strips: Strips
    device: torch.device
    views: Sequence[Images] = ()

    def own(
        self, chosen: Sequence[Pair], worst: Sequence[WorstPrompt] = (), left_out: Sequence[LeftOut] = ()
    ) -> Pictures:
        """For the copy in the run's own prefix: all that `report.images` allows; names of samples with their images."""
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
            prompts=[
                (
                    one,
                    self.dataset.rows(np.array([one.row]))[0],
                    list(self.generated.take(np.array(one.images, np.int64))),
                )
                for one in worst
            ],
            samples=self._samples(everything),
            previews=self._previews(withhold=False),
            left_out=left_out[:_LEFT_OUT] if self.config.report.images == "all" else (),
        )

    def shared(self) -> Pictures:
        """For a UI or a CI summary: no training image, and no generated one that is as good as one."""
        if self.config.report.images == "none":
            return Pictures()
        copies = self._copies(self.found.closeness, self.found.likeness)
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
        hidden = np.zeros(sum(len(images) for images in self.strips.values()), np.bool_)
        if withhold and (every := in_order(self.strips)):
            allowed, evaluate = self.found.transforms, self.config.evaluate
            measured = closeness(every, self.training, allowed, evaluate, self.device, views=self.views)
            hidden = self._copies(measured, self.found.likeness_also)
        shown, first = {}, 0
        for number, images in self.strips.items():
            here = hidden[first : first + len(images)].tolist()
            shown[number] = [None if hide else image for image, hide in zip(images, here, strict=True)]
            first += len(images)
        return shown

    def _copies(self, measured: Sequence[Closeness], alike: Likeness | None) -> NDArray[np.bool_]:
        """Which images some measure takes for a near-copy, MQ at its widest informative threshold."""
        evaluate = self.config.evaluate
        copies = np.zeros(len(measured[0].mq), np.bool_)
        for aware, found in enumerate(measured):
            tau = copy_threshold(self.found.memorization, bool(aware))
            copies |= found.copies(tau, evaluate.second_nearest)
        return copies | alike.copies(evaluate.descriptor_threshold, evaluate.second_nearest) if alike else copies
