"""An ONNX model of images, run by onnxruntime on the CPU."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..failure import Fatal

_AT_ONCE = 256


class OnnxModel:
    """One float32 input [N, C, H, W] and a first output that, flattened, is a vector an image.

    Attributes:
        channels, height, width: where they are fixed, else None. A fixed N is filled up.
    """

    def __init__(self, data: bytes, wrong: Callable[[str], Fatal], needed_by: str) -> None:
        """
        Args:
            data: of the file.
            wrong: makes the error that names the field and the file from what is wrong with it.
            needed_by: the field and its value, for want of onnxruntime.

        Raises:
            Fatal: onnxruntime is not installed, or the file is no such model.
        """
        self._wrong = wrong
        self._session = _opened(data, wrong, needed_by)
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
        """float32 [n, C, H, W] to float32 [n, F], finite or not, on the CPU.

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
            found = self._session.run(None, {self._input: values.contiguous().numpy()})[0]
        except Exception as error:  # onnxruntime raises classes of its own, without a common name
            raise self._wrong(f"fails on images of shape {list(values.shape)}: {first_line(error)}") from None
        vectors = torch.from_numpy(np.asarray(found, np.float32)[:count])
        if vectors.ndim < 1 or len(vectors) != count or not vectors.numel():
            raise self._wrong(f"gives {list(np.shape(found))} for {len(values)} images, not a vector for each")
        return vectors.flatten(1)


def _opened(data: bytes, wrong: Callable[[str], Fatal], needed_by: str) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise Fatal(f"{needed_by} needs the package onnxruntime: install it") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise wrong(f"not a model that onnxruntime loads: {first_line(error)}") from None


def first_line(error: Exception) -> str:
    """What an error of another library says, as part of a line."""
    return (str(error).splitlines() or [type(error).__name__])[0]
