"""Rows of a shard that are read ahead."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.runs import tiny
from unecho.components.failure import Fatal
from unecho.components.host_memory import Memory
from unecho.components.train import held
from unecho.components.train.held import HeldRows, StreamedRows, shard_rows


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


ROWS, ROW_BYTES = np.arange(1000), 3072
SHARD = 3_072_000
"""Bytes of all of them."""


def kind_of_rows(hold: str, memory: Memory, monkeypatch: pytest.MonkeyPatch) -> type:
    monkeypatch.setattr(held, "host_memory", lambda: memory)
    config = tiny(f"execution.hold_images={hold}")

    def read(numbers: NDArray[np.int64]) -> Tensor:
        return torch.zeros(len(numbers), ROW_BYTES, dtype=torch.uint8)

    with shard_rows(config, read, ROWS, ROW_BYTES, torch.device("cpu")) as rows:
        return type(rows)


@pytest.mark.parametrize(
    ("limit", "free", "kind"),
    [
        (4 * SHARD, SHARD, HeldRows),
        (4 * SHARD - 4, SHARD, StreamedRows),  # more than a quarter of what a pod may use
        (40 * SHARD, SHARD - 1, StreamedRows),  # of which others have taken nearly all
    ],
)
def test_a_shard_is_held_where_the_pod_s_memory_suffices_whatever_the_node_has(
    limit: int, free: int, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kind_of_rows("auto", Memory(limit, free), monkeypatch) is kind


def test_a_shard_that_is_to_be_held_and_does_not_fit_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert kind_of_rows("device", Memory(SHARD, SHARD), monkeypatch) is HeldRows
    said = (
        r"execution.hold_images: device: the shard's 1,000 rows are 0.00307 GB, where 0.00307 GB of memory are free "
        r"\(16 GB in all\): set execution.hold_images=stream"
    )
    with pytest.raises(Fatal, match=said):
        kind_of_rows("device", Memory(16_000_000_000, SHARD - 1), monkeypatch)
    assert kind_of_rows("stream", Memory(1, 1), monkeypatch) is StreamedRows
