"""The text-image model that alignment is measured by: a folder of which the plan has frozen what is read."""

import json
from collections.abc import Callable, Collection, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Final

from ..config import RunConfig
from ..failure import Fatal
from ..store import Missing, Store, open_store
from ..store.directory import DirectoryStore
from .copies import cache_folder, fetch_file, file_digest, sha256_of, whole_digest
from .hub import hub_snapshot, is_of_hub

FIELD: Final = "evaluate.alignment_model"
_CONFIG: Final = "config.json"
_WEIGHTS: Final = "model.safetensors"
_INDEX: Final = "model.safetensors.index.json"
_PROCESSORS: Final = ("preprocessor_config.json", "processor_config.json")
_TOKENIZERS: Final = (("tokenizer.json",), ("vocab.json", "merges.txt"))
_ADAPTERS: Final = "adapter_config.json"
_OPTIONAL: Final = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
"""Beside what a tokenizer is made of."""


def alignment_digest(config: RunConfig) -> str | None:
    """One SHA-256 of all files of the model that are read; None where none is named.

    Raises:
        Fatal: there is no such folder, it lacks a file, has no safetensors weights or is of another class; names it.
    """
    address = config.evaluate.alignment_model
    if address is None:
        return None
    try:
        return _digest(address, _store_of(address))
    except Fatal as error:
        text = str(error)
        raise Fatal(text if text.startswith(FIELD) else f"{FIELD}: '{address}': {text}") from None


def alignment_folder(config: RunConfig, files: Mapping[str, str] | None) -> Path:
    """A directory that holds the model: its own, or a copy on this machine.

    Args:
        files: digests of the plan.

    Raises:
        Fatal: a file is missing, or they hold something else than when the run was planned; names the folder.
    """
    address = config.evaluate.alignment_model
    assert address is not None
    store, frozen = _store_of(address), (files or {})[FIELD]
    if isinstance(store, DirectoryStore):
        if (now := _digest(address, store)) != frozen:
            raise _changed(address, frozen, now)
        return store.path("")
    return _copy(address, store, frozen, cache_folder(config) / "alignment" / frozen[:32])


def _copy(address: str, store: Store, frozen: str, copy: Path) -> Path:
    now, names = "", _wanted(address, [stat.key for stat in store.list("")], store.get)
    for anew in (False, True):  # a copy that was spoilt is made again
        for name in names:
            if anew or not (copy / name).is_file():
                fetch_file(store, name, copy / name)
        now = whole_digest({name: sha256_of(copy / name) for name in names})
        if now == frozen:
            return copy
    raise _changed(address, frozen, now)


def _digest(address: str, store: Store) -> str:
    try:
        names = _wanted(address, [stat.key for stat in store.list("")], store.get)
        return whole_digest({name: file_digest(store, name) for name in names})
    except Missing as error:
        raise Fatal(f"{FIELD}: {error}: give a folder of transformers' CLIPModel") from None


def _wanted(address: str, names: Collection[str], read: Callable[[str], bytes]) -> list[str]:
    """Those of a folder's files that are read, sorted."""
    where, here = f"{FIELD}: '{address}'", sorted(name for name in names if "/" not in name)
    if not here:
        raise Fatal(f"{where}: no such folder, or nothing in it: give a folder of transformers' CLIPModel")
    if _CONFIG not in here:
        raise Fatal(f"{where}: no {_CONFIG} there, so it is no model of transformers; it has {', '.join(here[:3])}")
    if _ADAPTERS in here:  # transformers would load them, and the model that they name, of which nothing is frozen
        raise Fatal(f"{where}: it holds adapters ({_ADAPTERS}): merge them into the model, and save that alone")
    _check_class(where, read(_CONFIG))
    wanted = [_CONFIG, *_weights(where, here, read)]
    if not (processors := [name for name in _PROCESSORS if name in here]):
        raise Fatal(f"{where}: no {_PROCESSORS[0]} there: save the model's CLIPImageProcessor into the folder")
    if not any(set(files) <= set(here) for files in _TOKENIZERS):
        raise Fatal(f"{where}: neither tokenizer.json nor vocab.json and merges.txt there: save its tokenizer there")
    tokenizer = {name for files in _TOKENIZERS for name in files} | set(_OPTIONAL)
    return sorted({*wanted, *processors, *(name for name in here if name in tokenizer)})


def _check_class(where: str, config: bytes) -> None:
    try:
        found = json.loads(config)
    except ValueError as error:
        raise Fatal(f"{where}: {_CONFIG}: not JSON: {error}") from None
    kinds = (found.get("architectures") or ["CLIPModel"]) if isinstance(found, dict) else [type(found).__name__]
    if kinds != ["CLIPModel"] or found.get("model_type") != "clip":
        kind = found.get("model_type") if isinstance(found, dict) and kinds == ["CLIPModel"] else ", ".join(kinds)
        raise Fatal(f"{where}: {_CONFIG} says {kind}: only transformers' CLIPModel is supported")


def _weights(where: str, here: list[str], read: Callable[[str], bytes]) -> list[str]:
    if _WEIGHTS in here:
        return [_WEIGHTS]
    if _INDEX not in here:
        found = ", ".join(name for name in here if name.endswith((".bin", ".pt", ".pth", ".msgpack", ".h5"))) or "none"
        raise Fatal(
            f"{where}: no weights as safetensors, in another form it has {found}: load it once with transformers' "
            "CLIPModel and save it with save_pretrained"
        )
    try:
        shards = sorted(set(json.loads(read(_INDEX))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError):
        raise Fatal(f"{where}: {_INDEX}: no index of weights: copy the folder again, from where it is whole") from None
    if lacking := [name for name in shards if name not in here]:
        raise Fatal(f"{where}: no {lacking[0]} there, which {_INDEX} names: copy the folder again, whole")
    return [_INDEX, *shards]


def _changed(address: str, frozen: str, now: str) -> Fatal:
    return Fatal(
        f"{FIELD}: {address}: its files hold something else than when the run was planned: SHA-256 {now[:16]}..., "
        f"not {frozen[:16]}...: put the old ones there, or start another run"
    )


@cache
def _store_of(address: str) -> Store:
    if is_of_hub(address):
        return DirectoryStore(hub_snapshot(FIELD, address, partial(_wanted, address)))
    return open_store(address)
