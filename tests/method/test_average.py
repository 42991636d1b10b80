"""The average of proxies: exact, weighted, and suspicious of what it reads."""

import tracemalloc
from pathlib import Path
from threading import Barrier

import pytest
import torch
from safetensors.torch import load, save

from unecho.components.failure import Fatal
from unecho.components.method.average import average
from unecho.components.store import ObjectRef, SequentialReader, open_store, put_object
from unecho.components.store.base import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def put(store: Store, tensors: dict[str, torch.Tensor]) -> ObjectRef:
    return put_object(store, "proxy", "raw.safetensors", save(tensors, metadata={"format": "pt"}))


def files(store: Store, refs: list[ObjectRef]) -> list[SequentialReader]:
    return [SequentialReader.open(store, ref, 1 << 20) for ref in refs]


def random_tensors(seed: int) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {
        "a.weight": torch.randn(3, 5, generator=draw),
        "b": torch.randn(7, generator=draw).half(),
        "c": torch.randn((), generator=draw),
        "d": torch.randn(2, 2, generator=draw).bfloat16(),
        "empty": torch.zeros(0, 4),
    }


def test_one_proxy_is_its_own_average_to_the_byte(store: Store) -> None:
    ref = put(store, random_tensors(0))
    assert bytes(average(files(store, [ref]), [17])) == store.get(ref.key)


def test_shards_weigh_by_their_samples_in_float64(store: Store) -> None:
    proxies = [random_tensors(seed) for seed in range(3)]
    mean = load(bytes(average(files(store, [put(store, p) for p in proxies]), [10, 9, 9])))
    for name, tensor in mean.items():
        expected = sum(p[name].double() * (n / 28) for p, n in zip(proxies, (10, 9, 9), strict=True))
        assert torch.equal(tensor, expected.to(proxies[0][name].dtype)), name
        assert tensor.dtype == proxies[0][name].dtype


def test_equal_proxies_average_to_themselves(store: Store) -> None:
    ref = put(store, random_tensors(1))
    assert bytes(average(files(store, [ref] * 4), [5, 5, 5, 5])) == store.get(ref.key)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"c": torch.zeros(2)}, "c has shape [2], it has []"),
        ({"c": torch.zeros((), dtype=torch.float64)}, "c has dtype F64, it has F32"),
        ({"extra": torch.zeros(1)}, "extra is not a tensor"),
    ],
)
def test_proxies_of_different_shape_are_refused_by_name(
    store: Store, change: dict[str, torch.Tensor], says: str
) -> None:
    first, other = put(store, random_tensors(0)), put(store, random_tensors(0) | change)
    with pytest.raises(Fatal) as told:
        average(files(store, [first, other]), [1, 1])
    assert says in str(told.value)
    assert other.key in str(told.value)


def test_a_missing_tensor_is_named(store: Store) -> None:
    less = random_tensors(0)
    del less["b"]
    with pytest.raises(Fatal, match="lacks b"):
        average(files(store, [put(store, random_tensors(0)), put(store, less)]), [1, 1])


@pytest.mark.parametrize("place", [3, 40, -1])
def test_an_altered_byte_is_found_wherever_it_is(store: Store, tmp_path: Path, place: int) -> None:
    refs = [put(store, random_tensors(seed)) for seed in range(2)]
    path = tmp_path / refs[1].key
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(Fatal) as told:
        average(files(store, refs), [1, 1])
    assert refs[1].key in str(told.value)


def test_a_truncated_and_a_missing_proxy_are_named(store: Store, tmp_path: Path) -> None:
    refs = [put(store, random_tensors(seed)) for seed in range(2)]
    path = tmp_path / refs[1].key
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(Fatal, match="truncated"):
        average(files(store, refs), [1, 1])
    path.unlink()
    with pytest.raises(Fatal, match="missing, though its manifest names it"):
        average(files(store, refs), [1, 1])


def test_memory_is_that_of_two_models_at_most_for_any_number_of_proxies(store: Store) -> None:
    refs = [put(store, {f"w{i}": torch.full((256, 1024), float(k + i)) for i in range(24)}) for k in range(8)]
    tracemalloc.start()
    average(files(store, refs), [1] * 8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * refs[0].size + (8 << 20)


class Slowest:
    """A file each of whose reads ends only when the other files have been asked too: none is read after another."""

    def __init__(self, file: SequentialReader, together: Barrier) -> None:
        self._file, self._together = file, together

    @property
    def address(self) -> str:
        return self._file.address

    def read(self, count: int) -> memoryview:
        self._together.wait(timeout=60)
        return self._file.read(count)

    def finish(self) -> None:
        self._file.finish()


def test_proxies_are_read_beside_each_other_and_their_mean_is_the_same(store: Store) -> None:
    tensors = [
        {"w": torch.randn(40_000, generator=torch.Generator().manual_seed(k)), "z": torch.ones(3)} for k in (0, 1)
    ]
    refs = [put(store, some) for some in tensors]
    together = Barrier(2)  # breaks, and raises, where one read waits for another to end
    ahead = average([Slowest(file, together) for file in files(store, refs)], [2, 1])
    expected = (tensors[0]["w"].double() * (2 / 3) + tensors[1]["w"].double() * (1 / 3)).float()
    assert torch.equal(load(bytes(ahead))["w"], expected)


def test_more_proxies_than_threads_are_read_each_in_order(store: Store) -> None:
    refs = [put(store, {"w": torch.arange(30_000.0) * k, "x": torch.full((5,), float(k)).half()}) for k in range(19)]
    mean = load(bytes(average(files(store, refs), [1] * 19)))
    weighted = [torch.arange(30_000.0).mul(k).double() * (1 / 19) for k in range(19)]
    assert torch.equal(mean["w"], sum(weighted[1:], weighted[0]).float())
    assert mean["x"].tolist() == [9.0] * 5  # (0 + ... + 18) / 19
