"""What a source holds instead of what was asked for."""

import os
from itertools import islice

from ..file_kinds import HEAD, Kind, image_format, kind_of
from ..image import SUFFIXES
from .keys import shown
from .tree import SourceTree

_LOOKED_AT = 50
_NAMED = 3


def found_in(tree: SourceTree) -> str:
    """The end of a line on a source that holds nothing of its layout: what it holds by its files' first bytes."""
    kinds = dict[str, tuple[str, int]]()
    for stat in islice(tree.files(), _LOOKED_AT):
        head = bytearray(min(stat.size, HEAD))
        tree.store.read_into(stat.key, 0, memoryview(head))
        kind = _described(stat.key, bytes(head))
        first, count = kinds.get(kind, (shown(stat.key), 0))
        kinds[kind] = first, count + 1
    found = [
        f"{first}{f' and {count - 1} more' if count > 1 else ''}: {kind}" for kind, (first, count) in kinds.items()
    ]
    more = ["..."] if len(found) > _NAMED else []
    passed_over = f"; passed over: {tree.passed_over}" if tree.passed_over else ""
    return f" (found {'; '.join([*found[:_NAMED], *more]) or 'nothing'}{passed_over})"


def _described(key: str, head: bytes) -> str:
    name = key.rpartition("/")[2]
    if image := image_format(head):
        suffixed = os.path.splitext(name)[1].lower() in SUFFIXES
        return f"a {image} image{'' if suffixed else ' by its first bytes: give it the suffix'}"
    kind = kind_of(head)
    if kind is None:
        return "of a kind that is not known"
    if kind.name == "a Python pickle" and name.startswith(
        ("data_batch", "test_batch", "train", "test", "meta", "batches")
    ):
        return f"{kind.name}: CIFAR is read in its binary version, cifar-10-binary.tar.gz or cifar-100-binary.tar.gz"
    return str(_unpacking(name, kind))


def _unpacking(name: str, kind: Kind) -> Kind:
    """An archive of CIFAR's Python version would be a pickle when it is unpacked."""
    if kind.advice == "unpack it" and name.startswith("cifar") and "python" in name:
        return Kind(kind.name, "that holds pickles; take CIFAR's binary version (cifar-10-binary.tar.gz) and unpack it")
    return kind
