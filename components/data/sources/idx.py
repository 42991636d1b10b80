"""IDX files, the format of MNIST and its descendants such as Fashion-MNIST (http://yann.lecun.com/exdb/mnist/).

Big-endian: two zero bytes, the type (8 is unsigned bytes), the number of dimensions, each dimension in four bytes,
then the values. Plain or gzipped. Only the training file is read, or the test file after it, as with CIFAR.
"""

import gzip
import re
import zlib
from collections.abc import Generator, Iterable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from ...failure import Fatal
from ...store import Stat, Store
from ..file_kinds import HEAD, kind_of
from ..image import Fit
from .arrays import RecordFiles, decode_arrays
from .contents import found_in
from .source import Decoded, Fingerprint
from .tree import SourceTree

_IMAGES = re.compile(r"(.*/)?[^/]*images[.-]idx3-ubyte(\.gz)?")
_MAGIC = bytes([0, 0, 8, 3])
_GZIP = b"\x1f\x8b"
_TEST = re.compile(r"(.*/)?(t10k|test|[^/]*-test)[^/]*")


def named_idx(key: str) -> bool:
    """Whether a file is called like one of images in IDX format."""
    return _IMAGES.fullmatch(key) is not None


def is_idx(store: Store, key: str) -> bool:
    """Whether a file begins like images in IDX format, gzipped or not."""
    found = store.stat(key)
    if found is None:
        return False
    head = bytearray(min(found.size, 512))
    store.read_into(key, 0, memoryview(head))
    with suppress(zlib.error):
        return _unpacked_head(bytes(head))[:4] == _MAGIC
    return False


class IdxSource(RecordFiles):
    """The training images of an IDX source; the file is held in memory, as its users expect of such data sets."""

    layout: str = "idx"

    def __init__(self, tree: SourceTree, official_test: bool = False) -> None:
        """
        Raises:
            Fatal: no training file or several, no test file or several where it is asked for, or one that is not what
                its name says; names it.
        """
        store = tree.store
        self.address = store.url
        objects = {stat.key: stat for stat in tree.files()}
        files = [_images_file(tree, objects, test=False)]
        if official_test:
            files.append(_images_file(tree, objects, test=True))
        beside = [_labels_beside(images, objects) for images in files]
        fingerprint = Fingerprint()
        for images, labels in zip(files, beside, strict=True):
            for stat in filter(None, (images, labels)):
                fingerprint.add(stat)
        self.fingerprint = fingerprint.hexdigest()
        read = [_read(store, images.key, 3)[:, None] for images in files]
        if read[0].shape[1:] != read[-1].shape[1:]:
            raise Fatal(
                f"{store.address(files[-1].key)}: images of {read[-1].shape[2:]} pixels, "
                f"{files[0].key} has {read[0].shape[2:]}"
            )
        super().__init__(
            tree,
            [images.key for images in files],
            [len(images) for images in read],
            1,
            "only the training file is read; held-out images are split off from it",
        )
        self._images = np.concatenate(read) if official_test else read[0]
        given = [
            np.full(len(images), -1, np.int32) if labels is None else _labels(store, labels, len(images))
            for images, labels in zip(read, beside, strict=True)
        ]
        self.notes += [f"{i.key}: no labels beside it" for i, labels in zip(files, beside, strict=True) if not labels]
        self.labels = np.concatenate(given)
        self.label_names = [str(label) for label in range(int(self.labels.max(initial=-1)) + 1)]

    def native(self, own: bool = False) -> tuple[int, int]:
        return 1, min(self._images.shape[2:])

    def decode(self, wanted: Iterable[range], fit: Fit, workers: int) -> Generator[Decoded, None, None]:
        return decode_arrays(lambda items: self._images[items.start : items.stop], wanted, fit)


def _unpacked_head(head: bytes) -> bytes:
    """The first bytes of a file, less gzip."""
    while head.startswith(_GZIP):
        head = zlib.decompressobj(wbits=31).decompress(head, 512)
    return head


def _images_file(tree: SourceTree, objects: dict[str, Stat], test: bool) -> Stat:
    """The one training or test file; a plain one goes before its gzipped copy."""
    store = tree.store
    found = [key for key in objects if named_idx(key) and (_TEST.fullmatch(key) is not None) == test]
    found = [key for key in found if key.removesuffix(".gz") == key or key.removesuffix(".gz") not in found]
    if not found and test:
        raise Fatal(
            f"data.official_test: {store.url}: no t10k-images-idx3-ubyte(.gz): put it there, or set "
            "data.official_test=false"
        )
    if not found:
        raise Fatal(
            f"data.source: {store.url}: no train-images-idx3-ubyte(.gz): data.layout idx needs it{found_in(tree)}"
        )
    if len(found) > 1:
        raise Fatal(
            f"data.source: {store.url}: several IDX files: {', '.join(sorted(found)[:5])}: keep one of them there"
        )
    return objects[found[0]]


def _labels(store: Store, labels: Stat, images: int) -> NDArray[np.int32]:
    read = _read(store, labels.key, 1).astype(np.int32)
    if len(read) != images:
        raise Fatal(f"{store.address(labels.key)}: {len(read)} labels for {images} images")
    return read


def _labels_beside(images: Stat, objects: dict[str, Stat]) -> Stat | None:
    folder, slash, name = images.key.rpartition("/")
    labels = folder + slash + name.replace("images", "labels").replace("idx3", "idx1").removesuffix(".gz")
    return objects.get(labels) or objects.get(f"{labels}.gz")


def _read(store: Store, key: str, dimensions: int) -> NDArray[np.uint8]:
    data = store.get(key)
    while data.startswith(_GZIP):  # whatever the name says: browsers unpack, and servers pack once more
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise Fatal(f"{store.address(key)}: not a whole gzip file: {error}") from None
    head = 4 + 4 * dimensions
    if data[:4] != bytes([0, 0, 8, dimensions]) or len(data) < head:
        kind = kind_of(data[:HEAD])
        raise Fatal(
            f"{store.address(key)}: not an IDX file of unsigned bytes in {dimensions} dimensions"
            f"{f', but {kind}' if kind else ''}"
        )
    shape = tuple(np.frombuffer(data, ">u4", dimensions, 4).tolist())
    expected = head + int(np.prod(shape, dtype=np.int64))
    if len(data) != expected or 0 in shape:
        raise Fatal(f"{store.address(key)}: {len(data)} bytes, its header of shape {shape} says {expected}")
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)
