"""What stands beside generated images: measured as they are, and without a say in the verdict."""

import numpy as np
import torch

from tests.runs import tiny
from unecho.components.assess.assessment import Assessment, assess
from unecho.components.assess.beside import Beside
from unecho.components.assess.instruments import Instruments
from unecho.components.assess.reference import Reference
from unecho.components.measures.images import Images, InMemory
from unecho.components.measures.verdict import Memorization
from unecho.components.progress import Silent

CPU = torch.device("cpu")


def noise(seed: int, count: int) -> np.ndarray:
    """Images that are copies of none."""
    return np.random.default_rng(seed).integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)


def assessed(generated: np.ndarray, reference: Reference, beside: Beside) -> Assessment:
    config = tiny("evaluate.neighbours=10")
    return assess(
        InMemory(generated), reference, Instruments(features=()), config, CPU, Silent(), beside=beside, attack=False
    )


def named(found: Assessment, name: str) -> Memorization:
    return next(figure for figure in found.memorization if figure.name == name)


TRAINING = noise(1, 60)
REFERENCE = Reference(None, InMemory(TRAINING), InMemory(noise(2, 20)))  # type: ignore[arg-type]


def with_copies(seed: int, count: int, exact: int, mirrored: int) -> Images:
    """So many images, of which the first ones are copies of training images."""
    images = noise(seed, count)
    images[:exact] = TRAINING[:exact]
    images[exact : exact + mirrored] = TRAINING[exact : exact + mirrored, :, :, ::-1]
    return InMemory(images)


def test_the_base_models_images_are_counted_as_the_generated_ones_are_and_decide_nothing() -> None:
    generated = with_copies(3, 40, exact=8, mirrored=4).take(np.arange(40))
    alone = assessed(generated, REFERENCE, Beside())
    beside = assessed(generated, REFERENCE, Beside(base=with_copies(4, 10, exact=1, mirrored=2)))
    counts = {
        name: (named(beside, name).generated.count, named(beside, name).base.count, named(beside, name).base.of)
        for name in ("mq_0.1", "mq_aware_0.1", "second_nearest", "second_nearest_aware")
    }
    plain, aware = (8, 1, 10), (12, 3, 10)
    assert counts == {"mq_0.1": plain, "mq_aware_0.1": aware, "second_nearest": plain, "second_nearest_aware": aware}
    without = [figure.model_copy(update={"base": None}) for figure in beside.memorization]
    assert without == alone.memorization
    assert named(beside, "mq_aware_0.1").verdict == "above"
