"""report.json: every figure of the report, typed."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..measures.alignment_figures import Alignment, Drift
from ..measures.descriptor_figures import DescriptorFigures
from ..measures.metrics import metrics_of
from ..measures.prompt_figures import PromptFigures
from ..measures.quality_figures import AgainstTraining, Quality
from ..measures.search_figures import Searched
from ..measures.verdict import Memorization, Verdict
from ..run import ReportRecord, Run
from ..store import fetch, parsed


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Histogram(_Figures):
    """How many images have an MQ ratio from `edges[i]` to `edges[i + 1]`."""

    aware: bool
    edges: list[float]
    generated: list[int]
    floor: list[int] | None = None
    """Of the held-out images; None without such."""


class Attack(_Figures):
    """What the extraction attack had to work with."""

    generated: int
    """Generated images."""
    looked_at: int
    """Those of them that it looked at."""
    guesses: int
    power: float
    """Share of the training images that it would find in as many images of a model that draws each of them from its
    training set, all as likely: where this is small, nothing found says nothing."""


class Pair(_Figures):
    """A generated image and its two nearest training images, augmentation-aware."""

    generated: int
    """Index of the generated image."""
    nearest: int
    second: int
    """Rows of the data set."""
    nearest_name: str
    second_name: str
    ratio: float
    """MQ ratio."""
    second_ratio: float
    similarity: float | None = None
    """To the most similar training image on the copy descriptor; None without one."""
    on_descriptor: bool = False
    """Whether the image was chosen by it, and the two training images are its nearest by it."""
    prompt: str | None = None
    """What a text-to-image model was asked for."""
    own_caption: bool = False
    """Whether that is a caption of the nearest image."""


class Round(_Figures):
    """A round of training."""

    round: int
    loss: float
    visits: int
    skips: int
    augmented: int
    lost: int = 0
    """Visits that were neither skipped nor trained."""
    steps: int | None = None
    """Optimizer steps, over all shards; None in older reports."""
    moved: int
    """Samples that changed their shard before this round."""
    average_error: float | None = None
    """Share of the adapters' mean that was cut off after this round; None where the mean is exact."""

    @property
    def skip_rate(self) -> float:
        return self.skips / self.visits if self.visits else 0.0

    @property
    def lost_share(self) -> float:
        return self.lost / self.visits if self.visits else 0.0

    @property
    def augmented_share(self) -> float:
        return self.augmented / self.visits if self.visits else 0.0


class Watched(_Figures):
    """A look at a model while rounds were trained."""

    model: int
    """How many rounds it had."""
    verdict: Verdict
    figure: str
    """The one that speaks, by its name among the metrics."""
    share: float
    floor: float | None
    images: int
    metrics: dict[str, float]
    """All figures of the look, as `Figures.metrics` names them."""


class Provenance(_Figures):
    """Where the figures come from."""

    run: str
    subject: str | None = None
    """What was audited, such as 'model s3://models/mine'; None where the run trained its model."""
    dataset: str
    """Digest of the data set."""
    base_model: str | None = None
    """Address of the pretrained model."""
    base_sha256: str | None = None
    """Of the SHA-256 of each of its files that are read."""
    seed: int
    code: str
    torch: str | None
    hardware: list[str]
    """Device models that trained and evaluated."""
    onnx_provider: str | None = None
    """What ONNX files were run by, as onnxruntime calls it; None without such, and in older reports."""
    started: str | None
    """When the run was first started, ISO 8601, UTC."""
    duration_s: float | None
    """From then until the report, pauses included."""
    train_images: int
    held_out_images: int
    generated_images: int
    rounds: int
    """Rounds that were trained."""
    stopped: str | None
    """Why the rounds ended early."""
    released: int | None = None
    """Rounds that the reported model has had; None in older reports, where it is all that were trained."""
    selected: str | None = None
    """By which rule it was chosen, where another than the last may have been."""
    planned_visits: int | None = None
    """Samples that the planned rounds were to see, with repetition; None where nothing was trained."""
    visits: int | None = None
    """Samples that training saw; None likewise."""
    skipped_share: float | None = None
    """Share of the visits that were skipped (counted, where AGC is off, but not dropped); None likewise."""
    lost_share: float = 0.0
    """Share of the visits that were neither skipped nor trained."""
    steps: int | None = None
    """Optimizer steps, over all shards; None in older reports too."""


class Headline(_Figures):
    """Does it echo?"""

    verdict: Verdict
    title: str
    """A few words."""
    sentence: str
    """Memorization beside its floor."""
    quality: str
    """Quality beside that of real images."""
    smoke: str | None
    """Why this is a smoke run, whose figures decide nothing; None for a real one."""

    @property
    def decided(self) -> Verdict:
        """The verdict, as far as it says anything: a smoke run's decides nothing."""
        return "undecided" if self.smoke else self.verdict


