"""What images are compared by in the quality figures."""

import io
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unecho.components.config.fields import Evaluate
from unecho.components.evaluate.onnx import Onnx
from unecho.components.failure import Fatal

_PIXELS = 32


class Features(Protocol):
    """A map from images to vectors.

    Attributes:
        name: as in `evaluate.features`.
        frechet: what the Frechet distance on them is called; only Inception's may be called FID.
        digest: SHA-256 of the file that the map was read from; None where there is none.
    """

    @property
    def name(self) -> str: ...

    @property
    def frechet(self) -> str: ...

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
    digest = None  # there is one such file

    def __init__(self, weights: str, device: torch.device) -> None:
        """
        Args:
            weights: torch-fidelity's weights file. Nothing is ever downloaded.

        Raises:
            Fatal: torch-fidelity is not installed, or the file is missing or holds something else.
        """
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError:
            raise Fatal("evaluate.features: inception needs the package torch-fidelity: install it") from None
        # torch-fidelity would unpickle the file; it is given a copy that holds nothing but tensors
        copy = io.BytesIO()
        torch.save(_tensors(weights), copy)
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
            with torch.inference_mode():
                batches.append(self._network(batch)[0].float())
        return torch.cat(batches)


def _tensors(weights: str) -> dict[str, Tensor]:
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise _wrong(weights, "no such file") from None
    except OSError as error:
        raise _wrong(weights, error.strerror or "cannot be read") from None
    except Exception:  # torch.load raises what the file's bytes happen to lead to
        raise _wrong(weights, "not a file of tensors that loads with weights_only") from None
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise _wrong(weights, "not a state dict")
    return state


def _wrong(weights: str, why: str) -> Fatal:
    return Fatal(
        f"evaluate.inception_weights: '{weights}': {why}: give the path of torch-fidelity's "
        "weights-inception-2015-12-05-6726825d.pth"
    )


def features_of(config: Evaluate, device: torch.device) -> list[Features]:
    """The features that `evaluate.features` names, in its order.

    Raises:
        Fatal: a package is not installed, or a file is missing or holds something else.
    """
    found: list[Features] = []
    for kind in dict.fromkeys(config.features):
        if kind == "inception":
            assert config.inception_weights is not None  # the configuration has seen to it
            found.append(Inception(config.inception_weights, device))
        elif kind == "onnx":
            found.append(Onnx(config))
        else:
            found.append(Pixels(device))
    return found
