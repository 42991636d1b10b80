"""The shipped classifier: it learns, it is the same each time, and its ONNX form is the same map."""

from pathlib import Path

import numpy as np
import pytest
import torch

from unecho.components.config import resolve
from unecho.components.config.fields import Evaluate
from unecho.components.data import Dataset
from unecho.components.data.prepare import packed
from unecho.components.failure import Fatal
from unecho.components.measures import classifier
from unecho.components.measures.classifier import FEATURES, Classifier, train_classifier
from unecho.components.measures.features import Onnx
from unecho.components.measures.onnx_export import onnx_bytes
from unecho.components.progress import Silent
from unecho.components.store import open_store, read_object


def digits(root: Path, *settings: str) -> Dataset:
    data = resolve("tiny", settings=("data.train_limit=", "data.held_out_limit=", *settings)).data
    store = open_store(str(root))
    return Dataset.open(store, packed(store, data, 1, Silent())[0].digest)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The rows that data sets are asked for, read by read."""
    asked: list[np.ndarray] = []
    rows = Dataset.rows

    def watched(self: Dataset, indices: np.ndarray) -> np.ndarray:
        asked.append(np.asarray(indices))
        return rows(self, indices)

    monkeypatch.setattr(Dataset, "rows", watched)
    return asked


def test_it_tells_held_out_digits_apart_and_its_onnx_form_gives_the_same_features(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    dataset = digits(tmp_path)
    network, right = train_classifier(dataset, 150)
    assert right > 0.8  # one class in ten by chance
    model = tmp_path / "classifier.onnx"
    shape = (dataset.channels, dataset.resolution, dataset.resolution)
    model.write_bytes(onnx_bytes(network.features, shape, "features", "classifier"))
    images = dataset.rows(dataset.held_out_rows[:300])
    found = Onnx(Evaluate(features=("onnx",), onnx_model=str(model)), read_object)(images)
    with torch.inference_mode():
        wanted = network.features(torch.from_numpy(images).float() / 255)
    assert found.shape == (300, FEATURES)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_the_same_data_gives_the_same_classifier_whatever_was_drawn_before(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    dataset = digits(tmp_path)
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.append(train_classifier(dataset, 5)[0].state_dict())
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


def test_it_never_sees_a_held_out_image(tmp_path: Path, asked: list[np.ndarray]) -> None:
    dataset = digits(tmp_path)
    train_classifier(dataset, 1)
    assert set(asked[0].tolist()) == set(dataset.train_rows.tolist())  # later ones only count what it gets right


def test_of_a_data_set_too_large_for_memory_evenly_spaced_images_are_taken(
    tmp_path: Path, asked: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = digits(tmp_path)
    monkeypatch.setattr(classifier, "_MOST_BYTES", 200 * 64)
    train_classifier(dataset, 1)
    taken = np.searchsorted(dataset.train_rows, asked[0])
    assert len(taken) == 200
    assert set(np.diff(taken).tolist()) == {4, 5}  # 899 training images


def test_large_images_are_averaged_down() -> None:
    network = Classifier(3, 130, 4).eval()
    even = torch.full((2, 3, 130, 130), 0.5)
    assert network.features(even).shape == (2, FEATURES)
    assert network.features[0](even).shape == (2, 3, 43, 43)


def test_images_without_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="labels of at least 2 classes"):
        train_classifier(digits(tmp_path, "data.labels=none"), 1)
