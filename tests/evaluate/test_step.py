import base64
import io
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from unecho.components.assess.assessment import assess
from unecho.components.assess.reference import reference_of
from unecho.components.config import frozen_difference
from unecho.components.config.counts import floor_count
from unecho.components.config.resolve import resolve
from unecho.components.data import Dataset
from unecho.components.evaluate.step import evaluate
from unecho.components.failure import Fatal
from unecho.components.measures.transforms import stages
from unecho.components.progress import Silent
from unecho.components.report.figures import Figures, load_figures
from unecho.components.report.summary import summary
from unecho.components.run import DatasetRecord, Plan, ReportRecord, Run, SamplesRecord
from unecho.components.store import fetch

Make = Callable[..., Run]


def evaluated(run: Run) -> tuple[ReportRecord, Figures]:
    record = evaluate(run, Silent())
    return record, load_figures(run, record)


def text(run: Run, record: ReportRecord, name: str) -> str:
    return fetch(run.store, record.objects[name]).decode()


def tiles(page: str) -> set[bytes]:
    """Every 8x8 image on a page, as bytes of grey levels."""
    found = set()
    for encoded in re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", page):
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("L"))
        assert pixels.shape[0] == 8
        found |= {pixels[:, left : left + 8].tobytes() for left in range(0, pixels.shape[1], 8)}
    return found


def training_tiles(run: Run) -> tuple[set[bytes], set[bytes]]:
    """Training images as bytes: as they are, and under every flip and shift."""
    dataset = Dataset.open(run.store, run.load(DatasetRecord).digest)
    images = torch.from_numpy(dataset.rows(dataset.train_rows))
    plain, others = stages(run.config().taa)
    as_bytes = [{image.numpy().tobytes() for t in stage for image in t(images)} for stage in (plain, plain + others)]
    return as_bytes[0], as_bytes[1]


def test_planted_copies_are_counted_and_called_an_echo(planted: Make):
    run = planted()
    record, figures = evaluated(run)
    by_name = {(m.measure, m.aware, round(m.threshold, 2)): m for m in figures.memorization}
    aware, plain = by_name["mq", True, 0.1], by_name["mq", False, 0.1]
    assert (aware.generated.of, aware.floor.of) == (128, 130)
    # 88 generated images are held-out ones, so beyond the copies they are as near as the floor's
    assert 40 <= aware.generated.count <= 40 + aware.floor.count
    assert 20 <= plain.generated.count < 40
    assert aware.verdict == figures.headline.verdict == "above"
    assert record.headline["mq_aware_0.1"] == aware.generated.share
    assert record.headline["mq_aware_0.1_floor"] == aware.floor.share
    assert {"frechet_pixels", "frechet_pixels_real", "precision", "recall", "second_nearest"} <= set(record.headline)
    assert [pair.ratio for pair in figures.pairs] == [0.0] * 12


def test_the_report_has_the_published_distance_the_kernel_distance_and_the_power_of_the_attack(
    planted: Make,
):
    run = planted()
    record, figures = evaluated(run)
    quality = figures.quality
    assert quality.kernel_name == "kernel distance (pixels)"
    # one set of 120 generated images, as many as training ones; 130 held out: subsets are of what the smaller one holds
    assert (quality.kernel_subsets, quality.kernel_subset_size) == (100, 120)
    assert (quality.kernel, quality.kernel_real) == (
        record.headline["kernel_pixels"],
        record.headline["kernel_pixels_real"],
    )
    assert quality.frechet_training_name == "Frechet distance (pixels) against the training set (published protocol)"
    assert quality.frechet_training == record.headline["frechet_pixels_training"]
    assert figures.held_out_near_copies == 0
    assert figures.attack is not None
    assert (figures.attack.generated, figures.attack.looked_at) == (128, 128)
    none, once = (119 / 120) ** 128, 128 / 120 * (119 / 120) ** 127
    assert figures.attack.power == pytest.approx(1 - none - once)


