"""The released model: a diffusers folder that DiffusionPipeline.from_pretrained loads and samples."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from .family import Base, TrainableFamily

_NOTES = {"_name_or_path", "name_or_path", "local_files_only"}


def release_files(family: TrainableFamily, base: Base, weights: Mapping[str, Tensor], folder: Path) -> dict[str, Path]:
    """Save the diffusers folder as `folder`; its files by their path in it. No pickle is among them."""
    family.release(base, weights, folder)
    return folder_files(folder)


def folder_files(folder: Path) -> dict[str, Path]:
    """The files of a pipeline's folder, by their path in it; what they say of this machine's paths is taken out."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    for path in files.values():
        if path.suffix == ".json":
            _remove_paths(path)
    return files


def _remove_paths(path: Path) -> None:
    """The libraries note where a config came from and how it was asked for, which is nobody's business."""
    content: Mapping[str, Any] = json.loads(path.read_text())
    if isinstance(content, dict) and content.keys() & _NOTES:
        path.write_text(json.dumps({k: v for k, v in content.items() if k not in _NOTES}, indent=2) + "\n")
