"""Images as they are encoded for the samples' gate."""

from pathlib import Path

import torch

from unecho.components.config import resolve
from unecho.components.encode.images import Images
from unecho.components.method.augment import flip_and_shift, randaugment
from unecho.components.method.streams import seed_of
from unecho.components.plan.step import plan
from unecho.components.run import Run
from unecho.components.steps import run_step


def test_each_sample_is_encoded_at_each_strength_and_mirrored_after_it(tmp_path: Path) -> None:
    config = resolve(
        "tiny-text-to-image", "iet-agc+paper", settings=("train.horizontal_flip=true", "encode.variants=3")
    )
    run = Run.at(str(tmp_path), "a")
    plan(run, config)
    run_step("prepare", run)
    dataset = run.dataset(config)
    images = Images(config, dataset)
    assert images.variants == 2 * (1 + 6 * 3)
    assert images.conditions()[5].tolist() == [0, 0] + [1] * 36
    row = int(dataset.train_rows[5])
    plain = torch.from_numpy(dataset.rows([row]))
    expected = [plain]
    for magnitude in range(6):
        for number in range(3):
            seed = seed_of(f"encoded randaugment of magnitude {magnitude}", row, number)
            expected.append(randaugment(plain, {0: seed}, magnitude))
    no_shift = torch.zeros(19, dtype=torch.int64)
    mirrored = flip_and_shift(torch.cat(expected), torch.ones(19, dtype=torch.bool), no_shift, no_shift)
    taken = images.take(5, 6)
    assert torch.equal(taken[0::2], torch.cat(expected))
    assert torch.equal(taken[1::2], mirrored)
    assert len({image.numpy().tobytes() for image in taken}) > 10, "they differ"
