"""Measure memorization and quality, write the report, release the model."""

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from ..config import RunConfig
from ..config.fields import Data
from ..data.near_duplicates import near_copies
from ..diffusion import family_of
from ..diffusion.device import choose_device, device_name, set_numerics
from ..diffusion.release import release_files
from ..measures.extraction import extract
from ..measures.features import Features, features_of
from ..measures.images import Images, Rows
from ..measures.intervals import Share
from ..measures.memorization import Closeness, closeness
from ..measures.quality import Compared, compare
from ..measures.transforms import stages
from ..measures.verdict import Measure, Memorization, beside_floor, judged, smoke_reason
from ..progress import Progress
from ..report import history, selection
from ..report.figures import Attack, Figures, Histogram, Quality
from ..report.page import page
from ..report.wording import headline
from ..run import DatasetRecord, ReportRecord, Run, ran_with
from ..run.base_model import pretrained_of
from ..run.generated import generated_images
from ..run.given_files import check_file, read_extractor
from ..run.prompts import prompts_of
from ..run.tensors import sampled_weights
from ..store import put_folder

_BINS = 20


def evaluate(run: Run, progress: Progress) -> ReportRecord:
    """Commit the report on the last model.

    Raises:
        Fatal: the rounds or the samples are not complete, an object is missing or altered, or there are
            too few images for the measures; names it.
    """
    started = time.time()
    plan = run.plan()
    config = plan.config
    model = run.last_model(config)
    if done := run.find(ReportRecord, model.round):
        return done
    set_numerics(config)
    device = choose_device(config)
    computes = torch.device("cpu") if device.type == "mps" else device  # MPS has no float64, exactness rests on it

    # inputs, checked before anything takes long
    packed = run.load(DatasetRecord)
    dataset = run.dataset(config)
    training, held_out = Rows(dataset, dataset.train_rows), Rows(dataset, dataset.held_out_rows)
    generated = generated_images(run, config, model.round, dataset)
    for field in ("evaluate.inception_weights", "evaluate.onnx_model"):
        check_file(config, plan.files, field)
    compared_by = features_of(config.evaluate, computes, read_extractor)

    # memorization beside its floor
    allowed = stages(config.taa)
    total = len(generated) + len(held_out)

    def measure(images: Images, before: int) -> list[Closeness]:
        def report(done: int) -> None:
            progress.update(before + done, total, "images")

        return closeness(images, training, allowed, config.evaluate, computes, report)

    measured, floors = measure(generated, 0), measure(held_out, len(generated))
    found = extract(generated, training, held_out, allowed, config.evaluate, computes)
    near = near_copies(held_out, training, config.data.near_duplicate or Data().near_duplicate)
    attack = beside_floor("extraction", True, config.evaluate.extraction, found.hit, found.floor, found.guesses)
    figures_of_all = [*_memorization(config, measured, floors, near), attack]
    memorization = judged(figures_of_all, config.evaluate.deciding, config.evaluate.margin)

    # quality beside that of real images
    qualities = []
    for features in compared_by:

        def report(done: int, of: int, unit: str = f"images by {features.name}") -> None:
            progress.update(done, of, unit)

        compared = compare(generated, training, held_out, features, config.evaluate, report)
        qualities.append(_quality(compared, features, config.evaluate.precision_recall_neighbours))

    # the report
    rounds = history.rounds(run, model)
    source = history.provenance(run, config, packed, model, rounds, len(generated), started, device_name(computes))
    smoke = smoke_reason(config, len(generated), len(held_out))
    figures = Figures(
        headline=headline(memorization, qualities[0], config.evaluate.margin, smoke),
        memorization=memorization,
        quality=qualities[0],
        further_quality=qualities[1:],
        attack=Attack(generated=found.generated, looked_at=found.images, guesses=found.guesses, power=found.power),
        held_out_near_copies=int(near.sum()),
        neighbours=config.evaluate.neighbours,
        transforms=sum(len(stage) for stage in allowed),
        histograms=_histograms(measured, floors),
        pairs=selection.pairs(config, measured[-1], dataset, training, prompts_of(run, config)),
        rounds=rounds,
        provenance=source,
        config=config.model_dump(mode="json"),
    )
    shown = selection.Material(run, config, model, generated, training, dataset, memorization, measured, computes)
    files = {
        "report.json": figures.model_dump_json(indent=1).encode(),
        "report.html": page(figures, shown.own(figures.pairs)),
        "shared.html": page(figures, shown.shared()),
    }
    objects = {name: run.put(ReportRecord, (model.round,), name, data) for name, data in files.items()}

    # the model that the figures are about
    family = family_of(config, pretrained_of(plan))
    with TemporaryDirectory(prefix="unecho-release-") as folder:
        saved = release_files(family, *sampled_weights(run, config, model), Path(folder))
        released = put_folder(run.store, f"{run.prefix}/release", saved)
    record = ReportRecord(
        round=model.round,
        headline=figures.metrics(),
        objects=objects | {f"model/{name}": ref for name, ref in released.items()},
        ran_with=ran_with(started, device_name(computes)),
    )
    return run.commit(record, model.round)


