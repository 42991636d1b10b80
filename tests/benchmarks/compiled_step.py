"""A compiled training step with all parts on, against a plain one that is compiled too (goal: at most 1.02x); one GPU.

The cifar10 network in bfloat16, 128 images a batch. A go is 20 steps, since they are handed out ahead.
"""

from collections.abc import Callable

import torch

from tests.benchmarks.training_step import Plain, trainer_of
from tests.benchmarks.turns import in_turns

STEPS = 20
WITHOUT = ("agc.enabled=false", "msr.enabled=false", "taa.enabled=false")


def benchmark() -> None:
    if not torch.cuda.is_available():
        print("  no CUDA device: left out")
        return
    cuda = torch.device("cuda")
    print(f"  {torch.cuda.get_device_name()}")
    ours = trainer_of(cuda, compile=True)
    for name, other in (
        ("a plain diffusers loop, compiled", Plain(cuda, compile=True).step),
        ("without AGC, MSR and TAA, compiled", trainer_of(cuda, *WITHOUT, compile=True).update),
        ("the same, not compiled", trainer_of(cuda).update),
    ):
        turns = in_turns(_steps(ours.update), _steps(other), 9)
        seconds = [1000 * seconds / STEPS for seconds in turns.seconds("wall")]
        print(f"  against {name}: {turns.ratio('wall')}; {seconds[0]:.1f} ms against {seconds[1]:.1f} ms", flush=True)


def _steps(step: Callable[[], object]) -> Callable[[], None]:
    def work() -> None:
        for _ in range(STEPS):
            step()
        torch.cuda.synchronize()

    return work
