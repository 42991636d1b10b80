"""A run: where its records are and what they hold."""

from unecho.components.run.address import Run
from unecho.components.run.records import (
    Assignment,
    BeginRecord,
    DatasetRecord,
    ModelRecord,
    Plan,
    ProxyRecord,
    RanWith,
    Record,
    ReportRecord,
    RoundFigures,
    SamplesRecord,
    ran_with,
)

__all__ = [
    "Assignment",
    "BeginRecord",
    "DatasetRecord",
    "ModelRecord",
    "Plan",
    "ProxyRecord",
    "RanWith",
    "Record",
    "ReportRecord",
    "RoundFigures",
    "Run",
    "SamplesRecord",
    "ran_with",
]
