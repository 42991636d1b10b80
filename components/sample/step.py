"""A part of the generated images."""

import json
import time

import torch

from ..config import RunConfig
from ..data.image import Fit
from ..diffusion import family_of, given_of
from ..diffusion.device import choose_device, device_name, set_numerics
from ..diffusion.family import Family
from ..diffusion.sampling import generate, preview_strip
from ..progress import Progress
from ..run import DatasetRecord, Plan, Run, SamplesRecord, ran_with
from ..run.base_model import pretrained_of
from ..run.prompts import prompts_of
from ..run.tensors import sampled_weights, state_bytes
from .fitted import Fitted


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
    family, prompts = _family(run, plan), prompts_of(run, config)
    base, weights = sampled_weights(run, config, model)
    pipeline = family.pipeline(base, weights, config.sample.sampler).to(device)
    images = generate(
        family,
        pipeline,
        prompts,
        config.seed,
        start,
        stop,
        config.sample.batch_size,
        config.sample.steps,
        on_progress=lambda done: progress.update(done, stop - start, "images"),
    )
    files = {"images.safetensors": state_bytes({"images": torch.from_numpy(images)})}
    if index == 0 and config.report.preview and not config.is_audit:  # there are no rounds to be compared
        files["preview.png"] = preview_strip(family, config, base, weights, prompts, device)
    if prompts is not None:
        asked = [{"index": i, "prompt": prompts([i])[0], "row": prompts.row(i)} for i in range(start, stop)]
        files["prompts.json"] = json.dumps(asked, ensure_ascii=False, indent=1).encode()
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


def _family(run: Run, plan: Plan) -> Family:
    """The model's, whose images have the shape of the data set's."""
    if plan.config.audit.model is None:
        return family_of(plan.config, pretrained_of(plan))
    given, dataset = given_of(plan.config, pretrained_of(plan)), run.load(DatasetRecord)
    if given.shape() == (dataset.channels, dataset.resolution):
        return given
    return Fitted(given, Fit(dataset.channels, dataset.resolution, plan.config.data.resize))


def part_bounds(config: RunConfig, part: int) -> tuple[int, int]:
    """Index of a part's first image and of the one after its last: its even share of the whole batches."""
    size, parts = config.sample.batch_size, config.sample.parts
    batches = -(-config.sample.count // size)
    first, end = part * batches // parts, (part + 1) * batches // parts
    return first * size, min(end * size, config.sample.count)
