"""Every field of a run, with its default, its bounds and its meaning.

The docstring below a field becomes the help of `--set`, of `unecho presets` and of the step
READMEs. `Method` is frozen with the run; `Execution` and `Report` may change between tries.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

Variant = Literal["default", "iet", "agc", "iet-agc", "iet-agc+paper", "iet-agc+"]
VARIANTS: tuple[Variant, ...] = ("default", "iet", "agc", "iet-agc", "iet-agc+paper", "iet-agc+")

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


def _as_list(value: Any) -> Any:
    if isinstance(value, int | float):  # one number, as YAML reads it
        return [value]
    return value.split(",") if isinstance(value, str) and value != "auto" else value


Numbers = Annotated[tuple[Positive, ...], BeforeValidator(_as_list)]
"""On a command line with commas between them."""
AugmentationKind = Literal["horizontal_flip", "shift", "randaugment", "other_caption", "repeat_word", "replace_words"]
CAPTION_KINDS: Final = ("other_caption", "repeat_word", "replace_words")
"""Augmentations of the caption; the others are of the image."""


Precision = Literal["auto", "float32", "bfloat16"]


class Section(BaseModel):
    """A group of fields: unknown names and wrong types are refused, values never change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False, validate_default=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_bool_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        kind = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and bool not in (kind, *get_args(kind)):
            raise ValueError(f": {str(value).lower()} is not allowed: give a value, not true or false")
        if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
            # the bytes of a name that is not UTF-8, which JSON cannot hold
            shown = value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            raise ValueError(
                f": '{shown}' is not UTF-8: write it as an address, file:///absolute/path with %NN for a byte, or "
                "give the file or folder another name"
            )
        return value


class Data(Section):
    """Which images, and how `prepare` packs them."""

    source: Annotated[str, Field(min_length=1)] = "digits"
    """`digits` (scikit-learn's handwritten digits), a directory, or s3://bucket/prefix."""
    layout: Literal["auto", "digits", "images", "openclipart", "webdataset", "cifar10", "cifar100", "idx"] = "auto"
    """How the source is laid out: a tree of image files, Debian's openclipart (captions from its drawings),
    WebDataset's tar shards, CIFAR's binary files or IDX files; `auto` looks at names and content of all files."""
    resolution: Literal["auto"] | Annotated[int, Field(ge=8, le=1024)] = "auto"
    """Height and width in pixels. `auto`: 32, 64 or 128, the largest that the median image fills (images),
    the images' own size (other layouts)."""
    channels: Literal["auto", 1, 3] = "auto"
    """1 is grey, 3 is RGB. `auto`: grey when every image looked at is grey."""
    resize: Literal["crop", "squash", "none"] = "crop"
    """`crop`: scale the shorter side to the resolution, cut the centre; `squash`: scale both sides; `none`:
    images must have the size already. Scaling is antialiased (Lanczos)."""
    background: Annotated[int, Field(ge=0, le=255)] = 255
    """Grey level that stands behind transparent pixels."""
    labels: Literal["auto", "none"] = "auto"
    """Class labels stratify the shards. `auto`: the folder's name (that of a split, such as train or test, aside), or
    what the format holds; `none`: ignore them."""
    captions: Literal["auto", "labels", "none"] = "auto"
    """Captions of the images. `auto`: those that metadata files, text files beside images or tar shards hold; `labels`:
    the label's name where an image has none; `none`: ignore them."""
    caption_column: str | None = None
    """The column of the metadata files (or of a shard's .json) that holds captions, one or a list. Empty: the first of
    text, caption, captions, prompt, description."""
    text_lines: Literal["whole", "first", "each"] = "whole"
    """What of a text file beside an image is its caption. `whole`: all of it; `first`: its first line that is not
    blank; `each`: every such line is a caption of its own."""
    held_out: Share = 0.1
    """Share of the images that is split off before training: the floor and the quality reference."""
    official_test: bool = False
    """Hold out the records of the test file that CIFAR and IDX sources have, and nothing else, in place of held_out."""
    split_by: Literal["auto", "folder", "caption", "none"] = "auto"
    """What is never on both sides of the split. `auto`: duplicates and near duplicates; `folder`: also the images of
    one folder (a patient, a burst); `caption`: also images with an equal caption; `none`: equal images alone."""
    split_column: str | None = None
    """A column of the metadata files (patient, burst): images with one value in it are never on both sides of the split
    either. An image without a value is by itself."""
    near_duplicate: Annotated[float, Field(ge=0, lt=1)] = 0.03
    """Images are near duplicates when their squared distance, mean levels taken out and mirroring allowed, is below
    this share of that of unrelated images (0.03: 15 grey levels at a usual contrast); 0 for equal ones alone."""
    train_limit: Positive | None = None
    """At most so many training images (a fixed choice, stratified by nothing); the rest is left out."""
    held_out_limit: Positive | None = None
    """At most so many held-out images; the rest is left out."""
    split_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the split. Not the run's seed: runs that differ in seed share a data set."""
    on_bad_image: Literal["stop", "skip"] = "stop"
    """An unreadable or unsupported image: `stop` with its name, or `skip`, count and list it."""
    chunk_mib: Annotated[float, Field(gt=0, le=1024)] = 16.0
    """Size of a packed chunk in MiB of pixels (at least one image)."""


