"""The files of a source that count, of whatever layout, on whatever store; and what was passed over, by reason."""

import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

from ...store import Stat, Store
from ...store.directory import DirectoryStore
from .hidden import hidden_part, is_hidden
from .keys import shown
from .own_data import OwnData, is_root, root_of

_HELD = 20_000
"""Files of a source that are kept in memory between two looks at it; a larger one is listed again."""
_NAMED = 3


class PassedOver:
    """What of a source is not taken, counted by reason, with the first names of each."""

    def __init__(self) -> None:
        self._count = Counter[str]()
        self._first: dict[str, list[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._count)

    def add(self, reason: str, key: str) -> None:
        self._count[reason] += 1
        self._first[reason] = sorted([*self._first.get(reason, []), shown(key)])[:_NAMED]

    def join(self, other: "PassedOver") -> None:
        """Take in what another has counted."""
        self._count += other._count
        for reason, first in other._first.items():
            self._first[reason] = sorted([*self._first.get(reason, []), *first])[:_NAMED]

    def __str__(self) -> str:
        parts = []
        for reason, count in sorted(self._count.items()):
            more = ", ..." if count > _NAMED else ""
            parts.append(f"{count} {reason} ({', '.join(self._first[reason])}{more})")
        return "; ".join(parts)


class SourceTree:
    """Files below a source's root: regular ones that are not hidden and not Unecho's own.

    Attributes:
        store: where they are.
        passed_over: everything else.
        notes: what a user should know, a line each.
    """

    def __init__(self, store: Store, root: Store | None = None) -> None:
        """Look at all of it once.

        Args:
            root: the store that the run keeps its own data in.

        Raises:
            Fatal: the source lies inside of what Unecho keeps, or a folder of it cannot be read; names it.
        """
        self.store, self.passed_over = store, PassedOver()
        self._own = OwnData(store, root)
        self.notes = list(self._own.notes)
        self._roots = list(self._own.inside)
        self._held: list[Stat] | None = None
        if isinstance(store, DirectoryStore):
            files = self._of_directory(store, self.passed_over)
        else:
            listed = store.list("")
            held = list(islice(listed, _HELD))
            self._find_roots(chain(held, listed))
            files = self._of_bucket(held if len(held) < _HELD else store.list(""), self.passed_over)
        some = list(islice(files, _HELD))
        if len(some) < _HELD:
            self._held = some
        else:
            deque(files, maxlen=0)

    def files(self) -> Iterator[Stat]:
        """The files, sorted by key."""
        if self._held is not None:
            return iter(self._held)
        if isinstance(self.store, DirectoryStore):
            return self._of_directory(self.store, PassedOver())
        return self._of_bucket(self.store.list(""), PassedOver())

    def _of_directory(self, store: DirectoryStore, passed_over: PassedOver) -> Iterator[Stat]:
        def wanted(key: str, is_folder: bool, is_link: bool) -> bool:
            if is_hidden(key.rpartition("/")[2]):
                passed_over.add(_hidden(is_folder), key)
            elif key in self._roots or self._is_own(store.path(key), is_folder, is_link, at_top="/" not in key):
                passed_over.add(_own(is_folder), key)
            else:
                return True
            return False

        return store.walk("", wanted, passed_over.add)

    def _is_own(self, path: Path, is_folder: bool, is_link: bool, at_top: bool) -> bool:
        try:
            if is_folder and is_root(path):
                return True
        except OSError:  # told where it is entered
            return False
        if not (is_link or (is_folder and at_top)):
            return False  # it lies in what was looked at before
        real = Path(os.path.realpath(path))
        return bool(self._own.kept_below(real if is_folder else real.parent))

    def _find_roots(self, stats: Iterable[Stat]) -> None:
        roots = {root for stat in stats if (root := root_of(stat.key)) is not None}
        self._roots += sorted(roots - {""}) + (["runs", "classifiers"] if "" in roots else [])

    def _of_bucket(self, stats: Iterable[Stat], passed_over: PassedOver) -> Iterator[Stat]:
        before = ""
        for stat in stats:
            hidden, root = hidden_part(stat.key), self._root_above(stat.key)
            if hidden is None and root is None:
                yield stat
                continue
            # keys below one folder stand beside each other: it counts once, as in a directory
            passed = min((part for part in (hidden, root) if part is not None), key=len)
            if passed != before:
                passed_over.add(_own(True) if passed == root else _hidden(passed != stat.key), passed)
            before = passed

    def _root_above(self, key: str) -> str | None:
        return next((root for root in self._roots if key.startswith(f"{root}/")), None)


def _own(is_folder: bool) -> str:
    return f"{'folders' if is_folder else 'files'} of Unecho's own data"


def _hidden(is_folder: bool) -> str:
    return f"hidden or system {'folders' if is_folder else 'files'}"