class Forgotten(_Figures):
    """What deletion requests have kept out of the data set. It names no sample: report.json may be passed on."""

    requests: int
    """Requests 1 to this one applied."""
    samples: int
    """Left out."""
    by: dict[str, int] = Field(default_factory=dict)
    """These by what was equal: name, file, pixels."""
    hashed: list[str] = Field(default_factory=list)
    """SHA-256 of each one's name, the first 16 digits, of the first 1,000 by name: whoever knows a name can look."""
    rows: int
    """Samples of the data set that were looked through by name and by pixels: none is to be forgotten."""
    assignments: int
    """Assignments of rows to shards, of all rounds, that were checked to be of this data set and of nothing else."""
    base: str | None = None
    """The released model that the run started from, directly or by others, which was trained on such samples."""

    @property
    def sentence(self) -> str:
        """What was left out, and how that is known."""
        kinds = ", ".join(f"{count:,} by {kind}" for kind, count in sorted(self.by.items()) if count)
        samples = f"{self.samples:,} sample{'s' if self.samples != 1 else ''} of the source"
        requests = "deletion request 1" if self.requests == 1 else f"deletion requests 1 to {self.requests:,}"
        base = f". No shard saw one, but the start had: {self.base}" if self.base else ""
        return (
            f"{samples} left out by {requests}{f' ({kinds})' if kinds else ''}. None of the {self.rows:,} samples of "
            f"the data set is one, by name and by pixels, and the {self.assignments:,} assignments to shards are of "
            f"these samples alone{base}"
        )


class Figures(_Figures):
    """Everything that the report shows but images."""

    version: Literal[1, 2] = 2
    """1: another verdict, and an augmentation-aware mean that shrank with the distance."""
    headline: Headline
    memorization: list[Memorization]
    quality: Quality | None = None
    """On the first of `evaluate.features`; None without held-out images, which are its reference."""
    further_quality: list[Quality] = Field(default_factory=list)
    """On the others."""
    against_training: list[AgainstTraining] = Field(default_factory=list)
    """In place of both: on each of `evaluate.features`."""
    descriptor: DescriptorFigures | None = None
    """Similarities on the copy descriptor; None without one."""
    resolution: int | None = None
    """Height and width of the images; None in older reports."""
    alignment: Alignment | None = None
    """How well images fit their prompts; None without `evaluate.alignment_model`, and of a model without prompts."""
    drift: list[Drift] = Field(default_factory=list)
    """From the base model on `sample.general_prompts`: on each of `evaluate.features`."""
    attack: Attack | None = None
    prompts: PromptFigures | None = None
    """Of a text-to-image model; None for others, and in older reports."""
    held_out_near_copies: int | None = None
    """Held-out images with a near duplicate in the training set, by the rule of the split: they raise the floor."""
    neighbours: int
    """k of MQ."""
    transforms: int
    """Augmentations that the augmentation-aware distance tries, 'none' included."""
    searched: Searched | None = None
    """How near-copies were sought by candidates; None where every image was sought among all training images."""
    histograms: list[Histogram]
    pairs: list[Pair] = Field(default_factory=list)
    """The most-memorized ones; empty unless report.images is all."""
    rounds: list[Round]
    watched: list[Watched] = Field(default_factory=list)
    forgotten: Forgotten | None = None
    """Where deletion requests apply."""
    provenance: Provenance
    config: dict[str, Any]

    @property
    def qualities(self) -> list[Quality]:
        """On every one of `evaluate.features`; none without held-out images."""
        return [self.quality, *self.further_quality] if self.quality else []

    @property
    def has_floor(self) -> bool:
        """Whether there are held-out images: a floor of memorization, and a reference of quality."""
        return any(figure.floor for figure in self.memorization)

    @property
    def floor_images(self) -> int:
        """Held-out images that the floor was measured on; 0 without."""
        return max((f.floor.of for f in self.memorization if f.floor and f.measure != "extraction"), default=0)

    @property
    def has_base(self) -> bool:
        """Whether images of the base model stand beside the generated ones."""
        return any(figure.base for figure in self.memorization)

    @property
    def feature_files(self) -> list[tuple[str, str]]:
        """Of all features and of the descriptor that are a file's: the distance's name, and the file's SHA-256."""
        named = [(on.frechet_name, on.digest) for on in self.qualities]
        named += [(on.name, on.digest) for on in self.against_training]
        named += [(f"copy descriptor {self.descriptor.file}", self.descriptor.digest)] if self.descriptor else []
        named += [(f"text alignment ({self.alignment.model})", self.alignment.digest)] if self.alignment else []
        return [(name, digest) for name, digest in named if digest]

    def metrics(self) -> dict[str, float]:
        """The figures of the final table by name, for a UI: shares from 0 to 1."""
        metrics = metrics_of(self.memorization, self.qualities, self.against_training, self.descriptor)
        metrics |= self.alignment.metrics() if self.alignment else {}
        for drift in self.drift:
            metrics |= drift.metrics()
        metrics |= self.prompts.metrics() if self.prompts else {}
        skipped = self.provenance.skipped_share
        return metrics if skipped is None else metrics | {"skipped_share": skipped}

    def first_metrics(self, most: int) -> dict[str, float]:
        """Those of `metrics` to be seen first: the measures that decide beside their floor, then quality."""
        deciding = [
            name for figure in self.memorization if figure.decides for name in (figure.name, f"{figure.name}_floor")
        ]
        quality = [against.metric for against in self.against_training]
        if self.quality:
            frechet = self.quality.frechet_metric
            quality = [frechet, f"{frechet}_real", "precision", "recall", "alignment", "alignment_real"]
        metrics = self.metrics()
        names = [name for name in (*deciding, *quality, "skipped_share") if name in metrics]
        return {name: metrics[name] for name in names[:most]}


def load_figures(run: Run, record: ReportRecord) -> Figures:
    """The figures of a committed report.

    Raises:
        Fatal: report.json is missing or altered.
    """
    ref = record.objects["report.json"]
    return parsed(run.store, ref.key, fetch(run.store, ref), Figures)
