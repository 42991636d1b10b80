"""The shape of an audit's images, where it is not given: that of the generated ones."""

from typing import Any

from ..config.fields import Audit, Data
from ..data.prepare import own_shape
from ..diffusion.base_folder import INDEX, read_object
from ..diffusion.given_folder import given_shape, read_given
from ..failure import Fatal
from ..store import Store
from .audit_sources import generated_source, named
from .base_model import pretrained_of
from .records import Plan


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
