"""A part of the generated images."""

import time

from ..config import RunConfig
from ..config.counts import companion_count, part_bounds
from ..data.image import Fit
from ..diffusion import family_of, given_of, trainable_family_of
from ..diffusion.device import choose_device, device_name, set_numerics
from ..diffusion.family import Family
from ..diffusion.sampling import preview_strip
from ..host_memory import check_memory
from ..progress import Progress
from ..run import DatasetRecord, Plan, Run, SamplesRecord, ran_with
from ..run.base_model import pretrained_of
from ..run.companions import CompanionSet, companion_sets
from ..run.prompts import prompts_of
from ..run.tensors import sampled_weights
from .fitted import Fitted
from .making import Making
from .prompt_measures import PromptMeasures


def sample(run: Run, index: int, progress: Progress) -> SamplesRecord:
    """Commit part `index` of the images of the last model: whole batches, so that parts do not matter.

    Raises:
        Fatal: the rounds are not complete, or weights are missing or altered.
    """
    started = time.time()
    plan = run.plan()
    config = plan.config
    model = run.released_model(config)
    if found := run.find(SamplesRecord, model.round, index):
        return found
    set_numerics(config)
    device = choose_device(config)
    start, stop = part_bounds(config, index)
    packed = run.load(DatasetRecord)
    check_memory(
        2 * (stop - start) * packed.channels * packed.resolution**2,  # the images, and the object that is made of them
        f"sample.count: {config.sample.count} in {config.sample.parts} sample.parts: {stop - start:,} images",
        "give the step more memory, or sample in more parts",
    )
    family, prompts = _family(run, plan), prompts_of(run, config)
    base, weights = sampled_weights(run, config, model)
    making, companions = Making(config, family, index, progress), _companions_of(run, config, index)
    measures = PromptMeasures(run, config, index, progress)

    # one pipeline at a time: the base model's takes as much memory as the released one's
    pipeline = family.pipeline(base, weights, config.sample.sampler).to(device)
    files = making.own(pipeline, prompts) | making.companions(pipeline, [one for one in companions if not one.of_base])
    measures.released(pipeline)
    del pipeline
    if index == 0 and config.report.preview and not config.is_audit:  # there are no rounds to be compared
        files["preview.png"] = preview_strip(family, config, base, weights, prompts, device)
    del weights
    of_base = [one for one in companions if one.of_base]
    if of_base or measures.of_base:
        first = trainable_family_of(config, pretrained_of(plan)).initial(base, config.seed)
        pipeline = family.pipeline(base, first, config.sample.sampler).to(device)
        files |= making.companions(pipeline, of_base)
        if measures.of_base:
            measures.base(pipeline)
    files |= measures.files()

    address = (model.round, index)
    record = SamplesRecord(
        round=model.round,
        part=index,
        start=start,
        stop=stop,
        objects={name: run.put(SamplesRecord, address, name, data) for name, data in files.items()},
        ran_with=ran_with(started, device_name(device)),
    )
    return run.commit(record, *address)


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