class Model(Section):
    """The network: diffusers' UNet2DModel on pixels, or the UNet of a text-to-image pipeline on its VAE's latents."""

    family: Literal["pixels", "latents"] = "pixels"
    """`pixels`: an unconditional model of images; `latents`: fine-tune the text-to-image pipeline that pretrained
    names, of Stable Diffusion 1.x, 2.x or XL's classes. Its network's shape, schedule and prediction are the base's."""
    pretrained: str | None = None
    """Start from this diffusers folder (safetensors only): a directory, s3://bucket/prefix, or for latents the name of
    a model hub's repository; `released:NAME` is what is released under that name at the run's root when it is planned,
    `released:NAME@NUMBER` any of its history; `random-tiny` is a pipeline of random weights, for tests."""
    unet_sha256: Annotated[str, Field(pattern="[0-9a-f]{64}")] | None = None
    """SHA-256 that the UNet's weights file of pretrained must have, as hubs list it: for a model that is kept in
    many places (latents)."""
    block_out_channels: Literal["auto"] | Annotated[tuple[Positive, ...], BeforeValidator(_as_list)] = "auto"
    """Channels a level, highest resolution first. `auto`: 128 times 1,2,2,2 (32 px), 1,2,2,2,4 (64 px), 1,1,2,2,4,4."""
    layers_per_block: Annotated[int, Field(ge=1, le=8)] = 2
    """Residual blocks a level."""
    attention_resolutions: Annotated[tuple[Positive, ...], BeforeValidator(_as_list)] = (16,)
    """Self-attention at the levels with these resolutions, in pixels."""
    mid_attention: bool = True
    """Self-attention in the middle block."""
    norm_num_groups: Positive = 32
    """Groups of GroupNorm; must divide every entry of block_out_channels."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout inside residual blocks."""

    @model_validator(mode="after")
    def _groups_divide(self) -> Self:
        if self.block_out_channels != "auto":
            for width in self.block_out_channels:
                if width % self.norm_num_groups:
                    raise ValueError(
                        f"norm_num_groups: {self.norm_num_groups} does not divide block_out_channels' {width}: "
                        "choose a common divisor"
                    )
        return self


class LoRA(Section):
    """Low-rank adapters in place of the whole UNet (latents)."""

    enabled: bool = False
    """Train adapters (arXiv 2106.09685); the base's weights stay as they are."""
    rank: Annotated[int, Field(ge=1, le=1024)] = 16
    """Rank of the adapters."""
    alpha: Annotated[float, Field(gt=0)] | None = None
    """An adapter's product is scaled by alpha / rank; empty for alpha = rank."""
    target_modules: Annotated[tuple[str, ...], BeforeValidator(_as_list), Field(min_length=1)] = (
        "to_k",
        "to_q",
        "to_v",
        "to_out.0",
    )
    """Modules of the UNet that get an adapter: each whose name ends so."""
    average: Literal["freeze_a", "svd"] = "freeze_a"
    """How adapters are averaged, mean(B) mean(A) being no mean of B A. `freeze_a`: A is drawn once and stays, B trains
    (FFA-LoRA, arXiv 2403.12313): exact. `svd`: both train, the mean of the products is cut to the rank by a singular
    value decomposition, its error recorded (after FedEx-LoRA, arXiv 2410.09432)."""


class Noise(Section):
    """The noise schedule (DDPM). For latents all but timesteps is the base model's."""

    timesteps: Annotated[int, Field(ge=2, le=10_000)] = 1000
    """T, the number of timesteps."""
    schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = "linear"
    """beta schedule, as diffusers names it."""
    beta_start: Annotated[float, Field(gt=0, lt=1)] = 1e-4
    """First beta (linear schedules)."""
    beta_end: Annotated[float, Field(gt=0, lt=1)] = 0.02
    """Last beta (linear schedules)."""
    prediction: Literal["epsilon", "v_prediction", "sample"] = "epsilon"
    """What the network predicts."""

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.beta_end < self.beta_start:
            raise ValueError(f"beta_end: {self.beta_end} is below beta_start {self.beta_start}: choose it at or above")
        return self


