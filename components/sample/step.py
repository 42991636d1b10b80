"""A part of the generated images."""

import time

import torch

from components.config import RunConfig
from components.model import (
    choose_device,
    device_name,
    generate,
    load_state,
    preview_strip,
    released_pipeline,
    set_numerics,
    state_bytes,
)
from components.model.weights import load_json
from components.progress import Progress
from components.run import ModelRecord, Run, SamplesRecord, ran_with


def step(run: Run, round: int | None, index: int | None, progress: Progress) -> SamplesRecord:
    """Commit part `index` of the images of the last model: whole batches, so that parts do not matter.

    Raises:
        Fatal: the rounds are not complete, or weights are missing or altered.
    """
    assert index is not None
    started = time.time()
    config = run.config()
    model = run.last_model(config)
    if found := run.find(SamplesRecord, model.round, index):
        return found
    set_numerics(config)
    device = choose_device(config)
    start, stop = part_bounds(config, index)
    pipeline = released_pipeline(run, config, model, device, config.sample.sampler)
    images = generate(
        pipeline,
        config.seed,
        start,
        stop,
        config.sample.batch_size,
        config.sample.steps,
        told=lambda done: progress.update(done, stop - start, "images"),
    )
    files = {"images.safetensors": state_bytes({"images": torch.from_numpy(images)})}
    if index == 0 and config.report.preview:
        files["preview.png"] = _preview(run, config, model, device)
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


def part_bounds(config: RunConfig, part: int) -> tuple[int, int]:
    """First and last-but-one image index of a part: its even share of the whole batches."""
    size, parts = config.sample.batch_size, config.sample.parts
    batches = -(-config.sample.count // size)
    first, end = part * batches // parts, (part + 1) * batches // parts
    return first * size, min(end * size, config.sample.count)


def _preview(run: Run, config: RunConfig, model: ModelRecord, device: torch.device) -> bytes:
    state = load_state(run.store, model.objects[f"{config.sample.weights}.safetensors"])
    return preview_strip(config, load_json(run.store, model.objects["network.json"]), state, device)
