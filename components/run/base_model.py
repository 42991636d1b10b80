"""The pretrained model that a run starts from or audits: where it lies is execution, what its files hold is method."""

import hashlib
import posixpath
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from ..config import RunConfig
from ..diffusion.base_folder import INDEX, PIPELINES, RANDOM_TINY, read_index, read_object, wanted_files
from ..diffusion.given_folder import GivenIndex, read_given
from ..failure import Fatal
from ..store import Missing, Store, open_store
from ..store.directory import DirectoryStore
from .copies import cache_folder, fetch_file, file_digest, sha256_of, whole_digest
from .hub import hub_snapshot, is_of_hub
from .records import Plan, ReleasedBase

PIXELS: Final = ("unet/config.json", "unet/diffusion_pytorch_model.safetensors")
"""Files of a diffusers folder that a model of pixels reads."""
UNET_WEIGHTS: Final = ("unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors")


@dataclass(frozen=True)
class Named:
    """A pretrained pipeline's address, and the field that names it.

    Attributes:
        place: where it lies, if its address is the name of a released model.
    """

    field: Literal["model.pretrained", "audit.model"]
    address: str
    place: str | None = None

    def __str__(self) -> str:
        return f"{self.field}: {self.address}" + (f" ({self.place})" if self.place else "")


def named_base(config: RunConfig, released: ReleasedBase | None = None, root: str = "") -> Named | None:
    """The pretrained pipeline that a run reads; None where it reads none.

    Args:
        released: what its address stands for, where that is the name of a model that is released at `root`.
    """
    if config.audit.model is not None:
        return Named("audit.model", config.audit.model)
    if config.model.pretrained is None or (config.is_audit and config.model.family == "pixels"):
        return None  # the model that is audited has all weights of its own
    place = f"{root}/{released.folder}" if released else None
    return Named("model.pretrained", config.model.pretrained, place)


class BaseModel:
    """A pretrained folder by the digests of its files, which the plan has frozen."""

    def __init__(
        self,
        config: RunConfig,
        digests: Mapping[str, str] | None,
        released: ReleasedBase | None = None,
        root: str = "",
    ) -> None:
        """
        Args:
            digests: SHA-256 by path; None where the plan is older than they are.
            released, root: see `named_base`.
        """
        named = named_base(config, released, root)
        assert named is not None
        self.address, self.where, self._named = named.address, str(named), named
        self._digests = digests
        self._copies = cache_folder(config) / "bases"
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
                    self._check(path, file_digest(store, path))
                    self._checked.add(path)
            return store.path("")
        copy = self._copies / whole_digest(self._digests)[:32]
        for path in wanted:
            if path not in self._checked:
                self._fetch(store, path, copy / path)
        return copy

    def _fetch(self, store: Store, path: str, target: Path) -> None:
        if not (target.is_file() and sha256_of(target) == (self._digests or {})[path]):
            fetch_file(store, path, target, lambda part: self._check(path, sha256_of(part)))
        self._checked.add(path)

    def _check(self, path: str, now: str) -> None:
        if self._digests is not None and (was := self._digests.get(path)) != now:
            raise Fatal(
                f"{self.where}: {path} holds something else than when the run was planned: SHA-256 "
                f"{now[:16]}..., not {(was or 'none')[:16]}...: put the old file there, or start another run"
            )


def base_digests(
    config: RunConfig,
    released: ReleasedBase | None = None,
    root: str = "",
    known: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str] | None:
    """SHA-256 of each file of the pretrained model that the run will read, by its path; None without such a model.

    Args:
        released, root: see `named_base`.
        known: SHA-256 of files that are not read for it, by path; who reads them compares.

    Raises:
        Fatal: one is missing, no safetensors, or the UNet's is not what `model.unet_sha256` says; names it.
    """
    named = named_base(config, released, root)
    if named is None:
        return None
    store = _store_of(named)
    try:
        if named.field == "model.pretrained" and config.model.family == "pixels":
            return {path: known.get(path) or file_digest(store, path) for path in PIXELS}
        wanted = _wanted(named, [stat.key for stat in store.list("")], store.get)
        digests = {path: known.get(path) or file_digest(store, path) for path in wanted}
    except Missing as error:
        raise _missing(named, error) from None
    except Fatal as error:
        text = str(error)
        raise Fatal(text if text.startswith(named.field) else f"{named.field}: '{named.address}': {text}") from None
    asked = config.model.unet_sha256
    found = next((digests[path] for path in UNET_WEIGHTS if path in digests), "none in one file")
    if asked is not None and asked != found:
        raise Fatal(
            f"model.unet_sha256: {named.address}: the UNet's weights have SHA-256 {found}, not {asked}: it is another "
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


def _wanted(named: Named, names: Collection[str], read: Callable[[str], bytes]) -> list[str]:
    """Those of a folder's files that are read.

    Args:
        names: paths in the folder; those elsewhere than a pipeline has files do not count.
    """
    names = [name for name in names if _counts(name)]
    components = _components(named, read(INDEX)) if INDEX in names else ()
    return wanted_files(str(named), names, components)


def _components(named: Named, index: bytes) -> tuple[str, ...]:
    """What the pipeline of an index consists of, if it is of a kind that trains, or that can be audited."""
    if named.field == "audit.model":
        return tuple(read_given(str(named), index).components)
    return PIPELINES[read_index(str(named), index)["_class_name"]]


def _missing(named: Named, error: Missing) -> Fatal:
    return Fatal(f"{named.field}: {error}: give a diffusers folder with safetensors weights")


def _counts(key: str) -> bool:
    """Whether it is where a pipeline has files: its index, and a folder for each component."""
    return key == INDEX or key.count("/") == 1


@cache
def _store_of(named: Named) -> Store:
    """Where a model lies; one of a hub is brought to this machine first."""
    address = named.place or named.address
    if address == RANDOM_TINY:
        from ..diffusion.random_tiny import random_tiny_folder

        return DirectoryStore(random_tiny_folder())
    if is_of_hub(address):
        return DirectoryStore(hub_snapshot(named.field, address, partial(_wanted, named)))
    return open_store(address)


def pretrained_of(plan: Plan) -> BaseModel | None:
    """What a run's model starts from, or is; None for weights that are drawn."""
    if named_base(plan.config) is None:
        return None
    return BaseModel(plan.config, plan.base, plan.released, plan.root)
