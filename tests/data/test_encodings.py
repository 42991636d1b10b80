"""Encodings in blocks: rows come back as they were written, damage is named, others' blocks are taken."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from unecho.components.data.encodings import EncodedRows, find_block, put_block
from unecho.components.failure import Fatal
from unecho.components.store.directory import DirectoryStore

KEY = "ab" * 32


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


def written(store: DirectoryStore, dtype: torch.dtype, sizes: tuple[int, ...] = (3, 3, 2)) -> torch.Tensor:
    rows = torch.randn(sum(sizes), 4, 2, 2).to(dtype)
    for number, block in enumerate(rows.split(sizes)):
        put_block(store, KEY, "latents", number, block)
    return rows


def opened(store: DirectoryStore, numbers: tuple[int, ...] = (2, 0, 1)) -> EncodedRows:
    return EncodedRows(store, [block for n in numbers if (block := find_block(store, KEY, "latents", n))])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_come_back_in_any_order_to_the_bit(store: DirectoryStore, dtype: torch.dtype) -> None:
    rows = written(store, dtype)
    rows_there = opened(store)
    assert len(rows_there) == 8
    assert rows_there.shape == (4, 2, 2)
    assert rows_there.row_bytes == 16 * dtype.itemsize
    asked = np.array([7, 0, 3, 3, 2, 5])
    found = rows_there.rows(asked)
    assert found.dtype == dtype
    assert torch.equal(found.view(torch.uint8), rows[asked].view(torch.uint8))


def test_a_block_that_stands_is_not_replaced(store: DirectoryStore) -> None:
    first = put_block(store, KEY, "latents", 0, torch.zeros(2, 3))
    second = put_block(store, KEY, "latents", 0, torch.ones(2, 3))
    assert second == first
    assert not opened(store, (0,)).rows([0, 1]).any()


def test_a_block_that_is_missing_between_others_is_named(store: DirectoryStore) -> None:
    written(store, torch.float32)
    with pytest.raises(Fatal, match="block 1 is missing"):
        opened(store, (0, 2))


def test_blocks_of_different_dtypes_are_refused(store: DirectoryStore) -> None:
    put_block(store, KEY, "latents", 0, torch.zeros(2, 3))
    other = put_block(store, KEY, "latents", 1, torch.zeros(2, 3, dtype=torch.bfloat16))
    with pytest.raises(Fatal, match=re.escape(f"{other.object.key}: bfloat16 [3], block 0 is another")):
        opened(store, (0, 1))


def test_an_altered_row_is_named_with_its_object_and_others_are_read(store: DirectoryStore) -> None:
    rows = written(store, torch.float32)
    block = find_block(store, KEY, "latents", 1)
    assert block is not None
    data = bytearray(store.get(block.object.key))
    data[block.offset + 64 + 5] ^= 1  # row 4, the second of the block
    store.path(block.object.key).write_bytes(data)
    assert torch.equal(opened(store).rows([3, 5, 0]), rows[[3, 5, 0]])
    with pytest.raises(Fatal, match=re.escape(f"{block.object.key}: altered: row 4 is not what was written")):
        opened(store).rows([3, 4])


def test_a_missing_object_is_named(store: DirectoryStore) -> None:
    written(store, torch.float32)
    block = find_block(store, KEY, "latents", 1)
    assert block is not None
    store.delete([block.object.key])
    with pytest.raises(Fatal, match=re.escape(block.object.key)):
        opened(store).rows([3])
