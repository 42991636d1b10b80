"""An ONNX model of images, run by onnxruntime: on CUDA where its build for it is installed, else on the CPU."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from ..failure import Fatal

_AT_ONCE = 256


class OnnxModel:
    """One float32 input [N, C, H, W] and a first output that, flattened, is a vector an image.

    Attributes:
        channels, height, width: where they are fixed, else None. A fixed N is filled up.
        provider: what it runs by, as onnxruntime calls it: of a model that CUDA is asked for, CUDAExecutionProvider, or
            CPUExecutionProvider where onnxruntime or its libraries have none.
    """

    def __init__(self, data: bytes, wrong: Callable[[str], Fatal], needed_by: str, device: torch.device) -> None:
        """
        Args:
            data: of the file.
            wrong: makes the error that names the field and the file from what is wrong with it.
            needed_by: the field and its value, for want of onnxruntime.
            device: to run on, where onnxruntime can.

        Raises:
            Fatal: onnxruntime is not installed, or the file is no such model.
        """
        self._wrong = wrong
        self._session = _opened(data, wrong, needed_by, device)
        self.provider = str(self._session.get_providers()[0])
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
            found = ", ".join(f"{i.type} {i.shape}" for i in inputs)
            raise wrong(f"takes {found}, not one tensor(float) [N, C, H, W]")
        self._input = inputs[0].name
        # a dimension that is free is a name, or nothing
        self._batch, self.channels, self.height, self.width = (
            d if isinstance(d, int) else None for d in inputs[0].shape
        )

    def __call__(self, values: Tensor) -> Tensor:
        """float32 [n, C, H, W] on any device to float32 [n, F], finite or not, on the CPU.

        Raises:
            Fatal: it fails on images of this shape, or gives something else than a vector an image.
        """
        at_once = self._batch or _AT_ONCE
        return torch.cat([self._some(values[first : first + at_once]) for first in range(0, len(values), at_once)])

    def _some(self, values: Tensor) -> Tensor:
        count = len(values)
        if self._batch:
            values = torch.cat([values, values[:1].expand(self._batch - count, -1, -1, -1)])
        try:
            found = self._session.run(None, {self._input: values.contiguous().cpu().numpy()})[0]
        except Exception as error:  # onnxruntime raises classes of its own, without a common name
            _check_memory(error, self.provider == _CUDA)
            raise self._wrong(f"fails on images of shape {list(values.shape)}: {first_line(error)}") from None
        vectors = torch.from_numpy(np.asarray(found, np.float32)[:count])
        if vectors.ndim < 1 or len(vectors) != count or not vectors.numel():
            raise self._wrong(f"gives {list(np.shape(found))} for {len(values)} images, not a vector for each")
        return vectors.flatten(1)


def _check_memory(error: Exception, on_cuda: bool) -> None:
    """Memory that onnxruntime lacks, as torch and Python say it: it is no fault of the file."""
    if any(words in str(error) for words in _NO_MEMORY):
        raise (torch.OutOfMemoryError if on_cuda else MemoryError)(first_line(error)) from None


_CUDA: Final = "CUDAExecutionProvider"
_NO_MEMORY: Final = ("Failed to allocate memory", "out of memory", "bad_alloc", "_ALLOC_FAILED")


def _opened(data: bytes, wrong: Callable[[str], Fatal], needed_by: str, device: torch.device) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise Fatal(f"{needed_by} needs the package onnxruntime: install it") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4

    def session(*providers: object) -> Any:
        return onnxruntime.InferenceSession(data, options, providers=providers, enable_fallback=0)

    if device.type == "cuda" and _CUDA in onnxruntime.get_available_providers():
        options.use_deterministic_compute = True
        with suppress(Exception):  # its libraries may be of another CUDA; a model that is none fails below, too
            return session((_CUDA, {"device_id": str(device.index or 0)} | _EXACT), _CPU)
    try:
        return session(_CPU)
    except Exception as error:  # as above
        _check_memory(error, on_cuda=False)
        raise wrong(f"not a model that onnxruntime loads: {first_line(error)}") from None


_CPU: Final = "CPUExecutionProvider"
_EXACT: Final = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
"""As `exact` has it for torch: TF32 and kernels that are chosen by time are onnxruntime's defaults."""


def first_line(error: Exception) -> str:
    """What an error of another library says, as part of a line."""
    return (str(error).splitlines() or [type(error).__name__])[0]
