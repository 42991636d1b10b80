"""A run: where its records are and what they hold."""

from .address import Run
from .records import (
    Assignment,
    BeginRecord,
    DatasetRecord,
    EncodingRecord,
    Look,
    ModelRecord,
    PackRecord,
    Plan,
    ProxyRecord,
    RanWith,
    Record,
    ReportRecord,
    RoundFigures,
    SamplesRecord,
    SelectionRecord,
    WatchRecord,
    ran_with,
)

__all__ = [
    "Assignment",
    "BeginRecord",
    "DatasetRecord",
    "EncodingRecord",
    "Look",
    "ModelRecord",
    "PackRecord",
    "Plan",
    "ProxyRecord",
    "RanWith",
    "Record",
    "ReportRecord",
    "RoundFigures",
    "Run",
    "SamplesRecord",
    "SelectionRecord",
    "WatchRecord",
    "ran_with",
]
