"""Finding the image that a metadata file means by a name."""

import posixpath
import unicodedata

from .keys import Keys


class Names:
    """Images by the names that people, programs and other systems have given them."""

    def __init__(self, keys: Keys, roots: list[str]) -> None:
        """
        Args:
            roots: what a whole path or address of an image begins with.
        """
        self._keys, self._roots = keys, roots
        self._composed: dict[str, int | None] | None = None

    def find(self, name: str, folder: str) -> int | None:
        """Number of an image, or None.

        It is looked for as it is written; with `/` for `\\`; below the folder of the metadata file, else below the
        source; and last in Unicode's composed form, since macOS writes names decomposed.

        Args:
            name: relative to `folder`, or a whole path below the source.
            folder: of the metadata file, as its key begins: with a slash at its end, or nothing.
        """
        candidates = list(dict.fromkeys(c for n in (name, name.replace("\\", "/")) for c in self._keys_of(n, folder)))
        for key in candidates:
            if (item := self._keys.find(key)) is not None:
                return item
        for key in candidates:
            if (item := self._by_composed().get(unicodedata.normalize("NFC", key))) is not None:
                return item
        return None

    def _keys_of(self, name: str, folder: str) -> list[str]:
        for root in self._roots:
            if name.startswith(f"{root}/"):
                return _both_forms("", name[len(root) + 1 :])
        return [] if name.startswith("/") else [*_both_forms(folder, name), *_both_forms("", name)]

    def _by_composed(self) -> dict[str, int | None]:
        """Images by their names in composed form; None where two have the same."""
        if self._composed is None:
            self._composed = {}
            for item in range(len(self._keys)):
                name = unicodedata.normalize("NFC", self._keys[item])
                self._composed[name] = None if name in self._composed else item
        return self._composed


def _both_forms(folder: str, name: str) -> list[str]:
    """The name as it is written, else without its doubled slashes; those of keys, which mean something on S3, stay."""
    return [_resolved(folder + form) for form in (name, posixpath.normpath(name))]


def _resolved(key: str) -> str:
    parts: list[str] = []
    for part in key.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)
