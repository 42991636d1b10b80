"""A tree of image files in a directory or below a bucket's prefix: listed once, then streamed."""

import posixpath
from array import array
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from ...config.fields import Data
from ...failure import Fatal
from ...store import Stat
from ..decoding import MOST_AHEAD, decode_files, read_ahead
from ..image import SUFFIXES, Fit
from .auto_shape import auto_shape, spread_items
from .captions import METADATA, Captions
from .contents import found_in
from .folders import classes_of
from .keys import Keys, shown
from .source import Decoded, Fingerprint, Located, Place
from .tree import PassedOver, SourceTree

_FOLDERS_NAMED = 3


class ImagesSource:
    """Images in any nesting of folders. Label = name of the image's own folder, or of the one above a split (train,
    test); captions from metadata files and from text files beside images.

    Hidden files and files without an image's suffix are passed over and counted in the notes.
    """

    layout: str = "images"
    groups: NDArray[np.int64] | None
    test: NDArray[np.bool_] | None = None

    def __init__(self, tree: SourceTree, data: Data) -> None:
        """List the source.

        Raises:
            Fatal: no image in it, a metadata file that does not fit, or none with a column that is asked for; names it.
        """
        self._store, self.address, self.notes = tree.store, tree.store.url, list(tree.notes)
        self._keys, self._sizes = Keys(), array("q")
        fingerprint, others, metadata = Fingerprint(), PassedOver(), list[str]()
        texts = list[Stat]()
        folders, folder_of = dict[str, int](), array("i")
        for stat in tree.files():
            kind = _kind(stat.key)
            if kind == "image":
                self._keys.append(stat.key)
                folder_of.append(folders.setdefault(posixpath.dirname(stat.key), len(folders)))
                self._sizes.append(stat.size)
            elif kind == "metadata":
                metadata.append(stat.key)
            elif kind == ".txt":
                texts.append(stat)
                continue
            else:
                others.add(kind, stat.key)
                continue
            fingerprint.add(stat)
        self.count = len(self._keys)
        if not self.count:
            raise Fatal(
                f"data.source: {self.address}: no images there{found_in(tree)}: it needs {' '.join(sorted(SUFFIXES))}"
            )
        self._set_labels(list(folders), np.frombuffer(folder_of, np.int32))
        for field in ("split_column", "caption_column"):
            if (column := getattr(data, field)) is not None and not metadata:
                raise Fatal(
                    f"data.{field}: {column}: {self.address}: no metadata file there ({', '.join(sorted(METADATA))}) "
                    "that could have such a column"
                )
        self._set_captions(data, metadata, texts, fingerprint, others)
        self.fingerprint = fingerprint.hexdigest()
        passed_over = [str(passed) for passed in (tree.passed_over, others) if passed]
        if passed_over:
            self.notes.append(f"passed over: {'; '.join(passed_over)}")

    @property
    def located(self) -> Located:
        return Located(self._store, lambda item: Place(self._keys[item]), self.count, sum(self._sizes))

    def native(self, own: bool = False) -> tuple[int, int]:
        items = spread_items(self._folder_of)
        addresses = [self._store.address(self._keys[item]) for item in items]
        return auto_shape(self._store, [Place(self._keys[item]) for item in items], addresses, own)

    def name(self, item: int) -> str:
        return self._keys.shown(item)

    def captions(self, item: int) -> tuple[str, ...]:
        return self._captions[item] if self._captions else ()

    def files(self, sizes: Collection[int]) -> Iterator[tuple[int, bytes]]:
        items = np.flatnonzero(np.isin(np.frombuffer(self._sizes, np.int64), list(sizes))).tolist()
        return zip(items, read_ahead(self._store, [Place(self._keys[item]) for item in items], MOST_AHEAD), strict=True)

    def decode(self, wanted: Iterable[range], fit: Fit, workers: int) -> Generator[Decoded, None, None]:
        return decode_files(self.located, wanted, fit, workers)

    def _set_captions(
        self, data: Data, metadata: list[str], texts: list[Stat], fingerprint: Fingerprint, others: PassedOver
    ) -> None:
        self._captions, self.groups = None, None
        wanted = data.captions != "none"
        used = set[str]()
        if (metadata and (wanted or data.split_column is not None)) or (texts and wanted):
            captions = Captions(self.count, data)
            self.notes += captions.read(self._store, metadata, self._keys)
            if data.split_column is not None:
                self.groups = captions.groups
            if wanted:
                used = captions.read_beside(self._store, [text.key for text in texts], self._keys)
            if captioned := captions.table.captioned:
                self._captions = captions.table
            if used:
                self.notes.append(f"{len(used)} captions are text files beside their images")
            if (missing := self.count - captioned) and (captioned or metadata) and data.captions == "auto":
                self.notes.append(f"{missing} of {self.count} images have no caption")
        for text in texts:
            if text.key in used:
                fingerprint.add(text)
            else:
                others.add(".txt", text.key)

    def _set_labels(self, folders: list[str], folder_of: NDArray[np.int32]) -> None:
        """Folders to labels: numbered in order of their names; no labels where one folder holds all."""
        classes = classes_of(folders)
        self._folder_of = folder_of
        self.label_names = [shown(name) for name in classes.names]
        self.labels = np.array(classes.label, np.int32)[folder_of]
        held_out = Counter[str]()
        for folder, count in enumerate(np.bincount(folder_of, minlength=len(folders)).tolist()):
            if classes.held_out[folder]:
                held_out[folders[folder]] += count
        if held_out and len(held_out) < len(folders):
            some = ", ".join(shown(folder) for folder in sorted(held_out)[:_FOLDERS_NAMED])
            more = ", ..." if len(held_out) > _FOLDERS_NAMED else ""
            self.notes.append(
                f"{held_out.total()} images lie in folders called like a test split ({some}{more}) and are taken like "
                "the others: to keep them apart, set data.source to the folder of the training images"
            )


def _kind(key: str) -> str:
    """`image`, `metadata`, or the suffix of a file that is neither."""
    name = posixpath.basename(key)
    if name.lower() in METADATA:
        return "metadata"
    suffix = posixpath.splitext(name)[1].lower()
    return "image" if suffix in SUFFIXES else suffix or "without a suffix"
