"""Low-rank adapters: averaged by their products, merged, released by themselves."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.captioned import captioned, tiny_base
from unecho.components.diffusion import trainable_family_of
from unecho.components.diffusion.adapters import (
    add_adapters,
    average_products,
    draw_adapters,
    is_adapter,
    merged,
    sort_metadata,
)
from unecho.components.run.base_model import BaseModel, base_digests

A, B = "unet.to_q.lora_A.default.weight", "unet.to_q.lora_B.default.weight"


def pair(seed: int, outs: int, ins: int, rank: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {A: torch.randn(rank, ins, generator=generator), B: torch.randn(outs, rank, generator=generator)}


def product(adapters: dict[str, Tensor]) -> np.ndarray:
    return adapters[B].double().flatten(1).numpy() @ adapters[A].double().flatten(1).numpy()


@pytest.mark.parametrize(("outs", "ins", "rank"), [(12, 9, 3), (6, 20, 4), (3, 2, 5)])
def test_the_averaged_pair_is_the_truncated_svd_of_the_weighted_mean_of_products(
    outs: int, ins: int, rank: int
) -> None:
    proxies, samples = [pair(seed, outs, ins, rank) for seed in range(3)], [10, 20, 5]
    dense = sum(product(p) * n for p, n in zip(proxies, samples, strict=True)) / sum(samples)
    u, s, v = np.linalg.svd(dense, full_matrices=False)
    nearest = (u[:, :rank] * s[:rank]) @ v[:rank]
    found, error = average_products(proxies, samples)
    assert {name: tensor.shape for name, tensor in found.items()} == {n: t.shape for n, t in proxies[0].items()}
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}
    np.testing.assert_allclose(product(found), nearest, atol=1e-5)
    assert error == pytest.approx(np.linalg.norm(dense - nearest) / np.linalg.norm(dense), abs=1e-9)
    assert (error == 0) == (min(outs, ins) <= rank)
    assert all(torch.isfinite(tensor).all() for tensor in found.values())


def test_the_mean_of_factors_is_not_the_mean_of_products() -> None:
    """By hand: B_1 A_1 = 1, B_2 A_2 = (-1)(-1) = 1, so the mean is 1; mean(B) mean(A) is 0."""
    one, two = {A: torch.ones(1, 1), B: torch.ones(1, 1)}, {A: -torch.ones(1, 1), B: -torch.ones(1, 1)}
    found, error = average_products([one, two], [1, 1])
    assert product(found) == pytest.approx(1)
    assert error == 0


def test_the_error_is_over_all_pairs() -> None:
    """Two pairs of rank 1: in the first the products are diag(3, 0) and diag(0, 4); in the second 5 and 5."""
    first, second = "x.lora_A.default.weight", "y.lora_A.default.weight"

    def proxy(place: int, size: float) -> dict[str, Tensor]:
        unit = torch.zeros(2)
        unit[place] = 1
        return {
            first: unit[None],
            first.replace("_A", "_B"): size * unit[:, None],
            second: torch.ones(1, 1),
            second.replace("_A", "_B"): torch.full((1, 1), 5.0),
        }

    _, error = average_products([proxy(0, 3), proxy(1, 4)], [1, 1])
    # the mean has 1.5 and 2 in the first, of which 1.5 is cut, and 5 in the second
    assert error == pytest.approx(1.5 / (1.5**2 + 2**2 + 5**2) ** 0.5)


def test_one_proxy_stays_as_it_is() -> None:
    proxy = pair(0, 5, 6, 2)
    found, error = average_products([proxy | {"class_embedding.weight": torch.ones(2, 2)}], [7])
    assert found.keys() == proxy.keys()
    assert all(torch.equal(found[name], proxy[name]) for name in proxy)
    assert error == 0


def near(adapters: dict[str, Tensor], seed: int, size: float = 1e-3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: t + size * torch.randn(t.shape, generator=generator) for name, t in adapters.items()}


@pytest.mark.parametrize("alike", [False, True])
def test_factors_stay_near_those_of_the_proxies(alike: bool) -> None:
    """Moments and moving averages belong to factors: averaged and raw weights, mixed in training, stay side by side.

    Where singular values are alike, a decomposition may turn its vectors as it likes.
    """
    common = pair(0, 12, 16, 4)
    if alike:
        common = {A: torch.linalg.qr(common[A].T)[0].T.contiguous(), B: torch.linalg.qr(common[B])[0]}
    raw = average_products([near(common, seed) for seed in (1, 2)], [3, 4])[0]
    ema = average_products([near(common, seed) for seed in (3, 4)], [3, 4])[0]
    for name in (A, B):
        assert (raw[name] - common[name]).abs().max() < 0.01
        assert (raw[name] - ema[name]).abs().max() < 0.01


def test_equal_proxies_keep_their_factors() -> None:
    common = pair(0, 12, 16, 4)
    found, error = average_products([common, common, common], [1, 2, 3])
    assert all(torch.allclose(found[name], common[name], atol=1e-5) for name in common)
    assert error < 1e-12


def test_of_convolutions_too() -> None:
    a, b = torch.randn(2, 3, 3, 3), torch.randn(5, 2, 1, 1)
    found, _ = average_products([{A: a, B: b}, {A: a, B: 3 * b}], [1, 1])
    assert found[A].shape == a.shape
    assert found[B].shape == b.shape
    np.testing.assert_allclose(product(found), 2 * product({A: a, B: b}), atol=1e-5)


def test_adapters_that_are_all_zero_have_no_error() -> None:
    zero = {A: torch.randn(2, 4), B: torch.zeros(4, 2)}
    found, error = average_products([zero, zero], [1, 1])
    assert np.abs(product(found)).max() == 0
    assert all(torch.isfinite(tensor).all() for tensor in found.values())
    assert found[A].norm(dim=1).min() > 0.01, "B has a gradient where A is not zero"
    assert error == 0


def network() -> UNet2DConditionModel:
    unet = UNet2DConditionModel.from_pretrained(tiny_base() / "unet", low_cpu_mem_usage=False)
    add_adapters(unet, rank=2, alpha=6, target_modules=["to_q", "to_out.0"])
    return unet


def test_adapters_begin_with_a_product_of_zero_as_a_function_of_the_seed() -> None:
    unet = network()
    drawn = draw_adapters(unet, 3)
    assert all(is_adapter(name) for name in drawn)
    assert {len(t) for n, t in drawn.items() if ".lora_A." in n} == {2}
    assert all(tensor.abs().max() == 0 for name, tensor in drawn.items() if ".lora_B." in name)
    for name, a in drawn.items():
        if ".lora_A." in name:
            assert 0 < a.abs().max() <= a.shape[1] ** -0.5
    again, other = draw_adapters(unet, 3), draw_adapters(unet, 4)
    assert all(torch.equal(drawn[name], again[name]) for name in drawn)
    assert not all(torch.equal(drawn[name], other[name]) for name in drawn)


@pytest.mark.parametrize("change", ["renamed", "left out"])
def test_adapters_of_other_names_are_not_merged(change: str) -> None:
    unet = UNet2DConditionModel.from_pretrained(tiny_base() / "unet")
    add_adapters(unet, 2, 2.0, ("to_q",))
    drawn = draw_adapters(unet, 0)
    name = next(iter(drawn))
    tensor = drawn.pop(name)
    if change == "renamed":
        drawn[name.replace(".default.", ".")] = tensor
    with pytest.raises(ValueError, match=r"adapters and network differ in .*lora_"):
        merged(unet, drawn)


def test_merged_weights_are_the_bases_plus_the_scaled_product() -> None:
    plain = UNet2DConditionModel.from_pretrained(tiny_base() / "unet", low_cpu_mem_usage=False).state_dict()
    unet = network()
    drawn = {name: torch.randn(t.shape) for name, t in draw_adapters(unet, 0).items()}
    found = merged(unet, drawn).state_dict()
    assert found.keys() == plain.keys()
    changed = {name for name in plain if not torch.equal(found[name], plain[name])}
    assert changed == {n.split(".lora_A.")[0] + ".weight" for n in drawn if ".lora_A." in n}
    for name in changed:
        stem = name.removesuffix(".weight")
        a, b = drawn[f"{stem}.lora_A.default.weight"], drawn[f"{stem}.lora_B.default.weight"]
        assert torch.allclose(found[name], plain[name] + 6 / 2 * b @ a, atol=1e-5)


@pytest.mark.parametrize("average", ["freeze_a", "svd"])
def test_what_trains_is_b_and_the_conditions_rows_and_a_where_it_is_not_frozen(average: str) -> None:
    config = captioned("lora.enabled=true", f"lora.average={average}")
    family = trainable_family_of(config, BaseModel(config, base_digests(config)))
    base = family.base(3, 16)
    trains = {name for name, p in family.trainable(base).named_parameters() if p.requires_grad}
    committed = family.initial(base, 0).keys()
    assert trains <= committed
    assert "class_embedding.weight" in trains
    frozen = {name for name in committed if ".lora_A." in name}
    assert frozen
    assert committed - trains == (frozen if average == "freeze_a" else set())


def test_a_files_notes_are_sorted_whatever_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    tensors = {"b": torch.arange(3.0), "a": torch.ones(2, 2)}
    written = set()
    for number in range(8):  # the library's order differs by process, and may by call
        path = tmp_path / f"{number}.safetensors"
        save_file(tensors, path, metadata={f"note {i}": "x" for i in range(6)} | {"format": "pt"})
        sort_metadata(path)
        written.add(path.read_bytes())
    assert len(written) == 1
    assert b'{"__metadata__":{"format":"pt","note 0":"x","note 1":"x"' in next(iter(written))
    read = load_file(path)
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())
