"""The shipped copy descriptor: it learns, it is the same each time, and its ONNX form is the same map."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from unecho.components.config import resolve
from unecho.components.config.fields import Evaluate
from unecho.components.data import Dataset
from unecho.components.data.prepare import packed
from unecho.components.failure import Fatal
from unecho.components.measures import copy_descriptor
from unecho.components.measures.copy_descriptor import (
    DIMENSIONS,
    CopyDescriptor,
    crowding,
    nt_xent,
    train_copy_descriptor,
    view,
)
from unecho.components.measures.descriptors import Descriptor
from unecho.components.measures.onnx_export import onnx_bytes
from unecho.components.progress import Silent
from unecho.components.store import open_store, read_object

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    data = resolve("tiny", settings=("data.train_limit=", "data.held_out_limit=")).data
    store = open_store(str(tmp_path_factory.mktemp("digits")))
    return Dataset.open(store, packed(store, data, 1, Silent())[0].digest)


@pytest.fixture(scope="module")
def trained(digits: Dataset) -> CopyDescriptor:
    torch.set_num_threads(1)
    return train_copy_descriptor(digits, 60)


def test_the_loss_is_that_of_nt_xent_worked_out_by_hand() -> None:
    """Two images at right angles, whose views are equal: each view has one equal one, and two at similarity 0."""
    one, other = [1.0, 0.0], [0.0, 1.0]
    found = nt_xent(torch.tensor([one, other, one, other]), temperature=0.5)
    assert found.item() == pytest.approx(-math.log(math.exp(2) / (math.exp(2) + 2)), abs=1e-6)


def test_crowding_is_that_of_the_nearest_other_image_and_no_matter_of_its_own_views() -> None:
    one, other, between = [1.0, 0.0], [0.0, 1.0], [math.sqrt(0.5), math.sqrt(0.5)]
    apart = crowding(torch.tensor([one, other, one, other]))
    assert apart.item() == pytest.approx(-math.log(math.sqrt(2)), abs=1e-6)
    # the second view of the first image comes nearer: to it and to the other image's views it is the nearest
    nearer = math.sqrt(2 - 2 * math.sqrt(0.5))
    found = crowding(torch.tensor([one, other, between, other]))
    assert found.item() == pytest.approx(-(math.log(math.sqrt(2)) + 3 * math.log(nearer)) / 4, abs=1e-6)


def test_it_brings_views_of_one_held_out_image_together(digits: Dataset, trained: CopyDescriptor) -> None:
    images = torch.from_numpy(digits.rows(digits.held_out_rows[:200])).float() / 255
    copies = view(images, torch.Generator().manual_seed(7))

    def first(network: CopyDescriptor) -> float:
        """How often the image that a view is of is the most similar one of 200."""
        with torch.inference_mode():
            similarity = network(copies) @ network(images).T
        return (similarity.argmax(dim=1) == torch.arange(200)).float().mean().item()

    torch.manual_seed(0)
    assert first(trained) > 0.15  # by chance 1 in 200
    assert first(trained) > 1.5 * first(CopyDescriptor(1, 8).eval())


def test_its_onnx_form_is_a_descriptor_of_the_same_unit_vectors(
    digits: Dataset, trained: CopyDescriptor, tmp_path: Path
) -> None:
    path = tmp_path / "descriptor.onnx"
    path.write_bytes(onnx_bytes(trained, (1, 8, 8), "descriptors", "descriptor"))
    images = digits.rows(digits.held_out_rows[:70])
    config = Evaluate(descriptor=str(path), descriptor_transform="numbers")
    found = Descriptor(config, CPU, read_object)(images)
    with torch.inference_mode():
        wanted = trained(torch.from_numpy(images).float() / 255)
    assert found.shape == (70, DIMENSIONS)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(70))


def test_the_same_data_gives_the_same_descriptor_whatever_was_drawn_before(digits: Dataset) -> None:
    torch.set_num_threads(1)
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.append(train_copy_descriptor(digits, 3).state_dict())
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


def test_it_never_sees_a_held_out_image(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    rows = Dataset.rows

    def watched(self: Dataset, indices: np.ndarray) -> np.ndarray:
        asked.extend(np.asarray(indices).tolist())
        return rows(self, indices)

    monkeypatch.setattr(Dataset, "rows", watched)
    train_copy_descriptor(digits, 1)
    assert set(asked) == set(digits.train_rows.tolist())


def test_no_batch_holds_an_image_twice_and_all_images_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_descriptor, "_BATCH", 4)
    batches = [b.tolist() for b in copy_descriptor._batches(10, 40, torch.Generator().manual_seed(0))]
    assert len(batches) == 40
    assert all(len(set(batch)) == 4 for batch in batches)
    assert {place for batch in batches for place in batch} == set(range(10))


@pytest.mark.parametrize(("channels", "resolution"), [(1, 8), (3, 28), (3, 32), (3, 130)])
def test_images_of_any_size_give_unit_vectors(channels: int, resolution: int) -> None:
    images = torch.rand(2, channels, resolution, resolution, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = CopyDescriptor(channels, resolution).eval()(images)
    assert found.shape == (2, DIMENSIONS)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2))


def test_of_seven_training_images_nothing_is_learned(tmp_path: Path) -> None:
    data = resolve("tiny", settings=("data.train_limit=7",)).data
    store = open_store(str(tmp_path))
    dataset = Dataset.open(store, packed(store, data, 1, Silent())[0].digest)
    with pytest.raises(Fatal, match="descriptor: 7 training images: at least 8 are needed"):
        train_copy_descriptor(dataset, 1)
