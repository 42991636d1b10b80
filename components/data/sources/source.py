"""What the packing asks of a source of images."""

import hashlib
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ...store import Stat, Store
from ..image import Fit


@dataclass(frozen=True)
class Decoded:
    """Some samples of a source, in order.

    Attributes:
        items: the samples' numbers in the source.
        images: uint8 [n, C, H, W], the bad ones left out.
        digests: uint8 [n, 32], SHA-256 of each image's pixels.
        bad: (number in the source, reason) of the images left out, ascending.
    """

    items: range
    images: NDArray[np.uint8]
    digests: NDArray[np.uint8]
    bad: list[tuple[int, str]]


class Place(NamedTuple):
    """Where the bytes of an image are.

    Attributes:
        key: of the object.
        start, size: where in it; None for all of it.
    """

    key: str
    start: int = 0
    size: int | None = None


@dataclass(frozen=True)
class Located:
    """The images of a source as files, or as parts of files, which any process can read and decode.

    Attributes:
        store: where they are.
        place: of an image, by its number.
        count, total_bytes: of all of them.
    """

    store: Store
    place: Callable[[int], Place]
    count: int
    total_bytes: int

    def places(self, items: range) -> list[Place]:
        return [self.place(item) for item in items]


class Source(Protocol):
    """Images in a fixed order, numbered 0..count-1.

    Attributes:
        layout: the layout it was found to have.
        address: where it is, for messages; `address/name` says where one sample is.
        fingerprint: hash of key, size and tag of every object that counts.
        count: samples.
        labels: int32 [count], -1 for none.
        label_names: name of label i.
        notes: what a user should know about the source, a line each.
        groups: int64 [count], the same for images with one value of data.split_column, -1 for none; None where no
            column is asked for.
        test: bool [count], the records of an official test file; None where the source was opened without it.
        located: the images as files; None where the source holds them as arrays.
    """

    layout: str
    address: str
    fingerprint: str
    count: int
    labels: NDArray[np.int32]
    label_names: list[str]
    notes: list[str]
    groups: NDArray[np.int64] | None
    test: NDArray[np.bool_] | None

    @property
    def located(self) -> Located | None: ...

    def native(self, own: bool = False) -> tuple[int, int]:
        """Channels and resolution that the data set has where they are `auto`.

        Args:
            own: take the images' own size where all that are looked at are square and of one, whatever it is.
        """

    def name(self, item: int) -> str:
        """A sample's name: its source object's key, with its number where the object holds many."""

    def captions(self, item: int) -> tuple[str, ...]:
        """A sample's captions, none of them blank."""

    def files(self, sizes: Collection[int]) -> Iterator[tuple[int, bytes]]:
        """Samples that are a file by themselves, or a member of an archive, of one of these sizes: the sample's number,
        and all of the file; none where samples are records of a file.
        """

    def decode(self, wanted: Iterable[range], fit: Fit, workers: int) -> Generator[Decoded, None, None]:
        """Decode the wanted ranges, in order, each as one `Decoded`, in bounded memory.

        Args:
            wanted: small, each for one go.
            workers: processes, 0 for one a core.
        """


class Fingerprint:
    """Hash over the objects of a source, in sorted order of their keys."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, stat: Stat) -> None:
        self._hash.update(b"%d:%b %d %d:%b\n" % _netstring(stat))

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def _netstring(stat: Stat) -> tuple[int, bytes, int, int, bytes]:
    key, etag = stat.key.encode("utf-8", "surrogateescape"), stat.etag.encode()
    return len(key), key, stat.size, len(etag), etag