class IET(Section):
    """Iterative ensemble training: shards, rounds and the length of one visit to a shard."""

    shards: Annotated[int, Field(ge=1, le=10_000)] = 10
    """K, the number of shards and of proxy models."""
    rounds: Annotated[int, Field(ge=1, le=100_000)] = 10
    """R, how often proxies are trained and averaged. May grow when a run is started again."""
    local_epochs: Positive | None = None
    """Passes of a proxy over its shard in one round; 100 when neither this nor local_steps is given."""
    local_steps: Positive | None = None
    """Optimizer steps of a proxy in one round, instead of local_epochs; every round begins an epoch. Batches that it
    scores, where train.gate is samples."""
    average_every: Positive = 1
    """Proxies begin with the average after every so-many-th round; in between each goes on from its own weights. What
    is previewed, sampled and released is always the average."""

    @model_validator(mode="before")
    @classmethod
    def _some_length(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("local_epochs") is None and given.get("local_steps") is None:
            return given | {"local_epochs": 100}
        return given

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.local_epochs is not None and self.local_steps is not None:
            raise ValueError(
                f"local_epochs: {self.local_epochs} beside local_steps {self.local_steps}: give one of the two"
            )
        return self


class Train(Section):
    """Optimization of one proxy on its shard."""

    batch_size: Positive = 128
    """Samples an optimizer step."""
    drop_last: bool = True
    """Leave out an epoch's last, smaller batch."""
    optimizer: Literal["adam", "adamw", "adamw8bit"] = "adam"
    """Adam, AdamW with weight_decay, or AdamW whose moments have 8 bits (bitsandbytes, CUDA)."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-4
    """Learning rate after the warm-up."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Decoupled weight decay (adamw only)."""
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    """Linear warm-up over so many of the shard slot's epochs, counted over all rounds."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Linear warm-up over so many of the shard slot's optimizer steps, instead of warmup_epochs."""
    decay: Literal["constant", "cosine"] = "constant"
    """After the warm-up: keep the learning rate, or let it fall to zero at the last planned step."""
    grad_clip: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest gradient norm; empty for none."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.9999
    """Decay of the exponential moving average of the weights."""
    ema_warmup: bool = False
    """Start with a short average and lengthen it: decay at step s is min(ema_decay, (1 + s) / (10 + s))."""
    horizontal_flip: bool = False
    """Flip every image with probability 1/2 at every visit."""
    min_snr_gamma: Annotated[float, Field(gt=0)] | None = None
    """Weigh the losses of the gradient by min(SNR, gamma) (arXiv 2303.09556); the memory bank holds them unweighted.
    Empty for all alike."""
    noise_offset: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Adds so much noise that is the same for all of an image's channel, so that very dark and bright images train."""
    caption_dropout: Share = 0.0
    """Share of the visits at which the caption is left out, for guidance (latents)."""
    captions: Literal["first", "random"] = "random"
    """Of a sample's several captions: always the first, or one drawn at every visit (latents)."""
    gradient_accumulation_steps: Positive = 1
    """A batch is passed through the network in so many parts whose gradients add up: less memory, the same step."""
    gpus_per_shard: Annotated[int, Field(ge=1, le=64)] = 1
    """A proxy is trained by so many processes of one machine, each on a GPU with its part of the weights, the moments,
    the moving average and every batch: for a network that is larger than a GPU."""
    precision: Precision = "auto"
    """Arithmetic of the network's passes (autocast for bfloat16); weights and optimizer stay float32. `auto`: bfloat16
    on CUDA devices that have it, else float32."""
    gate: Literal["pairs", "samples"] = "pairs"
    """What AGC lets through. `pairs`: the (sample, timestep) pair whose loss was looked at is trained. `samples`: the
    sample, anew and augmented, at another timestep, out of a queue: the authors' way (latents)."""

    @field_validator("precision", mode="before")
    @classmethod
    def _no_half(cls, value: Any) -> Any:
        if value in ("float16", "fp16", "half"):
            raise ValueError(
                f": {value} is not allowed: weights of half precision do not train, v-prediction least; choose "
                "bfloat16 (weights and optimizer stay float32), or float32"
            )
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.warmup_epochs and self.warmup_steps:
            raise ValueError(
                f"warmup_epochs: {self.warmup_epochs:g} beside warmup_steps {self.warmup_steps}: give one of the two"
            )
        if self.weight_decay and self.optimizer == "adam":
            raise ValueError(f"weight_decay: {self.weight_decay} needs optimizer adamw, not {self.optimizer}")
        if self.gradient_accumulation_steps > self.batch_size:
            raise ValueError(
                f"gradient_accumulation_steps: {self.gradient_accumulation_steps} parts of a batch of "
                f"{self.batch_size}: lower it"
            )
        return self


class AGC(Section):
    """Anti-gradient control: skip the samples whose loss is abnormally low."""

    enabled: bool = True
    """Drop the gradient of skipped samples."""
    skip_ratio: Annotated[float, Field(gt=1, le=1000)] = 2.0
    """A sample is skipped when loss * skip_ratio is below the memory bank at its timestep. Also counts
    MSR's would-be skips when AGC is off."""


class MSR(Section):
    """Memory samples redistribute: often-skipped samples leave their shard."""

    enabled: bool = True
    """Move samples after every round. Nothing trains on the move after the last one, unless the run grows."""
    redistribute_fraction: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Share of the training samples that moves, those with the highest skip rate."""
    start_round: Annotated[int, Field(ge=0)] = 0
    """First round after which samples move."""
    every: Positive = 1
    """Samples move after every so-many-th round from then on, by their visits and skips in as many rounds."""
    destination: Literal["spread", "ring"] = "spread"
    """`spread`: a shard's movers go to all other shards; `ring`: all to the next one, the authors' way."""


class TAA(Section):
    """Threshold-aware augmentation: augment the samples that come close to being skipped."""

    enabled: bool = True
    """Augment flagged samples at their next visit."""
    augment_below: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """A sample is flagged when its loss is below augment_below times the memory bank; above 1/skip_ratio. Where
    train.gate is samples, all that train are augmented, whatever this says."""
    augmentations: Annotated[tuple[AugmentationKind, ...], BeforeValidator(_as_list), Field(min_length=1)] = ("shift",)
    """Which augmentations are drawn from, each kind as likely as the other. Of the image: horizontal_flip, shift,
    randaugment; of the caption (latents): other_caption (than the first), repeat_word, replace_words."""
    shift_pixels: Annotated[int, Field(ge=1, le=16)] = 1
    """Largest shift along each axis, in pixels; the edge is repeated into the gap."""
    augment_conditioning: bool = True
    """Tell the network which augmentation a sample had, sample with 'none'; the released model is plain."""


class Encode(Section):
    """What the base model's encoders make of images and captions, once (latents)."""

    variants: Annotated[int, Field(ge=1, le=64)] = 4
    """Encoded variants a sample of each augmentation that draws something (shift, randaugment, a caption's): what a
    flagged visit is drawn from, without the VAE. Of randaugment as many at each of its six strengths, where train.gate
    is samples."""
    batch_size: Positive = 16
    """Images or captions encoded at once: part of the method, since sums depend on it."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the encoders' arithmetic, and of what is kept of it."""
    parts: Positive = 1
    """Pods that share the work; what they write is the same for any number."""


class Stop(Section):
    """Rules that end the rounds early."""

    loss_plateau: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Stop when a round's mean loss is not below (1 - this) times that of the round before."""
    skip_rate_above: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Stop when a round skipped more than this share of its visits."""
    echo: bool = False
    """Stop when the watch finds a model that echoes. The round that trains meanwhile is ended."""


class Watch(Section):
    """The look at the aggregated model while rounds train: memorization beside its floor, and quality."""

    every: Literal["auto"] | Annotated[int, Field(ge=0)] = "auto"
    """Look at every so-many-th round's model; 0 for never. `auto`: as often as costs at most 10 % of training (passes
    through the network); where stop.echo or release.select need it, some four times at least."""
    count: Annotated[int, Field(ge=8, le=100_000)] = 256
    """Images that are generated for a look, with the sampler of the report and from noise of their own."""


class Release(Section):
    """Which round's model is sampled, reported and released."""

    select: Literal["last", "at_floor"] = "last"
    """`last`: that of the last round; `at_floor`: of the models that the watch looked at, the latest that was at the
    floor; where none was, the latest that was not seen above it, else the first."""


