"""A report with a copy descriptor: what decides, what is shown, and what leaves the run's own prefix."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.evaluate.test_step import evaluated, text, tiles
from tests.measures.test_onnx import flatten
from unecho.components.data import Dataset
from unecho.components.failure import Fatal
from unecho.components.report.summary import summary
from unecho.components.run import DatasetRecord, Run
from unecho.components.run.generated import generated_images

Make = Callable[..., Run]
THRESHOLD = 0.995
"""Real digits come closer to each other than a descriptor of photographs would bring them."""


def described(planted: Make, model: str, *settings: str, name: str = "described") -> Run:
    numbers = ("evaluate.descriptor_transform=numbers", f"evaluate.descriptor_threshold={THRESHOLD}")
    return planted(f"evaluate.descriptor={model}", *numbers, *settings, name=name)


@pytest.fixture
def model(tmp_path: Path) -> str:
    """The pixels themselves as a descriptor."""
    return flatten(tmp_path / "pixels.onnx", ["n", 1, 8, 8])


def similarities(run: Run, images: np.ndarray) -> np.ndarray:
    """Largest cosine to a training image or its mirror image, worked out by one product."""
    dataset = Dataset.open(run.store, run.load(DatasetRecord).digest)
    training = dataset.rows(dataset.train_rows)
    both = np.concatenate([training, training[:, :, :, ::-1]])
    flat = (x.reshape(len(x), -1).astype(np.float64) for x in (images, both))
    a, b = (values / np.linalg.norm(values, axis=1, keepdims=True) for values in flat)
    return (a @ b.T).max(axis=1)


def test_the_descriptors_figure_decides_and_is_shown_first_with_its_percentile_and_its_file(
    planted: Make, model: str
) -> None:
    run = described(planted, model)
    config = run.config()
    assert config.evaluate.deciding == ("mq_aware_0.1", "second_nearest_aware", "descriptor")
    record, figures = evaluated(run)
    dataset = Dataset.open(run.store, run.load(DatasetRecord).digest)
    generated = generated_images(run, config, 2, dataset).take(np.arange(128))
    own, floor = similarities(run, generated), similarities(run, dataset.rows(dataset.held_out_rows))
    found = next(m for m in figures.memorization if m.measure == "descriptor")
    assert (found.generated.count, found.floor.count) == ((own > THRESHOLD).sum(), (floor > THRESHOLD).sum())
    assert found.generated.count >= 20
    assert (found.decides, found.verdict) == (True, "above")
    assert figures.descriptor.generated.high == pytest.approx(np.percentile(own, 95), abs=1e-6)
    assert figures.descriptor.held_out.median == pytest.approx(np.median(floor), abs=1e-6)
    assert record.headline["similarity_95"] == figures.descriptor.generated.high
    assert record.headline["descriptor_floor"] == found.floor.share
    page = text(run, record, "report.html")
    assert page.index("Copies on the descriptor pixels") < page.index("Near-copies, augmentation-aware")
    assert f"copy descriptor pixels: SHA-256 {figures.descriptor.digest}" in page
    assert "similarity &gt; 0.995" in page
    assert "95th percentile" in summary(run, record)
    assert "<script" not in page


def test_pairs_are_the_first_by_mq_and_the_first_by_similarity_in_turns(planted: Make, model: str) -> None:
    _, figures = evaluated(described(planted, model))
    assert len(figures.pairs) == 12
    assert [pair.on_descriptor for pair in figures.pairs[:2]] == [False, True]
    assert len({pair.generated for pair in figures.pairs}) == 12
    for pair in figures.pairs:
        assert pair.similarity is not None
        if pair.on_descriptor:
            assert pair.similarity == pytest.approx(1.0, abs=1e-6)


def test_what_the_descriptor_takes_for_a_copy_is_in_no_page_that_leaves_the_run(planted: Make, model: str) -> None:
    low = 0.95  # below what images have that MQ takes for no copies
    nearest = {}
    for run in (planted(name="plain"), described(planted, model, f"evaluate.descriptor_threshold={low}")):
        record, _ = evaluated(run)
        shown = [np.frombuffer(tile, np.uint8) for tile in tiles(text(run, record, "shared.html"))]
        nearest[run.name] = similarities(run, np.stack(shown).reshape(-1, 1, 8, 8))
    assert (nearest["plain"] > low).any()
    assert len(nearest["described"])
    assert not (nearest["described"] > low).any()


def test_a_descriptor_that_was_changed_after_planning_is_refused_by_name(planted: Make, model: str) -> None:
    run = described(planted, model)
    flatten(Path(model), ["n", 1, "h", "w"])
    with pytest.raises(Fatal, match=r"evaluate\.descriptor: .*holds something else than when the run was planned"):
        evaluated(run)
