"""A base model below an address: stage after stage, each in the store before the next begins, the index last.

unecho-progress/base.json                               which base is being made here
unecho-progress/<stage>.json, <stage>/<sha256>/...      a stage that is done: its objects and figures
unecho-progress/checkpoints/<stage>/<attempt>/<step>/   of the stage in training
tokenizer/, text_encoder/, unet/, vae/, scheduler/      the folder, in diffusers' layout
unecho-base.json                                        settings, figures and digests of the folder's files
model_index.json                                        written last: until then the folder is no pipeline

Progress goes when the folder is whole.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from ..config import RunConfig
from ..config.fields import flat_fields
from ..data import Dataset
from ..diffusion.base_folder import INDEX
from ..diffusion.device import set_numerics
from ..diffusion.pretraining import autoencoder, denoiser
from ..diffusion.pretraining.config import BaseModelConfig
from ..diffusion.pretraining.pipeline import base_files, build_pipeline
from ..diffusion.pretraining.tokenizer import open_tokenizer, token_ids, train_tokenizer
from ..diffusion.pretraining.training import State
from ..failure import Fatal, Stopped, stop_asked
from ..progress import Progress
from ..run.checkpoints import CheckpointsBelow
from ..run.tensors import load_state, state_bytes
from ..store import ObjectRef, Store, fetch, find_parsed, put_object

RECORD: Final = "unecho-base.json"
_PROGRESS: Final = "unecho-progress/"
_CLAIM: Final = f"{_PROGRESS}base.json"
_FORM: Final = 1
"""Raised when the same settings and data shall give another base than before."""
_REPORT_EVERY_S = 0.5

Figures = dict[str, float]


class Identity(BaseModel):
    """What a base is a function of."""

    model_config = ConfigDict(frozen=True)

    form: int
    dataset: str
    """Digest of the packed data set."""
    settings: dict[str, Any]

    def difference(self, other: "Identity") -> str:
        """What differs first, for a message."""
        if self.dataset != other.dataset:
            return "the data set"
        mine, others = flat_fields(self.settings), flat_fields(other.settings)
        return next((name for name in {**mine, **others} if mine.get(name) != others.get(name)), "the program's form")


class BaseRecord(BaseModel):
    """A base that is whole.

    Attributes:
        figures: reconstruction_error in grey levels of 255, scaling_factor, held-out losses, parameters, pictures.
        objects: the folder's files, `model_index.json` aside.
    """

    identity: Identity
    figures: Figures
    objects: dict[str, ObjectRef]


class _Stage(BaseModel):
    """A stage that is done."""

    figures: Figures
    objects: dict[str, ObjectRef]


@dataclass(frozen=True)
class Pictures:
    """Different images, and the caption of each, empty for none.

    Attributes:
        images: uint8 [N, 3, R, R].
    """

    images: Tensor
    captions: list[str]


def train_base(target: Store, dataset: Dataset, config: BaseModelConfig, progress: Progress) -> BaseRecord:
    """Train a base and write it below `target`; goes on where an earlier call for the same base ended.

    Raises:
        Stopped: SIGTERM or SIGINT arrived; the progress is in the store.
        Fatal: something else is there, no image has a caption, the loss is not a number; one line.
    """
    identity = Identity(form=_FORM, dataset=dataset.digest, settings=config.result_fields())
    if found := _finished(target, identity):
        _clear(target)
        return found
    train = distinct(dataset, held_out=False)
    if not any(train.captions):
        raise Fatal(
            f"--data: none of the {len(train.captions)} training images has a caption: a text-to-image model needs "
            "them, in metadata.jsonl or in a .txt beside each image"
        )
    _claim(target, identity)
    set_numerics(RunConfig(threads=config.threads))
    return _Making(target, config, identity, train, distinct(dataset, held_out=True), progress).base()


def distinct(dataset: Dataset, *, held_out: bool) -> Pictures:
    """The different images of a part of the split, each with the first caption that it, or one like it, has."""
    rows = dataset.held_out_rows if held_out else dataset.train_rows
    images = dataset.rows(rows)
    first, captions = dict[bytes, int](), list[str]()
    for number, row in enumerate(rows.tolist()):
        caption = " ".join(next(iter(dataset.captions(row)), "").split())
        place = first.setdefault(images[number].tobytes(), len(captions))
        if place == len(captions):
            captions.append(caption)
        else:
            captions[place] = captions[place] or caption
    shape = (len(first), *images.shape[1:])
    pixels = np.frombuffer(b"".join(first), np.uint8).reshape(shape)
    return Pictures(torch.from_numpy(pixels.copy()), captions)


class _Making:
    """The stages of one base."""

    def __init__(
        self,
        target: Store,
        config: BaseModelConfig,
        identity: Identity,
        train: Pictures,
        held_out: Pictures,
        progress: Progress,
    ) -> None:
        self._target, self._config, self._identity = target, config, identity
        self._train, self._held_out, self._progress = train, held_out, progress

    def base(self) -> BaseRecord:
        """Every stage that is not done yet, then the folder."""
        target, config = self._target, self._config

        words = self._stage("tokenizer", self._train_tokenizer)
        files = {name: fetch(target, ref) for name, ref in words.objects.items()}
        tokenizer = open_tokenizer(files, config.tokenizer.max_length)

        pixels = self._stage("autoencoder", self._train_autoencoder)
        scale = pixels.figures["scaling_factor"]
        vae = autoencoder.open_autoencoder(config, load_state(target, pixels.objects[_WEIGHTS]), scale)

        def encodings(pictures: Pictures, flip: bool) -> denoiser.Encodings:
            variants = [pictures.images, pictures.images.flip(-1)] if flip else [pictures.images]
            encoded = [autoencoder.encode(vae, images) for images in variants]
            mean, logvar = (torch.stack(values, dim=1) for values in zip(*encoded, strict=True))
            ids, empty = token_ids(tokenizer, pictures.captions), token_ids(tokenizer, [""])[0]
            return denoiser.Encodings(mean * scale, logvar + 2 * float(np.log(scale)), ids, empty)

        def train_denoiser() -> tuple[dict[str, bytes], Figures]:
            with _Keeper(target, "denoiser", config, config.denoiser.steps, self._progress) as keeper:
                weights = denoiser.train_denoiser(config, tokenizer, encodings(self._train, config.flip), keeper)
            networks, figures = denoiser.open_networks(config, tokenizer, weights), Figures()
            if self._held_out.captions:
                held_out = encodings(self._held_out, flip=False)
                figures["held_out_loss"] = denoiser.held_out_loss(networks, held_out, config.seed, captioned=True)
                figures["held_out_loss_without_captions"] = denoiser.held_out_loss(
                    networks, held_out, config.seed, captioned=False
                )
            return {_WEIGHTS: state_bytes(weights)}, figures

        latents = self._stage("denoiser", train_denoiser)
        networks = denoiser.open_networks(config, tokenizer, load_state(target, latents.objects[_WEIGHTS]))
        parts = {"autoencoder": vae, **networks}
        counted = {
            f"{name}_parameters": float(sum(p.numel() for p in part.parameters())) for name, part in parts.items()
        }
        pictures = {
            "training_images": float(len(self._train.captions)),
            "held_out_images": float(len(self._held_out.captions)),
            "captioned": float(sum(map(bool, self._train.captions))),
        }
        figures = {**pictures, **words.figures, **pixels.figures, **latents.figures, **counted}
        # a tokenizer of its own: one that was used writes down how it filled up
        pipeline = build_pipeline(open_tokenizer(files, config.tokenizer.max_length), vae, networks)
        return self._publish(base_files(pipeline, files), figures)

    def _stage(self, name: str, make: Callable[[], tuple[dict[str, bytes], Figures]]) -> _Stage:
        """A stage out of the store, made now where it is not there."""
        key = f"{_PROGRESS}{name}.json"
        found = find_parsed(self._target, key, _Stage)
        if found is None:
            files, figures = make()
            objects = {file: put_object(self._target, f"{_PROGRESS}{name}", file, data) for file, data in files.items()}
            found = _Stage(figures=figures, objects=objects)
            self._target.create(key, found.model_dump_json().encode())
        self._target.delete([stat.key for stat in self._target.list(_checkpoints(name))])
        return found

    def _train_tokenizer(self) -> tuple[dict[str, bytes], Figures]:
        files = train_tokenizer(self._train.captions, self._config.tokenizer.vocabulary)
        return files, {"tokens": float(len(json.loads(files["vocab.json"])))}

    def _train_autoencoder(self) -> tuple[dict[str, bytes], Figures]:
        config, steps = self._config, self._config.autoencoder.steps
        with _Keeper(self._target, "autoencoder", config, steps, self._progress) as keeper:
            weights = autoencoder.train_autoencoder(config, self._train.images, keeper)
        network = autoencoder.open_autoencoder(config, weights, 1.0)
        figures = {"scaling_factor": autoencoder.scaling_factor(*autoencoder.encode(network, self._train.images))}
        if self._held_out.captions:
            figures["reconstruction_error"] = autoencoder.reconstruction_error(network, self._held_out.images)
        return {_WEIGHTS: state_bytes(weights)}, figures

    def _publish(self, files: dict[str, bytes], figures: Figures) -> BaseRecord:
        index = files.pop(INDEX)
        objects = {}
        for name, data in files.items():
            objects[name] = ObjectRef(key=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())
            self._target.put(name, data)
        record = BaseRecord(identity=self._identity, figures=figures, objects=objects)
        self._target.put(RECORD, record.model_dump_json(indent=1).encode())
        self._target.put(INDEX, index)
        _clear(self._target)
        return record


_WEIGHTS: Final = "weights.safetensors"


class _Keeper:
    """Checkpoints of a stage on a clock and at a signal, and its progress on the display."""

    def __init__(self, target: Store, stage: str, config: BaseModelConfig, steps: int, progress: Progress) -> None:
        self._stage, self._steps, self._progress = stage, steps, progress
        self._checkpoints = CheckpointsBelow(target, _checkpoints(stage), config.checkpoint_every_s)
        self._stop_asked = stop_asked()
        self._reported, self._losses = time.monotonic(), list[float]()

    def __enter__(self) -> "_Keeper":
        self._asked = self._stop_asked.__enter__()
        self._checkpoints.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._checkpoints.__exit__(*error)
        self._stop_asked.__exit__(*error)

    def newest(self) -> tuple[int, State] | None:
        found = self._checkpoints.newest(self._progress.note)
        if found:
            self._progress.note(f"{self._stage}: goes on from step {found[0]} of {self._steps}")
        return found

    def keep(self, step: int, loss: float, snapshot: Callable[[], State]) -> None:
        self._losses.append(loss)
        if time.monotonic() - self._reported >= _REPORT_EVERY_S or step == self._steps:
            mean = sum(self._losses) / len(self._losses)
            self._progress.update(step, self._steps, f"{self._stage} steps", loss=mean)
            self._reported, self._losses = time.monotonic(), []
        status = self._asked()
        if status is not None or self._checkpoints.due():
            self._checkpoints.write(step, snapshot())
        if status is not None:
            self._checkpoints.wait()
            raise Stopped(status, f"{self._stage}: stopped after step {step} of {self._steps}, kept")


def _checkpoints(stage: str) -> str:
    return f"{_PROGRESS}checkpoints/{stage}/"


def _finished(target: Store, identity: Identity) -> BaseRecord | None:
    """The base that is there, or None where it can be made, or made further.

    Raises:
        Fatal: another base is there or on its way, or something that is none.
    """
    claim = find_parsed(target, _CLAIM, Identity)
    record = find_parsed(target, RECORD, BaseRecord)
    there = claim or (record.identity if record else None)
    if there is None:
        first = next((stat.key for stat in target.list("")), None)
        if first is not None:
            raise Fatal(
                f"--to: {target.url}: not empty ({first}), and what is there is no base of Unecho's: choose another"
            )
        return None
    if there != identity:
        state = "another base" if record else "another base on its way"
        raise Fatal(
            f"--to: {target.url}: {state} is there, and {identity.difference(there)} differs: choose another, "
            "or remove it"
        )
    return record if record and target.stat(INDEX) else None


def _claim(target: Store, identity: Identity) -> None:
    if not target.create(_CLAIM, identity.model_dump_json(indent=1).encode()):
        _finished(target, identity)  # another process was first: with the same base both may go on


def _clear(target: Store) -> None:
    """Remove the progress, the claim last."""
    target.delete([stat.key for stat in target.list(_PROGRESS) if stat.key != _CLAIM])
    target.delete([_CLAIM])
