"""The data sets of an audit: what the model was trained on, and beside it what was held out, what was generated."""

from collections.abc import Callable
from typing import Any

from ..config.fields import Audit, Data
from ..data import DatasetManifest
from ..data.prepare import own_shape
from ..diffusion.base_folder import INDEX, read_object
from ..diffusion.given_folder import given_shape, read_given
from ..failure import Fatal
from ..run import DatasetRecord, Plan, Run
from ..run.audit_sources import generated_source, held_out_source, named
from ..run.audited import audited_run
from ..run.base_model import pretrained_of
from ..store import Store

Pack = Callable[[Data], DatasetManifest]


def of_run(run: Run, plan: Plan) -> DatasetRecord:
    """What the audited run was trained on, as it stands in the store: its source may have gone."""
    record = audited_run(run, plan.config).load(DatasetRecord)
    return record.model_copy(update={"objects": {}, "forgotten": {}})  # its files are its own


def matched(store: Store, plan: Plan) -> Data:
    """The data section of an audit; size and channels that are `auto` are those of the generated images.

    Raises:
        Fatal: generated images have another size, and may not be scaled; names both.
    """
    data, audit = plan.config.data, plan.config.audit
    own = _shape_of_model(plan) if audit.model is not None else _shape_of_images(store, data, audit)
    if audit.model is not None and data.resize == "none" and data.resolution not in ("auto", own["resolution"]):
        raise Fatal(
            f"data.resolution: {data.resolution}, but {audit.model} makes images of {own['resolution']} px, and "
            f"data.resize is none: set data.resolution={own['resolution']}, or data.resize=crop"
        )
    return data.model_copy(update={name: value for name, value in own.items() if getattr(data, name) == "auto"})


def beside(data: Data, audit: Audit, prompts: str, pack: Pack) -> tuple[dict[str, Any], list[str]]:
    """Pack what is compared with the training images: fields of the DatasetRecord, and what there is to say of them.

    Args:
        data: of `matched`.
        prompts: `sample.prompts`: captions are read where it asks for them.

    Raises:
        Fatal: a source does not exist, or an image is bad; names the field.
    """
    fields, notes = dict[str, Any](), list[str]()
    if held_out := held_out_source(data, audit, prompts):
        with named("audit.held_out"):
            apart = pack(held_out)
        _check_enough("audit.held_out", held_out.source, apart)
        fields |= {"held_out_set": apart.digest, "held_out_samples": apart.samples}
        notes += [f"audit.held_out: {note}" for note in apart.notes]
    if images := generated_source(data, audit):
        with named("audit.images"):
            generated = pack(images)
        _check_enough("audit.images", images.source, generated)
        fields |= {"generated_set": generated.digest, "generated_samples": generated.samples}
        notes += [f"audit.images: {note}" for note in generated.notes]
    return fields, notes


def _shape_of_model(plan: Plan) -> dict[str, int]:
    pretrained = pretrained_of(plan)
    assert pretrained is not None

    def config_of(component: str) -> dict[str, Any]:
        path = f"{component}/config.json"
        return read_object(pretrained.where, path, pretrained.read(path))

    resolution = plan.config.data.resolution
    index = read_given(pretrained.where, pretrained.read(INDEX))
    channels, side = given_shape(index, config_of, None if resolution == "auto" else resolution)
    return {"channels": channels, "resolution": side}


def _shape_of_images(store: Store, data: Data, audit: Audit) -> dict[str, int]:
    images = generated_source(data, audit)
    assert images is not None
    if "auto" not in (data.channels, data.resolution):
        return {}
    with named("audit.images"):
        channels, side = own_shape(store, images)
    return {"channels": channels, "resolution": side}


def _check_enough(field: str, address: str, found: DatasetManifest) -> None:
    if found.samples < 2:
        raise Fatal(f"{field}: {address}: one image there, at least 2 are needed (some thousands for a verdict)")
