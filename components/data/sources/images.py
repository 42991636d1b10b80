"""A tree of image files in a directory or below a bucket's prefix: listed once, then streamed."""

import posixpath
from array import array
from collections import Counter
from collections.abc import Generator, Iterable
from statistics import median_low

import numpy as np
from numpy.typing import NDArray

from ...failure import Fatal
from ...store import Store
from ..decoding import MOST_AHEAD, decode_keys, read_ahead
from ..image import SUFFIXES, BadImage, Fit, Header, read_header
from .captions import METADATA, Captions
from .keys import Keys
from .source import Decoded, Fingerprint

LOOKED_AT = 1000
"""Images whose headers decide about `auto` fields."""
_AUTO_RESOLUTIONS = (128, 64, 32)


class ImagesSource:
    """Images in any nesting of folders. Label = name of the image's own folder; captions from metadata files.

    Hidden files and files without an image's suffix are passed over and counted in the notes.
    """

    layout: str = "images"

    def __init__(self, store: Store) -> None:
        """List the source.

        Raises:
            Fatal: no image in it, or a metadata file that does not fit; names it.
        """
        self.address, self._store = store.url, store
        self._keys, self._bytes = Keys(), 0
        fingerprint, passed_over, metadata = Fingerprint(), Counter[str](), []
        folders, folder_of = dict[str, int](), array("i")
        for stat in store.list(""):
            kind = _kind(stat.key)
            if kind == "image":
                self._keys.append(stat.key)
                folder_of.append(folders.setdefault(posixpath.dirname(stat.key), len(folders)))
                self._bytes += stat.size
            elif kind == "metadata":
                metadata.append(stat.key)
            else:
                passed_over[kind] += 1
                continue
            fingerprint.add(stat)
        self.count, self.fingerprint = len(self._keys), fingerprint.hexdigest()
        self.notes = [_counted(passed_over)] if passed_over else []
        if not self.count:
            others = f" ({_counted(passed_over)})" if passed_over else ""
            raise Fatal(f"data.source: {store.url}: no images there{others}: it needs {' '.join(sorted(SUFFIXES))}")
        self.captions, self._captions = 0, Captions(self.count) if metadata else None
        if self._captions:
            self._captions.read(store, metadata, self._keys)
            self.captions = self._captions.count
            if missing := self.count - self.captions:
                self.notes.append(f"{missing} of {self.count} images have no caption")
        self._set_labels(list(folders), np.frombuffer(folder_of, np.int32))

    def native(self) -> tuple[int, int]:
        headers = self._look()
        shorter = median_low([header.shorter for header in headers])
        resolution = next((side for side in _AUTO_RESOLUTIONS if shorter >= side), _AUTO_RESOLUTIONS[-1])
        return 1 if all(header.grey for header in headers) else 3, resolution

    def name(self, item: int) -> str:
        return self._keys.shown(item)

    def caption(self, item: int) -> str | None:
        return self._captions[item] if self._captions else None

    def decode(self, wanted: Iterable[range], fit: Fit, workers: int) -> Generator[Decoded, None, None]:
        batches = ((items, [self._keys[item] for item in items]) for items in wanted)
        return decode_keys(self._store, batches, fit, workers, self.count, self._bytes)

    def _set_labels(self, folders: list[str], folder_of: NDArray[np.int32]) -> None:
        """Folders to labels: numbered in order of their names; no labels where one folder holds all."""
        names = [posixpath.basename(folder) for folder in folders]
        self.label_names: list[str] = []
        if len(set(names)) > 1:
            self.label_names = sorted(set(names) - {""})
        number = {name: label for label, name in enumerate(self.label_names)}
        label_of = np.array([number.get(name, -1) for name in names], np.int32)
        self.labels = label_of[folder_of]

    def _look(self) -> list[Header]:
        headers, first_bad = [], ""
        keys = [self._keys[item] for item in range(min(self.count, LOOKED_AT))]
        for key, data in zip(keys, read_ahead(self._store, keys, MOST_AHEAD), strict=True):
            try:
                headers.append(read_header(data))
            except BadImage as error:
                first_bad = first_bad or f"{self._store.address(key)}: {error}"
        if not headers:
            raise Fatal(f"data.source: none of the first {len(keys)} images can be read; {first_bad}")
        return headers


def _kind(key: str) -> str:
    """`image`, `metadata`, or in what way a file is neither."""
    name = posixpath.basename(key)
    if any(part.startswith(".") or part == "__MACOSX" for part in key.split("/")):
        return "hidden"
    if name in METADATA:
        return "metadata"
    suffix = posixpath.splitext(name)[1].lower()
    return "image" if suffix in SUFFIXES else suffix or "without a suffix"


def _counted(passed_over: Counter[str]) -> str:
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(passed_over.items()))
    return f"{passed_over.total()} files are no images and were passed over: {kinds}"
