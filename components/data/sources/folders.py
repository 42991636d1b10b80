"""From folders to class labels: folders that name a split (train, test) are no classes."""

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass

_DECORATED = r"(?:\w+[-_ ])??(?:{})(?:[-_ ]?(?:\d+|set|split|data|images|imgs))*"
_TRAIN = re.compile(_DECORATED.format("train|training"), re.IGNORECASE)
_HELD_OUT = re.compile(
    _DECORATED.format("test|testing|val|valid|validation|dev|eval|evaluation|held[-_ ]?out|holdout"), re.IGNORECASE
)


@dataclass(frozen=True)
class Classes:
    """What folders say about the images in them.

    Attributes:
        names: of the classes, sorted.
        label: of each folder, -1 for none.
        held_out: the folders that are, or lie in, a split that others keep for testing.
    """

    names: list[str]
    label: list[int]
    held_out: list[bool]


def classes_of(folders: Sequence[str]) -> Classes:
    """Labels of folders that hold images: each has the name of its last part that is no split; no labels where all
    would have one.

    Among the folders beside each other, those called like a split are taken for one where all are called so, or where
    there is a training one as well as a held-out one: `train` beside `car` and `bus` is a class.

    Args:
        folders: their keys, `` for the source itself.
    """
    children = dict[str, set[str]]()
    for folder in folders:
        parts = folder.split("/") if folder else []
        for depth, part in enumerate(parts):
            children.setdefault("/".join(parts[:depth]), set()).add(part)
    splits = {f"{above}/{name}" if above else name for above, names in children.items() for name in _splits(names)}
    names = [_class(folder, splits) for folder in folders]
    ordered = sorted(set(names) - {""}, key=lambda name: name.encode("utf-8", "surrogateescape"))
    if len(set(names)) < 2:
        ordered = []
    number = {name: label for label, name in enumerate(ordered)}
    label = [number.get(name, -1) for name in names]
    return Classes(ordered, label, [_in_held_out(folder) for folder in folders])


def _splits(names: set[str]) -> set[str]:
    train = {name for name in names if _TRAIN.fullmatch(name)}
    held_out = {name for name in names if _HELD_OUT.fullmatch(name)}
    found = train | held_out
    return found if found == names or (train and held_out) else set()


def _class(folder: str, splits: set[str]) -> str:
    while folder in splits:
        folder = posixpath.dirname(folder)
    return posixpath.basename(folder)


def _in_held_out(folder: str) -> bool:
    return any(_HELD_OUT.fullmatch(part) for part in folder.split("/"))
