"""Copy descriptors: maps from images to unit vectors whose dot product, the similarity, is high for copies.

Such as SSCD (E. Pizzi et al., "A Self-Supervised Descriptor for Image Copy Detection", arXiv 2202.10261). The file is
the user's, ONNX or TorchScript. **A TorchScript file is a program, and is run.**
"""

import hashlib
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..config.fields import Evaluate
from ..failure import Fatal, memory_line
from .exact import exact
from .features import Read
from .onnx_model import OnnxModel

_AT_ONCE = 64
_ZIP: Final = b"PK\x03\x04"
_MOST_DIMENSIONS = 8192


@dataclass(frozen=True)
class Preparation:
    """What images go through before the descriptor, by name and in numbers.

    Attributes:
        name: as in `evaluate.descriptor_transform`.
        short_side: pixels that the shorter side is scaled to, bilinear and antialiased; None for the images' own.
        crop: pixels of the square that is cut out of the middle then; None for none.
        mean, std: that values in [0, 1] are less and over, one number or one a channel.
    """

    name: str
    short_side: int | None
    crop: int | None
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def size(self) -> int | None:
        """Height and width of what comes out for a square image."""
        return self.crop or self.short_side

    def __call__(self, values: Tensor) -> Tensor:
        """float32 [n, C, H, W] in [0, 1], C as many as there are numbers where there are several, to the same less the
        mean over the deviation, in another size.
        """
        height, width = values.shape[2:]
        if self.short_side and min(height, width) != self.short_side:
            scale = self.short_side / min(height, width)
            size = (max(self.short_side, round(height * scale)), max(self.short_side, round(width * scale)))
            values = F.interpolate(values, size, mode="bilinear", antialias=True)
        if self.crop:
            top, left = ((side - self.crop) // 2 for side in values.shape[2:])
            values = values[:, :, top : top + self.crop, left : left + self.crop]
        mean, std = (torch.tensor(n, device=values.device).view(-1, 1, 1) for n in (self.mean, self.std))
        return (values - mean) / std


_NAMED: Final = {
    # facebookresearch/sscd-copy-detection, README: the transform for images of any aspect ratio
    "sscd": Preparation("sscd", 288, None, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    # somepago/DCR, diff_retrieval.py
    "dcr": Preparation("dcr", 256, 224, (0.5,), (0.5,)),
}


class Descriptor:
    """The file that `evaluate.descriptor` names, with the transform before it and the normalisation after it.

    It runs on the device; an ONNX model where onnxruntime can, else on the CPU. Grey images are repeated where three
    channels are wanted.

    Attributes:
        name: the file's, without its ending.
        digest: SHA-256 of the file.
        preparation: what images go through.
        provider: what an ONNX model runs by, see `OnnxModel`; None for TorchScript.
    """

    def __init__(self, config: Evaluate, device: torch.device, read: Read) -> None:
        """
        Args:
            read: gives the file.

        Raises:
            Fatal: the file is missing, is no such model, or takes images of another size than the transform's; or
                onnxruntime is not installed. Names the field and the file.
        """
        assert config.descriptor is not None
        self._path = config.descriptor
        self.name = PurePath(self._path).stem
        data = read(self._path)
        if data is None:
            raise self._wrong("no such file")
        self.digest = hashlib.sha256(data).hexdigest()
        self._channels: int | None = None if config.descriptor_transform == "numbers" else 3
        fixed: tuple[int | None, int | None] = (None, None)
        self.provider: str | None = None
        self._device = device
        if data.startswith(_ZIP):
            self._model = _torch_script(data, device, self._wrong)
        else:
            onnx = OnnxModel(data, self._wrong, "evaluate.descriptor: an ONNX file", device)
            fixed = (onnx.height, onnx.width)
            if self._channels and onnx.channels not in (None, self._channels):
                raise self._wrong(
                    f"takes {onnx.channels} channels, not the {self._channels} of {self._transform(config)}"
                )
            self._channels = onnx.channels or self._channels
            self._model, self.provider = onnx, onnx.provider
        self.preparation = self._prepared(config, fixed)
        if self._channels is not None and self.preparation.size is not None:  # what does not run is said before a run
            self._try((1, self._channels, self.preparation.size, self.preparation.size))

    def __call__(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 [n, C, H, W] to float32 [n, F] of length 1 on the CPU; a vector of zeros stays one.

        Raises:
            Fatal: it fails on them, or gives no finite vectors.
        """
        some = (images[first : first + _AT_ONCE] for first in range(0, len(images), _AT_ONCE))
        return torch.cat([self._described(batch) for batch in some])

    def _try(self, shape: tuple[int, int, int, int]) -> None:
        noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        if torch.equal(self(np.zeros(shape, np.uint8)), self(noise)):
            raise self._wrong("gives the same vector for a black image as for noise: it tells no images apart")

    def _described(self, images: NDArray[np.uint8]) -> Tensor:
        values = torch.from_numpy(np.ascontiguousarray(images)).to(self._device).float() / 255
        vectors = self._model(self.preparation(self._as_wanted(values))).float().cpu()
        if len(vectors) != len(images) or not 1 <= vectors.shape[1] <= _MOST_DIMENSIONS:
            shape = list(vectors.shape)
            raise self._wrong(f"gives {shape} for {len(images)} images, not N times 1 to {_MOST_DIMENSIONS} numbers")
        if not vectors.isfinite().all():
            raise self._wrong("gives numbers that are not finite")
        return F.normalize(vectors, dim=1)

    def _as_wanted(self, values: Tensor) -> Tensor:
        """Images in as many channels as the file or the transform wants."""
        wanted, given = self._channels or values.shape[1], values.shape[1]
        if wanted == 3 and given == 1:
            values = values.expand(-1, 3, -1, -1)
        elif wanted != given:
            raise self._wrong(f"takes {wanted} channels, the images have {given}")
        for name in ("mean", "std"):
            if len(numbers := getattr(self.preparation, name)) not in (1, wanted):
                raise Fatal(
                    f"evaluate.descriptor_{name}: {len(numbers)} numbers for {wanted} channels: give 1 or as many"
                )
        return values

    def _prepared(self, config: Evaluate, fixed: tuple[int | None, int | None]) -> Preparation:
        """
        Args:
            fixed: height and width that the file takes alone; None where any will do.
        """
        height, width = fixed
        if config.descriptor_transform == "numbers":
            if height != width:
                raise self._wrong(f"takes images of {height} x {width}: give one for square images, or for any size")
            size = config.descriptor_size or height
            wanted = Preparation("numbers", size, None, config.descriptor_mean, config.descriptor_std)
        else:
            wanted = _NAMED[config.descriptor_transform]
        if any(side not in (None, wanted.size) for side in fixed):
            numbers = "set evaluate.descriptor_transform=numbers with the file's own mean and deviation"
            remedy = "leave descriptor_size out" if config.descriptor_size else numbers
            raise self._wrong(
                f"takes images of {height} x {width}, {self._transform(config)} gives {wanted.size} x {wanted.size}: "
                f"{remedy}, or export it for any size"
            )
        return wanted

    def _transform(self, config: Evaluate) -> str:
        size = config.descriptor_size
        own = f" of descriptor_size {size}" if size else ""
        return f"evaluate.descriptor_transform {config.descriptor_transform}{own}"

    def _wrong(self, why: str) -> Fatal:
        return Fatal(f"evaluate.descriptor: '{self._path}': {why}")


def _torch_script(data: bytes, device: torch.device, wrong: Callable[[str], Fatal]) -> Callable[[Tensor], Tensor]:
    """The module as a map from images to vectors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TorchScript has successors: the descriptors of the field are given in it
        try:
            module: Any = torch.jit.load(io.BytesIO(data), map_location=device)  # type: ignore[no-untyped-call]
        except Exception as error:  # it raises what the bytes lead to
            if memory_line(error):
                raise
            raise wrong("a zip, but not what torch.jit.save writes: give TorchScript or ONNX") from None
    module.eval()

    def vectors(values: Tensor) -> Tensor:
        try:
            # no kernels that are fused later on: the same numbers at every call
            with torch.inference_mode(), exact(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
                found = module(values)
        except Exception as error:  # as above
            if memory_line(error):
                raise
            raise wrong(f"fails on images of shape {list(values.shape)}: {_last_line(error)}") from None
        found = found[0] if isinstance(found, tuple | list) and found else found
        if not isinstance(found, Tensor) or not found.ndim or not found.numel() or found.is_complex():
            raise wrong(f"gives {type(found).__name__}, not a vector an image")
        return found.flatten(1) if found.ndim > 1 else found[:, None]

    return vectors


def _last_line(error: Exception) -> str:
    """TorchScript's errors end with what was wrong, after the code where it was."""
    return next((line for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__).strip()