class Audit(Section):
    """What is measured in place of a model that is trained here: one of run, model and images (`unecho audit`)."""

    run: str | None = None
    """A trained run of the same root, ROOT/runs/NAME: its model is sampled and measured again."""
    model: str | None = None
    """A pipeline in diffusers' form (safetensors only), taken as it is: a directory, s3://bucket/prefix, or the name of
    a model hub's repository."""
    images: str | None = None
    """Images that were generated elsewhere: a directory, s3://bucket/prefix, or what else data.source can be."""
    held_out: str | None = None
    """Real images of the same kind that the model was not trained on, for the floor; where data.source is all that it
    was trained on."""
    values: Literal["-1..1", "0..1"] = "-1..1"
    """The range of pixel values that an unconditional model was trained on. diffusers' pipelines take -1..1 for
    granted."""

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        given = [f"{name} {value}" for name in ("run", "model", "images") if (value := getattr(self, name)) is not None]
        if len(given) > 1:
            raise ValueError(f"{given[0].partition(' ')[0]}: {', '.join(given)}: an audit is of one of them")
        if self.held_out is not None and (self.run is not None or not given):
            of = "an audit of a run has the run's own" if given else "a training run splits its own off (data.held_out)"
            raise ValueError(f"held_out: {self.held_out}: {of}: leave it out")
        return self

    @property
    def subject(self) -> str | None:
        """The address of what is audited; None where a model is trained."""
        return self.run or self.model or self.images


class Sample(Section):
    """The images that are generated for the evaluation."""

    count: Annotated[int, Field(ge=2)] = 10_000
    """How many images."""
    parts: Positive = 1
    """Pods that share the work; the images are the same for any number."""
    batch_size: Positive = 256
    """Images generated at once."""
    sampler: Literal["ddpm", "ddim", "base"] = "ddpm"
    """DDPM (ancestral), DDIM (eta 0), or the scheduler of the base model (latents) or of the audited one."""
    steps: Positive = 1000
    """Denoising steps, at most noise.timesteps, or those that an audited model was trained with."""
    prompts: Literal["training", "held_out", "file"] = "training"
    """What a text-to-image model is asked for: captions of the training images, of the held-out ones, or prompts_file.
    In an order that is drawn once, again and again until there are count."""
    prompts_file: str | None = None
    """Text file, a prompt a line, a path or s3://bucket/key, for prompts: file."""
    companions: Literal["auto"] | Annotated[int, Field(ge=0)] = "auto"
    """Images of each set that is made for comparison beside a trained text-to-image model's own: of the base model, for
    held-out captions, for general_prompts. `auto`: a quarter of count, at least 256, at most 2,048 and count; 0 for
    none."""
    general_prompts: str | None = None
    """Text file, a prompt a line, a path or s3://bucket/key: prompts that are about something else than the training
    images, of which the fine-tuned and the base model make images (latents)."""
    guidance_scale: Annotated[float, Field(ge=0, le=100)] = 7.5
    """Classifier-free guidance of a text-to-image model; 1 for none."""
    weights: Literal["ema", "raw"] = "ema"
    """Which of the aggregated model's weights are sampled, evaluated and released."""
    precision: Precision = "auto"
    """Arithmetic of the network, also for the watch and previews. `auto`: bfloat16 on CUDA devices that have it, else
    float32; float32 for a model that is audited."""


DECIDING: Final = ("mq_aware_0.1", "second_nearest_aware")
"""Figures that decide where nothing else is said; with a descriptor also its own."""


