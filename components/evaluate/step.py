"""Measure memorization and quality, write the report, release the model."""

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ..assess.alignment import alignment_of, drift_of, planned_alignment
from ..assess.assessment import assess
from ..assess.beside import Beside
from ..assess.compared import compared, own_images
from ..assess.instruments import planned_instruments
from ..assess.prompted import prompted, quality_images
from ..assess.prompts import prompt_figures
from ..assess.reconstructions import perfect_copies, with_reconstructions
from ..diffusion import trainable_family_of
from ..diffusion.device import choose_device, choose_exact_device, device_name, let_go, set_numerics
from ..diffusion.release import release_files
from ..measures.extraction import Extraction
from ..measures.memorization import Closeness
from ..measures.verdict import smoke_reason
from ..progress import Progress
from ..report import history, selection
from ..report.card import CARD, model_card
from ..report.figures import Attack, Figures, Histogram
from ..report.page import page
from ..report.wording import headline
from ..run import DatasetRecord, ModelRecord, Plan, ReportRecord, Run, ran_with
from ..run.base_model import pretrained_of
from ..run.companions import companion_images
from ..run.forgotten import left_out_of
from ..run.forgotten_proof import prove_forgotten
from ..run.prompts import prompts_of
from ..run.tensors import sampled_weights
from ..store import ObjectRef, put_folder

_BINS = 20


def evaluate(run: Run, progress: Progress) -> ReportRecord:
    """Commit the report on the released model.

    Raises:
        Fatal: the rounds or the samples are not complete, an object is missing or altered, or there are
            too few images for the measures; names it.
    """
    started = time.time()
    plan = run.plan()
    config = plan.config
    last, model = run.last_model(config), run.released_model(config)
    if done := run.find(ReportRecord, last.round):
        return done
    set_numerics(config)
    computes = choose_exact_device(config)
    let_go(computes)  # of the steps before, in one process

    # inputs, checked before anything takes long
    packed = run.load(DatasetRecord)
    generated, reference = compared(run, config, model)
    dataset, training = reference.dataset, reference.training
    proof = prove_forgotten(run, plan, dataset, range(last.round + 1))
    instruments, aligner = planned_instruments(plan, computes), planned_alignment(plan, computes)
    strips = selection.previews(run, config, last, dataset)
    prompts = prompts_of(run, config)
    asked = prompted(config, generated, prompts)
    judged_by = quality_images(run, config, model.round, asked)
    vae_on = choose_device(config)
    reference = with_reconstructions(plan, reference, vae_on, progress)

    # memorization beside its floor, quality beside that of real images
    found = assess(
        generated,
        reference,
        instruments,
        config,
        computes,
        progress,
        beside=Beside(
            base=companion_images(run, config, model.round, "base"), ceiling=perfect_copies(plan, reference, vae_on)
        ),
        own=own_images(config, prompts, training, len(generated)),
        also=selection.in_order(strips),
        judged_by=judged_by,
    )
    memorization, quality = found.memorization, found.qualities[0] if found.qualities else None

    # a text-to-image model beside its prompts and its base
    aligned = None
    if aligner and asked and judged_by:
        aligned = alignment_of(run, config, model.round, aligner, judged_by, asked, reference, progress)
    drift = drift_of(run, config, model.round, instruments.features, progress)

    # the report
    rounds, on = history.rounds(run, last), device_name(computes)
    by = instruments.onnx_provider
    source = history.provenance(run, config, packed, last, model, rounds, len(generated), started, on, by)
    smoke = smoke_reason(config, len(generated), len(reference.floor_images))
    figures = Figures(
        headline=headline(memorization, quality, config.evaluate.margin, smoke, found.against_training),
        memorization=memorization,
        quality=quality,
        further_quality=found.qualities[1:],
        against_training=found.against_training,
        alignment=aligned,
        drift=drift,
        attack=_attack(found.attack) if found.attack else None,
        prompts=prompt_figures(run, config, model),
        held_out_near_copies=int(found.floor.near.sum()),
        neighbours=config.evaluate.neighbours,
        transforms=sum(len(stage) for stage in found.transforms),
        searched=found.searched,
        histograms=_histograms(found.closeness, found.floor.closeness),
        descriptor=found.descriptor,
        resolution=dataset.resolution,
        pairs=selection.pairs(config, found, dataset, training, prompts),
        rounds=rounds,
        watched=history.watched(run, last),
        forgotten=history.forgotten(run, plan, packed, proof),
        provenance=source,
        config=config.model_dump(mode="json"),
    )
    shown = selection.Material(config, generated, training, dataset, found, strips, computes, reference.views)
    worst = figures.prompts.worst if figures.prompts else ()
    files = {
        "report.json": figures.model_dump_json(indent=1).encode(),
        "report.html": page(figures, shown.own(figures.pairs, worst, left_out_of(run, packed))),
        "shared.html": page(figures, shown.shared()),
    }
    objects = {name: run.put(ReportRecord, (last.round,), name, data) for name, data in files.items()}

    # the model that the figures are about
    if not config.is_audit:
        objects |= {f"model/{name}": ref for name, ref in _released(run, plan, model, figures).items()}
    record = ReportRecord(
        round=model.round,
        headline=figures.metrics(),
        objects=objects,
        ran_with=ran_with(started, device_name(computes)),
    )
    return run.commit(record, last.round)


def _released(run: Run, plan: Plan, model: ModelRecord, figures: Figures) -> dict[str, ObjectRef]:
    """The model as a diffusers folder in the store, its card with it: files by their path."""
    family = trainable_family_of(plan.config, pretrained_of(plan))
    with TemporaryDirectory(prefix="unecho-release-") as folder:
        saved = release_files(family, *sampled_weights(run, plan.config, model), Path(folder))
        card = model_card(figures, plan.config).encode()
        return put_folder(run.store, f"{run.prefix}/release", {**saved, CARD: card})


def _attack(found: Extraction) -> Attack:
    return Attack(generated=found.generated, looked_at=found.images, guesses=found.guesses, power=found.power)


def _histograms(measured: Sequence[Closeness], floors: Sequence[Closeness]) -> list[Histogram]:
    edges = np.linspace(0, 1, _BINS + 1)
    return [
        Histogram(
            aware=bool(aware),
            edges=edges.round(6).tolist(),
            generated=np.histogram(generated.mq, edges)[0].tolist(),
            floor=np.histogram(floor.mq, edges)[0].tolist() if len(floor.mq) else None,
        )
        for aware, (generated, floor) in enumerate(zip(measured, floors, strict=True))
    ]
