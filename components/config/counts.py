"""Whether a configuration fits a data set: known when the images have been counted, before anything trains."""

from unecho.components.config.fields import RunConfig
from unecho.components.failure import Fatal


def check_counts(config: RunConfig, training: int, held_out: int) -> None:
    """Whether there are enough images for the shards, the batches and the measures.

    Args:
        training, held_out: images of the data set.

    Raises:
        Fatal: names the field, its value and what is allowed.
    """
    shards, batch = config.iet.shards, config.train.batch_size
    if training < shards:
        raise Fatal(f"iet.shards: {shards} is more than the {training} training samples: choose at most {training}")
    if config.train.drop_last and batch > training // shards:
        raise Fatal(
            f"train.batch_size: {batch} is more than a shard's {training // shards} samples, train.drop_last leaves "
            f"smaller batches out: choose at most {training // shards}, or set train.drop_last=false"
        )
    if held_out < 2:
        raise Fatal(
            f"data.held_out: {config.data.held_out:g} leaves {held_out} held-out images, without them no figure has "
            "a floor: raise it (or data.held_out_limit)"
        )
    neighbours, k = config.evaluate.neighbours, config.evaluate.precision_recall_neighbours
    if neighbours > training:
        raise Fatal(
            f"evaluate.neighbours: {neighbours} is more than the {training} training images: choose at most {training}"
        )
    least = min(config.sample.count, training, held_out)
    if k >= least:
        raise Fatal(
            f"evaluate.precision_recall_neighbours: {k} needs more than {k} images of each set, and there are "
            f"{config.sample.count} generated, {training} training and {held_out} held-out ones: "
            f"choose at most {least - 1}"
        )
