"""Files that a configuration names and later steps read: where one lies is execution, what it holds is method."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from typing import Final

from ..config import RunConfig
from ..config.fields import FILE_FIELDS
from ..failure import Fatal
from ..store import locate_object, object_sha256
from .alignment_folder import FIELD as ALIGNMENT
from .alignment_folder import alignment_digest
from .audit_sources import SOURCES, source_fingerprints
from .base_model import named_base
from .copies import whole_digest
from .onnx_external import with_external_data

PROMPT_FILES: Final = ("sample.prompts_file", "sample.general_prompts")
"""Fields of text files that hold a prompt a line."""


def file_digests(config: RunConfig, base: Mapping[str, str] | None) -> dict[str, str]:
    """SHA-256 of the content of each file that the run will need, by its field; so each is read once, to its end.

    Of an audit also a hash of which images lie at each of its sources.

    Args:
        base: of `base_digests`.

    Raises:
        Fatal: one is missing, cannot be read, is not whole, or holds no prompts where it should; names field and file.
    """
    needed = dict(_needed(config))
    digests = {field: _digest(field, address) for field, address in needed.items()} | source_fingerprints(config)
    for field in PROMPT_FILES:
        if field in needed:
            read_prompts(field, needed[field])
    if (aligned := alignment_digest(config)) is not None:
        digests[ALIGNMENT] = aligned
    named = named_base(config)
    return digests if base is None or named is None else {named.field: whole_digest(base)} | digests


def changed_file(before: Mapping[str, str], after: Mapping[str, str]) -> str | None:
    """The first file that does not hold what it held, as "field: ...", or None."""
    for field in sorted({*before, *after}):
        was, now = (f"{digests[field][:16]}..." if field in digests else "none" for digests in (before, after))
        if before.get(field) != after.get(field):
            what = "images" if field in SOURCES else "a file"
            return f"{field}: was {what} with SHA-256 {was}, now {now}"
    return None


def check_file(config: RunConfig, files: Mapping[str, str] | None, field: str) -> None:
    """Whether a file still holds what the plan has frozen.

    Args:
        files: of the plan; None where it is older than such digests.

    Raises:
        Fatal: it does not, or cannot be read; names field and file.
    """
    address = dict(_needed(config)).get(field)
    if files is None or address is None or field not in files:
        return
    if (now := _digest(field, address)) != files[field]:
        raise Fatal(
            f"{field}: {address}: holds something else than when the run was planned: SHA-256 {now[:16]}..., "
            f"not {files[field][:16]}...: put the old file there, or start another run"
        )


def read_prompts(field: str, address: str) -> list[str]:
    """The prompts of a text file, one a line; blank lines are none.

    Raises:
        Fatal: there is none, or it is not UTF-8; names field and file.
    """
    store, key = locate_object(address)
    try:
        lines = store.get(key).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise Fatal(f"{field}: {address}: not UTF-8 text: {error.reason}") from None
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise Fatal(f"{field}: {address}: no prompt in it: write one a line")
    return prompts


def read_extractor(address: str) -> bytes | None:
    """An ONNX model with all its weights, or another file as it is; None where there is none.

    Raises:
        Fatal: weights that lie in a file beside it are missing.
    """
    store, key = locate_object(address)
    data, (folder, slash, _) = store.find(key), key.rpartition("/")
    return None if data is None else with_external_data(data, lambda name: store.find(f"{folder}{slash}{name}"))


def _needed(config: RunConfig) -> Iterator[tuple[str, str]]:
    """Field and address of each file that a step will read."""
    used = {
        "sample.prompts_file": config.sample.prompts == "file",
        "sample.general_prompts": True,
        "evaluate.inception_weights": "inception" in config.evaluate.features,
        "evaluate.onnx_model": "onnx" in config.evaluate.features,
        "evaluate.descriptor": True,
    }
    for field in FILE_FIELDS:
        section, _, name = field.partition(".")
        address = getattr(getattr(config, section), name)
        if address is not None and used.get(field):
            yield field, address


def _digest(field: str, address: str) -> str:
    try:
        if field in ("evaluate.onnx_model", "evaluate.descriptor"):
            data = read_extractor(address)
            if data is not None:
                return hashlib.sha256(data).hexdigest()
        else:
            store, key = locate_object(address)
            if store.stat(key) is not None:
                return object_sha256(store, key)
    except Fatal as error:
        raise Fatal(f"{field}: '{address}': {error}") from None
    kind = "a directory, a file is needed" if _is_directory(address) else "no such file"
    raise Fatal(f"{field}: '{address}': {kind}: give the path of one that is there")


def _is_directory(address: str) -> bool:
    return "://" not in address and os.path.isdir(os.path.expanduser(address))