class Evaluate(Section):
    """The measures of memorization and quality."""

    neighbours: Annotated[int, Field(ge=2)] = 50
    """Nearest training images whose mean squared distance divides the nearest one's in MQ."""
    thresholds: Annotated[
        tuple[Annotated[float, Field(gt=0, lt=1)], ...], BeforeValidator(_as_list), Field(min_length=1)
    ] = (0.1, 0.2, 0.3, 0.4)
    """tau of MQ(tau)."""
    second_nearest: Annotated[float, Field(gt=0, lt=1)] = 1 / 3
    """Share of images whose nearest-to-second-nearest distance ratio (not squared) is below this."""
    deciding: Annotated[tuple[str, ...], BeforeValidator(_as_list), Field(min_length=1)] = DECIDING
    """Figures that decide the verdict, chosen before the run: mq_T or mq_aware_T with T of thresholds, second_nearest,
    second_nearest_aware, extraction (which may accuse, not acquit), descriptor, descriptor_second, descriptor_whole,
    descriptor_template. The others are shown and not judged."""
    margin: Annotated[float, Field(gt=0, le=0.5)] = 0.02
    """'No echo' says with 95 % confidence that less than this share of images are copies beyond the floor."""
    search: Literal["auto", "exact", "candidates"] = "auto"
    """How near-copies are sought on pixels. `exact`: each image among all training images; `candidates`: among those
    that are alike when scaled down, and among all where these leave open what counts, so that counts are those of
    exact; `auto`: exact up to a million training images, and for few images (a look)."""
    floor_limit: Annotated[int, Field(ge=2)] | None = 10_000
    """At most so many held-out images are searched for near-copies, a fixed choice by their content; quality takes all
    of them. Empty: all."""
    extraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """A guess of the extraction attack hits an image when its MQ ratio to it is below this."""
    extraction_alike: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """The attack takes generated images for one when their squared distances are below this times their mean one."""
    extraction_repeats: Annotated[int, Field(ge=2)] = 2
    """So many generated images that are alike make a guess."""
    features: Annotated[
        tuple[Literal["pixels", "inception", "onnx"], ...], BeforeValidator(_as_list), Field(min_length=1)
    ] = ("pixels",)
    """Features of the Frechet distance and of precision and recall, one set of figures each; the first speaks in
    the headline."""
    inception_weights: str | None = None
    """torch-fidelity's Inception weights, a path or s3://bucket/key, for features: inception."""
    onnx_model: str | None = None
    """Feature extractor in ONNX form, a path or s3://bucket/key, for features: onnx. `unecho classifier` makes one."""
    onnx_mean: Annotated[tuple[float, ...], BeforeValidator(_as_list), Field(min_length=1, max_length=3)] = (0.0,)
    """Subtracted from pixels in [0, 1] before they enter the extractor: one number, or one a channel."""
    onnx_std: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...], BeforeValidator(_as_list), Field(min_length=1, max_length=3)
    ] = (1.0,)
    """Divides them after that."""
    alignment_model: str | None = None
    """A text-image model that says how well images fit their prompts (latents): a folder, s3://bucket/prefix or a hub's
    name of transformers' CLIPModel with tokenizer and processor, safetensors only."""
    reconstructions: bool = True
    """Latent models: seek copies among the VAE's reconstructions of the training images too, and report which share of
    such is found (the ceiling). Each report and look passes all training images through the VAE and keeps them on the
    machine's disk meanwhile, as 8 bits a value."""
    prompts: Annotated[int, Field(ge=0, le=4096)] = 128
    """Captions of the training images, and as many of held-out images and general prompts, at which a text-to-image
    model's predictions are measured; 0 for none."""
    prompt_seeds: Annotated[int, Field(ge=1, le=64)] = 4
    """Noises on which each of them is measured."""
    precision_recall_neighbours: Positive = 3
    """k of the k-nearest-neighbour manifolds of precision and recall."""
    kid_subsets: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Subsets over which the kernel distance (KID) is averaged."""
    kid_subset_size: Annotated[int, Field(ge=2, le=10_000)] = 1000
    """Images of such a subset; fewer where one of the two sets holds fewer."""

    descriptor: str | None = None
    """Copy descriptor, ONNX or TorchScript (whose code runs), a path or s3://bucket/key: SSCD or your field's own.
    `unecho descriptor` makes one. Where it is given, its figure decides too, unless deciding says otherwise."""
    descriptor_transform: Literal["sscd", "dcr", "numbers"] = "sscd"
    """What images go through before it. `sscd`: short side to 288, ImageNet's mean and deviation; `dcr`: short side to
    256, centre 224, mean and deviation 0.5; `numbers`: descriptor_size, descriptor_mean and descriptor_std."""
    descriptor_size: Annotated[int, Field(ge=1, le=2048)] | None = None
    """Height and width for descriptor_transform: numbers. Empty: the file's own where they are fixed, else as they
    are."""
    descriptor_mean: Annotated[tuple[float, ...], BeforeValidator(_as_list), Field(min_length=1, max_length=3)] = (0.0,)
    """For descriptor_transform: numbers, subtracted from pixels in [0, 1]: one number, or one a channel."""
    descriptor_std: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...], BeforeValidator(_as_list), Field(min_length=1, max_length=3)
    ] = (1.0,)
    """Divides them after that."""
    descriptor_threshold: Annotated[float, Field(gt=-1, lt=1)] = 0.5
    """An image counts as a copy when its largest similarity to a training image is above this."""

    @model_validator(mode="before")
    @classmethod
    def _a_descriptor_decides(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("descriptor") is not None and given.get("deciding") is None:
            return given | {"deciding": (*DECIDING, "descriptor")}
        return given

    @model_validator(mode="after")
    def _deciding_figures_exist(self) -> Self:
        mq = [f"mq{kind}_{tau:g}" for kind in ("", "_aware") for tau in self.thresholds]
        descriptor = ["descriptor", "descriptor_second", "descriptor_whole", "descriptor_template"]
        known = [*mq, "second_nearest", "second_nearest_aware", "extraction", *descriptor]
        for name in self.deciding:
            if name not in known:
                raise ValueError(f"deciding: '{name}' is not one of {', '.join(known)}")
            if name in descriptor and self.descriptor is None:
                raise ValueError(f"descriptor: needed by evaluate.deciding {name}: give the file's path")
        return self

    @model_validator(mode="after")
    def _numbers_are_used(self) -> Self:
        if self.descriptor_transform != "numbers":
            for name in ("descriptor_size", "descriptor_mean", "descriptor_std"):
                if (value := getattr(self, name)) != type(self).model_fields[name].default:
                    shown = ",".join(f"{v:g}" for v in value) if isinstance(value, tuple) else value
                    raise ValueError(
                        f"{name}: {shown} beside descriptor_transform {self.descriptor_transform}: set "
                        "evaluate.descriptor_transform=numbers, or leave it out"
                    )
        return self


class Report(Section):
    """What the report may show."""

    images: Literal["all", "generated", "none"] = "all"
    """`all`: also pairs with training images, in the copy in the run's own prefix only; `generated`; `none`."""
    pairs: Annotated[int, Field(ge=0, le=200)] = 12
    """Most-memorized pairs shown."""
    preview: Annotated[int, Field(ge=0, le=64)] = 8
    """Images of the fixed-noise preview of each round."""


