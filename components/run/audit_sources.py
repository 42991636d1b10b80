"""The images of an audit, as sources that `prepare` reads, and what they are told apart by."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from ..config import RunConfig
from ..config.fields import Audit, Data
from ..data.sources.layouts import open_source
from ..failure import Fatal

SOURCES: Final = ("data.source", "audit.held_out", "audit.images")
"""Fields that say where they lie."""


def held_out_source(data: Data, audit: Audit, prompts: str) -> Data | None:
    """The images that are given as held out.

    Args:
        data: of the audit.
        prompts: `sample.prompts`: captions are read where it asks for them.
    """
    if audit.held_out is None:
        return None
    captioned = {"captions": data.captions, "caption_column": data.caption_column} if prompts == "held_out" else {}
    return _by_itself(data, audit.held_out, train_limit=data.held_out_limit, **captioned)


def generated_source(data: Data, audit: Audit) -> Data | None:
    """The images that were generated elsewhere."""
    return None if audit.images is None else _by_itself(data, audit.images)


@contextmanager
def named(field: str) -> Iterator[None]:
    """What is said of a source names the field that it is given by."""
    try:
        yield
    except Fatal as error:
        text = str(error)
        told = text.removeprefix("data.source")
        raise Fatal(f"{field}{told}" if told != text else f"{field}: {text}") from None


def source_fingerprints(config: RunConfig) -> dict[str, str]:
    """A hash of which images lie at each source of an audit, by its field; none of an audit of a run.

    An audit is asked for again when its images were made anew, under the same name, and must not answer for the old
    ones.

    Raises:
        Fatal: there is no such source; names the field.
    """
    if not config.is_audit or config.audit.run is not None:
        return {}
    data, audit, prompts = config.data, config.audit, config.sample.prompts
    sources = data, held_out_source(data, audit, prompts), generated_source(data, audit)
    return {field: _fingerprint(field, source) for field, source in zip(SOURCES, sources, strict=True) if source}


def _fingerprint(field: str, source: Data) -> str:
    with named(field):
        return open_source(source).fingerprint


def _by_itself(data: Data, source: str, **fields: Any) -> Data:
    """A source all of whose images are taken as they come, brought to the data's shape."""
    kept = ("resolution", "channels", "resize", "background", "on_bad_image", "chunk_mib")
    alone = {"source": source, "labels": "none", "captions": "none", "held_out": 0.0, "split_by": "none"}
    return Data().model_copy(update=alone | {name: getattr(data, name) for name in kept} | fields)
