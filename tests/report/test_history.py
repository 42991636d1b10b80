import time
from pathlib import Path

import pytest

from tests.given import write_digits
from unecho.components.config import resolve
from unecho.components.plan.step import plan
from unecho.components.report.history import planned_visits, provenance
from unecho.components.run import DatasetRecord, ModelRecord, Run


@pytest.mark.parametrize(
    ("length", "drop_last", "visits"),
    [
        # shards of 10 and 9 samples, batches of 4, 3 rounds
        ("iet.local_epochs=5", "true", 3 * 5 * (8 + 8)),
        ("iet.local_epochs=5", "false", 3 * 5 * (10 + 9)),
        ("iet.local_steps=5", "true", 3 * 5 * (4 + 4)),
        # an epoch is 3 batches, 4 + 4 + 2 and 4 + 4 + 1, and every round begins one
        ("iet.local_steps=5", "false", 3 * (10 + 4 + 4 + 9 + 4 + 4)),
        ("iet.local_steps=7", "false", 3 * (10 + 10 + 4 + 9 + 9 + 4)),
        ("iet.local_steps=2", "false", 3 * (4 + 4 + 4 + 4)),
    ],
)
def test_planned_visits_worked_out_by_hand(length: str, drop_last: str, visits: int):
    settings = (length, f"train.drop_last={drop_last}", "train.batch_size=4", "iet.rounds=3", "iet.shards=2")
    assert planned_visits(resolve("tiny", settings=settings), [10, 9]) == visits


def test_an_audit_has_a_subject_and_no_training(tmp_path: Path) -> None:
    images = write_digits(tmp_path / "images", range(5))
    run, config = Run.at(str(tmp_path), "audit"), resolve("tiny", settings=(f"audit.images={images}",))
    plan(run, config)
    dataset = DatasetRecord(digest="d" * 64, samples=9, train_samples=9, held_out_samples=0, channels=1, resolution=8)
    source = provenance(run, config, dataset, ModelRecord(round=0), ModelRecord(round=0), [], 5, time.time(), None)
    assert source.subject == f"images {images}"
    assert (source.visits, source.planned_visits, source.skipped_share, source.steps) == (None,) * 4
    assert (source.rounds, source.train_images, source.held_out_images, source.generated_images) == (0, 9, 0, 5)
