"""The manifest of a block of encodings."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..store import ObjectRef


class EncodedBlock(BaseModel):
    """Rows that follow one another: safetensors of `rows` [n, ...] and `row_digest` int64 [n].

    A digest is the first 8 bytes of the SHA-256 of the row's bytes, little-endian.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    number: int = Field(ge=0)
    object: ObjectRef
    rows: int = Field(ge=1)
    shape: tuple[int, ...]
    """Of a row."""
    dtype: Literal["float32", "bfloat16"]
    offset: int = Field(ge=8)
    """Where the rows' bytes start in the object."""
    digests_offset: int = Field(ge=8)
    """Where their digests' do."""
