"""The data sets of an audit: what the model was trained on, and beside it what was held out, what was generated."""

from collections.abc import Callable
from typing import Any

from ..config.fields import Audit, Data
from ..data import DatasetManifest
from ..failure import Fatal
from ..run import DatasetRecord, Plan, Run
from ..run.audit_sources import generated_source, held_out_source, named
from ..run.audited import audited_run

Pack = Callable[[Data], DatasetManifest]


def of_run(run: Run, plan: Plan) -> DatasetRecord:
    """What the audited run was trained on, as it stands in the store: its source may have gone."""
    record = audited_run(run, plan.config).load(DatasetRecord)
    return record.model_copy(update={"objects": {}, "forgotten": {}})  # its files are its own


def beside(data: Data, audit: Audit, prompts: str, pack: Pack) -> tuple[dict[str, Any], list[str]]:
    """Pack what is compared with the training images: fields of the DatasetRecord, and what there is to say of them.

    Args:
        data: of `run.audit_shape.matched`.
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


def _check_enough(field: str, address: str, found: DatasetManifest) -> None:
    if found.samples < 2:
        raise Fatal(f"{field}: {address}: one image there, at least 2 are needed (some thousands for a verdict)")
