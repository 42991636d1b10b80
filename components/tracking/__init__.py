"""Figures of committed records, for those who watch a run: TensorBoard's event files, and MLflow."""

from .trackers import track

__all__ = ["track"]
