"""From the data section to a source, by its layout."""

from itertools import islice

from ...config.fields import Data
from ...failure import Fatal
from ...store import Store, open_store
from ...store.directory import DirectoryStore
from .arrays import DigitsSource
from .cifar import CifarSource, holds_cifar
from .idx import IdxSource, holds_idx
from .images import ImagesSource
from .source import Source

_LOOKED_AT = 1000


def open_source(data: Data) -> Source:
    """Open what data.source names.

    Raises:
        Fatal: it does not exist, holds nothing, or is not of its layout; one line.
    """
    if data.layout == "digits" or (data.layout == "auto" and data.source == "digits"):
        if data.source != "digits":
            raise Fatal(f"data.layout: digits is scikit-learn's own: set data.source=digits, not '{data.source}'")
        return DigitsSource()
    store = open_store(data.source)
    if isinstance(store, DirectoryStore) and not store.path("").is_dir():
        raise Fatal(f"data.source: {data.source}: no such directory (looked at {store.path('')})")
    match data.layout if data.layout != "auto" else _found_layout(store):
        case "cifar10":
            return CifarSource(store, "cifar10")
        case "cifar100":
            return CifarSource(store, "cifar100")
        case "idx":
            return IdxSource(store)
        case _:
            return ImagesSource(store)


def _found_layout(store: Store) -> str:
    """By the names of the first files."""
    for stat in islice(store.list(""), _LOOKED_AT):
        if holds_cifar(stat.key, "cifar10"):
            return "cifar10"
        if holds_cifar(stat.key, "cifar100"):
            return "cifar100"
        if holds_idx(stat.key):
            return "idx"
    return "images"
