"""WebDataset: samples in tar shards (https://github.com/webdataset/webdataset), in a directory or below a prefix.

The members of a sample are called alike up to the first dot of their names: 0001.jpg, 0001.txt, 0001.json, 0001.cls.
"""

import json
import re
from array import array
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...config.fields import Data
from ...failure import Fatal
from ...store import Stat, Store
from ..decoding import MOST_AHEAD, decode_files, read_ahead
from ..image import SUFFIXES, Fit
from .auto_shape import auto_shape, spread_items
from .columns import CaptionColumn, GroupColumn
from .contents import found_in
from .keys import Keys, shown
from .metadata import Entry
from .shards import Member, Shard
from .source import Decoded, Fingerprint, Located, Place
from .texts import CaptionTable, as_text, captions_in_file
from .tree import PassedOver, SourceTree

SHARD = ".tar"
"""Lower-case ending of a shard's name."""
LABEL_COLUMNS = ("label", "class", "cls")
"""Fields of a sample's .json that are its label, the first that is there."""
_TEXTS = ("txt", "caption")
_READ = frozenset({*_TEXTS, "json", "cls"})
_WHOLE = re.compile(r"-?\d+")
_THREADS = 8


@dataclass
class _Sample:
    """What a shard holds of one sample.

    Attributes:
        image: None where it has none.
        texts: contents of its other members, by suffix.
    """

    image: Member | None = None
    texts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Taken:
    """A sample with an image.

    Attributes:
        label, group: empty for none.
    """

    image: Member
    captions: tuple[str, ...]
    label: str
    group: str


class WebDatasetSource:
    """Samples of tar shards, in the order of the shards' names and of the images in each.

    Only headers and texts are read to list them; images are read by their places. Other members are passed over and
    counted in the notes.
    """

    layout: str = "webdataset"
    groups: NDArray[np.int64] | None = None
    test: NDArray[np.bool_] | None = None

    def __init__(self, tree: SourceTree, data: Data) -> None:
        """
        Raises:
            Fatal: no shard, no image in them, one that is damaged or compressed, a sample with two images, a text that
                does not fit; names shard and member.
        """
        self._store, self.address = tree.store, tree.store.url
        shards, others, fingerprint = list[Stat](), PassedOver(), Fingerprint()
        for stat in tree.files():
            if stat.key.lower().endswith(SHARD):
                shards.append(stat)
                fingerprint.add(stat)
            else:
                others.add("files that are no .tar", stat.key)
        if not shards:
            raise Fatal(
                f"data.source: {self.address}: no tar shards there{found_in(tree)}: data.layout webdataset needs files "
                "called like 00000.tar"
            )
        self.fingerprint = fingerprint.hexdigest()
        self._shards = [stat.key for stat in shards]
        self._names, self._captions = Keys(), CaptionTable()
        self._shard_of, self._start, self._size = array("i"), array("q"), array("q")
        labels, groups = dict[str, int](), dict[str, int]()
        label, group = array("i"), array("q")
        reader = _Reader(tree.store, data)
        for number, (taken, passed_over) in enumerate(_indexed(tree.store, shards, reader)):
            others.join(passed_over)
            for sample in taken:
                self._names.append(f"{self._shards[number]}/{sample.image.name}")
                self._captions.append(sample.captions)
                self._shard_of.append(number)
                self._start.append(sample.image.start)
                self._size.append(sample.image.size)
                label.append(labels.setdefault(sample.label, len(labels)) if sample.label else -1)
                group.append(groups.setdefault(sample.group, len(groups)) if sample.group else -1)
        self.count, self._bytes = len(self._names), sum(self._size)
        found = "; ".join(str(some) for some in (tree.passed_over, others) if some)
        if not self.count:
            raise Fatal(
                f"data.source: {self.address}: no image in {len(shards)} tar shards ({found or 'all empty'}): a "
                "sample needs one called like 0001.jpg"
            )
        reader.check(self.address)
        self._set_labels(labels, np.frombuffer(label, np.int32))
        if data.split_column is not None:
            self.groups = np.frombuffer(group, np.int64)
        captioned = self._captions.captioned
        self.notes = list(tree.notes)
        if captioned < self.count and captioned and data.captions == "auto":
            self.notes.append(f"{self.count - captioned} of {self.count} images have no caption")
        if found:
            self.notes.append(f"passed over: {found}")

    @property
    def located(self) -> Located:
        return Located(self._store, self._place, self.count, self._bytes)

    def native(self, own: bool = False) -> tuple[int, int]:
        items = spread_items(np.frombuffer(self._shard_of, np.int32))
        addresses = [f"{self.address}/{self.name(item)}" for item in items]
        return auto_shape(self._store, [self._place(item) for item in items], addresses, own)

    def name(self, item: int) -> str:
        return self._names.shown(item)

    def captions(self, item: int) -> tuple[str, ...]:
        return self._captions[item]

    def files(self, sizes: Collection[int]) -> Iterator[tuple[int, bytes]]:
        items = np.flatnonzero(np.isin(np.frombuffer(self._size, np.int64), list(sizes))).tolist()
        return zip(items, read_ahead(self._store, [self._place(item) for item in items], MOST_AHEAD), strict=True)

    def decode(self, wanted: Iterable[range], fit: Fit, workers: int) -> Generator[Decoded, None, None]:
        return decode_files(self.located, wanted, fit, workers)

    def _place(self, item: int) -> Place:
        return Place(self._shards[self._shard_of[item]], self._start[item], self._size[item])

    def _set_labels(self, found: dict[str, int], label: NDArray[np.int32]) -> None:
        """Labels numbered in the order of their numbers, where all are numbers, else of their names."""
        whole = all(_WHOLE.fullmatch(name) for name in found)
        names = sorted(found, key=lambda name: (int(name) if whole else 0, name))
        number = np.full(len(found) + 1, -1, np.int32)  # the last one is that of -1
        number[[found[name] for name in names]] = np.arange(len(names))
        self.label_names, self.labels = names, number[label]