class Execution(Section):
    """Where and how the run executes; free to change between tries."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device of encode, watch, train, select, sample and evaluate. `auto`: cuda, else mps, else cpu; what must be exact
    is measured on cuda or cpu."""
    checkpoint_every_s: Annotated[float, Field(gt=0)] = 120.0
    """Seconds between the checkpoints of train and of sample."""
    keep_rounds: Annotated[int, Field(ge=2)] = 2
    """Rounds whose weights and optimizer state are kept."""
    gradient_checkpointing: bool = False
    """Compute activations anew in the backward pass: less memory, more time."""
    parallelism: Positive = 4
    """Pods of a map that run at once on a cluster: shards that train, parts that are sampled."""
    processes: Literal["auto"] | Positive = "auto"
    """Processes of this machine that encode, train and sample side by side. `auto`: one a GPU that is visible, and
    without any the program's own."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Processes that decode images in prepare, and in each pod of pack; 0: one a core."""
    prepare_parts: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Shares of the source that are packed beside each other before prepare (step pack), where the engine has room for
    more than one; 1: prepare packs all."""
    hold_images: Literal["auto", "device", "stream"] = "auto"
    """`device`: the shard stays on the device, as uint8 or as encodings; `stream`: batches are sent; `auto`: held where
    it fits into a quarter of the memory of the GPU, or of what the pod may use."""
    cache_dir: str | None = None
    """Directory that keeps the rows of a data set which were read from an s3:// store; empty for none."""
    cache_gib: Annotated[float, Field(gt=0)] = 20.0
    """Most that this directory may take of the disk, in GiB."""
    tensorboard: bool = False
    """Write the figures of each round and of the report as TensorBoard event files below the run; needs the extra
    `tracking`."""


