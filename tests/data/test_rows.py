"""Reading rows, in any order, with few reads and little memory."""

import tracemalloc

import numpy as np
import pytest

from unecho.components.data import dataset as reading
from unecho.components.data.dataset import plan_batches

CHUNKS = [100, 100, 37, 100, 63]


@pytest.mark.parametrize("at_once", [1, 1000, 1 << 20])
def test_rows_are_those_asked_for_in_the_order_asked(pack, noise, monkeypatch, at_once: int) -> None:
    monkeypatch.setattr(reading, "READ_BYTES", at_once)
    packed = pack(noise(400), CHUNKS)
    dataset, random = packed.open(), np.random.default_rng(1)
    wanted = [
        [],
        [399],
        [0, 0, 0],
        np.arange(400),
        np.arange(399, -1, -1),
        random.permutation(400),
        random.permutation(400)[:5],
        random.permutation(400)[:150],
        random.integers(0, 400, 1000),
        random.integers(95, 105, 30),
        dataset.train_rows,
    ]
    for indices in wanted:
        read = dataset.rows(indices)
        assert read.dtype == np.uint8
        assert (read == packed.images[np.asarray(indices, np.int64)]).all()
        assert read.shape == (len(indices), 3, 8, 8)


@pytest.mark.parametrize("indices", [[-1], [400], [3, 400, 2]])
def test_a_row_that_does_not_exist_is_refused(pack, noise, indices: list[int]) -> None:
    with pytest.raises(IndexError, match="of a data set of 400"):
        pack(noise(400), CHUNKS).open().rows(indices)


def test_the_index_is_there(pack, noise) -> None:
    dataset = pack(noise(400), CHUNKS).open()
    assert (dataset.count, dataset.channels, dataset.resolution) == (400, 3, 8)
    assert dataset.labels.tolist() == [row % 3 for row in range(400)]
    assert dataset.label_names == ["a", "b", "c"]
    assert dataset.held_out_rows.tolist() == list(range(0, 400, 4))
    assert dataset.train_rows.tolist() == [row for row in range(400) if row % 4]
    assert (dataset.labels.dtype, dataset.train_rows.dtype) == (np.int32, np.int64)


class TestReads:
    """What is asked of the store."""

    @pytest.fixture
    def large(self, pack, noise):
        """Rows of 48 KiB, so that gaps matter."""
        return pack(noise(60, 3, 128), [20, 20, 20])

    def test_the_wanted_rows_are_asked_for_and_no_others_neighbours_in_one_go(self, large) -> None:
        """What lies between them is for the store to decide: see `unecho.components.store.s3.transfer`."""
        large.open().rows([3, 25, 24, 27, 36])
        asked = [(large.chunk_keys.index(key), size // 49152) for key, _, size in large.store.reads]
        assert sorted(asked) == [(0, 1), (1, 1), (1, 1), (1, 2)]  # row 3; of the second chunk 27, 36, 24 with 25

    def test_nothing_is_read_for_no_rows(self, large) -> None:
        large.open().rows([])
        assert large.store.reads == []

    def test_a_repeated_row_is_read_once(self, large) -> None:
        large.open().rows([7] * 50)
        assert len(large.store.reads) == 1


@pytest.mark.parametrize("seed", range(30))
def test_the_planned_reads_are_every_wanted_row_once_and_stay_within_bounds(seed: int, monkeypatch) -> None:
    random = np.random.default_rng(seed)
    monkeypatch.setattr(reading, "READ_BYTES", int(random.integers(1, 3000)))
    starts = np.cumsum([0, *random.integers(1, 60, 12)])
    wanted = np.sort(random.permutation(starts[-1])[: random.integers(0, starts[-1])])
    covered: list[int] = []
    for batch in plan_batches(wanted, starts, 100):
        size = starts[batch.chunk + 1] - starts[batch.chunk]
        rows = [row for first, count in batch.runs() for row in range(first, first + count)]
        assert rows[0] >= 0
        assert rows[-1] < size
        assert len(rows) <= max(1, reading.READ_BYTES // 100)
        covered += [int(starts[batch.chunk]) + row for row in rows]
    assert covered == wanted.tolist()


def test_reading_takes_little_memory_beside_the_result(pack, noise, monkeypatch) -> None:
    monkeypatch.setattr(reading, "READ_BYTES", 1 << 20)
    packed = pack(noise(4000, 3, 64), [1000] * 4)  # 47 MiB
    dataset = packed.open()
    tracemalloc.start()
    rows = dataset.rows(np.random.default_rng(0).permutation(4000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < rows.nbytes + (10 << 20)  # four threads, a batch and its picked rows each
