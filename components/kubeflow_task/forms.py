"""Which form it is that was filled in."""

from collections.abc import Mapping
from typing import Any

from .audit_form import AUDIT, SUBJECT
from .entry import Form
from .form import TRAINING


def form_of(values: Mapping[str, Any]) -> Form:
    """An audit has a subject."""
    return AUDIT if SUBJECT in values else TRAINING
