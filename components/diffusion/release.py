"""The released model: a diffusers folder that DiffusionPipeline.from_pretrained loads and samples."""

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from diffusers import DiffusionPipeline
from torch import Tensor

from .family import Base, Family


def release_files(family: Family, base: Base, weights: Mapping[str, Tensor]) -> dict[str, bytes]:
    """The files of the diffusers folder, by their path in it. No pickle is among them."""
    return folder_files(family.pipeline(base, weights, "ddpm"))


def folder_files(pipeline: DiffusionPipeline) -> dict[str, bytes]:
    """The files of a pipeline's folder, by their path in it."""
    with TemporaryDirectory(prefix="unecho-release-") as folder:
        pipeline.save_pretrained(folder, safe_serialization=True)
        return {
            path.relative_to(folder).as_posix(): _without_paths(path)
            for path in sorted(Path(folder).rglob("*"))
            if path.is_file()
        }


def _without_paths(path: Path) -> bytes:
    """A file's bytes; diffusers notes the folder that a config came from, which is nobody's business."""
    if path.suffix != ".json":
        return path.read_bytes()
    content: Mapping[str, Any] = json.loads(path.read_text())
    return (json.dumps({k: v for k, v in content.items() if k != "_name_or_path"}, indent=2) + "\n").encode()