class Method(Section):
    """What the result depends on: frozen with the run."""

    preset: str = ""
    """Name of the preset that the run started from (informative)."""
    variant: Variant = "iet-agc+"
    """Which parts are on: default, iet, agc, iet-agc or iet-agc+; iet-agc+paper is the last with the papers' TAA, for
    latents with all of the authors' training loop."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of weights, order, noise, redistribution and sampling."""
    threads: Annotated[int, Field(ge=1, le=1024)] = 2
    """CPU threads of every step's arithmetic: part of the method, since sums depend on it."""
    deterministic: bool = True
    """CUDA: only kernels that give the same bytes each time, without TF32; false: the fastest ones. Measures never use
    TF32."""
    compile: Literal["auto"] | bool = "auto"
    """Let torch compile the network for train and sample. `auto`: on CUDA, where it is passed 1,000 times or more, and
    without where it cannot be; `true`: everywhere, or a line that says why not."""
    data: Data = Data()
    model: Model = Model()
    lora: LoRA = LoRA()
    noise: Noise = Noise()
    iet: IET = IET()
    train: Train = Train()
    agc: AGC = AGC()
    msr: MSR = MSR()
    taa: TAA = TAA()
    encode: Encode = Encode()
    stop: Stop = Stop()
    watch: Watch = Watch()
    release: Release = Release()
    audit: Audit = Audit()
    sample: Sample = Sample()
    evaluate: Evaluate = Evaluate()

    @property
    def is_audit(self) -> bool:
        """Whether a given model, or given images, are measured and nothing trains."""
        return self.audit.subject is not None

    @property
    def encodings(self) -> int:
        """Parts of `encode`: none for a model of pixels, nor for an audit."""
        return self.encode.parts if self.model.family == "latents" and not self.is_audit else 0

    @property
    def releases_last(self) -> bool:
        """Whether the model that the rounds end with is the one that is reported, whatever the watch has seen."""
        return self.is_audit or self.release.select == "last"

    @property
    def rounds(self) -> int:
        """Rounds of training: none for an audit."""
        return 0 if self.is_audit else self.iet.rounds

    def sizes(self) -> dict[str, int]:
        """How many steps each loop has, by the name of what it goes over."""
        return {
            "encodings": self.encodings,
            "rounds": self.rounds,
            "shards": 0 if self.is_audit else self.iet.shards,
            "parts": 0 if self.audit.images else self.sample.parts,
        }

    @property
    def keeps_bank(self) -> bool:
        """Whether the memory bank is kept: some part reads it."""
        return self.agc.enabled or self.msr.enabled or self.taa.enabled

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        self._check_ranks()
        if self.msr.enabled and self.iet.shards < 2:
            raise ValueError(
                f"msr.enabled: true needs iet.shards of 2 or more, not {self.iet.shards}: "
                "raise it, or set msr.enabled=false"
            )
        if self.taa.enabled:
            least = 1 / self.agc.skip_ratio
            if self.taa.augment_below <= least:
                raise ValueError(
                    f"taa.augment_below: {self.taa.augment_below} must be above 1/agc.skip_ratio = {least:g}"
                )
            if self.train.horizontal_flip and "horizontal_flip" in self.taa.augmentations:
                raise ValueError(
                    "taa.augmentations: horizontal_flip is already applied to every image by train.horizontal_flip: "
                    "leave it out of one of the two"
                )
            if self.train.captions == "random" and "other_caption" in self.taa.augmentations:
                raise ValueError(
                    "taa.augmentations: other_caption is already what every visit has with train.captions random: "
                    "set train.captions=first, or leave it out"
                )
        if self.watch.every == 0 and not self.is_audit:
            for field, needs in (("stop.echo", self.stop.echo), ("release.select", self.release.select == "at_floor")):
                if needs:
                    raise ValueError(f"watch.every: 0, but {field} goes by what the watch finds: raise it, or set auto")
        if self.watch.every and self.watch.count <= self.evaluate.precision_recall_neighbours:
            raise ValueError(
                f"watch.count: {self.watch.count} must be above evaluate.precision_recall_neighbours "
                f"{self.evaluate.precision_recall_neighbours}"
            )
        if self.sample.steps > self.noise.timesteps and not self.audit.model:
            raise ValueError(
                f"sample.steps: {self.sample.steps} is more than noise.timesteps {self.noise.timesteps}: lower it"
            )
        batches = -(-self.sample.count // self.sample.batch_size)
        if self.sample.parts > batches:
            raise ValueError(
                f"sample.parts: {self.sample.parts} is more than the {batches} batches of sample.count "
                f"{self.sample.count} at sample.batch_size {self.sample.batch_size}: lower it"
            )
        if self.sample.companions != "auto" and self.sample.companions > self.sample.count and not self.is_audit:
            raise ValueError(
                f"sample.companions: {self.sample.companions} is more than sample.count {self.sample.count}: lower it"
            )
        self._check_family()
        for kind, field in (("inception", "inception_weights"), ("onnx", "onnx_model")):
            if kind in self.evaluate.features and getattr(self.evaluate, field) is None:
                raise ValueError(f"evaluate.{field}: needed by evaluate.features {kind}: give the file's path")
        return self

    def _check_ranks(self) -> None:
        train = self.train
        if train.gpus_per_shard > train.batch_size:
            raise ValueError(
                f"train.gpus_per_shard: {train.gpus_per_shard} is more than train.batch_size {train.batch_size}, of "
                "which each gets a part: lower it"
            )
        if train.gpus_per_shard > 1 and train.optimizer == "adamw8bit":
            raise ValueError(
                "train.optimizer: adamw8bit keeps its moments on one GPU: set adamw, or train.gpus_per_shard=1"
            )
        if train.gpus_per_shard > 1 and self.compile is True:
            raise ValueError(
                f"compile: true, but a network in {train.gpus_per_shard} parts (train.gpus_per_shard) is not compiled: "
                "set compile=auto, which compiles it where it is whole"
            )

    def _check_family(self) -> None:
        if self.audit.images and self.evaluate.alignment_model:
            raise ValueError(
                f"evaluate.alignment_model: {self.evaluate.alignment_model}: the prompts of images that were generated "
                "elsewhere are not known: leave it out"
            )
        if self.sample.prompts == "file" and not self.sample.prompts_file:
            raise ValueError("sample.prompts_file: needed by sample.prompts file: give the file's path")
        if self.model.family == "latents":
            if self.model.pretrained is None:
                raise ValueError(
                    "model.pretrained: needed by model.family latents: name the text-to-image pipeline to fine-tune"
                )
            self._check_gate()
            return
        if self.audit.model:  # what it takes, its folder says
            return
        captions = [kind for kind in self.taa.augmentations if kind in CAPTION_KINDS]
        latents_only = {
            "lora.enabled": self.lora.enabled,
            "train.caption_dropout": self.train.caption_dropout,
            "train.gate": self.train.gate if self.train.gate != "pairs" else None,
            "sample.prompts": self.sample.prompts if self.sample.prompts != "training" else None,
            "sample.sampler": self.sample.sampler if self.sample.sampler == "base" else None,
            "sample.companions": self.sample.companions if self.sample.companions != "auto" else None,
            "sample.general_prompts": self.sample.general_prompts,
            "model.unet_sha256": self.model.unet_sha256,
            "evaluate.alignment_model": self.evaluate.alignment_model,
            "taa.augmentations": ",".join(captions) if self.taa.enabled else None,
        }
        for field, value in latents_only.items():
            if value:
                shown = str(value).lower() if isinstance(value, bool) else value
                raise ValueError(f"{field}: {shown} is for model.family latents, not {self.model.family}")

    def _check_gate(self) -> None:
        """The samples' gate augments whatever it lets through, by RandAugment: 'none' would never be trained."""
        if self.train.gate == "pairs" or not self.taa.enabled:
            return
        if self.taa.augmentations != ("randaugment",):
            raise ValueError(
                f"taa.augmentations: {','.join(self.taa.augmentations)}, but train.gate samples augments by "
                "randaugment alone: set taa.augmentations=randaugment, or taa.enabled=false"
            )
        if self.taa.augment_conditioning:
            raise ValueError(
                "taa.augment_conditioning: true, but train.gate samples augments all that trains, so that 'none' would "
                "never be: set taa.augment_conditioning=false, or train.gate=pairs"
            )


class RunConfig(Method):
    """Method, and what may change from try to try."""

    report: Report = Report()
    execution: Execution = Execution()

    @property
    def packs(self) -> int:
        """Shares of `pack`: none where `prepare` packs all, nor for an audit of a run, which has its data set."""
        parts = self.execution.prepare_parts
        return parts if parts > 1 and self.audit.run is None else 0

    def sizes(self) -> dict[str, int]:
        return {"packs": self.packs, **super().sizes()}

    def method(self) -> Method:
        """The frozen half alone."""
        return Method.model_validate(self.model_dump(include=set(Method.model_fields)))


FILE_FIELDS: Final = (
    "model.pretrained",
    "audit.model",
    "sample.prompts_file",
    "sample.general_prompts",
    "evaluate.inception_weights",
    "evaluate.onnx_model",
    "evaluate.descriptor",
    "evaluate.alignment_model",
)
"""Fields that say where a file lies: the plan freezes what it holds."""


_NEWER_FIELDS: Final = (
    "sample.companions",
    "evaluate.reconstructions",
    "evaluate.prompts",
    "evaluate.prompt_seeds",
    "evaluate.floor_limit",
    "evaluate.search",
)
"""Of steps that come last: a plan that is older than they are has not decided them."""


_MEANT_BEFORE: Final[dict[str, dict[str, Any]]] = {
    "evaluate": {"floor_limit": None, "search": "exact"},
    "sample": {"precision": "float32"},
}
"""What a plan that is older than a field meant, where that is not the field's default."""


def as_meant(kept: Mapping[str, Any], config: RunConfig) -> RunConfig:
    """The configuration of an older plan as it was meant; such fields stay undecided, see `_NEWER_FIELDS`.

    Args:
        kept: what was read; `config`: the same, parsed.
    """
    for section, fields in _MEANT_BEFORE.items():
        older = {name: value for name, value in fields.items() if name not in kept.get(section, {})}
        if older:
            meant = getattr(config, section).model_copy(update=older)
            meant.model_fields_set.difference_update(older)
            config = config.model_copy(update={section: meant})
    return config if "compile" in kept else config.model_copy(update={"compile": False})


def with_its_arithmetic(before: RunConfig, after: RunConfig) -> RunConfig:
    """What a run goes on with: its own arithmetic where that is left to `auto`, its own search where nobody chose."""
    kept: dict[str, Any] = {"compile": before.compile} if after.compile == "auto" else {}
    for section in ("train", "sample"):
        fields = getattr(after, section)
        if fields.precision == "auto":
            kept[section] = fields.model_copy(update={"precision": getattr(before, section).precision})
    measured, asked = before.evaluate, after.evaluate
    left = [
        name for name in _MEANT_BEFORE["evaluate"] if name not in measured.model_fields_set | asked.model_fields_set
    ]
    if left:  # the floor of a test that has begun stays what it was
        kept["evaluate"] = asked.model_copy(update={name: getattr(measured, name) for name in left})
    return after.model_copy(update=kept)


def frozen_difference(before: RunConfig, after: RunConfig) -> str | None:
    """The first frozen field in which two configurations differ, or None.

    `iet.rounds` may grow, unless the learning rate was planned over all of them. The preset's name
    says nothing by itself and is left out. A file may move; whether it is the same is for its digest to say.
    A run that was planned before there was a watch, or companions, reconstructions or measures of prompts, may be given
    them.

    Returns:
        "field: was VALUE, now VALUE", with the field's dotted name.
    """
    after = with_its_arithmetic(before, after)
    old, new = (flat_fields(c.method().model_dump(mode="json")) for c in (before, after))
    for field, was in old.items():
        now = new[field]
        more_rounds = field == "iet.rounds" and now > was and before.train.decay == "constant" and not before.is_audit
        moved = field in FILE_FIELDS and was is not None and now is not None
        new_here = field.startswith("watch.") and "watch" not in before.model_fields_set
        section, _, name = field.partition(".")
        new_here |= field in _NEWER_FIELDS and name not in getattr(before, section).model_fields_set
        if was == now or field == "preset" or more_rounds or moved or new_here:
            continue
        return f"{field}: was {was}, now {now}"
    return None


def flat_fields(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Leaves by dotted name; a section may be written as a tree, or as part of a dotted name."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flat_fields(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