_Index = tuple[list[_Taken], PassedOver]


def _indexed(store: Store, shards: list[Stat], reader: "_Reader") -> Iterator[_Index]:
    """The samples of each shard, in order; several shards of a distant store at once."""
    if not store.distant:
        yield from map(reader.samples, shards)
        return
    with ThreadPoolExecutor(min(_THREADS, len(shards))) as pool:
        try:
            yield from pool.map(reader.samples, shards)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class _Reader:
    """Reads what shards hold, as far as the configuration asks for it."""

    def __init__(self, store: Store, data: Data) -> None:
        self._store, self._lines = store, data.text_lines
        self._column = None if data.captions == "none" else CaptionColumn(data.caption_column)
        self._column_first = data.caption_column is not None
        self._group = None if data.split_column is None else GroupColumn(data.split_column)
        self._labelled = data.labels != "none" or data.captions == "labels"
        self._wanted = frozenset(
            suffix
            for suffix, wanted in {
                "cls": self._labelled,
                "json": self._labelled or self._column or self._group,
                **dict.fromkeys(_TEXTS, self._column),
            }.items()
            if wanted
        )
        self._grouped = False

    def check(self, address: str) -> None:
        """Whether the columns that were asked for were there."""
        nothing = f"{address}: no .json in its shards that could have such a column"
        if self._column:
            self._column.check(nothing)
        if self._group and not self._grouped:
            raise Fatal(f"data.split_column: {self._group.column}: {nothing}")

    def samples(self, stat: Stat) -> _Index:
        """The samples of a shard that have an image, and what was passed over."""
        passed_over = PassedOver()
        shard, samples = Shard(self._store, stat, passed_over.add), dict[str, _Sample]()
        for member in shard.members():
            folder, slash, name = member.name.rpartition("/")
            stem, _, suffix = name.partition(".")
            key, suffix, place = f"{folder}{slash}{stem}", suffix.lower(), f"{shard.address}/{shown(member.name)}"
            if f".{suffix}" in SUFFIXES:
                sample = samples.setdefault(key, _Sample())
                if sample.image is not None:
                    raise Fatal(f"{place}: the second image of sample {shown(key)}, after {shown(sample.image.name)}")
                sample.image = member
            elif suffix in _READ:
                sample = samples.setdefault(key, _Sample())
                if suffix in sample.texts:
                    raise Fatal(f"{place}: the second .{suffix} of sample {shown(key)}")
                sample.texts[suffix] = as_text(shard.read(member), place) if suffix in self._wanted else ""
            else:
                passed_over.add(f".{suffix} in archives" if suffix else "without a suffix", f"{stat.key}/{member.name}")
        taken = list[_Taken]()
        for key, sample in samples.items():
            if sample.image is None:
                passed_over.add("texts in archives without an image", f"{stat.key}/{key}.{next(iter(sample.texts))}")
            else:
                taken.append(self._taken(sample.image, sample.texts, f"{shard.address}/{shown(key)}", passed_over.add))
        taken.sort(key=lambda sample: sample.image.start)
        return taken, passed_over

    def _taken(self, image: Member, texts: dict[str, str], place: str, pass_over: Callable[[str, str], None]) -> _Taken:
        entry = None
        if texts.get("json"):
            entry = _entry(texts["json"], f"{place}.json")
        captions, label, group = tuple[str, ...](), "", ""
        if self._column:
            of_json = self._column.captions(entry, entry.place) if entry else None
            of_text = next((some for s in _TEXTS if (some := captions_in_file(texts.get(s, ""), self._lines))), ())
            captions = (of_json or of_text) if self._column_first else (of_text or of_json or ())
        if self._labelled:
            label = texts.get("cls", "").strip() or (_label(entry) if entry else "")
        if self._group and entry:
            group, self._grouped = self._group.value(entry, entry.place), True
        return _Taken(image, captions, label, group)


def _entry(text: str, place: str) -> Entry | None:
    """The fields of a sample's .json; None where it holds no object, as annotations may."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise Fatal(f"{place}{line}: not JSON: {error}") from None
    return Entry(place, fields) if isinstance(fields, dict) else None


def _label(entry: Entry) -> str:
    found = entry.first(LABEL_COLUMNS)
    value: Any = found[1] if found else None
    if value is None:
        return ""
    if isinstance(value, dict | list):
        raise Fatal(f"{entry.place}: {found[0] if found else ''} {value!r} is not one label: set data.labels=none")
    return str(value).strip()
