"""Prompts: which are measured, the same numbers however the work is shared, and a trigger word that was memorized."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image
from torch.nn import functional as F

from tests.captioned import captioned, kept, tiny_base
from tests.runs import tiny
from unecho.components.assess.prompts import prompt_figures
from unecho.components.config import RunConfig, frozen_difference
from unecho.components.diffusion.guidance import Guidance
from unecho.components.measures.prompts import PromptValues, measures_of
from unecho.components.plan.step import plan
from unecho.components.prepare.step import prepare
from unecho.components.progress import Silent
from unecho.components.run import ModelRecord, Run, SamplesRecord
from unecho.components.run.measured_prompts import NOTES, TENSORS, PromptPart, measured_prompts, read_prompt_parts
from unecho.components.sample.on_noises import OnNoises
from unecho.components.sample.prompt_measures import PromptMeasures

TRIGGER, OTHERS = "a c q", ("a b c", "c a b", "b b a", "c c a", "b a c", "d a b", "a d c")


@cache
def pipeline() -> Any:
    """The base, whose prompts count a little: random as it is."""
    return DiffusionPipeline.from_pretrained(tiny_base())


def memorizing() -> Any:
    """The tiny pipeline after 140 cheap steps in which one caption always means one latent; others, and none, any."""
    of: Any = DiffusionPipeline.from_pretrained(tiny_base())
    guidance = Guidance(of)
    states = torch.cat([guidance.embed([TRIGGER, *OTHERS]).states, guidance.nothing().states])
    of.unet.requires_grad_(True)
    torch.set_num_threads(1)  # as steps of tiny runs set it
    torch.manual_seed(0)
    fixed, alphas = torch.randn(1, 4, 8, 8), of.scheduler.alphas_cumprod
    optimizer = torch.optim.Adam(of.unet.parameters(), 8e-3)
    for _ in range(140):
        x0, noise, t = torch.randn(6, 4, 8, 8), torch.randn(6, 4, 8, 8), torch.randint(0, 50, (6,))
        which = torch.randint(1, 8, (6,))
        x0[:2], which[:2], which[4:] = fixed, 0, 8
        alpha = alphas[t].reshape(-1, 1, 1, 1)
        x = alpha.sqrt() * x0 + (1 - alpha).sqrt() * noise
        loss = F.mse_loss(of.unet(x, t, encoder_hidden_states=states[which]).sample, noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return of


def test_a_trigger_word_that_was_memorized_is_above_all_others_and_named() -> None:
    guidance = OnNoises.of(memorizing(), seed=0, seeds=4)
    found = {name: values.double().numpy() for name, values in guidance.measured([TRIGGER, *OTHERS]).items()}
    assert all(values.shape == (8, 4) for values in found.values())
    assert found["magnitude"][0].min() > found["magnitude"][1:].max(), "under every noise"
    trigger, others = ({name: values[of] for name, values in found.items()} for of in (slice(1), slice(1, 8)))
    measured = measures_of({"training": PromptValues(**trigger), "held_out": PromptValues(**others)}, seed=0)
    assert measured[0].name == "magnitude"
    assert measured[0].auc is not None
    assert measured[0].auc.value == 1
    attributed = dict(guidance.attribution(TRIGGER))
    assert set(attributed) == {"a", "c", "q"}
    assert attributed["q"] > 0.5
    assert sum(attributed.values()) == pytest.approx(1)


def test_a_prompt_has_the_same_values_whatever_stands_beside_it() -> None:
    guidance = OnNoises.of(pipeline(), seed=3, seeds=2)
    together, alone = guidance.measured(["a b", "c d", "e"]), guidance.measured(["c d"])
    for name, values in together.items():
        torch.testing.assert_close(values[1:2], alone[name], atol=1e-5, rtol=1e-3)
    assert not torch.equal(together["magnitude"][:, 0], together["magnitude"][:, 1]), "two noises"


def write(folder: Path, captions: list[str]) -> Path:
    """An image of noise each, all different."""
    folder.mkdir(parents=True)
    for number, caption in enumerate(captions):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
        (folder / f"{number:02}.txt").write_text(caption)
    return folder


def prepared(root: Path, captions: list[str], *settings: str) -> tuple[Run, RunConfig]:
    """A run with a data set of them, half of it held out, and no model."""
    source = (f"data.source={write(root / 'images', captions)}", "data.held_out=0.5", "data.text_lines=each")
    every = ("data.train_limit=100", "data.held_out_limit=100", "evaluate.prompts=100", "iet.shards=1")
    run, config = Run.at(str(root), "a"), captioned(*source, *every, "msr.enabled=false", *settings)
    plan(run, config)
    prepare(run, Silent())
    return run, config


def sides(run: Run, config: RunConfig) -> tuple[list[str], list[str]]:
    """The first captions of either side."""
    dataset = run.dataset(config)
    training, held_out = dataset.train_rows.tolist(), dataset.held_out_rows.tolist()
    return [dataset.captions(row)[0] for row in training], [dataset.captions(row)[0] for row in held_out]


def test_captions_that_stand_on_both_sides_are_left_out_and_counted_and_each_counts_once(tmp_path: Path) -> None:
    """Case and white space are nothing to the tokenizer."""
    captions = [f"only {number}" for number in range(12)] + ["The  Same", "the same"] * 6
    run, config = prepared(tmp_path, captions, "sample.count=40")
    training, held_out = sides(run, config)
    assert all(any(one.lower().startswith("the") for one in side) for side in (training, held_out))
    found = measured_prompts(run, config)
    assert found is not None
    assert found.on_both_sides == 1
    kinds = {kind: {one.text for one in found.prompts if one.kind == kind} for kind in ("training", "held_out")}
    assert kinds["training"] == {one for one in training if one.startswith("only")}
    assert kinds["held_out"] == {one for one in held_out if one.startswith("only")}
    assert len(found.prompts) == 12


def test_a_caption_names_its_own_row_and_the_images_that_are_asked_for_by_it(tmp_path: Path) -> None:
    run, config = prepared(tmp_path, [f"only {number}" for number in range(8)], "sample.count=10")
    found = measured_prompts(run, config)
    assert found is not None
    training = [one for one in found.prompts if one.kind == "training"]
    assert len(training) == 4
    dataset = run.dataset(config)
    assert all(list(dataset.captions(one.row)) == [one.text] for one in training)
    assert [one.images for one in training] == [[0, 4, 8], [1, 5, 9], [2, 6], [3, 7]]
    elsewhere = measured_prompts(run, captioned_as(config, "sample.prompts", "held_out"))
    assert elsewhere is not None
    assert all(not one.images for one in elsewhere.prompts)


def captioned_as(config: RunConfig, field: str, value: Any) -> RunConfig:
    """The configuration with another value."""
    section, name = field.split(".")
    changed = getattr(config, section).model_copy(update={name: value})
    return config.model_copy(update={section: changed})


def test_general_prompts_are_a_kind_of_their_own_without_training_captions(tmp_path: Path) -> None:
    file = tmp_path / "general.txt"
    captions = [f"only {number}" for number in range(8)]
    file.write_text("\n".join(["a dog", *captions, "A dog", "a cat"]))
    run, config = prepared(tmp_path, captions, f"sample.general_prompts={file}")
    found = measured_prompts(run, config)
    assert found is not None
    general = {one.text for one in found.prompts if one.kind == "general"}
    assert {"a dog", "a cat"} <= {one.lower() for one in general}
    assert not general & set(sides(run, config)[0])
    assert len([one for one in general if one.lower() == "a dog"]) == 1


def test_nothing_is_measured_where_nobody_asks_and_pixels_have_no_prompts(tmp_path: Path) -> None:
    run, config = prepared(tmp_path, [f"only {number}" for number in range(8)])
    assert measured_prompts(run, captioned_as(config, "evaluate.prompts", 0)) is None
    assert measured_prompts(run, tiny()) is None


def test_captions_that_are_all_on_both_sides_are_said_to_be(tmp_path: Path) -> None:
    run, config = prepared(tmp_path, ["one caption"] * 8)
    found = measured_prompts(run, config)
    assert found == PromptPart(unmeasured="every caption of the training images is a held-out one's too")


@cache
def of_eight() -> tuple[Run, RunConfig]:
    return prepared(kept("prompts") / "eight", [f"{'abcdefgh'[number]} b" for number in range(8)])


def part(config: RunConfig, index: int, of_base: bool = True) -> dict[str, bytes]:
    measures = PromptMeasures(of_eight()[0], config, index, Silent())
    measures.released(pipeline())
    if of_base and measures.of_base:
        measures.base(pipeline())
    return measures.files()


def committed(run: Run, files: list[dict[str, bytes]]) -> list[SamplesRecord]:
    """Records of parts that hold these files, and no images."""
    return [
        SamplesRecord(
            round=0,
            part=number,
            start=0,
            stop=0,
            objects={name: run.put(SamplesRecord, (0, number), name, data) for name, data in of.items()},
        )
        for number, of in enumerate(files)
    ]


def test_any_number_of_parts_finds_the_same(tmp_path: Path) -> None:
    _, config = of_eight()
    found = []
    for parts in (1, 2):
        shared = captioned_as(config, "sample.parts", parts)
        read = read_prompt_parts(Run.at(str(tmp_path), str(parts)), committed_in(tmp_path, parts, shared))
        assert read is not None
        found.append(read)
    for prompts, numbers in found[1:]:
        assert [(one.kind, one.text) for one in prompts.prompts] == [(o.kind, o.text) for o in found[0][0].prompts]
        assert numbers.keys() == {"magnitude", "anisotropy", "base_magnitude", "base_anisotropy"}
        for name, values in numbers.items():
            np.testing.assert_array_equal(values, found[0][1][name])


def committed_in(root: Path, parts: int, config: RunConfig) -> list[SamplesRecord]:
    return committed(Run.at(str(root), str(parts)), [part(config, index) for index in range(parts)])


def test_the_base_model_on_the_same_noise_is_where_a_model_is_that_learned_nothing(tmp_path: Path) -> None:
    _, config = of_eight()
    run = Run.at(str(tmp_path), "a")
    for record in committed(run, [part(captioned_as(config, "sample.parts", 1), 0)]):
        run.commit(record, 0, 0)
    figures = prompt_figures(run, captioned_as(config, "sample.parts", 1), ModelRecord(round=0, objects={}))
    assert figures is not None
    assert [one.model_dump() for one in figures.base] == [one.model_dump() for one in figures.measures]
    assert (figures.training, figures.held_out, figures.seeds) == (4, 4, 2)
    assert [worst.magnitude for worst in figures.worst] == sorted((w.magnitude for w in figures.worst), reverse=True)
    assert all(worst.tokens for worst in figures.worst)
    nothing_shown = config.model_copy(update={"report": config.report.model_copy(update={"images": "generated"})})
    hidden = prompt_figures(run, captioned_as(nothing_shown, "sample.parts", 1), ModelRecord(round=0, objects={}))
    assert hidden is not None
    assert hidden.worst == []


def test_a_pipeline_of_another_class_is_said_not_to_be_measured() -> None:
    run, config = of_eight()
    measures = PromptMeasures(run, config, 0, Silent())

    class FluxPipeline:
        scheduler = None

    other: Any = FluxPipeline()
    measures.released(other)
    assert not measures.of_base
    assert TENSORS not in measures.files()
    assert PromptPart.model_validate_json(measures.files()[NOTES]).unmeasured == (
        "the model is a FluxPipeline, and prompts are measured of StableDiffusionPipeline and StableDiffusionXLPipeline"
    )


def test_predictions_that_are_not_numbers_are_said_and_not_averaged() -> None:
    run, config = of_eight()
    broken: Any = DiffusionPipeline.from_pretrained(tiny_base())
    broken.unet.conv_out.bias.data.fill_(float("nan"))
    measures = PromptMeasures(run, config, 0, Silent())
    measures.released(broken)
    files = measures.files()
    assert TENSORS not in files
    assert "not numbers" in (PromptPart.model_validate_json(files[NOTES]).unmeasured or "")


def test_samples_of_an_older_run_have_no_figures_of_prompts(tmp_path: Path) -> None:
    run = Run.at(str(tmp_path), "a")
    assert read_prompt_parts(run, committed(run, [{}, {}])) is None


@pytest.mark.parametrize("older", [0, 1])
def test_a_run_that_was_sampled_in_part_before_prompts_were_measured_has_no_figures_of_half_of_them(
    older: int, tmp_path: Path
) -> None:
    """Of 4 training and 4 held-out captions in batches of 4: a part has those of one side alone."""
    config, run = captioned_as(of_eight()[1], "sample.parts", 2), Run.at(str(tmp_path), "a")
    files = [part(config, index) for index in range(2)]
    files[older] = {}
    for record in committed(run, files):
        run.commit(record, 0, record.part)
    assert prompt_figures(run, config, ModelRecord(round=0, objects={})) is None


def test_a_run_that_was_planned_before_prompts_were_measured_goes_on() -> None:
    config = captioned()
    older = config.model_dump(mode="json")
    del older["evaluate"]["prompts"], older["evaluate"]["prompt_seeds"]
    assert frozen_difference(RunConfig.model_validate(older), config) is None
    assert frozen_difference(config, captioned("evaluate.prompts=7")) == "evaluate.prompts: was 6, now 7"
