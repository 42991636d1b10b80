"""The typed records of a run: one a step, committed last, naming every object that the step wrote."""

import os
import platform
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidatorFunctionWrapHandler, field_validator

from ..config import RunConfig
from ..config.fields import as_meant
from ..data.encoded_block import EncodedBlock
from ..store import ObjectRef


class RanWith(BaseModel):
    """What a step ran with: for provenance, never part of the result."""

    model_config = ConfigDict(frozen=True)

    code: str
    """Version of the program."""
    torch: str | None = None
    device: str | None = None
    """Device model, such as the processor's or the GPU's name."""
    started: str
    """ISO 8601, UTC."""
    seconds: float
    image: str | None = None
    """Container image, when the pod was told."""
    precision: str | None = None
    """Arithmetic of the network, where one was passed."""
    compiled: bool | None = None
    """Whether torch had compiled it."""


class Record(BaseModel):
    """A committed manifest.

    Attributes:
        objects: every object that belongs to the record, by name.
        ran_with: provenance; None only where nothing ran.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    address: ClassVar[str]
    """Key below the run, with `{}` for the round, then the index."""
    made_by: ClassVar[str]
    """Name of the step."""
    made_first_by: ClassVar[str | None] = None
    """Name of the step that makes number 0, where that is another."""

    objects: dict[str, ObjectRef] = Field(default_factory=dict)
    ran_with: RanWith | None = None


class ReleasedBase(BaseModel):
    """The released model that a run starts from, `model.pretrained: released:NAME`, as it was when the run was planned:
    whatever is released under that name since, this is what the run goes on with.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    model: str
    """The name."""
    number: int
    """In its history."""
    run: str
    """Name of the run that trained it, at the same root."""
    folder: str
    """Key of the released diffusers folder."""

    def __str__(self) -> str:
        return f"number {self.number}, of run {self.run}"


class Plan(Record):
    """The configuration. Revision 0 freezes the method; later ones may change execution and raise `rounds`.

    Objects:
        base/...: files of the released model that the run starts from, in another run's prefix; absent without one.
    """

    address = "plans/{}.json"
    made_by = "plan"
    revision: int
    config: RunConfig
    """Of an older plan as it was meant."""
    files: dict[str, str] | None = None
    """SHA-256 of what the files hold that fields of the configuration name, by field; None in older plans. Of an
    audit's sources: of the list of their images, with sizes and tags."""
    base: dict[str, str] | None = None
    """SHA-256 of each file of `model.pretrained` that is read, by its path; None without one and in older plans."""
    forgotten: int = 0
    """Deletion requests 1 to this number apply: as many as there were when the run was first started."""
    released: ReleasedBase | None = None
    """Which released model that is; None without such a one and in older plans."""
    root: str = Field(default="", exclude=True, repr=False)
    """Address of the store that it was read from, by whoever has read it: never kept, so that a root may be moved."""

    @field_validator("config", mode="wrap")
    @classmethod
    def _as_meant(cls, kept: Any, parse: ValidatorFunctionWrapHandler) -> RunConfig:
        config: RunConfig = parse(kept)
        return as_meant(kept, config) if isinstance(kept, Mapping) else config


class PackRecord(Record):
    """A share of the run's images is packed. Their chunks are named by the data set that `prepare` makes of all shares;
    until then, by its progress."""

    address = "packs/{}/{}.json"
    made_by = "pack"
    part: int
    parts: int
    """Shares in all, execution.prepare_parts."""
    images: int
    """Of the share; 0 where the data set was there already, and of a share without any."""


class DatasetRecord(Record):
    """Which packed data set the run trains on, or the audited model was trained on; and those that are compared.

    Objects:
        forgotten.json (where deletion requests apply): what they have kept out, by name; see `run.forgotten`.
    """

    address = "dataset.json"
    made_by = "prepare"
    digest: str
    """SHA-256 of pixels, labels, captions, split and the prepare config."""
    samples: int
    """All samples, held out ones included."""
    train_samples: int
    held_out_samples: int
    channels: int
    resolution: int
    """Height and width, pixels."""
    held_out_set: str | None = None
    """Digest of the data set whose images are all held out, where an audit names such (`audit.held_out`)."""
    generated_set: str | None = None
    """Digest of the data set of images that are audited (`audit.images`)."""
    generated_samples: int | None = None
    """How many these are."""
    notes: list[str] = Field(default_factory=list)
    """Skipped images, exact duplicates: one line each kind."""
    forgotten: dict[str, int] = Field(default_factory=dict)
    """Samples of the source that deletion requests have kept out of it, by what was equal: name, file, pixels."""


