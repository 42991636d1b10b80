import pytest

from unecho.components.config import resolve
from unecho.components.report.history import planned_visits


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
