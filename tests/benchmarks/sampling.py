"""Sampling as `sample` does it, against a bare loop over the same network and scheduler (goal: at most 1.1x).

On a GPU both are compiled, in bfloat16, with the cifar10 network and 256 images a batch; on a CPU, on one thread,
neither is, in float32, with 4 images and with a network of next to nothing, where what is added shows.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from tests.benchmarks.turns import in_turns
from unecho.components.config import RunConfig, resolve
from unecho.components.diffusion.arithmetic import laid_out
from unecho.components.diffusion.device import set_numerics
from unecho.components.diffusion.noise import noise_schedule
from unecho.components.diffusion.pixels import Pixels, build_network, initial_network, network_config
from unecho.components.diffusion.sampling import generate, ready

NARROW = ("model.block_out_channels=8,8", "model.norm_num_groups=4", "model.attention_resolutions=[]")


def benchmark() -> None:
    if torch.cuda.is_available():
        print(f"  {torch.cuda.get_device_name()}")
        _measure("the cifar10 network, 256 images", 256, 50, 7, torch.device("cuda"), "compile=true")
        return
    cpu = torch.device("cpu")
    _measure("the cifar10 network, 4 images", 4, 5, 7, cpu)
    _measure("a network of next to nothing, 64 images", 64, 20, 9, cpu, *NARROW)


def _measure(what: str, images: int, steps: int, pairs: int, device: torch.device, *settings: str) -> None:
    config = resolve("cifar10", settings=("threads=1", "compile=false", *settings))
    set_numerics(config)
    ours, bare = _ours(config, images, steps, device), _bare(config, images, steps, device)
    turns = in_turns(ours, bare, pairs)
    seconds = turns.seconds("wall")
    kinds = "; ".join(turns.ratio(kind) for kind in ("cpu", "wall"))
    print(f"  {what}, DDPM in {steps} steps: {kinds}; {seconds[0]:.3g} s against {seconds[1]:.3g} s", flush=True)


def _ours(config: RunConfig, images: int, steps: int, device: torch.device) -> Callable[[], object]:
    arguments = network_config(config, 3, 32)
    family, state = Pixels(config, None), initial_network(arguments, 0).state_dict()
    # the bare loop's weights
    made = ready(family.pipeline({**arguments, "num_class_embeds": None}, _plain(state), "ddpm"), config, device, print)

    def work() -> None:
        if made.compiling is None:
            generate(family, made.pipeline, None, 0, 0, images, images, steps)
        else:
            made.compiling(lambda: generate(family, made.pipeline, None, 0, 0, images, images, steps))

    return work


def _bare(config: RunConfig, images: int, steps: int, device: torch.device) -> Callable[[], object]:
    arguments = {**network_config(config, 3, 32), "num_class_embeds": None}
    network = build_network(arguments).eval().to(device)
    network.load_state_dict(_plain(initial_network(network_config(config, 3, 32), 0).state_dict()))
    half = device.type == "cuda"
    if config.compile is True:
        laid_out(network, device).compile(dynamic=False)

    @torch.no_grad()
    def work() -> Tensor:
        scheduler = noise_schedule(config)
        scheduler.set_timesteps(steps)
        x = torch.randn(images, 3, 32, 32, device=device)
        for t in scheduler.timesteps:
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                epsilon = network(x, t.to(device, non_blocking=True)).sample.float()
            x = scheduler.step(epsilon, t, x).prev_sample
        return (x / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8).cpu()

    return work


def _plain(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the rows of the condition."""
    return {name: tensor for name, tensor in state.items() if name != "class_embedding.weight"}
