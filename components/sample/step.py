"""A part of the generated images."""

import time

import torch

from ..config import RunConfig
from ..config.counts import companion_count, part_bounds
from ..data.image import Fit
from ..diffusion import family_of, given_of, trainable_family_of
from ..diffusion.arithmetic import sample_precision
from ..diffusion.device import choose_device, device_name, let_go, set_numerics
from ..diffusion.family import Family
from ..diffusion.sampling import preview_strip, ready
from ..host_memory import check_memory
from ..progress import Progress
from ..run import DatasetRecord, ModelRecord, Plan, Run, SamplesRecord, ran_with
from ..run.base_model import pretrained_of
from ..run.companions import CompanionSet, companion_sets
from ..run.prompts import prompts_of
from ..run.tensors import sampled_weights
from ..run.unfinished import UnfinishedPart
from .fitted import Fitted
from .making import Making
from .prompt_measures import PromptMeasures


def sample(run: Run, index: int, progress: Progress) -> SamplesRecord:
    """Commit part `index` of the images of the last model: whole batches, so that parts do not matter.

    Goes on from the batches that are finished.

    Raises:
        Stopped: SIGTERM arrived; finished batches are in the store.
        Fatal: the rounds are not complete, or weights are missing or altered.
    """
    started = time.time()
    plan = run.plan()
    model = run.released_model(plan.config)
    address = (model.round, index)
    with UnfinishedPart(run, *address, plan.config.execution.checkpoint_every_s, progress.note) as unfinished:
        if found := run.find(SamplesRecord, *address):
            unfinished.remove()
            return found
        set_numerics(plan.config)
        device = choose_device(plan.config)
        start, stop = part_bounds(plan.config, index)
        _check_memory(run, plan.config, stop - start)
        files, compiled = _files(run, plan, model, index, device, unfinished, progress)
        record = SamplesRecord(
            round=model.round,
            part=index,
            start=start,
            stop=stop,
            objects={name: run.put(SamplesRecord, address, name, data) for name, data in files.items()},
            ran_with=ran_with(started, device_name(device), sample_precision(plan.config, device), compiled),
        )
        record = run.commit(record, *address)
        unfinished.remove()
        return record


def _files(
    run: Run,
    plan: Plan,
    model: ModelRecord,
    index: int,
    device: torch.device,
    unfinished: UnfinishedPart,
    progress: Progress,
) -> tuple[dict[str, bytes], bool]:
    """The objects of the record, and whether the released model's network was compiled."""
    config = plan.config
    family, prompts = _family(run, plan), prompts_of(run, config)
    base, weights = sampled_weights(run, config, model)
    making, companions = Making(config, family, index, unfinished, progress), _companions_of(run, config, index)
    measures = PromptMeasures(run, config, index, progress)

    # one pipeline at a time: the base model's takes as much memory as the released one's
    released = ready(family.pipeline(base, weights, config.sample.sampler), config, device, progress.note)
    files = making.own(released, prompts) | making.companions(released, [one for one in companions if not one.of_base])
    compiled = released.compiling is not None and bool(released.compiling.works)
    measures.released(released.plain())
    del released
    if index == 0 and config.report.preview and not config.is_audit:  # there are no rounds to be compared
        files["preview.png"] = preview_strip(family, config, base, weights, prompts, device)
    del weights
    let_go(device)
    of_base = [one for one in companions if one.of_base]
    if of_base or measures.of_base:
        first = trainable_family_of(config, pretrained_of(plan)).initial(base, config.seed)
        pretrained = ready(family.pipeline(base, first, config.sample.sampler), config, device, progress.note)
        files |= making.companions(pretrained, of_base)
        if measures.of_base:
            measures.base(pretrained.plain())
    return files | measures.files(), compiled


def _check_memory(run: Run, config: RunConfig, images: int) -> None:
    packed = run.load(DatasetRecord)
    check_memory(
        2 * images * packed.channels * packed.resolution**2,  # the images, and the object that is made of them
        f"sample.count: {config.sample.count} in {config.sample.parts} sample.parts: {images:,} images",
        "give the step more memory, or sample in more parts",
    )


def _companions_of(run: Run, config: RunConfig, index: int) -> list[CompanionSet]:
    """The companion sets that this part has some of."""
    start, stop = part_bounds(config, index, companion_count(config))
    return companion_sets(run, config) if start < stop else []


def _family(run: Run, plan: Plan) -> Family:
    """The model's, whose images have the shape of the data set's."""
    if plan.config.audit.model is None:
        return family_of(plan.config, pretrained_of(plan))
    given, dataset = given_of(plan.config, pretrained_of(plan)), run.load(DatasetRecord)
    if given.shape() == (dataset.channels, dataset.resolution):
        return given
    return Fitted(given, Fit(dataset.channels, dataset.resolution, plan.config.data.resize))
