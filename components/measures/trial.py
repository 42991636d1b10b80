"""A copy descriptor judged: how many planted copies it finds, beside what pixels find, at the same false alarms."""

from collections.abc import Callable, Sequence
from math import ceil
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ..config import RunConfig
from ..failure import Fatal
from .descriptors import Descriptor
from .images import Images, InMemory
from .intervals import Share
from .memorization import closeness
from .planting import KINDS, MEANING, planted
from .quality import spread
from .ranking import area_under
from .similarity import most_similar
from .transforms import stages

ALARMS: Final = 0.01
"""Share of held-out images that may be taken for copies by what is chosen here."""
FEWER_ALARMS: Final = 0.001
_PLACES: Final = 4
_COPIES, _MOST_TRAINING, _MOST_HELD_OUT = 250, 50_000, 2000
_FEWEST_TRAINING, _FEWEST_HELD_OUT = 8, 20
_SEED = 0

Scores = NDArray[np.float64]
"""A number an image, the higher the more it looks like a copy."""


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True)


class Found(_Figures):
    """How well a measure tells planted copies from held-out images.

    Attributes:
        auc: probability that a copy scores higher than a held-out image, ties counting half.
        found: copies above the measure's threshold for `ALARMS`.
    """

    auc: float
    found: Share


class Threshold(_Figures):
    """A threshold of the descriptor's similarity, and how it holds.

    Attributes:
        alarms: share of the held-out images that chose it which may lie above.
        value: the least, to four places, that keeps to it.
        above: of the held-out images that did not choose it.
    """

    alarms: float
    value: float
    above: Share


class Planted(_Figures):
    """Copies of one kind."""

    kind: str
    meaning: str
    descriptor: Found
    mq: Found
    mq_aware: Found


class Trial(_Figures):
    """What was planted and found.

    Attributes:
        training: images that are searched.
        chose: held-out images by which thresholds were chosen; as many or one more judge.
        thresholds: of the descriptor, for `ALARMS` and, of 1,000 images that chose, for `FEWER_ALARMS`.
        alarms_mq, alarms_mq_aware: of the held-out images that judge, those that MQ takes for copies.
        shift_pixels: that augmentation-aware MQ tries, beside the mirror image.
    """

    training: int
    chose: int
    thresholds: list[Threshold]
    kinds: list[Planted]
    alarms_mq: Share
    alarms_mq_aware: Share
    shift_pixels: int


def tried(
    training: Images,
    held_out: Images,
    descriptor: Descriptor,
    config: RunConfig,
    device: torch.device,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
) -> Trial:
    """Plant copies of training images, and look for them by the descriptor and by MQ, as a report would.

    Thresholds are chosen by one half of the held-out images, and judged by the other.

    Args:
        training: at most 50,000 of them are searched, and 250 are copied, evenly spaced.
        held_out: at most 2,000 of them, likewise.
        on_progress: called with images done and in all, of the search on the descriptor.

    Raises:
        Fatal: there are fewer than 8 training images, or fewer than 20 held-out ones.
    """
    check_enough(len(training), len(held_out))
    originals = torch.from_numpy(training.take(spread(len(training), min(len(training), _COPIES))))
    real = held_out.take(spread(len(held_out), min(len(held_out), _MOST_HELD_OUT)))
    sets = {kind: planted(originals, kind, _SEED).numpy() for kind in KINDS}
    searched = Some(training, spread(len(training), min(len(training), _MOST_TRAINING)))
    every = {"held out": real, **sets}
    similarity = _similarities(every, searched, descriptor, device, on_progress)
    plain, aware = _ratios(every, searched, config, device)
    chooses = np.random.default_rng(_SEED).permutation(len(real)) < len(real) // 2
    return _judged(similarity, plain, aware, chooses, len(searched), config)


def check_enough(training: int, held_out: int) -> None:
    """Whether so many images are enough to plant copies, and to choose and judge a threshold.

    Raises:
        Fatal: as `tried`.
    """
    if training < _FEWEST_TRAINING:
        raise Fatal(f"data.train_limit: {training} training images: at least {_FEWEST_TRAINING} are needed")
    if held_out < _FEWEST_HELD_OUT:
        raise Fatal(
            f"data.held_out: {held_out} held-out images: at least {_FEWEST_HELD_OUT} are needed to choose a "
            "threshold by: raise data.held_out"
        )


