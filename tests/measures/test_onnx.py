"""A feature extractor of the user's own: what it is given, and what is refused."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from unecho.components.config.fields import Evaluate
from unecho.components.failure import Fatal, memory_line
from unecho.components.measures.features import Onnx
from unecho.components.measures.onnx_model import OnnxModel
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


class Sessions:
    """onnxruntime with CUDA, as far as it can be had without: asked for it, it runs on the CPU."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
        self.asked: list[list[object]] = []
        real = onnxruntime.InferenceSession

        def session(data: bytes, options: object, providers: Sequence[object], **more: object) -> object:
            self.asked.append(list(providers))
            if error and len(providers) > 1:
                raise error
            opened = real(data, options, providers=["CPUExecutionProvider"], **more)
            if len(providers) > 1:
                opened.get_providers = lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
            return opened

        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
        monkeypatch.setattr(onnxruntime, "InferenceSession", session)


def opened(path: str, device: str) -> OnnxModel:
    return OnnxModel(Path(path).read_bytes(), Fatal, "a test", torch.device(device))


def test_on_cuda_a_model_is_run_there_without_tf32_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, sessions = flatten(tmp_path / "all.onnx", ["n", 1, 8, 8]), Sessions(monkeypatch)
    on_cpu, on_cuda = opened(model, "cpu"), opened(model, "cuda:3")
    exact = {"device_id": "3", "use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
    assert sessions.asked == [["CPUExecutionProvider"], [("CUDAExecutionProvider", exact), "CPUExecutionProvider"]]
    assert (on_cpu.provider, on_cuda.provider) == ("CPUExecutionProvider", "CUDAExecutionProvider")
    values = torch.arange(64.0).view(1, 1, 8, 8)
    assert torch.equal(on_cuda(values), values.flatten(1))


def test_where_cuda_is_not_to_be_had_a_model_is_run_on_the_cpu_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = flatten(tmp_path / "all.onnx", ["n", 1, 8, 8])
    assert opened(model, "cuda").provider == "CPUExecutionProvider", "onnxruntime's build for the CPU"
    Sessions(monkeypatch, RuntimeError("libcublasLt.so.12: cannot open shared object file"))
    assert opened(model, "cuda").provider == "CPUExecutionProvider"


@pytest.mark.parametrize(("device", "whose"), [("cuda", "the device's"), ("cpu", "this machine's")])
def test_memory_that_onnxruntime_lacks_is_no_fault_of_the_file(
    device: str, whose: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Sessions(monkeypatch)
    model = opened(flatten(tmp_path / "all.onnx", ["n", 1, 8, 8]), device)

    def fails(*_: object) -> None:
        raise RuntimeError("RUNTIME_EXCEPTION : bfc_arena.cc: Failed to allocate memory for requested buffer of size 9")

    monkeypatch.setattr(model._session, "run", fails)
    with pytest.raises((torch.OutOfMemoryError, MemoryError)) as told:
        model(torch.zeros(1, 1, 8, 8))
    assert str(memory_line(told.value)).startswith(f"{whose} memory does not suffice")
