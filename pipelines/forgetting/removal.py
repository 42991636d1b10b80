"""Removing the data sets that hold what is to be forgotten, with their encodings."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ...components.data.encodings import block_key
from ...components.data.manifest import PreparedSource, manifest_key, objects_base
from ...components.failure import Fatal
from ...components.run import EncodingRecord, Run
from ...components.run.address import ENCODINGS, source_of
from ...components.run.gc import Manifests, leftovers, remove
from ...components.run.state import state_of
from ...components.store import Store, find_parsed
from .recorded import Affected

_SOURCES = "datasets/sources/"


@dataclass(frozen=True)
class Removed:
    """What has gone.

    Attributes:
        objects, bytes: of it, manifests aside.
        spared: objects that are too young: `unecho gc` removes them later.
    """

    objects: int
    bytes: int
    spared: int


def refuse_if_needed(affected: Sequence[Affected]) -> None:
    """Whether no run that has not ended reads one of these data sets.

    Raises:
        Fatal: one does; names it.
    """
    for one in affected:
        for reader in one.held.readers:
            run = reader.run
            state = state_of(run)
            if state.report is None:
                raise Fatal(
                    f"{run.url}: not finished ({state}), and reads data set {one.held.digest[:16]}...: let it end, or "
                    "remove the run (its folder or prefix), then remove the data set"
                )


def remove_data_sets(store: Store, affected: Sequence[Affected], older_than_s: float) -> Removed:
    """Remove data sets: what says that they are prepared, their manifests, then every object that only they named.

    Killed at any moment, the same call or `unecho gc` removes the rest.

    Args:
        older_than_s: younger objects stay, since another data set that is being made may take them up: see `gc`.
    """
    digests, manifests = {one.held.digest for one in affected}, Manifests(store)
    chunks = {chunk.object.key for one in affected for chunk in one.held.dataset.manifest.chunks}
    # prepared again after its files were renamed, a data set has a further table of names, which no manifest names
    own = tuple(f"{objects_base(digest)}/" for digest in digests)
    encoded = _encodings(store, affected)
    sources = [stat.key for stat in store.list(_SOURCES) if source_of(stat.key)]
    store.delete([key for key in sources if _names(store, key, digests)])
    store.delete([manifest_key(digest) for digest in sorted(digests)])
    gone = [stat for key in encoded for stat in store.list(key)]
    store.delete([stat.key for stat in gone])
    before = time.time() - older_than_s
    contents = manifests.read()
    left = [leftover for leftover in leftovers(contents, float("inf")) if _is_of(leftover.stat.key, chunks, own)]
    old = [leftover for leftover in left if leftover.stat.modified <= before]
    went = [leftover.stat for leftover in remove(store, manifests, old, before)] + gone
    return Removed(len(went), sum(stat.size for stat in went), len(left) - len(old))


def _is_of(key: str, chunks: set[str], bases: tuple[str, ...]) -> bool:
    return key in chunks or key.startswith(bases)


def _names(store: Store, key: str, digests: set[str]) -> bool:
    said = find_parsed(store, key, PreparedSource)
    return said is not None and said.digest in digests


def _encodings(store: Store, affected: Sequence[Affected]) -> list[str]:
    """Key prefixes of the encodings that runs on these data sets have made, and no other run reads."""
    removed = {reader.run.name for one in affected for reader in one.held.readers}
    mine, others = set[str](), set[str]()
    for name, keys in _encoded_by_runs(store).items():
        (mine if name in removed else others).update(keys)
    return sorted(mine - others)


def _encoded_by_runs(store: Store) -> dict[str, set[str]]:
    """Key prefixes of encodings by the names of the runs whose records name them."""
    found = dict[str, set[str]]()
    for name in {stat.key.split("/")[1] for stat in store.list("runs/") if "/encodings/" in stat.key}:
        record = Run(store, name).find(EncodingRecord, 0)
        if record is not None:
            latents, texts = block_key(record.latents_key, "latents", 0), block_key(record.texts_key, "texts", 0)
            found[name] = {f"{key.rpartition('/')[0]}/" for key in (latents, texts)}
            assert all(key.startswith(ENCODINGS) for key in found[name])
    return found
