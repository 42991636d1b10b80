"""A copy descriptor of the user's own: what it is given, what comes out, and what is refused."""

import hashlib
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.measures.test_onnx import flatten
from unecho.components.config.fields import Evaluate
from unecho.components.failure import Fatal
from unecho.components.measures.descriptors import Descriptor
from unecho.components.store import read_object

GREY = np.arange(4 * 64, dtype=np.uint8).reshape(4, 1, 8, 8)


class First(nn.Module):
    """The first values of an image, several outputs of which the first counts."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images.flatten(1)[:, :6], images


class NotFinite(nn.Module):
    """No numbers."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :4] / 0.0


class Blind(nn.Module):
    """The same vector for every image."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.ones(images.shape[0], 4)


def scripted(module: nn.Module, path: Path) -> str:
    """A module as its TorchScript file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(module).save(str(path))
    return str(path)


def of_sscds_shape() -> nn.Module:
    """3 x 288 x 288 to 512, as SSCD's files are."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 9, 16), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 512))


def descriptor(path: str, **fields: object) -> Descriptor:
    return Descriptor(Evaluate(descriptor=path, **fields), torch.device("cpu"), read_object)


def refused(path: str, images: np.ndarray = GREY, **fields: object) -> str:
    with pytest.raises(Fatal) as told:
        descriptor(path, **fields)(images)
    line = str(told.value)
    assert "\n" not in line
    return line


def test_a_torchscript_file_of_sscds_shape_gives_unit_vectors_of_images_of_any_size(tmp_path: Path) -> None:
    path = scripted(of_sscds_shape(), tmp_path / "sscd_disc.torchscript.pt")
    sscd = descriptor(path)
    assert (sscd.name, sscd.preparation.name, sscd.preparation.size) == ("sscd_disc.torchscript", "sscd", 288)
    assert sscd.digest == hashlib.sha256(Path(path).read_bytes()).hexdigest()
    for images in (GREY, np.repeat(np.repeat(GREY, 3, axis=1), 8, axis=2).repeat(8, axis=3)):
        found = sscd(images)
        assert (found.shape, found.dtype) == ((4, 512), torch.float32)
        torch.testing.assert_close(found.norm(dim=1), torch.ones(4))


def test_a_torchscript_file_gives_the_same_bytes_at_every_call(tmp_path: Path) -> None:
    sscd = descriptor(scripted(of_sscds_shape(), tmp_path / "sscd.pt"))
    first, *others = (sscd(GREY) for _ in range(4))  # its executor rewrites a program that it has seen run
    for other in others:
        assert torch.equal(first, other)


def test_what_enters_an_sscd_file_is_288_pixels_with_imagenets_mean_and_deviation(tmp_path: Path) -> None:
    class Corner(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            assert images.shape[1:] == (3, 288, 288)
            return images[:, :, 0, 0]

    found = descriptor(scripted(Corner(), tmp_path / "corner.pt"))(np.full((1, 1, 8, 8), 255, np.uint8))
    entered = torch.tensor([(1 - mean) / std for mean, std in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))])
    torch.testing.assert_close(found[0], entered / entered.norm())


def test_dcr_takes_the_centre_of_256_pixels_with_mean_and_deviation_one_half(tmp_path: Path) -> None:
    class Columns(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            assert images.shape[1:] == (3, 224, 224)
            return torch.stack([images[:, 0, 0, 0], images[:, 0, 0, -1]], dim=1)

    ramp = np.tile(np.arange(256, dtype=np.uint8), (1, 3, 256, 1))
    found = descriptor(scripted(Columns(), tmp_path / "columns.pt"), descriptor_transform="dcr")(ramp)
    entered = torch.tensor([(16 / 255 - 0.5) / 0.5, (239 / 255 - 0.5) / 0.5])  # 256 - 224 is 32: 16 on each side
    torch.testing.assert_close(found[0], entered / entered.norm())


def test_onnx_and_torchscript_are_told_apart_by_what_is_in_the_file(tmp_path: Path) -> None:
    onnx = Path(flatten(tmp_path / "a.onnx", ["n", 1, 8, 8])).rename(tmp_path / "a.pt")
    script = Path(scripted(nn.Flatten(), tmp_path / "b.pt")).rename(tmp_path / "b.onnx")
    found = [descriptor(str(path), descriptor_transform="numbers")(GREY) for path in (onnx, script)]
    values = GREY.reshape(4, 64).astype(np.float64)
    right = values / np.linalg.norm(values, axis=1, keepdims=True)
    for vectors in found:
        np.testing.assert_allclose(vectors.numpy(), right, atol=1e-6)


def test_numbers_are_the_files_own_size_and_the_given_mean_and_deviation(tmp_path: Path) -> None:
    path = flatten(tmp_path / "small.onnx", ["n", 3, 4, 4])
    own = descriptor(path, descriptor_transform="numbers", descriptor_mean=(0.0, 0.1, 0.2), descriptor_std=(0.5,))
    assert own.preparation.size == 4
    found = own(np.full((1, 1, 8, 8), 51, np.uint8))[0].reshape(3, 16)
    entered = torch.tensor([0.4, 0.2, 0.0])  # (0.2 - mean) / 0.5
    right = (entered / (16 * entered.square().sum()).sqrt()).expand(16, 3).T
    torch.testing.assert_close(found, right, atol=1e-6, rtol=1e-5)


def test_an_image_without_a_descriptor_is_similar_to_nothing(tmp_path: Path) -> None:
    black = np.zeros((1, 1, 8, 8), np.uint8)
    path = flatten(tmp_path / "all.onnx", ["n", 1, 8, 8])
    assert not descriptor(path, descriptor_transform="numbers")(black).any()


def test_a_file_of_another_size_than_the_transforms_is_refused_before_it_is_used(tmp_path: Path) -> None:
    fixed = flatten(tmp_path / "fixed.onnx", ["n", 3, 224, 224])
    with pytest.raises(Fatal) as told:
        descriptor(fixed)
    assert str(told.value).startswith(f"evaluate.descriptor: '{fixed}': takes images of 224 x 224, ")
    assert "descriptor_transform sscd gives 288 x 288" in str(told.value)
    other = refused(fixed, descriptor_transform="numbers", descriptor_size=32)
    assert "numbers of descriptor_size 32 gives 32 x 32: leave descriptor_size out" in other
    with pytest.raises(Fatal, match=r"fails on images of shape \[1, 3, 288, 288\]"):
        descriptor(scripted(nn.Linear(17, 2), tmp_path / "linear.pt"))


def test_what_is_no_descriptor_is_refused_by_name(tmp_path: Path) -> None:
    assert "no such file" in refused(str(tmp_path / "none.pt"))
    (tmp_path / "text.pt").write_text("not a model")
    assert "not a model that onnxruntime loads" in refused(str(tmp_path / "text.pt"))
    torch.save({"weight": torch.zeros(2)}, tmp_path / "weights.pt")
    assert "not what torch.jit.save writes" in refused(str(tmp_path / "weights.pt"))
    assert "not finite" in refused(scripted(NotFinite(), tmp_path / "nan.pt"))
    assert "takes 1 channels" in refused(flatten(tmp_path / "grey.onnx", ["n", 1, "h", "w"]))
    numbers = {"descriptor_transform": "numbers"}
    grey = flatten(tmp_path / "grey.onnx", ["n", 1, 8, 8])
    assert "takes 1 channels, the images have 3" in refused(grey, GREY.repeat(3, axis=1), **numbers)
    assert refused(grey, **numbers, descriptor_mean=(0.1, 0.2, 0.3)).startswith("evaluate.descriptor_mean: 3 numbers")
    wide = flatten(tmp_path / "wide.onnx", ["n", 1, "h", "w"])
    assert "8192 numbers" in refused(wide, np.zeros((1, 1, 96, 96), np.uint8), **numbers)
    oblong = flatten(tmp_path / "oblong.onnx", ["n", 3, 8, 4])
    assert "takes images of 8 x 4" in refused(oblong, **numbers)


def test_of_several_outputs_the_first_counts(tmp_path: Path) -> None:
    path = scripted(First(), tmp_path / "first.pt")
    assert descriptor(path, descriptor_transform="numbers")(GREY).shape == (4, 6)


def test_a_file_that_tells_no_images_apart_is_refused_before_a_run(tmp_path: Path) -> None:
    path = scripted(Blind(), tmp_path / "blind.pt")
    with pytest.raises(Fatal, match=r"evaluate.descriptor: .*blind.pt.*same vector for a black image as for noise"):
        descriptor(path)
