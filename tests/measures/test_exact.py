"""Whatever training has set in the process, measures compute in float32."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from unecho.components.measures.alike import components
from unecho.components.measures.exact import exact
from unecho.components.measures.images import InMemory
from unecho.components.measures.similarity import most_similar

CPU = torch.device("cpu")


def flags() -> tuple[bool, bool, bool]:
    """TF32 of products, of convolutions, and kernels that are chosen by time."""
    cudnn = torch.backends.cudnn
    return torch.backends.cuda.matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark


@pytest.fixture(autouse=True)
def as_training_left_it() -> Iterator[None]:
    """All on, as with `deterministic: false`."""
    before = flags()
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = True, True, True
    yield
    matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before


class Watched(InMemory):
    """Images that note how the process computes when they are read."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        super().__init__(images)
        self.seen: set[tuple[bool, bool, bool]] = set()

    def take(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        self.seen.add(flags())
        return super().take(positions)


def images(count: int) -> Watched:
    return Watched(np.random.default_rng(count).integers(0, 256, (count, 1, 4, 4), np.uint8))


def described(some: NDArray[np.uint8]) -> Tensor:
    return torch.nn.functional.normalize(torch.from_numpy(some.copy()).float().flatten(1), dim=1)


def test_the_searches_run_without_tf32_and_leave_what_they_found() -> None:
    generated, training = images(3), images(5)
    components(generated, 1.0, CPU)
    most_similar({"generated": generated}, [training], described, CPU)  # type: ignore[arg-type]
    assert generated.seen == training.seen == {(False, False, False)}
    assert flags() == (True, True, True)


def test_an_error_leaves_what_was_set_too() -> None:
    @exact()
    def fails() -> None:
        assert flags() == (False, False, False)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert flags() == (True, True, True)
