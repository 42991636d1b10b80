"""Rows of a shard that are read ahead."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from unecho.components.train import held
from unecho.components.train.held import HeldRows, StreamedRows


def test_rows_that_stay_on_the_device_get_there_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def rows(numbers: NDArray[np.int64]) -> Tensor:
        read.append(len(numbers))
        return torch.from_numpy(10 * numbers[:, None])

    monkeypatch.setattr(held, "_BYTES_AT_ONCE", 32)
    kept = HeldRows(rows, np.arange(9), torch.device("cpu"))
    assert kept.take(torch.tensor([8, 0, 3, 3, 4])).flatten().tolist() == [80, 0, 30, 30, 40]
    assert read == [1, 4, 4, 1]


def test_rows_taken_out_of_order_leave_what_was_read_ahead() -> None:
    read: list[list[int]] = []

    def rows(numbers: NDArray[np.int64]) -> Tensor:
        read.append(numbers.tolist())
        return torch.from_numpy(10 * numbers)

    with ThreadPoolExecutor(1) as pool:
        streamed = StreamedRows(rows, np.arange(9), torch.device("cpu"), pool)
        for places in ([0, 1], [2, 3]):
            streamed.expect(torch.tensor(places))
        assert streamed.take(torch.tensor([7, 1])).tolist() == [70, 10]
        assert streamed.take(torch.tensor([0, 1])).tolist() == [0, 10]
        assert streamed.take(torch.tensor([2, 3])).tolist() == [20, 30]
    assert sorted(read) == [[0, 1], [2, 3], [7, 1]], "each once"
