"""The packed data set: its form in the store and reading rows of it."""

from unecho.components.dataset.manifest import (
    ChunkRef,
    DatasetManifest,
    Duplicates,
    PreparedSource,
    Skipped,
    find_manifest,
    find_prepared,
)
from unecho.components.dataset.reading import Dataset

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
