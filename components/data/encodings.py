"""What a model's encoders made of a data set's images and captions: rows of numbers in blocks.

encodings/<key>/<latents|texts>/<block>.json                         the manifest of a block, committed last
encodings/<key>/<latents|texts>/<block>/<sha256, cut>/rows.safetensors

A key is the hash of all that the rows depend on, so one that differs in dtype, encoder or resolution is never read.
"""

import json
from collections.abc import Iterable
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from safetensors.torch import save
from torch import Tensor

from ..failure import Fatal
from ..store import Store, find_parsed, put_object
from .chunk_rows import ChunkRows
from .encoded_block import EncodedBlock
from .manifest import ChunkRef, row_digests, short_digests

What = Literal["latents", "texts"]
BLOCK_BYTES: Final = 64 << 20
_DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def block_key(key: str, what: What, number: int) -> str:
    """Key of a block's manifest."""
    return f"encodings/{key}/{what}/{number}.json"


def find_block(store: Store, key: str, what: What, number: int) -> EncodedBlock | None:
    """A committed block, or None.

    Raises:
        Fatal: it is there and cannot be read; names it.
    """
    return find_parsed(store, block_key(key, what, number), EncodedBlock)


def put_block(store: Store, key: str, what: What, number: int, rows: Tensor) -> EncodedBlock:
    """Write a block and commit its manifest.

    Args:
        rows: float32 or bfloat16 [n, ...], on the CPU.

    Returns:
        the block that stands: another's, where another was first.
    """
    rows = rows.contiguous()
    digests = short_digests(row_digests(rows.view(torch.uint8).reshape(len(rows), -1).numpy()))
    data = save({"rows": rows, "row_digest": torch.from_numpy(digests.view(np.int64))})
    head = 8 + int.from_bytes(data[:8], "little")
    entries = json.loads(data[8:head])
    manifest = block_key(key, what, number)
    block = EncodedBlock(
        number=number,
        object=put_object(store, manifest.removesuffix(".json"), "rows.safetensors", data),
        rows=len(rows),
        shape=tuple(rows.shape[1:]),
        dtype="bfloat16" if rows.dtype == torch.bfloat16 else "float32",
        offset=head + entries["rows"]["data_offsets"][0],
        digests_offset=head + entries["row_digest"]["data_offsets"][0],
    )
    if store.create(manifest, block.model_dump_json(indent=1).encode()):
        return block
    found = find_block(store, key, what, number)
    if found is None:
        raise Fatal(f"{store.address(manifest)}: removed while it was written: start again")
    return found


class EncodedRows:
    """Rows of one shape in blocks that follow one another, read by number."""

    def __init__(self, store: Store, blocks: Iterable[EncodedBlock]) -> None:
        """
        Args:
            blocks: at least one.

        Raises:
            Fatal: a block is missing between others, or of another form; names its number.
        """
        self._store, self._blocks = store, sorted(blocks, key=lambda block: block.number)
        for expected, block in enumerate(self._blocks):
            if block.number != expected:
                raise Fatal(f"{store.url}: encodings: block {expected} is missing: remove the run's encodings")
            if (block.shape, block.dtype) != (self._blocks[0].shape, self._blocks[0].dtype):
                raise Fatal(f"{store.address(block.object.key)}: {block.dtype} {list(block.shape)}, block 0 is another")
        self.shape, self._dtype = self._blocks[0].shape, _DTYPES[self._blocks[0].dtype]
        self.row_bytes = int(np.prod(self.shape)) * self._dtype.itemsize
        chunks = [ChunkRef(object=block.object, rows=block.rows, offset=block.offset) for block in self._blocks]
        self._rows = ChunkRows(store, chunks, (self.row_bytes, 1, 1))
        self._starts = np.cumsum([0, *(block.rows for block in self._blocks)], dtype=np.int64)
        self._digests: dict[int, NDArray[np.uint64]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self, indices: ArrayLike) -> Tensor:
        """Read rows.

        Args:
            indices: [n], in any order, repetitions allowed.

        Returns:
            [n, *shape], on the CPU.

        Raises:
            Fatal: a block is missing or altered; names it.
        """
        asked = np.asarray(indices, np.int64)
        read = self._rows.take(asked)
        for _ in range(2):
            wrong = np.flatnonzero(short_digests(row_digests(read)) != self._expected(asked))
            if not len(wrong):
                break
            read[wrong] = self._rows.take(asked[wrong])  # once more: the bytes may have changed on their way
        else:
            row = int(asked[wrong[0]])
            block = self._blocks[int(np.searchsorted(self._starts, row, "right")) - 1]
            raise Fatal(
                f"{self._store.address(block.object.key)}: altered: row {row} is not what was written: restore the "
                "object, or remove its encoding (the prefix encodings/KEY) and start the run again"
            )
        return torch.from_numpy(read.reshape(len(asked), -1)).view(self._dtype).reshape(len(asked), *self.shape)

    def _expected(self, asked: NDArray[np.int64]) -> NDArray[np.uint64]:
        owner = np.searchsorted(self._starts, asked, "right") - 1
        expected = np.empty(len(asked), np.uint64)
        for number in np.unique(owner).tolist():
            mine = owner == number
            expected[mine] = self._digests_of(number)[asked[mine] - self._starts[number]]
        return expected

    def _digests_of(self, number: int) -> NDArray[np.uint64]:
        if number not in self._digests:
            block = self._blocks[number]
            data = bytearray(8 * block.rows)
            self._store.read_into(block.object.key, block.digests_offset, memoryview(data))
            self._digests[number] = np.frombuffer(data, "<u8").astype(np.uint64)
        return self._digests[number]
