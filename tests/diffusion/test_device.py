"""Numerics are set both ways, whatever an earlier step of the process has left."""

import os
from collections.abc import Iterator

import pytest
import torch

from tests.runs import tiny
from unecho.components.diffusion.device import set_numerics


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    cudnn, matmul, threads = torch.backends.cudnn, torch.backends.cuda.matmul, torch.get_num_threads()
    before = (cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32)
    workspace = os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
    yield
    cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = before
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)
    os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
    if workspace is not None:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = workspace


def flags() -> dict[str, bool]:
    return {
        "same bytes": torch.are_deterministic_algorithms_enabled(),
        "cudnn.deterministic": torch.backends.cudnn.deterministic,
        "cudnn.benchmark": torch.backends.cudnn.benchmark,
        "tf32 of convolutions": torch.backends.cudnn.allow_tf32,
        "tf32 of products": torch.backends.cuda.matmul.allow_tf32,
        "filled with NaN": torch.utils.deterministic.fill_uninitialized_memory,
    }


SAME_BYTES = {
    "same bytes": True,
    "cudnn.deterministic": True,
    "cudnn.benchmark": False,
    "tf32 of convolutions": False,
    "tf32 of products": False,
    "filled with NaN": False,
}
FASTEST = {
    "same bytes": False,
    "cudnn.deterministic": False,
    "cudnn.benchmark": True,
    "tf32 of convolutions": True,
    "tf32 of products": True,
    "filled with NaN": False,
}


def test_on_cuda_deterministic_says_which_kernels_and_whether_tf32_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for config, wanted in ((tiny(), SAME_BYTES), (tiny("deterministic=false"), FASTEST), (tiny(), SAME_BYTES)):
        set_numerics(config)
        assert flags() == wanted


def test_deterministic_mends_a_workspace_of_cublas_with_which_it_would_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for given, used in ((None, ":4096:8"), (":0:0", ":4096:8"), (":16:8", ":16:8")):
        monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
        if given:
            monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", given)
        set_numerics(tiny())
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == used


def test_without_cuda_nothing_is_rounded_and_no_kernel_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for config in (tiny(), tiny("deterministic=false")):
        set_numerics(config)
        assert not any(flags().values())
        assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
