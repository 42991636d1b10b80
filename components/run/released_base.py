"""A run that starts from a released model: `model.pretrained: released:NAME`, or `released:NAME@NUMBER`."""

import re
from dataclasses import dataclass
from typing import Final

from ..config import RunConfig
from ..diffusion.base_folder import read_object
from ..failure import Fatal
from ..store import ObjectRef, Store
from .records import Plan, ReleasedBase
from .released import Release, ReleasedModel

_FORM: Final = re.compile(r"released:(?P<model>[^@]*)(@(?P<number>.*))?")
_FOLDER, _PLANNED = "model/", "base/"
"""Before the paths of the folder's files, where the record of a release names them, and where a plan does."""


@dataclass(frozen=True)
class AskedRelease:
    """What the address of a released model says.

    Attributes:
        number: in the history; None for what is released when the run is planned.
    """

    model: str
    number: int | None


def asked_release(config: RunConfig) -> AskedRelease | None:
    """The released model that a run is to start from; None where it starts from nothing, or from a folder.

    Raises:
        Fatal: its number is none.
    """
    address = config.model.pretrained or ""
    found = _FORM.fullmatch(address)
    if found is None or config.audit.model is not None:
        return None
    number = found["number"]
    if number is not None and (not number.isdecimal() or int(number) < 1):
        raise Fatal(f"model.pretrained: {address}: '{number}' is no number of a history: give released:NAME@NUMBER")
    return AskedRelease(found["model"], int(number) if number else None)


def released_base(store: Store, config: RunConfig, before: Plan | None = None) -> ReleasedBase | None:
    """What `released:NAME` stands for: what the plan that stands has frozen, else what is released now.

    Args:
        store: at the root of the run and of what is released.
        before: the run's plan, where it has one.

    Raises:
        Fatal: nothing is released under that name, or nothing of that number.
    """
    asked = asked_release(config)
    if asked is None:
        return None
    frozen = before.released if before else None
    if frozen is not None and frozen.model == asked.model and asked.number in (None, frozen.number):
        return frozen
    release = _release(store, config, asked)
    return ReleasedBase(model=release.model, number=release.number, run=release.run, folder=release.folder)


def released_objects(
    store: Store, config: RunConfig, released: ReleasedBase, before: Plan | None = None
) -> dict[str, ObjectRef]:
    """The files of the released folder, by their paths in it: as its record names them, or the plan that stands. For as
    long as a plan names them, `gc` leaves them alone.

    Raises:
        Fatal: one is missing or truncated, or the run's noise is not what the model was trained with; names it.
    """
    if before and before.released == released:
        found = {name.removeprefix(_PLANNED): ref for name, ref in before.objects.items() if name.startswith(_PLANNED)}
    else:
        named = ReleasedModel(store, released.model).load(released.number).objects
        found = {name.removeprefix(_FOLDER): ref for name, ref in named.items() if name.startswith(_FOLDER)}
    for ref in found.values():
        there = store.stat(ref.key)
        if there is None or there.size != ref.size:
            state = f"truncated ({there.size} of {ref.size} bytes)" if there else "missing"
            raise Fatal(
                f"model.pretrained: {config.model.pretrained} ({released}): {store.address(ref.key)} is {state}: start "
                f"from another number, unecho released {released.model} --root {store.url}"
            )
    _check_noise(store, config, released)
    return found


_NOISE: Final = {
    "timesteps": "num_train_timesteps",
    "schedule": "beta_schedule",
    "beta_start": "beta_start",
    "beta_end": "beta_end",
    "prediction": "prediction_type",
}
"""Fields of the section by the names that a scheduler's configuration has for them."""


def _check_noise(store: Store, config: RunConfig, released: ReleasedBase) -> None:
    """Whether a run of pixels goes on under the noise that the released model was trained with: its network says
    nothing of it. A model of latents has its own.

    Raises:
        Fatal: it does not; names the field.
    """
    key = f"{released.folder}/scheduler/scheduler_config.json"
    data = store.find(key) if config.model.family == "pixels" else None
    if data is None:
        return
    trained = read_object(str(config.model.pretrained), key, data)
    for field, name in _NOISE.items():
        own = getattr(config.noise, field)
        if name in trained and trained[name] != own:
            raise Fatal(
                f"noise.{field}: {own}, but {config.model.pretrained} ({released}) was trained with {trained[name]}: "
                f"set noise.{field}={trained[name]}"
            )


def _release(store: Store, config: RunConfig, asked: AskedRelease) -> Release:
    try:
        model = ReleasedModel(store, asked.model)
    except Fatal as error:
        raise Fatal(f"model.pretrained: {config.model.pretrained}: {error}") from None
    if asked.number is not None:
        if asked.number not in model.numbers():
            raise Fatal(
                f"model.pretrained: {config.model.pretrained}: no number {asked.number} in the history: "
                f"unecho released {asked.model} --root {store.url} lists those that there are"
            )
        return model.load(asked.number)
    release = model.current()
    if release is None:
        raise Fatal(
            f"model.pretrained: {config.model.pretrained}: nothing is released under that name at {store.url}: train "
            "the first model from scratch, or from a folder"
        )
    return release
