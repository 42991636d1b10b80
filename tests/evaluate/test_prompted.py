"""A text-to-image report: quality on held-out captions, alignment beside real images and the base, drift."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image

from tests.runs import finish
from tests.tiny_clip import tiny_clip
from unecho.components.assess import alignment
from unecho.components.assess.prompted import Prompted, captioned, prompted, quality_images
from unecho.components.assess.reference import reference_of
from unecho.components.config import RunConfig, resolve
from unecho.components.measures.alignment import fit
from unecho.components.measures.features import Pixels
from unecho.components.measures.images import InMemory, Rows
from unecho.components.measures.quality import frechet_distance, moments
from unecho.components.measures.text_image import TextImageModel
from unecho.components.progress import Silent
from unecho.components.report.figures import Figures, load_figures
from unecho.components.report.summary import summary
from unecho.components.report.tables import aligned, figure_groups, figure_table
from unecho.components.run import ReportRecord, Run
from unecho.components.run.base_model import base_digests
from unecho.components.run.companions import companion_images, companion_prompts
from unecho.components.run.generated import Generated, generated_images
from unecho.components.run.prompts import prompts_of
from unecho.components.store import fetch

PIXELS = Pixels(torch.device("cpu"))
ROUND = 1


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("prompted")
    (folder / "general.txt").write_text("a boat\na cat\nthe sea\nthe moon\n")
    settings = (
        "iet.rounds=1",
        "iet.local_epochs=1",
        "sample.companions=20",
        f"sample.general_prompts={folder / 'general.txt'}",
        f"evaluate.alignment_model={tiny_clip()}",
    )
    run = Run.at(str(folder / "root"), "a")
    finish(run, resolve("tiny-text-to-image", settings=settings))
    return run


@pytest.fixture(scope="module")
def figures(run: Run) -> Figures:
    return load_figures(run, run.load(ReportRecord, ROUND))


@pytest.fixture(scope="module")
def own(run: Run) -> Generated:
    return generated_images(run, run.config(), ROUND, run.dataset(run.config()))


def released(run: Run) -> Path:
    folder = run.load(ReportRecord, ROUND).model_folder
    assert folder is not None
    return Path(run.store.path(folder))  # type: ignore[attr-defined]


def everything(images: Generated | Rows) -> np.ndarray:
    return images.take(np.arange(len(images)))


def with_fields(config: RunConfig, section: str, **fields: object) -> RunConfig:
    return config.model_copy(update={section: getattr(config, section).model_copy(update=fields)})


def test_quality_is_that_of_images_of_held_out_captions(run: Run, figures: Figures) -> None:
    images = companion_images(run, run.config(), ROUND, "held_out")
    reference = reference_of(run.dataset(run.config()))
    assert images is not None
    assert figures.quality is not None
    held_out = moments(PIXELS(everything(reference.held_out)))
    assert figures.quality.frechet == pytest.approx(
        frechet_distance(moments(PIXELS(everything(images))), held_out), rel=1e-6
    )
    assert (figures.quality.captions, figures.quality.images, figures.quality.manifold) == ("held_out", 20, 20)
    assert figures.headline.quality.startswith("Quality (images of held-out captions): Frechet distance")


def test_the_distance_to_the_training_set_stays_that_of_all_of_the_runs_own_images(
    run: Run, figures: Figures, own: Generated
) -> None:
    training = reference_of(run.dataset(run.config())).training
    expected = frechet_distance(moments(PIXELS(everything(own))), moments(PIXELS(everything(training))))
    assert figures.quality is not None
    assert figures.quality.frechet_training == pytest.approx(expected, rel=1e-6)
    rows = {row.name: row for group in figure_groups(figures) for row in group.rows}
    published = rows["Frechet distance (pixels) against the training set (published protocol)"]
    assert published.note == "copies make it less; the run's own 32 images"


def test_quality_falls_back_on_the_runs_own_images_and_says_so(run: Run, own: Generated) -> None:
    config = run.config()
    mine = prompted(config, own, prompts_of(run, config))
    assert mine is not None
    for other in (
        with_fields(config, "sample", companions=0),
        with_fields(config, "evaluate", precision_recall_neighbours=20),
    ):
        judged = quality_images(run, other, ROUND, mine)
        assert judged is mine
        assert judged.captions == "training"


def test_alignment_stands_beside_real_images_and_the_base_model(run: Run, figures: Figures, own: Generated) -> None:
    assert figures.alignment is not None
    model = TextImageModel("test", tiny_clip(), "", torch.device("cpu"))

    def mean(images: np.ndarray, texts: list[str]) -> float:
        return float(fit(model, InMemory(images), lambda positions: [texts[p] for p in positions]).own.mean())

    sets = {one.captions: one for one in figures.alignment.sets}
    assert list(sets) == ["held_out", "training", "general"]
    asked = companion_prompts(run, run.config(), ROUND, "base")
    base = companion_images(run, run.config(), ROUND, "base")
    assert asked is not None
    assert base is not None
    texts = [one.prompt for one in asked]
    assert sets["training"].generated.mean == pytest.approx(mean(everything(own)[:20], texts), abs=1e-6)
    assert sets["training"].base is not None
    assert sets["training"].base.mean == pytest.approx(mean(everything(base), texts), abs=1e-6)
    held_out = captioned(reference_of(run.dataset(run.config())))
    assert held_out is not None
    assert figures.alignment.real is not None
    own_captions = list(held_out.texts(range(len(held_out.images))))
    assert figures.alignment.real.mean == pytest.approx(mean(everything(held_out.images), own_captions), abs=1e-6)


def test_one_image_of_the_base_model_is_too_few_to_stand_beside_and_the_runs_own_are_measured_all_the_same(
    run: Run, own: Generated, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, model = run.config(), TextImageModel("test", tiny_clip(), "", torch.device("cpu"))
    mine = prompted(config, own, prompts_of(run, config))
    assert mine is not None
    one = Prompted(mine.captions, InMemory(everything(own)[:1]), mine.texts)
    monkeypatch.setattr(alignment, "companion", lambda *asked: one if asked[3] == "base" else None)
    reference = reference_of(run.dataset(config))
    found = alignment.alignment_of(run, config, ROUND, model, mine, mine, reference, Silent())
    assert found is not None
    assert [(of.captions, of.generated.of, of.base) for of in found.sets] == [("training", len(own), None)]


def test_metrics_have_alignment_and_drift_by_name(figures: Figures) -> None:
    metrics = figures.metrics()
    assert figures.alignment is not None
    assert metrics["alignment"] == figures.alignment.sets[0].generated.mean
    beside = ("real", "unrelated", "own", "base", "general", "general_base")
    assert {f"alignment_{name}" for name in beside} <= set(metrics)
    assert metrics["drift_pixels"] == figures.drift[0].pairs.mean
    assert 0 < metrics["drift_pixels"] < 1
    assert metrics["drift_pixels_frechet"] == figures.drift[0].frechet


def test_pages_and_summary_show_them(run: Run, figures: Figures) -> None:
    record = run.load(ReportRecord, ROUND)
    for name in ("report.html", "shared.html"):
        html = fetch(run.store, record.objects[name]).decode()
        for text in (
            "Quality, on pixels: images of held-out captions",
            "Text alignment, by",
            "Drift from the base model",
        ):
            assert text in html
    text = summary(run, record)
    for row in ("alignment", "alignment, training", "alignment, general", "drift from the base"):
        assert f"\n| {row} | " in text
    assert max(map(len, aligned(figure_table(figures)))) <= 80


def test_the_releases_card_has_them_beside_the_base_model_and_repeats_no_prompt(run: Run, figures: Figures) -> None:
    card = ModelCard.load(released(run) / "README.md")
    assert card.data.to_dict()["pipeline_tag"] == "text-to-image"
    assert figures.alignment is not None
    training = next(of for of in figures.alignment.sets if of.captions == "training")
    assert training.base is not None
    reach = training.base.high - training.base.mean
    assert f"| {training.base.mean:.3f} ± {reach:.3f} | base {training.base.mean:.3f} |" in card.text
    assert "### Drift from the base model on general prompts, on pixels" in card.text
    assert "| generated | real images | base model | meaning |" in card.text
    assert "### Prompts\n" in card.text
    assert "`lora/` holds them alone" in card.text
    for prompt in ("a boat", "a cat", "the sea", "the moon"):
        assert prompt not in card.text


def test_the_cards_lines_sample_from_the_release_and_it_is_no_file_of_a_base(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").symlink_to(released(run))
    monkeypatch.chdir(tmp_path)
    (lines,) = re.findall(r"```python\n(.*?)```", ModelCard.load("model/README.md").text, re.DOTALL)
    exec(lines, {})
    assert Image.open("sample.png").size == (16, 16)
    digests = base_digests(resolve("tiny-text-to-image", settings=("model.pretrained=model",)))
    assert digests is not None
    assert "unet/diffusion_pytorch_model.safetensors" in digests
    assert not [path for path in digests if path.startswith(("README", "lora"))]


def test_a_report_of_before_has_none_of_it() -> None:
    kept = Figures.model_validate_json((Path(__file__).parent.parent / "report" / "version-2.json").read_bytes())
    assert kept.alignment is None
    assert kept.drift == []
    assert kept.quality is not None
    assert kept.quality.captions is None
    assert kept.headline.quality.startswith("Quality: ")
