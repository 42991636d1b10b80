"""Images of a text-to-image model with what they were asked for: the run's own, and its companion sets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..config import RunConfig
from ..measures.captions import Captions
from ..measures.images import Images, Rows
from ..run import Run
from ..run.companions import Companion, companion_images, companion_prompts
from ..run.prompts import Prompts
from .reference import Reference


@dataclass(frozen=True)
class Prompted:
    """Images, and the texts that belong to them.

    Attributes:
        captions: of what kind the texts are.
        texts: by positions.
    """

    captions: Captions
    images: Images
    texts: Callable[[Sequence[int]], Sequence[str]]


def prompted(config: RunConfig, generated: Images, prompts: Prompts | None) -> Prompted | None:
    """The run's own images; None for a model that takes no prompts."""
    return None if prompts is None else Prompted(config.sample.prompts, generated, prompts)


def companion(run: Run, config: RunConfig, round: int, name: Companion, captions: Captions) -> Prompted | None:
    """A companion set; None where there is none.

    Raises:
        Fatal: a part of it is missing or altered; names it.
    """
    images, asked = companion_images(run, config, round, name), companion_prompts(run, config, round, name)
    if images is None or asked is None:
        return None
    return Prompted(captions, images, lambda positions: [asked[place].prompt for place in positions])


def quality_images(run: Run, config: RunConfig, round: int, own: Prompted | None) -> Prompted | None:
    """What quality is measured on: images of held-out captions where there are enough of them, else the run's own.

    Images of training captions would be judged by captions that the model has learnt by heart.
    """
    held_out = companion(run, config, round, "held_out", "held_out")
    few = config.evaluate.precision_recall_neighbours
    return held_out if held_out is not None and len(held_out.images) > few else own


def captioned(reference: Reference) -> Prompted | None:
    """The held-out images with their own captions, of several the first; None where no two have one."""
    held_out = reference.held_out
    if not isinstance(held_out, Rows):
        return None
    own = {row: captions[0] for row in held_out.rows.tolist() if (captions := held_out.dataset.captions(row))}
    if len(own) < 2:
        return None
    rows, texts = held_out.rows[[row in own for row in held_out.rows.tolist()]], list(own.values())
    return Prompted("held_out", Rows(held_out.dataset, rows), lambda positions: [texts[place] for place in positions])
