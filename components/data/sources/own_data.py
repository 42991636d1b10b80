"""What Unecho itself has written near a source, and what is therefore no image of the user's.

Below a root, `runs/` holds previews and reports of generated images. Who trains in the folder of the images
(`cd photos; unecho run --preset images`) has a root inside the source; another try must not train on what the
first one generated.
"""

import os
import re
from pathlib import Path

from ...failure import Fatal
from ...store import Store
from ...store.directory import DirectoryStore

OWN = ("runs", "datasets", "classifiers")
"""Folders of a root."""
_PLAN = re.compile(r"(?:(?P<root>.*)/)?runs/[^/]+/plans/0\.json")
_MANIFEST = re.compile(r"(?:(?P<root>.*)/)?datasets/[0-9a-f]{64}\.json")
_MANIFEST_NAME = re.compile(r"[0-9a-f]{64}\.json")
_OF_DATASETS = re.compile(r"[0-9a-f]{64}|chunks|sources|progress")


def root_of(key: str) -> str | None:
    """The root, as a key prefix without a slash at its end, of which a key is a plan or a data set's manifest."""
    found = _PLAN.fullmatch(key) or _MANIFEST.fullmatch(key)
    return (found["root"] or "") if found else None


def is_root(folder: Path) -> bool:
    """Whether a directory holds a run or a data set of Unecho's.

    Raises:
        OSError: it cannot be looked into.
    """
    runs, datasets = folder / "runs", folder / "datasets"
    if runs.is_dir() and any((run / "plans" / "0.json").is_file() for run in runs.iterdir()):
        return True
    return datasets.is_dir() and any(_MANIFEST_NAME.fullmatch(entry.name) for entry in datasets.iterdir())


class OwnData:
    """Where Unecho's own data lies, as seen from a source.

    Attributes:
        inside: keys of the source, the folders that belong to this run's root.
        notes: what a user should know, a line each.
    """

    def __init__(self, source: Store, root: Store | None) -> None:
        """
        Args:
            root: the store of the run; None where there is no run yet.

        Raises:
            Fatal: the source lies where a root keeps its own data.
        """
        self.inside: list[str] = []
        self.notes: list[str] = []
        self._below: dict[Path, str] = {}
        if isinstance(source, DirectoryStore) and (folder := self.kept_below(Path(os.path.realpath(source.path(""))))):
            raise _lies_in(source, folder)
        if root is None:
            return
        here, there = _parts(source), _parts(root)
        if here[: len(there)] == there:  # the root is the source, or above it
            below = here[len(there) :]
            if below and below[0] in OWN:
                raise _lies_in(source, root.address(below[0]))
            self.inside = [] if below else list(OWN)
            what = "is the root" if not below else "lies below the root"
            self.notes = [f"the source {source.url} {what} {root.url}: what runs keep there is never read as an image"]
        elif there[: len(here)] == here:
            self.inside = ["/".join(there[len(here) :])]
            self.notes = [
                f"the root {root.url} lies inside the source {source.url}: nothing below the root is read as an image"
            ]

    def kept_below(self, folder: Path) -> str:
        """The folder of a root in which a directory lies (itself, or above it), or nothing.

        Args:
            folder: without links in it.
        """
        if folder not in self._below:
            above = folder.parent
            found = "" if above == folder else self.kept_below(above)
            self._below[folder] = found or (str(folder) if _is_kept(folder) else "")
        return self._below[folder]


def _is_kept(folder: Path) -> bool:
    """Whether a directory is a run, or one that a root keeps for itself alone; a user's own may lie in `datasets`."""
    above = folder.parent
    try:
        if above.name == "runs" and (folder / "plans" / "0.json").is_file():
            return True
        if folder.name in ("runs", "classifiers"):
            return is_root(above)
        return above.name == "datasets" and bool(_OF_DATASETS.fullmatch(folder.name)) and is_root(above.parent)
    except OSError:  # a directory above the source that may not be listed
        return False


def _lies_in(source: Store, folder: str) -> Fatal:
    return Fatal(
        f"data.source: {source.url} lies in {folder}, where Unecho keeps runs and data sets of its own: "
        "choose another source, or another --root"
    )


def _parts(store: Store) -> list[str]:
    """What two stores have in common in their first entries where one lies in the other."""
    if isinstance(store, DirectoryStore):
        return ["file", *Path(os.path.realpath(store.path(""))).parts[1:]]
    return [part for part in store.url.split("/") if part]
