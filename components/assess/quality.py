"""Quality beside that of real images."""

from ..measures.captions import Captions
from ..measures.features import Features
from ..measures.intervals import Share
from ..measures.quality import Compared
from ..measures.quality_figures import Quality


def quality_of(compared: Compared, features: Features, neighbours: int, captions: Captions | None = None) -> Quality:
    """
    Args:
        compared: on these features.
        neighbours: k of precision and recall.
        captions: that the generated images were asked for.
    """

    def share(count: int) -> Share:
        return Share.counted(count, compared.manifold)

    generated, real = compared.generated, compared.real
    return Quality(
        features=features.name,
        digest=features.digest,
        captions=captions,
        frechet_name=features.frechet,
        frechet=generated.frechet,
        frechet_all=generated.frechet_all,
        frechet_real=real.frechet,
        frechet_training=compared.frechet_training,
        kernel_name=features.kernel,
        kernel=generated.kernel.mean,
        kernel_std=generated.kernel.std,
        kernel_real=real.kernel.mean,
        kernel_real_std=real.kernel.std,
        kernel_subsets=generated.kernel.subsets,
        kernel_subset_size=generated.kernel.size,
        images=compared.images,
        sets=compared.sets,
        reference=compared.reference,
        neighbours=neighbours,
        manifold=compared.manifold,
        precision=share(generated.within_reference),
        precision_real=share(real.within_reference),
        recall=share(generated.covered),
        recall_real=share(real.covered),
        poor=generated.within_reference < real.within_reference / 2,
    )