def _memorization(
    config: RunConfig, measured: Sequence[Closeness], floors: Sequence[Closeness], near: NDArray[np.bool_]
) -> list[Memorization]:
    """Every threshold, plain and augmentation-aware.

    Args:
        near: which held-out images have a near duplicate in the training set.
    """
    figures = []
    bound = config.evaluate.second_nearest
    for aware, (generated, floor) in enumerate(zip(measured, floors, strict=True)):
        sets = (generated, floor, floor.of(~near))
        for tau in config.evaluate.thresholds:
            figures.append(_beside_floors("mq", bool(aware), tau, [(c.below(tau), len(c.mq)) for c in sets]))
        counts = [(c.far_nearer(bound), len(c.mq)) for c in sets]
        figures.append(_beside_floors("second_nearest", bool(aware), bound, counts))
    return figures


def _beside_floors(measure: Measure, aware: bool, threshold: float, counts: Sequence[tuple[int, int]]) -> Memorization:
    """From how many of how many images of the generated, the held-out, and the held-out without near copies."""
    generated, floor = (Share.counted(*count) for count in counts[:2])
    some = 0 < counts[2][1] < floor.of
    apart = Share.counted(*counts[2]) if some else None
    return beside_floor(measure, aware, threshold, generated, floor, floor_apart=apart)


def _quality(compared: Compared, features: Features, neighbours: int) -> Quality:
    def share(count: int) -> Share:
        return Share.counted(count, compared.manifold)

    generated, real = compared.generated, compared.real
    return Quality(
        features=features.name,
        digest=features.digest,
        frechet_name=features.frechet,
        frechet=generated.frechet,
        frechet_all=generated.frechet_all,
        frechet_real=real.frechet,
        frechet_training=compared.frechet_training,
        kernel_name=features.kernel,
        kernel=generated.kernel.mean,
        kernel_std=generated.kernel.std,
        kernel_real=real.kernel.mean,
        kernel_real_std=real.kernel.std,
        kernel_subsets=generated.kernel.subsets,
        kernel_subset_size=generated.kernel.size,
        images=compared.images,
        sets=compared.sets,
        reference=compared.reference,
        neighbours=neighbours,
        manifold=compared.manifold,
        precision=share(generated.within_reference),
        precision_real=share(real.within_reference),
        recall=share(generated.covered),
        recall_real=share(real.covered),
        poor=generated.within_reference < real.within_reference / 2,
    )


def _histograms(measured: Sequence[Closeness], floors: Sequence[Closeness]) -> list[Histogram]:
    edges = np.linspace(0, 1, _BINS + 1)
    return [
        Histogram(
            aware=bool(aware),
            edges=edges.round(6).tolist(),
            generated=np.histogram(generated.mq, edges)[0].tolist(),
            floor=np.histogram(floor.mq, edges)[0].tolist(),
        )
        for aware, (generated, floor) in enumerate(zip(measured, floors, strict=True))
    ]