class Some:
    """Some of the images, by their positions."""

    def __init__(self, images: Images, positions: NDArray[np.int64]) -> None:
        self._images, self._positions = images, positions

    def __len__(self) -> int:
        return len(self._positions)

    def take(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self._images.take(self._positions[positions])


def _similarities(
    sets: dict[str, NDArray[np.uint8]],
    training: Images,
    descriptor: Descriptor,
    device: torch.device,
    on_progress: Callable[[int, int], None],
) -> dict[str, Scores]:
    images = {name: InMemory(of) for name, of in sets.items()}
    found = most_similar(images, (training,), descriptor, device, on_progress=on_progress)
    return {name: similar.largest.astype(np.float64) for name, similar in found.items()}


def _ratios(
    sets: dict[str, NDArray[np.uint8]], training: Images, config: RunConfig, device: torch.device
) -> tuple[dict[str, Scores], dict[str, Scores]]:
    """MQ's ratio, plain and augmentation-aware, less than 0 as it is low for copies."""
    evaluate = config.evaluate.model_copy(update={"neighbours": min(config.evaluate.neighbours, len(training))})
    together = InMemory(np.concatenate(list(sets.values())))
    ends = np.cumsum([len(of) for of in sets.values()])[:-1]
    plain, aware = (
        dict(zip(sets, np.split(-found.mq, ends), strict=True))
        for found in closeness(together, training, stages(config.taa), evaluate, device)
    )
    return plain, aware


def _judged(
    similarity: dict[str, Scores],
    plain: dict[str, Scores],
    aware: dict[str, Scores],
    chooses: NDArray[np.bool_],
    training: int,
    config: RunConfig,
) -> Trial:
    """
    Args:
        similarity, plain, aware: scores by kind, and of held-out images.
        chooses: bool, which held-out images thresholds are chosen by.
    """
    measures = {"descriptor": similarity, "mq": plain, "mq_aware": aware}
    chosen = {name: threshold_for(scores["held out"][chooses], ALARMS) for name, scores in measures.items()}
    chosen["descriptor"] = _rounded(chosen["descriptor"])
    judges = {name: scores["held out"][~chooses] for name, scores in measures.items()}

    def found(measure: str, kind: str) -> Found:
        copies = measures[measure][kind]
        return Found(auc=area_under(copies, judges[measure]), found=_above(copies, chosen[measure]))

    alarms = [ALARMS, *([FEWER_ALARMS] if chooses.sum() * FEWER_ALARMS >= 1 else [])]
    values = [_rounded(threshold_for(similarity["held out"][chooses], share)) for share in alarms]
    return Trial(
        training=training,
        chose=int(chooses.sum()),
        thresholds=[
            Threshold(alarms=share, value=value, above=_above(judges["descriptor"], value))
            for share, value in zip(alarms, values, strict=True)
        ],
        kinds=[Planted(kind=k, meaning=MEANING[k], **{name: found(name, k) for name in measures}) for k in KINDS],
        alarms_mq=_above(judges["mq"], chosen["mq"]),
        alarms_mq_aware=_above(judges["mq_aware"], chosen["mq_aware"]),
        shift_pixels=config.taa.shift_pixels if "shift" in config.taa.augmentations else 0,
    )


def threshold_for(held_out: Scores, alarms: float) -> float:
    """The least threshold above which at most this share of held-out images lies; of few ones the highest score."""
    return float(np.sort(held_out)[::-1][int(alarms * len(held_out))])


def _rounded(similarity: float) -> float:
    """Up, to four places, and below 1, which a threshold of the configuration must be."""
    return min(ceil(similarity * 10**_PLACES) / 10**_PLACES, 1 - 10**-_PLACES)


def _above(scores: Sequence[float] | Scores, threshold: float) -> Share:
    return Share.counted(int((np.asarray(scores) > threshold).sum()), len(scores))
