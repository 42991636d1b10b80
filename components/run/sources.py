"""What a run packs into data sets."""

from ..config.fields import Data
from ..store import Store
from .audit_shape import matched
from .audit_sources import SOURCES, generated_source, held_out_source
from .records import Plan


def sources_of(store: Store, plan: Plan) -> dict[str, Data]:
    """The sources of a run, by the field that names each: one; of an audit up to three, and none of an audit of a run.

    Raises:
        Fatal: the images of an audit cannot have one shape; names both.
    """
    config = plan.config
    if config.audit.run is not None:
        return {}
    if not config.is_audit:
        return {SOURCES[0]: config.data}
    data, audit = matched(store, plan), config.audit
    found = data, held_out_source(data, audit, config.sample.prompts), generated_source(data, audit)
    return {field: source for field, source in zip(SOURCES, found, strict=True) if source}