def test_the_floor_is_that_of_a_fixed_choice_of_the_held_out_images_where_there_is_a_limit_and_the_report_says_so(
    planted: Make,
):
    run = planted("evaluate.floor_limit=100", name="few")
    dataset = run.dataset(run.config())
    record, figures = evaluated(run)
    assert {f.floor.of for f in figures.memorization} == {100}
    assert figures.quality.precision.of == 120, "quality takes all of them"
    said = "The floor is that of 100 of the 130 held-out images, a fixed choice (evaluate.floor_limit)."
    assert said in text(run, record, "report.html")
    assert said in summary(run, record)
    chosen = reference_of(dataset, config=run.config()).floor_images.rows
    digests = dataset.row_digest[dataset.held_out_rows]
    assert set(dataset.row_digest[chosen]) == set(np.sort(digests)[:100])
    assert (np.diff(chosen) > 0).all()


def test_a_search_by_candidates_has_the_figures_of_one_in_full_and_the_report_says_how_it_was_done(planted: Make):
    _, full = evaluated(planted(name="full"))
    run = planted("evaluate.search=candidates", "evaluate.neighbours=5", name="candidates")
    record, figures = evaluated(run)
    assert full.searched is None
    assert figures.searched.images == 128 + 130
    assert figures.searched.candidates == 20
    said = "counts are those of a search in full (evaluate.search)"
    assert said in text(run, record, "report.html")
    assert said in summary(run, record)
    _, again = evaluated(planted("evaluate.neighbours=5", name="exact"))
    for one, other in zip(figures.memorization, again.memorization, strict=True):
        assert (one.name, one.generated, one.floor, one.verdict) == (
            other.name,
            other.generated,
            other.floor,
            other.verdict,
        )


def test_a_plan_from_before_there_was_a_limit_measures_the_floor_on_all_held_out_images_and_may_be_given_one():
    new = Plan(revision=0, config=resolve("tiny"))
    assert (
        new.config.evaluate.floor_limit == Plan.model_validate_json(new.model_dump_json()).config.evaluate.floor_limit
    )
    kept = new.model_dump(mode="json")
    del kept["config"]["evaluate"]["floor_limit"], kept["config"]["evaluate"]["search"]
    older = Plan.model_validate(kept)
    assert (older.config.evaluate.floor_limit, older.config.evaluate.search) == (None, "exact")
    assert floor_count(older.config, 20_000) == 20_000
    assert frozen_difference(older.config, new.config) is None


def test_the_floor_stands_also_without_held_out_images_that_have_a_near_duplicate_in_the_training_set(
    planted: Make, monkeypatch: pytest.MonkeyPatch
):
    _, plain = evaluated(planted(name="plain"))
    monkeypatch.setattr(f"{assess.__module__}.near_copies", lambda images, *_: np.arange(len(images)) < 10)
    run = planted(name="near")
    record, figures = evaluated(run)
    assert all(figure.floor_apart is None for figure in plain.memorization)
    assert figures.held_out_near_copies == 10
    for before, figure in zip(plain.memorization, figures.memorization, strict=True):
        assert (figure.floor, figure.verdict) == (before.floor, before.verdict)  # the verdict goes by the whole floor
        if figure.measure == "extraction":
            assert figure.floor_apart is None
            continue
        assert figure.floor_apart is not None
        assert figure.floor_apart.of == figure.floor.of - 10
        assert 0 <= figure.floor.count - figure.floor_apart.count <= 10
        assert record.headline[f"{figure.name}_floor_apart"] == figure.floor_apart.share
    assert "without near duplicates" in text(run, record, "report.html")


def test_the_report_says_where_it_comes_from(planted: Make):
    run = planted()
    record, figures = evaluated(run)
    source = figures.provenance
    assert source.dataset == run.load(DatasetRecord).digest
    assert (source.train_images, source.held_out_images, source.generated_images) == (120, 130, 128)
    # 2 shards of 60 samples, whole batches of 16, 2 epochs, 2 rounds
    assert (source.visits, source.planned_visits, source.skipped_share) == (8000, 2 * 48 * 2 * 2, 0.1)
    assert [(r.round, r.loss, r.moved, r.skip_rate, r.augmented_share) for r in figures.rounds] == [
        (0, 0.5, 0, 0.1, 0.2),
        (1, 0.3, 24, 0.1, 0.2),
    ]
    assert figures.config == run.config().model_dump(mode="json")
    page = text(run, record, "report.html")
    for said in (source.dataset, figures.headline.title, "Smoke run", "evaluate.neighbours", "preset tiny"):
        assert said in page


