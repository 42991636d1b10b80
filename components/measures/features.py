"""What images are compared by in the quality figures."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..config.fields import Evaluate
from ..failure import Fatal, memory_line
from .exact import exact
from .onnx_model import OnnxModel

_PIXELS = 32


Read = Callable[[str], bytes | None]
"""The bytes of a file by its path or address; None where there is none."""


class Features(Protocol):
    """A map from images to vectors.

    Attributes:
        name: as in `evaluate.features`.
        frechet: what the Frechet distance on them is called; only Inception's may be called FID.
        kernel: what the kernel distance on them is called; only Inception's may be called KID.
        digest: SHA-256 of the file that the map was read from; None where there is none.
    """

    @property
    def name(self) -> str: ...

    @property
    def frechet(self) -> str: ...

    @property
    def kernel(self) -> str: ...

    @property
    def digest(self) -> str | None: ...

    def __call__(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 [n, C, H, W] to float32 [n, F] on the device."""


@dataclass(frozen=True)
class Pixels:
    """The pixels themselves, in [0, 1]; images above 32x32 are averaged down to that, so that F stays below 3,073."""

    device: torch.device
    name: str = "pixels"
    frechet: str = "Frechet distance (pixels)"
    kernel: str = "kernel distance (pixels)"
    digest: str | None = None

    def __call__(self, images: NDArray[np.uint8]) -> Tensor:
        values = torch.from_numpy(images).to(self.device).float() / 255
        if max(values.shape[2:]) > _PIXELS:
            values = torch.nn.functional.interpolate(values, (_PIXELS, _PIXELS), mode="area")
        return values.flatten(1)


class Inception:
    """torch-fidelity's InceptionV3, the network of FID: 2,048 features."""

    name = "inception"
    frechet = "FID"
    kernel = "KID"
    digest = None  # there is one such file

    def __init__(self, weights: str, device: torch.device, read: Read) -> None:
        """
        Args:
            weights: torch-fidelity's weights file. Nothing is ever downloaded.
            read: gives the file.

        Raises:
            Fatal: torch-fidelity is not installed, or the file is missing or holds something else.
        """
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError:
            raise Fatal("evaluate.features: inception needs the package torch-fidelity: install it") from None
        # torch-fidelity would unpickle the file; it is given a copy that holds nothing but tensors
        copy = io.BytesIO()
        torch.save(_tensors(weights, read), copy)
        copy.seek(0)
        try:
            self._network = FeatureExtractorInceptionV3("unecho", ["2048"], feature_extractor_weights_path=copy)
        except (RuntimeError, TypeError, AttributeError):
            raise _wrong(weights, "its tensors are not those of torch-fidelity's InceptionV3") from None
        self._network.to(device)
        self._device = device

    def __call__(self, images: NDArray[np.uint8]) -> Tensor:
        batches = []
        for start in range(0, len(images), 64):
            batch = torch.from_numpy(images[start : start + 64]).to(self._device)
            if batch.shape[1] == 1:
                batch = batch.expand(-1, 3, -1, -1)
            with torch.inference_mode(), exact():
                batches.append(self._network(batch)[0].float())
        return torch.cat(batches)


def _tensors(weights: str, read: Read) -> dict[str, Tensor]:
    data = read(weights)
    if data is None:
        raise _wrong(weights, "no such file")
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises what the file's bytes happen to lead to
        if memory_line(error):
            raise
        raise _wrong(weights, "not a file of tensors that loads with weights_only") from None
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise _wrong(weights, "not a state dict")
    return state


def _wrong(weights: str, why: str) -> Fatal:
    return Fatal(
        f"evaluate.inception_weights: '{weights}': {why}: give the path of torch-fidelity's "
        "weights-inception-2015-12-05-6726825d.pth"
    )


def features_of(config: Evaluate, device: torch.device, read: Read) -> list[Features]:
    """The features that `evaluate.features` names, in its order.

    Args:
        read: gives the file of an extractor.

    Raises:
        Fatal: a package is not installed, or a file is missing or holds something else.
    """
    found: list[Features] = []
    for kind in dict.fromkeys(config.features):
        if kind == "inception":
            assert config.inception_weights is not None  # the configuration has seen to it
            found.append(Inception(config.inception_weights, device, read))
        elif kind == "onnx":
            found.append(Onnx(config, read, device))
        else:
            found.append(Pixels(device))
    return found


_AT_ONCE = 256
_MOST_FEATURES = 8192
"""A Frechet distance takes the square of it in memory, and the cube of it in time."""


class Onnx:
    """The extractor that `evaluate.onnx_model` names.

    Images are scaled to its height and width where these are fixed (bilinear, antialiased), grey ones are
    repeated where it wants three channels.

    Attributes:
        provider: what it runs by, see `OnnxModel`.
    """

    name = "onnx"

    def __init__(self, config: Evaluate, read: Read, device: torch.device = torch.device("cpu")) -> None:  # noqa: B008
        """
        Args:
            read: gives the file.
            device: where the features are wanted; the model runs there too, where onnxruntime can.

        Raises:
            Fatal: onnxruntime is not installed; the file is missing, or is no such extractor. Names the file.
        """
        assert config.onnx_model is not None  # the configuration has seen to it
        self._path = config.onnx_model
        self.frechet = f"Frechet distance ({PurePath(self._path).stem})"
        self.kernel = f"kernel distance ({PurePath(self._path).stem})"
        data = read(self._path)
        if data is None:
            raise self._wrong("no such file")
        self.digest = hashlib.sha256(data).hexdigest()
        self._model = OnnxModel(data, self._wrong, "evaluate.features: onnx", device)
        self.provider = self._model.provider
        self._device = device
        self._mean, self._std = (
            torch.tensor(values, dtype=torch.float32, device=device).view(-1, 1, 1)
            for values in (config.onnx_mean, config.onnx_std)
        )

    def __call__(self, images: NDArray[np.uint8]) -> Tensor:
        some = (images[first : first + _AT_ONCE] for first in range(0, len(images), _AT_ONCE))
        return torch.cat([self._features(batch) for batch in some])

    def _features(self, images: NDArray[np.uint8]) -> Tensor:
        values = torch.from_numpy(images).to(self._device).float() / 255
        features = self._model(self._as_wanted(values)).to(self._device)
        if not 1 <= features.shape[1] <= _MOST_FEATURES:
            raise self._wrong(f"gives {list(features.shape)}, not N times 1 to {_MOST_FEATURES} features")
        if not features.isfinite().all():
            raise self._wrong("gives features that are not finite numbers")
        return features

    def _as_wanted(self, values: Tensor) -> Tensor:
        channels = self._model.channels or values.shape[1]
        if values.shape[1] == 1 and channels == 3:
            values = values.expand(-1, 3, -1, -1)
        elif values.shape[1] != channels:
            raise self._wrong(f"takes {channels} channels, the images have {values.shape[1]}")
        for name, numbers in (("mean", self._mean), ("std", self._std)):
            if len(numbers) not in (1, channels):
                raise Fatal(f"evaluate.onnx_{name}: {len(numbers)} numbers for {channels} channels: give 1 or as many")
        size = (self._model.height or values.shape[2], self._model.width or values.shape[3])
        if size != tuple(values.shape[2:]):
            values = F.interpolate(values, size, mode="bilinear", antialias=True)
        return (values - self._mean) / self._std

    def _wrong(self, why: str) -> Fatal:
        return Fatal(f"evaluate.onnx_model: '{self._path}': {why}")
