"""Text alignment, beside that of real images and of the base model; and drift from the base on general prompts."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath

import torch

from ..config import RunConfig
from ..measures.alignment import Fit, fit
from ..measures.alignment_figures import Aligned, Alignment, Drift
from ..measures.drift import apart
from ..measures.features import Features
from ..measures.text_image import TextImageModel
from ..progress import Progress
from ..run import Plan, Run
from ..run.alignment_folder import FIELD, alignment_folder
from .prompted import Prompted, captioned, companion
from .reference import Reference


def planned_alignment(plan: Plan, device: torch.device) -> TextImageModel | None:
    """The model that `evaluate.alignment_model` names, of files that hold what the plan has frozen; None without one.

    Raises:
        Fatal: its folder is missing, holds something else, or does not load; names it.
    """
    return _model_of(plan.config, plan.files or {}, device)


def check_alignment(config: RunConfig, files: Mapping[str, str]) -> None:
    """Whether the text-image model, where there is one, can be used: said by a plan, not after all training.

    Args:
        files: of `file_digests`.

    Raises:
        Fatal: of `planned_alignment`.
    """
    _model_of(config, files, torch.device("cpu"))


def _model_of(config: RunConfig, files: Mapping[str, str], device: torch.device) -> TextImageModel | None:
    address = config.evaluate.alignment_model
    if address is None:
        return None
    return TextImageModel(f"{FIELD}: '{address}'", alignment_folder(config, files), files[FIELD], device)


def alignment_of(
    run: Run,
    config: RunConfig,
    round: int,
    model: TextImageModel,
    judged: Prompted,
    own: Prompted,
    reference: Reference,
    progress: Progress,
) -> Alignment | None:
    """How well images fit their prompts.

    Args:
        round: of the model whose images they are.
        judged: what quality is measured on.
        own: the run's own images; beside the first of them those that the base model made of the same prompts.

    Returns:
        None for fewer than two images.
    """

    def look(images: Prompted, count: int | None = None) -> Fit:
        return fit(model, images.images, images.texts, count, _reporting(progress, "the text-image model"))

    sets = []
    if judged is not own:
        sets.append(_beside(judged, look(judged)))
    base = companion(run, config, round, "base", own.captions)
    if base and len(base.images) > 1:
        sets.append(_beside(own, look(own, len(base.images)), look(base)))
    elif judged is own:
        sets.append(_beside(own, look(own)))
    general, of_base = (companion(run, config, round, name, "general") for name in ("general", "general_base"))
    if general and of_base:
        sets.append(_beside(general, look(general), look(of_base)))
    found = [aligned for aligned in sets if aligned]
    real = look(real_images) if (real_images := captioned(reference)) else None
    if not found:
        return None
    return Alignment(
        model=PurePath(config.evaluate.alignment_model or "").name,
        digest=model.digest,
        sets=found,
        real=real.mean if real else None,
        unrelated=real.unrelated if real else None,
    )


def _beside(images: Prompted, found: Fit, base: Fit | None = None) -> Aligned | None:
    if (generated := found.mean) is None:
        return None
    return Aligned(
        captions=images.captions,
        generated=generated,
        base=base.mean if base else None,
        beyond_base=found.beyond(base) if base else None,
    )


def drift_of(run: Run, config: RunConfig, round: int, features: Sequence[Features], progress: Progress) -> list[Drift]:
    """How far the images of general prompts are from the base model's, on each kind of features; none without such."""
    general, base = (companion(run, config, round, name, "general") for name in ("general", "general_base"))
    if general is None or base is None:
        return []
    found = [(on, apart(general.images, base.images, on, _reporting(progress, on.name))) for on in features]
    return [
        Drift(
            features=on.name,
            digest=on.digest,
            frechet_name=on.frechet,
            frechet=sets.frechet,
            pairs=sets.pairs,
        )
        for on, sets in found
        if sets
    ]


def _reporting(progress: Progress, by: str) -> Callable[[int, int], None]:
    return lambda done, of: progress.update(done, of, f"images by {by}")
