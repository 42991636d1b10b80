"""The data sets of a root, the runs that read them, and which samples of them requests ask for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...components.data import Dataset
from ...components.data.forgetting import short_digest
from ...components.data.forgotten import Asked, Numbered
from ...components.data.image import Fit
from ...components.data.recording import shape_of
from ...components.data.sources.captions import roots_of
from ...components.run import DatasetRecord, Plan, Run
from ...components.run.address import DATASETS, RUNS, data_manifest_of, run_of
from ...components.store import Store, open_store


@dataclass(frozen=True)
class Reader:
    """A run that reads a data set.

    Attributes:
        source: where the data set's images came from, as the run's plan says it; None where that is another run's.
        forgotten: requests 1 to this number apply to it.
    """

    run: Run
    source: str | None
    forgotten: int


@dataclass(frozen=True)
class Held:
    """A data set.

    Attributes:
        readers: runs and audits whose records name it.
    """

    dataset: Dataset
    readers: list[Reader] = field(default_factory=list)

    @property
    def digest(self) -> str:
        return self.dataset.digest

    @property
    def shape(self) -> Fit:
        return shape_of(self.dataset.manifest)

    @cached_property
    def sources(self) -> list[str]:
        """Where its images came from, as far as runs know it."""
        return list(dict.fromkeys(reader.source for reader in self.readers if reader.source))

    @cached_property
    def _roots(self) -> list[str]:
        """What the address of one of its samples may begin with."""
        return list(dict.fromkeys(root for source in self.sources for root in _roots(source)))

    def names_of(self, text: str) -> list[str]:
        """The names in this data set that a line may mean: as it is, and below its sources."""
        below = [text[len(root) + 1 :] for root in self._roots if text.startswith(f"{root}/")]
        return list(dict.fromkeys([text, *below]))

    def rows_named(self, wanted: Sequence[str]) -> dict[str, int]:
        """The rows of samples that are called so; one read of all names."""
        names = set(wanted)
        if not names:
            return {}
        all_names = ((self.dataset.name(row), row) for row in range(self.dataset.count))
        return {name: row for name, row in all_names if name in names}

    def rows_of(self, lines: Sequence[Asked]) -> list[list[int]]:
        """The rows that each line asks for: by name, by pixels, and all whose pixels are equal to such a one's."""
        names = [[name for text in (line.text, *line.keys) for name in self.names_of(text)] for line in lines]
        named, shape = self.rows_named([name for some in names for name in some]), self.shape
        found = []
        for line, some in zip(lines, names, strict=True):
            digests = {int(self.dataset.row_digest[named[name]]) for name in some if name in named}
            digests |= {short_digest(digest.sha256) for digest in line.pixels if digest.fits(shape)}
            found.append(sorted(row for digest in digests for row in self._equal(digest)))
        return found

    def asked_for(self, requests: Sequence[Numbered]) -> dict[int, int]:
        """The rows that requests ask for, and the first that asks for each.

        Args:
            requests: rising by their number.
        """
        rows = self.rows_of([asked for _, asked in requests])
        first = dict[int, int]()
        for (request, _), some in zip(requests, rows, strict=True):
            for row in some:
                first.setdefault(row, request)
        return first

    def _equal(self, short: int) -> list[int]:
        order, ordered = self._by_digest
        wanted = np.uint64(short)
        return list(order[np.searchsorted(ordered, wanted) : np.searchsorted(ordered, wanted, "right")].tolist())

    @cached_property
    def _by_digest(self) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Rows in the order of their digests, and these."""
        digests = self.dataset.row_digest.astype(np.uint64)
        order = np.argsort(digests, kind="stable")
        return order, digests[order]


def held_by(store: Store) -> list[Held]:
    """Every data set of a root that has a manifest, sorted by digest.

    Raises:
        Fatal: a manifest or a record cannot be read; names it.
    """
    digests = sorted({digest for stat in store.list(DATASETS) if (digest := data_manifest_of(stat.key))})
    held = {digest: Held(Dataset.open(store, digest)) for digest in digests}
    for digest, reader in _readers(store):
        if digest in held:
            held[digest].readers.append(reader)
    return list(held.values())


def _readers(store: Store) -> Iterator[tuple[str, Reader]]:
    """Digests of data sets, and the runs whose records name them."""
    names = dict.fromkeys(name for stat in store.list(RUNS) if (name := run_of(stat.key)))
    for run in (Run(store, name) for name in names):
        record = run.find(DatasetRecord)
        if record is None or run.find(Plan, 0) is None:
            continue
        plan = run.plan()
        audit = plan.config.audit
        source = None if audit.run is not None else plan.config.data.source
        for digest, origin in (
            (record.digest, source),
            (record.held_out_set, audit.held_out),
            (record.generated_set, audit.images),
        ):
            if digest:
                yield digest, Reader(run, origin, plan.forgotten)


def _roots(source: str) -> list[str]:
    """What the address of a sample begins with, in the forms that people write it."""
    if source == "digits":
        return []
    return [source.rstrip("/"), *roots_of(open_store(source))]
