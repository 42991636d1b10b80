"""The training of a base's stages: state that saves and loads itself, order and rate that follow from the step."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from unecho.components.diffusion.pretraining.training import (
    State,
    Training,
    positions,
    rate_share,
    train,
    with_first_weights,
)
from unecho.components.failure import Fatal


class Memory:
    """Keeps every snapshot; stops the training after a step where it is told to."""

    def __init__(self, newest: tuple[int, State] | None = None, stop_after: int | None = None) -> None:
        self._newest, self._stop_after = newest, stop_after
        self.kept: dict[int, State] = {}

    def newest(self) -> tuple[int, State] | None:
        return self._newest

    def keep(self, step: int, loss: float, snapshot: Callable[[], State]) -> None:
        self.kept[step] = snapshot()
        if step == self._stop_after:
            raise KeyboardInterrupt


def new() -> Training:
    return Training(with_first_weights(lambda: nn.Linear(3, 2), "test", 0), 6, 0.1, 0.9)


def run(training: Training, keeper: Memory) -> None:
    def loss(step: int) -> Tensor:
        squared: Tensor = (training.network(torch.randn(4, 3)) - torch.rand(4, 2)).square().mean()
        return squared

    train(training, "test", 0, loss, keeper)


@pytest.mark.parametrize("stopped_after", [1, 3, 5])
def test_a_training_that_goes_on_from_a_snapshot_ends_with_the_same_bytes(stopped_after: int) -> None:
    whole, part = new(), Memory(stop_after=stopped_after)
    run(whole, Memory())
    with pytest.raises(KeyboardInterrupt):
        run(new(), part)
    torch.manual_seed(9)  # what was drawn in between does not matter
    resumed = new()
    run(resumed, Memory((stopped_after, part.kept[stopped_after])))
    for name, tensor in whole.snapshot().items():
        assert torch.equal(tensor, resumed.snapshot()[name]), name
    assert resumed.step == 6


def test_the_average_warms_up() -> None:
    training = new()
    before = training.network.weight.detach().clone()
    training.update(training.network(torch.ones(1, 3)).square().sum())
    assert torch.equal(training.average()["weight"], training.network.weight)  # its decay begins at 0
    first = training.network.weight.detach().clone()
    assert not torch.equal(first, before)
    training.update(training.network(torch.ones(1, 3)).square().sum())
    decay = 2 / 11  # (1 + s) / (10 + s), at most 0.9, after s updates
    torch.testing.assert_close(
        training.average()["weight"], decay * first + (1 - decay) * training.network.weight.detach()
    )


def test_the_rate_rises_for_a_twentieth_and_falls_by_a_cosine_to_nothing() -> None:
    assert [rate_share(step, 40) for step in (0, 1, 2)] == [0.5, 1.0, 1.0]
    assert rate_share(21, 40) == pytest.approx(0.5)
    assert 0 < rate_share(39, 40) < 0.01


def test_an_epoch_sees_every_sample_once_in_an_order_of_its_own() -> None:
    epochs = [[positions("test", 0, 3 * epoch + b, 12, 4).tolist() for b in range(3)] for epoch in range(2)]
    orders = [[row for batch in epoch for row in batch] for epoch in epochs]
    assert [sorted(order) for order in orders] == [list(range(12))] * 2
    assert orders[0] != orders[1]
    assert len(positions("test", 0, 5, 3, 4)) == 3  # fewer samples than a batch holds


def test_a_loss_that_is_not_a_number_is_one_line() -> None:
    training = new()
    with pytest.raises(Fatal, match=r"test: the loss is not a number at step 1: lower test\.learning_rate"):
        train(training, "test", 0, lambda step: training.network.weight.sum() * float("nan"), Memory())


def test_first_weights_are_a_function_of_purpose_and_seed() -> None:
    made = [
        with_first_weights(lambda: nn.Linear(3, 2), purpose, seed).weight
        for purpose, seed in (("a", 0), ("a", 0), ("a", 1), ("b", 0))
    ]
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
    assert not torch.equal(made[0], made[3])
