"""The pretrained model that a run starts from or audits: where it lies is execution, what its files hold is method."""

import hashlib
import logging
import os
import posixpath
import re
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

from ..config import RunConfig
from ..diffusion.base_folder import INDEX, PIPELINES, RANDOM_TINY, read_index, read_object, wanted_files
from ..diffusion.given_folder import GivenIndex, read_given
from ..failure import Fatal
from ..store import Missing, Store, local_path, object_sha256, open_store, windows
from ..store.directory import DirectoryStore
from .records import Plan

PIXELS: Final = ("unet/config.json", "unet/diffusion_pytorch_model.safetensors")
"""Files of a diffusers folder that a model of pixels reads."""
UNET_WEIGHTS: Final = ("unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors")
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Named:
    """A pretrained pipeline's address, and the field that names it."""

    field: Literal["model.pretrained", "audit.model"]
    address: str

    def __str__(self) -> str:
        return f"{self.field}: {self.address}"


def named_base(config: RunConfig) -> Named | None:
    """The pretrained pipeline that a run reads; None where it reads none."""
    if config.audit.model is not None:
        return Named("audit.model", config.audit.model)
    if config.model.pretrained is None or (config.is_audit and config.model.family == "pixels"):
        return None  # the model that is audited has all weights of its own
    return Named("model.pretrained", config.model.pretrained)


class BaseModel:
    """A pretrained folder by the digests of its files, which the plan has frozen."""

    def __init__(self, config: RunConfig, digests: Mapping[str, str] | None) -> None:
        """
        Args:
            digests: SHA-256 by path; None where the plan is older than they are.
        """
        named = named_base(config)
        assert named is not None
        self.address, self.where, self._named = named.address, str(named), named
        self._digests = digests
        keep = config.execution.cache_dir
        self._cache = Path(keep).expanduser() if keep else Path(tempfile.gettempdir()) / f"unecho-{os.getuid()}"
        self._checked = set[str]()

    def read(self, path: str) -> bytes:
        """A file of it.

        Raises:
            Fatal: it is missing, or holds something else than when the run was planned; names it.
        """
        try:
            data = _store_of(self._named).get(path)
        except Missing as error:
            raise _missing(self._named, error) from None
        self._check(path, hashlib.sha256(data).hexdigest())
        return data

    def folder(self, *components: str) -> Path:
        """A directory that holds its index and these components: its own, or a copy on this machine.

        Raises:
            Fatal: a file is missing, or holds something else than when the run was planned; names it.
        """
        assert self._digests is not None
        store = _store_of(self._named)
        wanted = [path for path in self._digests if path == INDEX or posixpath.dirname(path) in components]
        if isinstance(store, DirectoryStore):
            for path in wanted:
                if path not in self._checked:
                    self._check(path, _object_sha256(store, path))
                    self._checked.add(path)
            return store.path("")
        copy = self._cache / "bases" / whole_digest(self._digests)[:32]
        for path in wanted:
            if path not in self._checked:
                self._fetch(store, path, copy / path)
        return copy

    def _fetch(self, store: Store, path: str, target: Path) -> None:
        if not (target.is_file() and _sha256(target) == (self._digests or {})[path]):
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
            try:
                with part.open("wb") as file:
                    for window in windows(store, path):
                        file.write(window)
                self._check(path, _sha256(part))
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)
        self._checked.add(path)

    def _check(self, path: str, now: str) -> None:
        if self._digests is not None and (was := self._digests.get(path)) != now:
            raise Fatal(
                f"{self.where}: {path} holds something else than when the run was planned: SHA-256 "
                f"{now[:16]}..., not {(was or 'none')[:16]}...: put the old file there, or start another run"
            )


def base_digests(config: RunConfig) -> dict[str, str] | None:
    """SHA-256 of each file of the pretrained model that the run will read, by its path; None without such a model.

    Raises:
        Fatal: one is missing, no safetensors, or the UNet's is not what `model.unet_sha256` says; names it.
    """
    named = named_base(config)
    if named is None:
        return None
    store = _store_of(named)
    try:
        if named.field == "model.pretrained" and config.model.family == "pixels":
            return {path: _object_sha256(store, path) for path in PIXELS}
        names = [stat.key for stat in store.list("") if _counts(stat.key)]
        components = _components(named, store.get(INDEX)) if INDEX in names else ()
        digests = {path: _object_sha256(store, path) for path in wanted_files(str(named), names, components)}
    except Missing as error:
        raise _missing(named, error) from None
    except Fatal as error:
        text = str(error)
        raise Fatal(text if text.startswith(named.field) else f"{named.field}: '{named.address}': {text}") from None
    wanted = config.model.unet_sha256
    found = next((digests[path] for path in UNET_WEIGHTS if path in digests), "none in one file")
    if wanted is not None and wanted != found:
        raise Fatal(
            f"model.unet_sha256: {named.address}: the UNet's weights have SHA-256 {found}, not {wanted}: it is another "
            "model, or another file of it"
        )
    return digests


