"""A latent model's copies are sought among its VAE's reconstructions too; the ceiling says what is found of them."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from shutil import copytree
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.captioned import captioned, kept, tiny_base
from tests.runs import tiny
from unecho.components.assess import reconstructions
from unecho.components.assess.assessment import Assessment, assess, floor_of
from unecho.components.assess.beside import Beside
from unecho.components.assess.instruments import Instruments
from unecho.components.assess.probe import _floor_from, floor_tensors
from unecho.components.assess.reconstructions import perfect_copies, with_reconstructions
from unecho.components.assess.reference import Reference
from unecho.components.config import RunConfig
from unecho.components.failure import Fatal
from unecho.components.measures.images import Images, InMemory
from unecho.components.measures.verdict import Memorization, cited
from unecho.components.method.streams import generator_of
from unecho.components.progress import Silent
from unecho.components.run import Plan
from unecho.components.run.base_model import base_digests

CPU = torch.device("cpu")
COUNT = 120


def blocks(seed: int, count: int) -> np.ndarray:
    """Images of blocks of colour, which are copies of none."""
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 4, 4), dtype=np.uint8).repeat(4, 2).repeat(4, 3)


@cache
def base() -> Path:
    """A pipeline whose VAE knows nothing of images and, as trained ones, is sure of its latents."""
    folder = kept("sure-of-its-latents") / "base"
    copytree(tiny_base(), folder)
    file = folder / "vae/diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["quant_conv.weight"][4:] = 0  # the last four of eight moments are the log-variances
    tensors["quant_conv.bias"][4:] = -12
    save_file(tensors, file, {"format": "pt"})
    return folder


def planned(*settings: str) -> Plan:
    config = captioned(
        f"model.pretrained={base()}", "evaluate.neighbours=20", "taa.augmentations=randaugment", *settings
    )
    return Plan(revision=0, config=config, base=base_digests(config))


TRAINING = blocks(1, COUNT)
PLAIN = Reference(None, InMemory(TRAINING), InMemory(blocks(2, 100)))  # type: ignore[arg-type]


@cache
def seen() -> Reference:
    return with_reconstructions(planned(), PLAIN, CPU, Silent())


def assessed(generated: Images, reference: Reference, beside: Beside = Beside()) -> Assessment:  # noqa: B008
    config = planned().config
    return assess(generated, reference, Instruments(features=()), config, CPU, Silent(), beside=beside, attack=False)


def named(found: Assessment, name: str) -> Memorization:
    return next(figure for figure in found.memorization if figure.name == name)


def copier(config: RunConfig) -> Images:
    """What a model generates that draws a training image each time and copies it perfectly: a latent, decoded."""
    reconstructor = reconstructions.Reconstructor(reconstructions.pretrained_of(planned()), CPU)  # type: ignore[arg-type]
    generators = [generator_of("copier", i) for i in range(COUNT)]
    return InMemory(reconstructor.drawn(TRAINING, generators))


def test_a_perfect_copier_is_accused_though_no_copy_is_near_to_a_training_image() -> None:
    images = copier(planned().config)
    blind, sighted = assessed(images, PLAIN), assessed(images, seen())
    assert cited(blind.memorization).verdict != "above"
    assert named(blind, "mq_aware_0.1").generated.count == 0
    assert cited(sighted.memorization).verdict == "above"
    assert named(sighted, "mq_aware_0.1").generated.share == 1
    assert named(sighted, "second_nearest_aware").generated.share == 1
    assert sighted.closeness[1].nearest.tolist() == list(range(COUNT))


def test_a_model_that_copies_nothing_is_not_accused_for_what_its_vae_does_to_all_images() -> None:
    """Whatever has gone through a VAE is nearer to reconstructions, a bad one's most: so the floor goes through it."""
    vae = reconstructions.Reconstructor(reconstructions.pretrained_of(planned()), CPU)  # type: ignore[arg-type]
    images = InMemory(vae.drawn(blocks(5, COUNT), [generator_of("new", i) for i in range(COUNT)]))
    found, by_real_images = assessed(images, seen()), assessed(images, replace(seen(), given_back=None))
    figure = named(found, "mq_aware_0.1")
    assert figure.generated.share > 0.5
    assert abs(figure.generated.share - figure.floor.share) < 0.1
    assert cited(found.memorization).verdict != "above"
    assert cited(by_real_images.memorization).verdict == "above", "what this test is about"


