import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from unecho.components.config.fields import Evaluate
from unecho.components.failure import Fatal
from unecho.components.measures.features import features_of
from unecho.components.store import read_object

CPU = torch.device("cpu")
inception = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")


def config(weights: Path) -> Evaluate:
    return Evaluate(features=("inception",), inception_weights=str(weights))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of torch-fidelity's form with random weights."""

    class Untrained(inception.FeatureExtractorInceptionV3):
        def load_state_dict(self, state):
            return None

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(Untrained("untrained", ["2048"], feature_extractor_weights_path=nothing).state_dict(), path)
    return path


def test_inception_sees_a_grey_image_as_the_same_image_in_rgb(weights: Path):
    (features,) = features_of(config(weights), CPU, read_object)
    grey = np.random.default_rng(0).integers(0, 256, (1, 1, 8, 8), dtype=np.uint8)
    found = features(grey)
    assert (features.frechet, features.kernel) == ("FID", "KID")
    assert (tuple(found.shape), found.dtype) == ((1, 2048), torch.float32)
    assert torch.equal(found, features(grey.repeat(3, axis=1)))


def test_pixels_are_not_called_fid_or_kid():
    (features,) = features_of(Evaluate(), CPU, read_object)
    assert (features.frechet, features.kernel) == ("Frechet distance (pixels)", "kernel distance (pixels)")


def test_a_weights_file_that_is_not_there_or_holds_something_else_is_one_line(tmp_path: Path):
    text, pickled, other = tmp_path / "text.pth", tmp_path / "pickled.pth", tmp_path / "other.pth"
    text.write_text("no weights")
    pickled.write_bytes(pickle.dumps(Path("runs code when it is loaded"), protocol=2))
    torch.save({"weight": torch.zeros(2)}, other)
    for path, why in (
        (tmp_path / "gone.pth", "no such file"),
        (tmp_path, "no such file"),
        (text, "weights_only"),
        (pickled, "weights_only"),
        (other, "not those of torch-fidelity"),
    ):
        with pytest.raises(Fatal) as stop:
            features_of(config(path), CPU, read_object)
        line = str(stop.value)
        assert line.startswith(f"evaluate.inception_weights: '{path}': ")
        assert why in line
        assert "\n" not in line
