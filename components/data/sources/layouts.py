"""From the data section to a source, by its layout."""

import os
from collections import Counter
from typing import Literal

from ...config.fields import Data
from ...failure import Fatal
from ...store import Stat, Store, open_store
from ...store.directory import DirectoryStore
from ..file_kinds import HEAD, image_format, kind_of
from ..image import SUFFIXES
from .arrays import DigitsSource
from .cifar import CifarSource, is_cifar, named_cifar
from .idx import IdxSource, is_idx, named_idx
from .images import ImagesSource
from .openclipart import OpenclipartSource, is_drawing, is_openclipart
from .source import Source
from .tree import SourceTree
from .webdataset import SHARD, WebDatasetSource

Layout = Literal["images", "openclipart", "webdataset", "cifar10", "cifar100", "idx"]
_TRIED = 20
"""Files of each layout's names whose content is looked at."""


def open_source(data: Data, root: Store | None = None) -> Source:
    """Open what data.source names.

    Args:
        root: the store that the run keeps its own data in; nothing of that is ever an image.

    Raises:
        Fatal: it does not exist, holds nothing, or is not of its layout; one line.
    """
    if data.layout == "digits" or (data.layout == "auto" and data.source == "digits"):
        if data.source != "digits":
            raise Fatal(f"data.layout: digits is scikit-learn's own: set data.source=digits, not '{data.source}'")
        _refuse_test(data, "digits")
        _refuse_columns(data, "digits")
        return DigitsSource()
    store = open_store(data.source)
    if isinstance(store, DirectoryStore):
        _check_directory(data, store)
    tree = SourceTree(store, root)
    layout = data.layout if data.layout != "auto" else _found_layout(tree)
    if layout not in ("images", "webdataset"):
        _refuse_columns(data, layout)
    match layout:
        case "cifar10":
            return CifarSource(tree, "cifar10", data.official_test)
        case "cifar100":
            return CifarSource(tree, "cifar100", data.official_test)
        case "idx":
            return IdxSource(tree, data.official_test)
        case "openclipart":
            _refuse_test(data, layout)
            return OpenclipartSource(tree, data)
        case "webdataset":
            _refuse_test(data, layout)
            return WebDatasetSource(tree, data)
        case _:
            _refuse_test(data, "images")
            return ImagesSource(tree, data)


def _check_directory(data: Data, store: DirectoryStore) -> None:
    path = store.path("")
    try:
        is_directory = path.is_dir()
        if is_directory or not path.exists():
            kind = None
        else:
            with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                head = file.read(HEAD) or b""
            kind = kind_of(head) or image_format(head) or "a file"
    except OSError as error:
        raise Fatal(f"data.source: {store.url}: {(error.strerror or str(error)).lower()}") from None
    if kind is not None:
        needed = "the directory of the shards" if path.suffix.lower() == SHARD else "a directory of images"
        raise Fatal(f"data.source: {store.url}: not a directory, but {kind}; {needed} is needed")
    if not is_directory:
        raise Fatal(f"data.source: {data.source}: no such directory (looked at {store.url})")


def _found_layout(tree: SourceTree) -> Layout:
    """By the names of all files, and the content of those that are called like another layout's."""
    images, shards, named, drawings = 0, 0, dict[Layout, list[str]](), list[Stat]()
    for stat in tree.files():
        if layout := _named_layout(stat.key):
            named.setdefault(layout, []).append(stat.key)
        elif os.path.splitext(stat.key)[1].lower() in SUFFIXES:
            images += 1
        elif is_drawing(stat.key):
            drawings += [stat] if len(drawings) < _TRIED else []
        else:
            shards += stat.key.lower().endswith(SHARD)
    if images and any(is_openclipart(tree.store, drawing) for drawing in drawings):
        return "openclipart"
    held = Counter[Layout](
        {layout: len(keys) for layout, keys in named.items() if any(_is(tree.store, layout, k) for k in keys[:_TRIED])}
    )
    if shards and images:
        tree.notes.append(f"{shards} tar files are passed over: data.layout=webdataset reads them")
    if not held:
        if shards and not images:
            return "webdataset"
        # without an image, a file that is called like another layout's is named as what it is not
        return "images" if images or not named else next(iter(named))
    (layout, count), *others = held.most_common()
    for other, files in others:
        tree.notes.append(f"{files} files of {other}'s layout are passed over: data.layout={other} reads them")
    if images > count:
        tree.notes.append(f"{count} files of {layout}'s layout are passed over: data.layout={layout} reads them")
        return "images"
    if images:
        tree.notes.append(f"{images} image files are passed over: data.layout=images reads them")
    return layout


def _named_layout(key: str) -> Layout | None:
    if named_cifar(key, "cifar10"):
        return "cifar10"
    if named_cifar(key, "cifar100"):
        return "cifar100"
    return "idx" if named_idx(key) else None


def _is(store: Store, layout: Layout, key: str) -> bool:
    if layout == "idx":
        return is_idx(store, key)
    return layout in ("cifar10", "cifar100") and is_cifar(store, key, layout)


def _refuse_test(data: Data, layout: str) -> None:
    if data.official_test:
        raise Fatal(
            f"data.official_test: true needs a test file, layout {layout} has none (cifar10, cifar100 and idx have): "
            "set data.official_test=false and data.held_out"
        )


def _refuse_columns(data: Data, layout: str) -> None:
    for field in ("split_column", "caption_column"):
        if (column := getattr(data, field)) is not None:
            raise Fatal(f"data.{field}: {column}: layout {layout} has no metadata files with columns")