class EncodingRecord(Record):
    """A part of what the base model's encoders made of the training images and their captions.

    Objects:
        index.safetensors (part 0 only): `condition` int64 [n, V], the augmentation of each variant of each training
        sample; `caption_start` int64 [n + 1] and `caption_text` int64, the texts of a sample's captions;
        `variant_text` int64 [n, kinds, variants], those of its augmented captions. Text 0 is the empty one.
        latents/B, texts/B: blocks of the encodings, which runs share.
    """

    address = "encodings/{}.json"
    made_by = "encode"
    part: int
    latents_key: str
    texts_key: str
    """Hashes of all that the encodings depend on."""
    latents: list[EncodedBlock]
    """Mean and log-variance [2 C, h, w] of each training sample's variants, by sample, then by variant."""
    texts: list[EncodedBlock]
    """States of each text, flat."""


class Assignment(Record):
    """Which shard each sample is in during a round.

    Objects:
        assignment.safetensors: `shard` int32 [N], -1 for held-out samples; `augment_next` bool [N].
    """

    address = "assignments/{}.json"
    made_by = "redistribute"
    made_first_by = "shard"
    round: int
    shard_sizes: list[int]
    moved: int = 0
    """Samples that changed their shard after the round before."""


class RoundFigures(BaseModel):
    """A round in numbers: sums over the proxies."""

    model_config = ConfigDict(frozen=True)

    round: int
    visits: int
    """Samples seen, with repetition."""
    skips: int
    """Visits whose loss fell below the bank / skip_ratio; they did not train if AGC is on."""
    augmented: int
    """Visits with a threshold-aware augmentation."""
    lost: int = 0
    """Visits that were neither skipped nor trained: the queue of `train.gate` samples dropped them."""
    steps: int
    """Optimizer steps, over all shards: as many as batches, or fewer where `train.gate` is samples."""
    loss: float
    """Mean per-sample loss over the visits."""

    @property
    def skip_rate(self) -> float:
        return self.skips / self.visits if self.visits else 0.0


class ModelRecord(Record):
    """Aggregated model r; model 0 is the initial one.

    Objects:
        raw.safetensors, ema.safetensors: what trains of the network's state dict, all of it or its adapters.
        network.json: what the network is built from.
    """

    address = "models/{}.json"
    made_by = "aggregate"
    made_first_by = "initialize"
    round: int
    """How many rounds of training it has had."""
    stop: str | None = None
    """Why no further round shall start."""
    figures: RoundFigures | None = None
    """Of round `round - 1`; None for model 0."""
    average_error: float | None = None
    """What cutting the mean of the adapters' products to their rank left out, as a share of it (its norm, the worse of
    raw and averaged weights); None where the mean is exact."""


class Look(BaseModel):
    """What the watch has found of a model: figures by the names that the report's metrics have, shares from 0 to 1."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    verdict: Literal["above", "at_or_below", "unclear", "undecided"]
    """As the report's; `above` at a level that allows for all planned looks."""
    speaks: str
    """The figure that the verdict rests on."""
    images: int
    metrics: dict[str, float]

    @property
    def share(self) -> float:
        """Of near-copies, by the figure that speaks."""
        return self.metrics[self.speaks]

    @property
    def floor(self) -> float | None:
        """The same of held-out images."""
        return self.metrics.get(f"{self.speaks}_floor")


