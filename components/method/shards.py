"""The first assignment: shards of equal size with equal shares of every label."""

import numpy as np
from numpy.typing import NDArray


def stratify(rows: NDArray[np.int64], labels: NDArray[np.int32], shards: int, seed: int) -> NDArray[np.int32]:
    """Deal rows to shards, label after label.

    Each label's rows are shuffled and dealt in turn, going on where the label before ended: sizes of
    shards, and of every label within them, differ by at most one.

    Args:
        rows: rows of the training samples, int64 [n].
        labels: label of every row of the data set, int32 [N]; -1 for none.

    Returns:
        The shard of each entry of `rows`, int32 [n].
    """
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(rows))
    order = order[np.argsort(labels[rows[order]], kind="stable")]
    assigned = np.empty(len(rows), np.int32)
    assigned[order] = np.arange(len(rows)) % shards
    return assigned
