"""Companion sets: images that `sample` makes beside a text-to-image run's own, for comparison only.

A copy of a training image says more where the base model, asked the same, makes none; quality is that of images for
captions that were not trained on; and what fine-tuning has changed elsewhere is seen on prompts about something else.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from ..config import RunConfig
from ..config.counts import companion_count, part_bounds
from ..failure import Fatal
from ..store import fetch
from .address import Run
from .generated import Generated, Part, address_of
from .prompts import Prompts, general_prompts, held_out_prompts, prompts_of
from .records import DatasetRecord, SamplesRecord

Companion = Literal["held_out", "general", "base", "general_base"]
"""`base`: the base model on the prompts and the noise of the run's first images; `held_out`: the released model on the
captions of held-out images; `general`, `general_base`: both models on `sample.general_prompts`, from the same noise."""
OWN_STREAM: Final = "sample"
"""What the run's own images draw their noise from."""


@dataclass(frozen=True)
class CompanionSet:
    """A set that is to be made.

    Attributes:
        of_base: by the base model; else by the released one.
        stream: what its noise is drawn from, beside the seed and the index.
    """

    name: Companion
    prompts: Prompts
    of_base: bool
    stream: str


@dataclass(frozen=True)
class Asked:
    """What an image was asked for.

    Attributes:
        row: of the data set, whose caption it is; -1 for a prompt of a file.
    """

    prompt: str
    row: int


def companion_sets(run: Run, config: RunConfig) -> list[CompanionSet]:
    """The sets that the run makes: none for pixels and for an audit.

    Raises:
        Fatal: a file of prompts is empty, or holds something else than when the run was planned; names the field.
    """
    prompts = prompts_of(run, config) if companion_count(config) else None
    if prompts is None:
        return []
    sets = [CompanionSet("base", prompts, True, OWN_STREAM)]
    if config.sample.prompts != "held_out" and (held_out := held_out_prompts(run, config)):
        sets.append(CompanionSet("held_out", held_out, False, "sample for held-out captions"))
    if general := general_prompts(run, config):
        stream = "sample for general prompts"
        sets += [CompanionSet("general", general, False, stream), CompanionSet("general_base", general, True, stream)]
    return sets


def planned_companions(config: RunConfig) -> list[Companion]:
    """Their names, by the configuration alone: held-out captions are taken for there."""
    if not companion_count(config):
        return []
    names = get_args(Companion)
    return [
        name
        for name in names
        if (name != "held_out" or config.sample.prompts != "held_out")
        and (not name.startswith("general") or config.sample.general_prompts is not None)
    ]


def images_object(name: Companion) -> str:
    """The object of a part of a set's images."""
    return f"companions/{name}.safetensors"


def prompts_object(name: Companion) -> str:
    """The object of what they were asked for."""
    return f"companions/{name}.json"


def companion_images(run: Run, config: RunConfig, round: int, name: Companion) -> Generated | None:
    """The images of a set, made with those of model `round`; None where there is none, as in an older run.

    Raises:
        Fatal: a part of the samples is missing, or an object is altered; names it.
    """
    parts = _parts(run, config, round, images_object(name))
    if parts is None:
        return None
    packed = run.load(DatasetRecord)
    return Generated(run.store, parts, (packed.channels, packed.resolution, packed.resolution))


def companion_prompts(run: Run, config: RunConfig, round: int, name: Companion) -> list[Asked] | None:
    """What each image of `companion_images` was asked for; None where that is None.

    Raises:
        Fatal: a part of the samples is missing, or an object is altered; names it.
    """
    parts = _parts(run, config, round, prompts_object(name))
    if parts is None:
        return None
    asked: list[Asked] = []
    for part in parts:
        assert part.ref is not None
        listed = json.loads(fetch(run.store, part.ref))
        if len(listed) != part.stop - part.start:
            raise Fatal(
                f"{run.store.address(part.ref.key)}: altered: {len(listed)} prompts for the images "
                f"{part.start} to {part.stop - 1}"
            )
        asked += [Asked(one["prompt"], one["row"]) for one in listed]
    return asked


def _parts(run: Run, config: RunConfig, round: int, name: str) -> Sequence[Part] | None:
    """The parts of a set that hold some of it; None where one has none of what it should have."""
    count = companion_count(config)
    parts = []
    for number in range(config.sample.parts if count else 0):
        start, stop = part_bounds(config, number, count)
        if start == stop:
            continue
        record = run.load(SamplesRecord, round, number)
        if name not in record.objects:
            return None
        parts.append(Part(address_of(run, record), start, stop, name, record.objects[name]))
    return parts or None