class ProxyRecord(Record):
    """Proxy k after round r, with the state that stays with its shard slot and its samples' statistics.

    Objects:
        raw.safetensors, ema.safetensors: state dicts. optimizer.safetensors: `exp_avg.NAME`, `exp_avg_sq.NAME`.
        bank.safetensors: `bank` float32 [T].
        statistics.safetensors: `sample` int64 [n] (row in the data set), `visits`, `skips` int32 [n],
        `augment_next` bool [n].
        preview.png (shard 0 only): aggregated model r's fixed-noise preview, one row of images.
    """

    address = "proxies/{}/{}.json"
    made_by = "train"
    round: int
    shard: int
    samples: int
    """n_k."""
    global_step: int
    """Optimizer steps of this slot over all rounds, this one included."""
    figures: RoundFigures


class BeginRecord(Record):
    """Whether round r starts, and what was retired before it."""

    address = "begins/{}.json"
    made_by = "begin"
    round: int
    decision: Literal["go", "stop"]
    reason: str | None = None
    retired_through: int = -1
    """Weights and optimizer state of rounds up to this one are removed."""
    kept: int | None = None
    """The model that would be released by what the watch has found so far: its weights stay, however old it is."""
    retired: list[str] = Field(default_factory=list)
    """Keys of the objects that this round's begin removes."""


class WatchRecord(Record):
    """A look at aggregated model r, beside the training of round r."""

    address = "watches/{}.json"
    made_by = "watch"
    round: int
    look: Look | None = None
    """None where this model was not to be looked at."""


class SelectionRecord(Record):
    """Which model is sampled, reported and released, once the rounds have ended with model r."""

    address = "selections/{}.json"
    made_by = "select"
    round: int
    """r, of the last model."""
    chosen: int
    reason: str
    """The rule, and what it found."""
    look: Look | None = None
    """At model r, where the rule needed one: no round trained beside it."""


class SamplesRecord(Record):
    """A part of the images generated by model r.

    Objects:
        images.safetensors: `images` uint8 [n, C, H, W], the images of index `start` to `stop - 1`.
        preview.png (part 0 only): the last model's fixed-noise preview.
        prompts.json (text-to-image): what each image was asked for, and the row whose caption it is, -1 for a file's.
        companions/NAME.safetensors, companions/NAME.json (text-to-image): the same two of this part of each set that is
        made for comparison, see `companions`; absent where the part has none of it, and in older records.
        prompt_measures.safetensors, prompt_measures.json (text-to-image): what is measured of this part of the prompts:
        `magnitude`, `anisotropy` float32 [n, seeds], `base_...` of the base model; and the prompts, see
        `measured_prompts`.
    """

    address = "samples/{}/{}.json"
    made_by = "sample"
    round: int
    part: int
    start: int
    stop: int


class ReportRecord(Record):
    """The report on a run whose rounds have ended with model r.

    Objects:
        report.json: all figures. report.html: with what `report.images` allows in the run's own prefix.
        shared.html: the copy for a UI or a CI summary: generated images and figures at most.
        model/...: the released model, a diffusers folder, README.md its card; an audit releases none.
    """

    address = "reports/{}.json"
    made_by = "evaluate"
    round: int
    """Of the model that it is about: r, or an earlier one that was chosen."""
    headline: dict[str, float]
    """The figures of the final table, for metrics in a UI."""

    @property
    def model_folder(self) -> str | None:
        """Key of the released diffusers folder; None where nothing is released."""
        index = self.objects.get("model/model_index.json")
        return index.key.rpartition("/")[0] if index else None


def ran_with(
    started: float, device: str | None = None, precision: str | None = None, compiled: bool | None = None
) -> RanWith:
    """Provenance of a step that ends now.

    Args:
        started: `time.time()` at its start.
        device: name of the device model it computed on, see `diffusion.device.device_name`.
        precision, compiled: of the network's arithmetic, see `diffusion.arithmetic`.
    """
    return RanWith(
        code=code_version(),
        torch=_version("torch"),
        device=device or processor(),
        started=datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        seconds=round(time.time() - started, 3),
        image=os.environ.get("UNECHO_IMAGE"),
        precision=precision,
        compiled=compiled,
    )


def code_version() -> str:
    """Version of the installed program; an image may say more in UNECHO_CODE_VERSION (a commit)."""
    return os.environ.get("UNECHO_CODE_VERSION") or _version("unecho") or "unknown"


def processor() -> str:
    """The processor's model name and how many cores this process may use."""
    name = platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    except OSError:  # not Linux
        name = platform.processor() or name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
