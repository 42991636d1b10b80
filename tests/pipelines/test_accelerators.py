"""Which GPUs a machine shows, by what torch and the environment say, and how processes share them."""

from collections.abc import Mapping

import pytest
import torch

from tests.runs import tiny
from unecho.components.failure import Fatal
from unecho.pipelines import accelerators
from unecho.pipelines.accelerators import Seats, gpus_of, process_count, shared_out, visible_gpus


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that shows two, none in parts."""
    monkeypatch.setattr(accelerators, "_DEVICES", ("null",))
    monkeypatch.setattr(accelerators, "_parts", list)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, ["0", "1"]),
        ({"CUDA_VISIBLE_DEVICES": "5, 3"}, ["5", "3"]),
        ({"CUDA_VISIBLE_DEVICES": "5,3,-1,2"}, ["5", "3"]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-aa,GPU-bb"}, ["GPU-aa", "GPU-bb"]),
        ({"CUDA_VISIBLE_DEVICES": "MIG-a,MIG-b,MIG-c"}, ["MIG-a", "MIG-b", "MIG-c"]),
        ({"CUDA_VISIBLE_DEVICES": ""}, []),
    ],
)
def test_those_that_the_user_has_named_are_named_one_by_one(environment: Mapping[str, str], found: list[str]) -> None:
    assert visible_gpus(environment) == found


@pytest.mark.usefixtures("two_gpus")
def test_parts_of_gpus_are_found_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerators, "_parts", lambda: ["MIG-1", "MIG-2"])
    assert visible_gpus({}) == ["MIG-1", "MIG-2"]


def test_nvidia_smis_list_names_the_parts_and_not_their_gpu() -> None:
    listed = (
        "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6)\n"
        "  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4f1ef)\n"
        "  MIG 3g.20gb     Device  1: (UUID: MIG-cba663e8)\n"
    )
    assert accelerators._MIG.findall(listed) == ["MIG-c6d4f1ef", "MIG-cba663e8"]


@pytest.mark.usefixtures("two_gpus")
def test_a_run_on_the_cpu_uses_none_and_auto_is_a_process_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus_of(tiny("execution.device=cpu")) == []
    assert process_count(tiny(), gpus_of(tiny())) == 2
    assert process_count(tiny(), []) == 1
    assert process_count(tiny("execution.processes=3"), []) == 3


def test_where_there_are_fewer_gpus_than_processes_some_share_one() -> None:
    places = Seats(3, ["0", "1"])
    with places.taken(1) as a, places.taken(1) as b, places.taken(1) as c:
        assert [each["CUDA_VISIBLE_DEVICES"] for each in (a, b, c)] == ["0", "1", "0"]
    with Seats(2, []).taken(1) as environment:
        assert environment == {}


def test_what_needs_several_gpus_gets_different_ones_or_is_told_how_many_there_are() -> None:
    with Seats(4, ["0", "1", "2", "3"]).taken(2) as environment:
        assert environment == {"CUDA_VISIBLE_DEVICES": "0,1"}
    too_few = pytest.raises(Fatal, match=r"train\.gpus_per_shard: 3, but 2 GPUs are visible")
    with too_few, Seats(3, ["0", "1"]).taken(3):
        pass


def test_runs_beside_each_other_share_the_gpus_of_the_machine() -> None:
    assert shared_out(["0", "1", "2"], 2) == [["0", "2"], ["1"]]
    assert shared_out(["0", "1"], 3) == [["0"], ["1"], ["0"]]
    assert shared_out([], 2) == [[], []]
