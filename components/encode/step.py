"""What the base model's encoders make of the training images and their captions, once."""

import hashlib
import json
import posixpath
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import diffusers
import torch
import transformers
from torch import Tensor

from ..config import RunConfig
from ..config.counts import check_counts
from ..data.encoded_block import EncodedBlock
from ..data.encodings import BLOCK_BYTES, What, find_block, put_block
from ..diffusion import trainable_family_of
from ..diffusion.device import choose_device, device_name, let_go, set_numerics
from ..diffusion.encoders import ImageEncoder, TextEncoder, vocabulary
from ..failure import Fatal, Stopped, stop_asked
from ..measures.exact import exact
from ..progress import Progress
from ..run import EncodingRecord, Run, ran_with
from ..run.base_model import pretrained_of
from ..run.prompts import prompts_of
from ..run.tensors import state_bytes
from .images import Images
from .texts import texts_of

_FORM = 1
"""Raised when the same inputs shall give other encodings."""
_MOST_SAMPLES, _MOST_TEXTS = 1024, 256
"""Of a block."""

Encoder = Callable[[int, int], Tensor]
"""From the numbers of the first sample or text, and of the one after the last, to their rows on the CPU."""


@dataclass(frozen=True)
class Table:
    """Rows that are encoded, block after block.

    Attributes:
        key: hash of all that they depend on.
        count: samples or texts; `at_once`: of a block.
        open: loads the encoder.
    """

    what: What
    key: str
    count: int
    at_once: int
    open: Callable[[], Encoder]

    def blocks(self) -> range:
        return range(-(-self.count // self.at_once))

    def bounds(self, block: int) -> tuple[int, int]:
        return block * self.at_once, min((block + 1) * self.at_once, self.count)


def encode(run: Run, index: int, progress: Progress) -> EncodingRecord:
    """Commit part `index` of the encodings. Blocks that the store has already are taken as they are.

    Raises:
        Stopped: SIGTERM or SIGINT arrived; the blocks that are done are in the store.
        Fatal: no image has a caption, there are fewer images than the run needs, the base model is missing or altered;
            names it.
    """
    if found := run.find(EncodingRecord, index):
        return found
    started = time.time()
    plan = run.plan()
    config, pretrained = plan.config, pretrained_of(plan)
    if pretrained is None or plan.base is None or config.model.family != "latents":
        raise Fatal("step encode: a model of pixels has nothing to encode")
    set_numerics(config)
    device = choose_device(config)
    dtype = torch.bfloat16 if config.encode.precision == "bfloat16" else torch.float32
    dataset = run.dataset(config)
    check_counts(config, len(dataset.train_rows), len(dataset.held_out_rows))  # before hours of encoding
    base = trainable_family_of(config, pretrained).base(dataset.channels, dataset.resolution)

    # What is encoded: each distinct text, and each training image in each variant
    texts, images = texts_of(config, dataset, lambda: vocabulary(pretrained)), Images(config, dataset)
    prompts_of(run, config)  # where there is none, it is said now, not after all training
    if index == 0 and texts.without:
        progress.note(f"{texts.without} of {len(images)} training images have no caption: they train without one")
    common = {"form": _FORM, "device": device_name(device) or device.type, "precision": config.encode.precision}
    common |= {"batch_size": config.encode.batch_size, "threads": config.threads}
    common |= {"torch": torch.__version__, "diffusers": diffusers.__version__, "transformers": transformers.__version__}
    seen = {"data": dataset.digest, "variants": images.names(), "shift_pixels": config.taa.shift_pixels}
    said = {"texts": texts.texts, "zeros": base["zeros_for_no_caption"]}
    latent_bytes = 2 * base["unet"]["in_channels"] * base["unet"]["sample_size"] ** 2 * dtype.itemsize

    def text_encoder() -> Encoder:
        encoder = TextEncoder(base, pretrained, device, dtype)
        if long := encoder.cut(texts.texts):
            progress.note(f"{long} of {len(texts.texts)} texts are longer than the model reads: their ends are cut off")
        return _batched(config, lambda first, stop: texts.texts[first:stop], encoder)

    tables = [
        Table(
            "texts",
            _key(common | said, plan.base, "text_encoder", "tokenizer"),
            len(texts.texts),
            _MOST_TEXTS,
            text_encoder,
        ),
        Table(
            "latents",
            _key(common | seen, plan.base, "vae"),
            len(images),
            max(1, min(_MOST_SAMPLES, BLOCK_BYTES // (images.variants * latent_bytes))),
            lambda: _batched(config, images.take, ImageEncoder(pretrained, device, dtype)),
        ),
    ]

    # This part's blocks, one encoder in memory at a time
    blocks: dict[What, list[EncodedBlock]] = {
        table.what: _encoded(run, config, index, table, progress) for table in tables
    }
    let_go(device)

    # Commit
    objects = {f"{what}/{block.number}": block.object for what, some in blocks.items() for block in some}
    if index == 0:
        tensors = {
            "condition": images.conditions(),
            "caption_start": texts.caption_start,
            "caption_text": texts.caption_text,
            "variant_text": texts.variant_text,
        }
        name = "index.safetensors"
        objects[name] = run.put(EncodingRecord, (0,), name, state_bytes(tensors))
    record = EncodingRecord(
        part=index,
        latents_key=tables[1].key,
        texts_key=tables[0].key,
        latents=blocks["latents"],
        texts=blocks["texts"],
        objects=objects,
        ran_with=ran_with(started, device_name(device)),
    )
    return run.commit(record, index)


@exact()
def _encoded(run: Run, config: RunConfig, part: int, table: Table, progress: Progress) -> list[EncodedBlock]:
    """The blocks of a part, found in the store or made now; made without TF32 whatever the run trains with, since other
    runs read them.
    """
    encode: Encoder | None = None
    blocks, mine = [], table.blocks()[part :: config.encode.parts]
    total = sum(stop - first for first, stop in map(table.bounds, mine))
    done = 0
    with stop_asked() as asked:
        for number in mine:
            first, stop = table.bounds(number)
            block = find_block(run.store, table.key, table.what, number)
            if block is None:
                encode = encode or table.open()
                block = put_block(run.store, table.key, table.what, number, encode(first, stop))
            blocks.append(block)
            done += stop - first
            progress.update(done, total, "captions" if table.what == "texts" else "images")
            if (status := asked()) is not None:
                raise Stopped(status, f"encode {part}: stopped after {done} of {total} {table.what}, kept")
    return blocks


def _batched(config: RunConfig, take: Callable[[int, int], Any], encode: Callable[[Any], Tensor]) -> Encoder:
    """Encode in batches of `encode.batch_size`, which follow one another within a block."""
    size = config.encode.batch_size

    def encoded(first: int, stop: int) -> Tensor:
        wanted = take(first, stop)
        return torch.cat([encode(wanted[start : start + size]) for start in range(0, len(wanted), size)])

    return encoded


def _key(inputs: Mapping[str, Any], files: Mapping[str, str], *components: str) -> str:
    """Hash of what encodings depend on.

    Args:
        files: SHA-256 of the base model's files by path; those of components whose names begin so count.
    """
    own = {path: sha for path, sha in files.items() if posixpath.dirname(path).startswith(components)}
    return hashlib.sha256(json.dumps([inputs, own], sort_keys=True).encode()).hexdigest()