def given_pipeline(config: RunConfig) -> tuple[GivenIndex, int]:
    """What `audit.model` is by its index, and with how many timesteps it was trained.

    Raises:
        Fatal: it is missing, or cannot be audited; names it.
    """
    named = named_base(config)
    assert named is not None
    try:
        store = _store_of(named)
        index = read_given(str(named), store.get(INDEX))
        scheduler = store.find("scheduler/scheduler_config.json")
    except Missing as error:
        raise _missing(named, error) from None
    told = read_object(str(named), "scheduler/scheduler_config.json", scheduler) if scheduler else {}
    return index, int(told.get("num_train_timesteps", 1000))


def _components(named: Named, index: bytes) -> tuple[str, ...]:
    """What the pipeline of an index consists of, if it is of a kind that trains, or that can be audited."""
    if named.field == "audit.model":
        return tuple(read_given(str(named), index).components)
    return PIPELINES[read_index(str(named), index)["_class_name"]]


def _missing(named: Named, error: Missing) -> Fatal:
    return Fatal(f"{named.field}: {error}: give a diffusers folder with safetensors weights")


def whole_digest(digests: Mapping[str, str]) -> str:
    """One digest of all files."""
    return hashlib.sha256("".join(f"{path} {sha}\n" for path, sha in digests.items()).encode()).hexdigest()


def _counts(key: str) -> bool:
    """Whether it is where a pipeline has files: its index, and a folder for each component."""
    return key == INDEX or key.count("/") == 1


def _object_sha256(store: Store, key: str) -> str:
    """As `object_sha256`; a file that this process has read is read again only if it has changed."""
    path = store.path(key) if isinstance(store, DirectoryStore) else None
    return _sha256(path) if path and path.is_file() and path.stat().st_size else object_sha256(store, key)


def _sha256(path: Path) -> str:
    found = path.stat()
    return _sha256_of_file(path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@cache
def _sha256_of_file(path: Path, *_state: int) -> str:
    """For the steps of a run in one process: hashing a UNet takes longer than an update of it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def _store_of(named: Named) -> Store:
    """Where a model lies; one of a hub is brought to this machine first."""
    address = named.address
    if address == RANDOM_TINY:
        from ..diffusion.random_tiny import random_tiny_folder

        return DirectoryStore(random_tiny_folder())
    if HUB_NAME.fullmatch(address) and not local_path(address).exists():
        return DirectoryStore(_hub_snapshot(named))
    return open_store(address)


def _hub_snapshot(named: Named) -> Path:
    """The folder of a model hub's repository in the hub's cache on this machine; HF_HUB_OFFLINE is respected.

    Raises:
        Fatal: there is none of that name, it is not for everybody, or this machine is offline and has it not.
        OSError: the hub cannot be reached.
    """
    from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    name = named.address
    where = f"{named.field}: '{name}'"
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it tells of each try
    try:
        if constants.HF_HUB_OFFLINE:
            return Path(snapshot_download(name, local_files_only=True))
        names = [path for path in HfApi().list_repo_files(name) if _counts(path)]
        components = _components(named, Path(hf_hub_download(name, INDEX)).read_bytes()) if INDEX in names else ()
        wanted = wanted_files(str(named), names, components)
        return Path(snapshot_download(name, allow_patterns=wanted))
    except (LocalEntryNotFoundError, OfflineModeIsEnabled):
        raise Fatal(
            f"{where}: no such directory, and this machine is offline (HF_HUB_OFFLINE) and has no copy of the hub's "
            "repository of that name: give a directory or s3://bucket/prefix"
        ) from None
    except GatedRepoError:
        raise Fatal(f"{where}: the hub gives it to members who accepted its terms only: set HF_TOKEN") from None
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", 0)
        if status in (401, 403, 404):
            raise Fatal(
                f"{where}: no such directory, and no such repository on the hub (or not for you, see HF_TOKEN)"
            ) from None
        raise OSError(f"{where}: the hub answers {status}") from None
    except (OSError, Fatal):
        raise
    except Exception as error:  # of the HTTP library that the hub's client uses
        raise OSError(f"{where}: no such directory, and the hub cannot be reached ({type(error).__name__})") from None


def pretrained_of(plan: Plan) -> BaseModel | None:
    """What a run's model starts from, or is; None for weights that are drawn."""
    return None if named_base(plan.config) is None else BaseModel(plan.config, plan.base)
