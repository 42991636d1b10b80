"""Figures by name, as the records of a run and the metrics of a UI have them."""

from collections.abc import Sequence

from .descriptor_figures import DescriptorFigures
from .quality_figures import AgainstTraining, Quality
from .verdict import Memorization


def metrics_of(
    memorization: Sequence[Memorization],
    qualities: Sequence[Quality],
    against_training: Sequence[AgainstTraining],
    descriptor: DescriptorFigures | None = None,
) -> dict[str, float]:
    """Shares from 0 to 1, and distances.

    Args:
        qualities: the first one's precision and recall have the plain names.
    """
    metrics: dict[str, float] = {}
    for figure in memorization:
        metrics[figure.name] = figure.generated.share
        if figure.floor is not None:
            metrics[f"{figure.name}_floor"] = figure.floor.share
        if figure.floor_apart is not None:
            metrics[f"{figure.name}_floor_apart"] = figure.floor_apart.share
        for beside in ("base", "ceiling", "ceiling_pixels"):
            if (share := getattr(figure, beside)) is not None:
                metrics[f"{figure.name}_{beside}"] = share.share
    metrics |= descriptor.metrics() if descriptor else {}
    for number, quality in enumerate(qualities):
        frechet, kernel = quality.frechet_metric, quality.kernel_metric
        on = f"_{quality.features}" if number else ""
        metrics |= {
            frechet: quality.frechet,
            f"{frechet}_real": quality.frechet_real,
            **({} if quality.frechet_all is None else {f"{frechet}_all": quality.frechet_all}),
            **({} if quality.frechet_training is None else {f"{frechet}_training": quality.frechet_training}),
            **({} if quality.kernel is None else {kernel: quality.kernel}),
            **({} if quality.kernel_real is None else {f"{kernel}_real": quality.kernel_real}),
            f"precision{on}": quality.precision.share,
            f"precision{on}_real": quality.precision_real.share,
            f"recall{on}": quality.recall.share,
            f"recall{on}_real": quality.recall_real.share,
        }
    return metrics | {against.metric: against.distance for against in against_training}