def test_the_shared_page_has_no_training_image_no_name_of_one_and_no_copy_of_one(planted: Make):
    run = planted()
    record, _ = evaluated(run)
    plain, moved = training_tiles(run)
    own, shared = text(run, record, "report.html"), text(run, record, "shared.html")
    assert len(tiles(own) & plain) >= 12  # the test can see them
    assert "digits#" in own
    assert tiles(shared)
    assert not tiles(shared) & moved
    assert "digits#" not in shared
    assert shared.count('class="withheld"') >= 8  # the previews of round 0 and 1 are planted training images


def test_pairs_are_nobody_elses_to_see_when_images_are_generated_only(planted: Make):
    run = planted("report.images=generated")
    record, figures = evaluated(run)
    assert figures.pairs == []
    for name in ("report.json", "report.html", "shared.html"):
        assert "digits#" not in text(run, record, name)
    assert tiles(text(run, record, "report.html"))


def test_no_image_is_in_either_page_when_none_are_wanted(planted: Make):
    run = planted("report.images=none")
    record, figures = evaluated(run)
    assert figures.pairs == []
    for name in ("report.html", "shared.html"):
        assert "data:image" not in text(run, record, name)


def test_the_released_model_is_among_the_objects_of_the_record(planted: Make):
    run = planted()
    record, _ = evaluated(run)
    folders = {ref.key.removesuffix(name.removeprefix("model/")) for name, ref in record.objects.items() if "/" in name}
    assert len(folders) == 1
    assert {"model/model_index.json", "model/unet/diffusion_pytorch_model.safetensors"} <= set(record.objects)


def test_the_releases_card_has_the_reports_figures_and_no_name_of_a_training_image(planted: Make):
    run = planted()
    record, figures = evaluated(run)
    card = text(run, record, "model/README.md")
    assert record.objects["model/README.md"].key == f"{record.model_folder}/README.md"
    assert f"**{figures.headline.title}.**" in card
    assert f"`{run.load(DatasetRecord).digest}`" in card
    near = next(m for m in figures.memorization if m.name == "mq_aware_0.1")
    counted = f"| MQ &lt; 0.1 | {100 * near.generated.share:.1f} % [{100 * near.generated.low:.1f}, "
    assert counted in card
    assert "digits#" in text(run, record, "report.html")
    assert "digits#" not in card


def test_what_a_report_may_show_changes_nothing_of_the_release(planted: Make):
    folders = [evaluated(planted(f"report.images={images}", name=images))[0].model_folder for images in ("all", "none")]
    first, second = (str(folder).rpartition("/")[2] for folder in folders)
    assert first == second, "the digest of all of its files"


def test_a_committed_report_is_returned_as_it_is_and_another_try_gives_the_same_figures(planted: Make):
    run = planted()
    record, figures = evaluated(run)
    assert evaluate(run, Silent()) == record
    run.store.delete([run.key(ReportRecord, 2)])
    again = evaluated(run)[1]
    same = {"provenance"}
    assert again.model_dump(exclude=same) == figures.model_dump(exclude=same)


def test_a_part_that_is_not_sampled_yet_is_named_with_its_step(planted: Make):
    run = planted()
    key = run.key(SamplesRecord, 2, 1)
    run.store.delete([key])
    with pytest.raises(Fatal, match=re.escape(f"{key}: missing: step sample")):
        evaluate(run, Silent())


def test_altered_samples_are_named(planted: Make):
    run = planted()
    ref = run.load(SamplesRecord, 2, 1).objects["images.safetensors"]
    data = bytearray(run.store.get(ref.key))
    data[-1] ^= 1
    run.store.put(ref.key, bytes(data))
    with pytest.raises(Fatal, match=re.escape(f"{ref.key}: altered")):
        evaluate(run, Silent())


def test_parts_that_do_not_join_up_are_named(planted: Make):
    run = planted()
    second = run.load(SamplesRecord, 2, 1)
    run.store.put(run.key(SamplesRecord, 2, 1), second.model_copy(update={"start": 60}).model_dump_json().encode())
    with pytest.raises(Fatal, match=r"samples/2/1.json: altered: images 60 to 128, expected to start at 64"):
        evaluate(run, Silent())
