"""The classifier whose features a comparison judges quality by."""

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec

from ...components.config import RunConfig
from ...components.data import Dataset
from ...components.data.forgotten import Numbered
from ...components.data.prepare import packed
from ...components.diffusion.device import set_numerics
from ...components.measures.classifier import has_classes, train_classifier
from ...components.measures.onnx_export import onnx_bytes
from ...components.progress import Progress
from ...components.run.forgotten import asked_now
from ...components.store import Store

STEPS = 1000


def trained(store: Store, config: RunConfig, steps: int, progress: Progress) -> tuple[bytes, float, int]:
    """Train a classifier on the source's labelled training split, limits set aside.

    Returns:
        Its feature extractor as ONNX, the share of held-out images that it gets right, and how many these are.

    Raises:
        Fatal: the images carry no labels, or the extra `classifier` is not installed.
    """
    return _trained(_whole(store, config, progress, asked_now(store)), config, steps, progress)


def _trained(dataset: Dataset, config: RunConfig, steps: int, progress: Progress) -> tuple[bytes, float, int]:
    set_numerics(config)
    network, right = train_classifier(dataset, steps, lambda done, of: progress.update(done, of, "steps"))
    shape = (dataset.channels, dataset.resolution, dataset.resolution)
    data = onnx_bytes(network.features, shape, "features", "classifier")
    return data, right, len(dataset.held_out_rows)


def kept_classifier(store: Store, config: RunConfig, progress: Progress, forgotten: Sequence[Numbered]) -> str | None:
    """Address of the store's classifier of the source, made now where there is none; None without two classes.

    Args:
        forgotten: what deletion requests ask to leave out.

    Raises:
        Fatal: as `trained`.
    """
    dataset = _whole(store, config, progress, forgotten)
    if not has_classes(dataset):
        return None
    made_by = hashlib.sha256(f"{dataset.digest} {STEPS} {config.threads}".encode()).hexdigest()[:16]
    key = f"classifiers/{made_by}/classifier.onnx"
    if store.stat(key) is None:
        data, right, of = _trained(dataset, config, STEPS, progress)
        store.create(key, data)
        progress.note(f"right on {100 * right:.1f} % of {of:,} held-out images")
    return store.address(key)


def _whole(store: Store, config: RunConfig, progress: Progress, forgotten: Sequence[Numbered]) -> Dataset:
    data = config.data.model_copy(update={"train_limit": None, "held_out_limit": None})
    manifest, _ = packed(store, data, config.execution.workers, progress, forgotten)
    return Dataset.open(store, manifest.digest)


def can_write_onnx() -> bool:
    """Whether the extra `classifier` is installed."""
    return all(find_spec(package) for package in ("onnx", "onnxruntime", "onnxscript"))