def test_plain_figures_are_as_without_reconstructions_and_aware_ratios_are_never_above() -> None:
    images = InMemory(blocks(3, 50))
    blind, sighted = assessed(images, PLAIN), assessed(images, seen())
    for figure in (figure for figure in blind.memorization if not figure.aware):
        assert named(sighted, figure.name).generated == figure.generated
    for without, with_views in zip(blind.closeness, sighted.closeness, strict=True):
        assert (with_views.mq <= without.mq).all()
    assert named(sighted, "mq_aware_0.1").generated.count == 0


def test_the_ceiling_is_what_is_found_of_reconstructions_and_of_them_by_training_images_alone() -> None:
    ceiling = perfect_copies(planned(), PLAIN, CPU)
    found = assessed(InMemory(blocks(3, 50)), seen(), Beside(ceiling=ceiling))
    for name in ("mq_aware_0.1", "second_nearest_aware"):
        figure = named(found, name)
        assert (figure.ceiling.share, figure.ceiling_pixels.share, figure.ceiling.of) == (1, 0, COUNT)
    plain = named(found, "mq_0.1")
    assert plain.ceiling == plain.ceiling_pixels, "the plain search is among training images alone"
    assert cited(found.memorization).verdict != "above", "a ceiling is nobody's fault"


def test_the_ceiling_is_of_so_many_evenly_spaced_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconstructions, "CEILING", 4)
    few, every = perfect_copies(planned(), PLAIN, CPU), seen().views[0]
    apart = np.abs(few.take(np.arange(4)).astype(int) - every.take(np.arange(4) * COUNT // 4)).mean(axis=(1, 2, 3))
    assert apart.max() < 2, "a drawn latent of a sure VAE is next to the mean one"
    assert apart.min() > 0


def test_reconstructions_are_the_same_in_memory_and_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconstructions, "_IN_MEMORY_BYTES", 0)
    (filed,) = with_reconstructions(planned(), PLAIN, CPU, Silent()).views
    some = np.array([117, 3, 3, 40])
    np.testing.assert_array_equal(filed.take(some), seen().views[0].take(some))
    assert (len(filed), filed.take(some).shape) == (COUNT, (4, 3, 16, 16))


def test_reconstructions_for_which_the_disk_has_no_room_are_refused_before_they_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reconstructions, "_IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(reconstructions.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(Fatal, match=r"^evaluate.reconstructions: true: .* has 1e-06 GB: set TMPDIR to a folder"):
        with_reconstructions(planned(), PLAIN, CPU, Silent())


def test_a_floor_says_among_how_many_views_it_was_measured_and_an_older_one_among_one() -> None:
    floor = floor_of(seen(), planned().config, CPU, Silent())
    tensors = floor_tensors(floor)
    again = _floor_from(tensors)
    assert (floor.views, again.views) == (2, 2)
    for read, measured in zip(again.closeness, floor.closeness, strict=True):
        np.testing.assert_array_equal(read.mq, measured.mq)
    del tensors["views"]
    assert _floor_from(tensors).views == 1


def test_a_model_of_pixels_has_none_nor_one_that_is_not_to_have_them() -> None:
    pixels = Plan(revision=0, config=tiny())
    for plan in (pixels, planned("evaluate.reconstructions=false")):
        assert with_reconstructions(plan, PLAIN, CPU, Silent()) == PLAIN
        assert perfect_copies(plan, PLAIN, CPU) is None


@pytest.mark.parametrize(("side", "sees"), [(16, True), (8, False)])
def test_an_audited_pipelines_vae_is_asked_where_the_images_have_its_size(side: int, sees: bool) -> None:
    small = InMemory(TRAINING[:10, :, :side, :side].copy())

    class Shape:
        channels, resolution = 3, side

    config = RunConfig.model_validate({"audit": {"model": str(base())}, "sample": {"steps": 2}})
    plan = Plan(revision=0, config=config, base=base_digests(config))
    reference = Reference(Shape(), small, small)  # type: ignore[arg-type]
    assert len(with_reconstructions(plan, reference, CPU, Silent()).views) == int(sees)
    assert (perfect_copies(plan, reference, CPU) is not None) is sees
    assert replace(reference, views=()) == reference
