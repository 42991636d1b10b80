"""Products are whole numbers, whichever way they are computed."""

import numpy as np
import pytest
import torch

from unecho.components.measures import products
from unecho.components.measures.products import Products, centred, squares, whole

CPU = torch.device("cpu")
INT8 = pytest.mark.skipif(not products._has_int8(CPU), reason="this CPU has no eight-bit products")
WAYS = [pytest.param(True, marks=INT8), False]


def pixels(seed: int, count: int, width: int) -> torch.Tensor:
    """Of the largest levels and the least, where sums are largest."""
    levels = np.random.default_rng(seed).choice(np.array([0, 1, 128, 254, 255], np.uint8), (count, width))
    levels[0], levels[-1] = 0, 255
    return torch.from_numpy(levels)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("m", "n", "width"), [(1, 1, 1), (17, 9, 63), (40, 8, 1025), (3, 5, 70_001), (2, 2, 140_000)])
def test_products_are_those_of_64_bit_numbers_for_every_shape(
    way: bool, m: int, n: int, width: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(products, "_has_int8", lambda device: way)
    a, b = pixels(0, m, width), pixels(1, n, width)
    right = (a.long() - 128) @ (b.long() - 128).T
    found = Products(m, n, width, 1, CPU)(centred(a), centred(b), 0)
    assert found.dtype == whole(width)
    assert torch.equal(found.long(), right)


def test_squares_are_those_of_64_bit_numbers():
    for width in (1, 3072, 43_690, 43_691, 140_000):
        images = pixels(2, 3, width)
        assert torch.equal(squares(centred(images)).long(), (images.long() - 128).square().sum(dim=1))


def test_a_distance_and_what_it_is_compared_with_fit_into_what_holds_it():
    # |x|^2 - 2 x . y is largest for opposite extremes: D * (128^2 + 2 * 128 * 128)
    assert whole(43_690) is torch.int32
    assert 43_690 * 3 * 128 * 128 < torch.iinfo(torch.int32).max < 43_691 * 3 * 128 * 128
    assert whole(43_691) is torch.int64


def test_a_cpu_without_eight_bit_products_takes_float32(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)
    products._has_int8.cache_clear()
    assert not products._has_int8(CPU)
    products._has_int8.cache_clear()


@INT8
def test_eight_bit_products_that_saturate_are_not_used(monkeypatch: pytest.MonkeyPatch):
    """As those of a CPU that adds pairs in 16 bits."""
    exact = torch._int_mm
    monkeypatch.setattr(torch, "_int_mm", lambda a, b, **_: exact(a, b).clamp(-(2**15), 2**15 - 1))
    products._has_int8.cache_clear()
    assert not products._has_int8(CPU)
    products._has_int8.cache_clear()
