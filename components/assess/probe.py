"""A look at a model: a few images of it, measured as the report measures."""

import numpy as np
import torch
from numpy.typing import NDArray

from ..diffusion import family_of
from ..diffusion.device import choose_device, choose_exact_device, let_go, set_numerics
from ..diffusion.sampling import generate, on_device
from ..measures.images import InMemory
from ..measures.likeness import Likeness
from ..measures.memorization import Closeness
from ..measures.metrics import metrics_of
from ..measures.similarity import Similar
from ..measures.verdict import LEVEL, cited
from ..progress import Progress
from ..run import Look, ModelRecord, Plan, Run, WatchRecord
from ..run.base_model import pretrained_of
from ..run.looks import planned_looks
from ..run.prompts import prompts_of
from ..run.tensors import load_state, sampled_weights
from ..store import ObjectRef
from .assessment import Floor, assess
from .instruments import planned_instruments
from .reconstructions import with_reconstructions
from .reference import reference_of

FLOOR = "floor.safetensors"
"""The object of a look's record that holds the floor."""
STREAM = "watch"
"""What a look draws its noise from, the same for every model: never what the report's images are drawn from."""


def look_at(run: Run, plan: Plan, model: ModelRecord, floor: Floor | None, progress: Progress) -> tuple[Look, Floor]:
    """Generate `watch.count` images of a model and measure them beside the floor.

    Of so many looks that a run takes some would accuse a perfect model by chance; so the level of each is that of the
    report divided by their number (Bonferroni): over all of them a perfect model is accused in at most 5 % of runs.

    Args:
        floor: of an earlier look; None to measure it now.

    Raises:
        Fatal: weights, images or a file that a measure needs are missing or altered; names it.
    """
    config = plan.config
    set_numerics(config)
    computes = choose_exact_device(config)
    instruments = planned_instruments(plan, computes)
    reference = reference_of(run.dataset(config), config=config)
    reference = with_reconstructions(plan, reference, choose_device(config), progress)
    images = _generated(run, plan, model, choose_device(config), progress)
    # of a look by a program that knew no reconstructions, or measured the floor on other images
    if floor and (floor.views != 1 + len(reference.views) or len(floor.near) != len(reference.floor_images)):
        floor = None
    found = assess(
        InMemory(images),
        reference,
        instruments,
        config,
        computes,
        progress,
        floor=floor,
        attack=False,
        level=LEVEL / max(1, planned_looks(run, config)),
    )
    speaker = cited(found.memorization)
    metrics = metrics_of(found.memorization, found.qualities, found.against_training, found.descriptor)
    return Look(verdict=speaker.verdict, speaks=speaker.name, images=len(images), metrics=metrics), found.floor


def _generated(run: Run, plan: Plan, model: ModelRecord, device: torch.device, progress: Progress) -> NDArray[np.uint8]:
    config = plan.config
    family = family_of(config, pretrained_of(plan))
    made = family.pipeline(*sampled_weights(run, config, model), config.sample.sampler)
    pipeline = on_device(made, config, device)
    images = generate(
        family,
        pipeline,
        prompts_of(run, config),
        config.seed,
        0,
        config.watch.count,
        config.sample.batch_size,
        config.sample.steps,
        stream=STREAM,
        on_progress=lambda done: progress.update(done, config.watch.count, "images"),
    )
    del made, pipeline
    let_go(device)  # what sampling took is not there for what is measured
    return images


def kept_floor(run: Run, round: int) -> tuple[Floor, ObjectRef] | None:
    """The floor that a look at a model before `round` has measured, and its object; None where there was none.

    Raises:
        Fatal: it is missing or altered.
    """
    for number in range(round - 1, -1, -1):
        if (record := run.find(WatchRecord, number)) and (ref := record.objects.get(FLOOR)):
            return _floor_from(load_state(run.store, ref)), ref
    return None


def floor_tensors(floor: Floor) -> dict[str, torch.Tensor]:
    """A floor as tensors, for a record."""
    tensors = {"near": torch.from_numpy(floor.near), "views": torch.tensor(floor.views)}
    for stage, closeness in enumerate(floor.closeness):
        tensors |= {f"{name}.{stage}": torch.from_numpy(getattr(closeness, name)) for name in _FIELDS}
    if alike := floor.likeness:
        tensors |= {f"similar.{name}": torch.from_numpy(getattr(alike.similar, name)) for name in _SIMILAR}
        tensors |= {"whole": torch.from_numpy(alike.whole), "template": torch.from_numpy(alike.template)}
    return tensors


def _floor_from(tensors: dict[str, torch.Tensor]) -> Floor:
    """The floor that `floor_tensors` was given."""
    stages = sum(name.startswith("mq.") for name in tensors)
    return Floor(
        [Closeness(**{name: tensors[f"{name}.{stage}"].numpy() for name in _FIELDS}) for stage in range(stages)],
        tensors["near"].numpy(),
        _likeness_from(tensors) if "whole" in tensors else None,
        views=int(tensors["views"]) if "views" in tensors else 1,
    )


def _likeness_from(tensors: dict[str, torch.Tensor]) -> Likeness:
    similar = Similar(**{name: tensors[f"similar.{name}"].numpy() for name in _SIMILAR})
    return Likeness(similar, tensors["whole"].numpy(), tensors["template"].numpy())


_FIELDS = ("nearest", "second", "mq", "second_ratio")
_SIMILAR = ("similarity", "index", "own")
