"""The packed data set: its form in the store and reading rows of it."""

from .dataset import Dataset
from .manifest import (
    ChunkRef,
    DatasetManifest,
    Duplicates,
    PreparedSource,
    Skipped,
    find_manifest,
    find_prepared,
)

__all__ = [
    "ChunkRef",
    "Dataset",
    "DatasetManifest",
    "Duplicates",
    "PreparedSource",
    "Skipped",
    "find_manifest",
    "find_prepared",
]
