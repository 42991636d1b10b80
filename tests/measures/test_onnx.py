"""A feature extractor of the user's own: what it is given, and what is refused."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from unecho.components.config.fields import Evaluate
from unecho.components.failure import Fatal
from unecho.components.measures.features import Onnx
from unecho.components.store import read_object

GREY = np.arange(3 * 64, dtype=np.uint8).reshape(3, 1, 8, 8)


def flatten(path: Path, shape: list[int | str], kind: int = TensorProto.FLOAT, operator: str = "Flatten") -> str:
    """A model whose features are its input's values, or what another operator makes of them."""
    attributes = {"axis": 1} if operator == "Flatten" else {}
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"], **attributes)],
        "features",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))
    return str(path)


def features(model: str, images: np.ndarray, **fields: object) -> np.ndarray:
    return Onnx(Evaluate(features=("onnx",), onnx_model=model, **fields), read_object)(images).numpy()


def refused(model: str, images: np.ndarray = GREY, **fields: object) -> str:
    with pytest.raises(Fatal) as told:
        features(model, images, **fields)
    line = str(told.value)
    assert "\n" not in line
    return line


def test_images_enter_in_zero_to_one_less_mean_over_deviation(tmp_path: Path) -> None:
    model = flatten(tmp_path / "all.onnx", ["n", 1, 8, 8])
    found = features(model, GREY, onnx_mean=(0.5,), onnx_std=(0.25,))
    np.testing.assert_allclose(found, (GREY.reshape(3, 64) / 255 - 0.5) / 0.25, atol=1e-6)


def test_grey_images_become_three_channels_each_with_its_own_mean(tmp_path: Path) -> None:
    model = flatten(tmp_path / "rgb.onnx", ["n", 3, 8, 8])
    found = features(model, GREY, onnx_mean=(0.0, 0.1, 0.2)).reshape(3, 3, 64)
    for channel, mean in enumerate((0.0, 0.1, 0.2)):
        np.testing.assert_allclose(found[:, channel], GREY.reshape(3, 64) / 255 - mean, atol=1e-6)


def test_images_are_scaled_to_the_models_size(tmp_path: Path) -> None:
    model = flatten(tmp_path / "small.onnx", ["n", 1, 4, 4])
    even = np.full((2, 1, 8, 8), 51, np.uint8)
    np.testing.assert_allclose(features(model, even), np.full((2, 16), 0.2), rtol=1e-5)


def test_a_fixed_batch_gives_the_features_of_a_free_one(tmp_path: Path) -> None:
    free, fixed = flatten(tmp_path / "free.onnx", ["n", 1, 8, 8]), flatten(tmp_path / "two.onnx", [2, 1, 8, 8])
    np.testing.assert_array_equal(features(fixed, GREY), features(free, GREY))


def test_the_distance_is_named_after_the_file_and_the_file_by_its_digest(tmp_path: Path) -> None:
    import hashlib

    model = flatten(tmp_path / "retina.onnx", ["n", 1, 8, 8])
    extractor = Onnx(Evaluate(features=("onnx",), onnx_model=model), read_object)
    assert extractor.frechet == "Frechet distance (retina)"
    assert extractor.digest == hashlib.sha256(Path(model).read_bytes()).hexdigest()


def test_what_is_no_such_extractor_is_refused_by_name(tmp_path: Path) -> None:
    assert "no such file" in refused(str(tmp_path / "none.onnx"))
    junk = tmp_path / "junk.onnx"
    junk.write_bytes(b"not a model")
    assert "not a model that onnxruntime loads" in refused(str(junk))
    flat = flatten(tmp_path / "flat.onnx", ["n", 64])
    assert "not one tensor(float) [N, C, H, W]" in refused(flat)
    double = flatten(tmp_path / "double.onnx", ["n", 1, 8, 8], TensorProto.DOUBLE)
    assert "tensor(double)" in refused(double)
    rgb = flatten(tmp_path / "rgb.onnx", ["n", 3, 8, 8])
    assert "takes 3 channels, the images have 2" in refused(rgb, np.zeros((2, 2, 8, 8), np.uint8))
    wide = flatten(tmp_path / "wide.onnx", ["n", 1, "h", "w"])
    assert "8192 features" in refused(wide, np.zeros((1, 1, 96, 96), np.uint8))
    root = flatten(tmp_path / "log.onnx", ["n", 1, 8, 8], operator="Log")
    assert "not finite" in refused(root, np.zeros((1, 1, 8, 8), np.uint8))


def test_means_that_do_not_fit_the_channels_are_refused(tmp_path: Path) -> None:
    model = flatten(tmp_path / "grey.onnx", ["n", 1, 8, 8])
    assert refused(model, onnx_mean=(0.1, 0.2, 0.3)).startswith("evaluate.onnx_mean: 3 numbers for 1 channels")
