"""The run's packed data set, behind the read cache that the configuration asks for."""

from functools import lru_cache
from pathlib import Path

from unecho.components.config import RunConfig
from unecho.components.data import Dataset
from unecho.components.run.address import Run
from unecho.components.run.records import DatasetRecord
from unecho.components.store import CachedStore, Store


def open_dataset(run: Run, config: RunConfig) -> Dataset:
    """Open the data set that the run trains on.

    Its rows are what a pod reads again in the next round, so they, and nothing else of a run, go through
    the cache: weights change every round and would push them out.

    Raises:
        Fatal: a record, manifest or index is missing or altered; names it.
    """
    return Dataset.open(_for_data(run.store, config), run.load(DatasetRecord).digest)


def _for_data(store: Store, config: RunConfig) -> Store:
    directory = config.execution.cache_dir
    if directory is None or not store.distant:
        return store
    return _cached(store, Path(directory).expanduser(), int(config.execution.cache_gib * 2**30))


@lru_cache(maxsize=8)
def _cached(store: Store, directory: Path, limit_bytes: int) -> CachedStore:
    """One for all steps of a process: what it knows of the directory need not be read again."""
    return CachedStore(store, directory, limit_bytes)
