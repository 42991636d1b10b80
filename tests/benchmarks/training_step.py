"""A training step of the cifar10 network with all parts on, against a plain diffusers loop (goal: at most 1.02x).

On the CPU, on one thread, with few images a batch. The plain loop has the same network, optimizer, clipping, moving
average and flips.
"""

import numpy as np
import torch
from diffusers.training_utils import EMAModel
from torch.nn import functional as F

from tests.benchmarks.turns import Work, in_turns
from unecho.components.config import resolve
from unecho.components.diffusion.arithmetic import laid_out, train_precision
from unecho.components.diffusion.compiling import Compiling
from unecho.components.diffusion.device import set_numerics
from unecho.components.diffusion.noise import noise_schedule
from unecho.components.diffusion.pixels import Pixels, build_network, initial_network, network_config
from unecho.components.method.augment import Augmenter
from unecho.components.train.held import HeldRows
from unecho.components.train.order import Order
from unecho.components.train.pixel_batches import PixelBatches
from unecho.components.train.slot import Slot
from unecho.components.train.update import Trainer

SAMPLES = 4500  # of a shard: CIFAR-10's 50,000 less a tenth, in 10 shards
CPU = torch.device("cpu")
NARROW = ("model.block_out_channels=8,8", "model.norm_num_groups=4", "model.attention_resolutions=[]")


def benchmark() -> None:
    for batch, pairs in ((4, 15), (8, 9)):
        turns = in_turns(*_two_ways(f"train.batch_size={batch}"), pairs)
        ours, plain = turns.seconds("cpu")
        both = f"{turns.ratio('cpu')}; {turns.ratio('wall')}"
        print(f"  batch {batch}: {both}; {ours:.2f} s of processor against {plain:.2f} s a step", flush=True)
    turns = in_turns(*_two_ways("train.batch_size=128", *NARROW), 31)
    ours, plain = turns.seconds("cpu")
    added = f"{1000 * (ours - plain):.1f} ms of processor"
    print(f"  what the parts add to a batch of 128, seen with a network of next to nothing: {added}")


def _two_ways(*settings: str) -> tuple[Work, Work]:
    return trainer_of(CPU, *settings).update, Plain(CPU, *settings).step


def trainer_of(device: torch.device, *settings: str, compile: bool = False) -> Trainer:
    """Of a shard of random images, with all parts on unless the settings say otherwise."""
    config = resolve("cifar10", settings=("threads=1", *settings))
    set_numerics(config)
    pixels = np.random.default_rng(0).integers(0, 256, (SAMPLES, 3, 32, 32), np.uint8)
    arguments = network_config(config, 3, 32)
    state = initial_network(arguments, 0).state_dict()
    family, augmenter = Pixels(config, None), Augmenter(config, device)
    network = family.trainable(arguments)
    if compile:
        network = laid_out(network, device)
    slot = Slot(config, network, state, state, torch.zeros(SAMPLES, dtype=torch.bool), device)
    images = HeldRows(lambda rows: torch.from_numpy(pixels[rows]), np.arange(SAMPLES), device)
    batches = PixelBatches(config, 0, Order(config, 0, SAMPLES), images, augmenter, family, device)
    return Trainer(config, family, 0, slot, batches, Compiling(slot.network, True, print) if compile else None)


class Plain:
    """The training loop that one writes with diffusers, with nothing of the method in it."""

    def __init__(self, device: torch.device, *settings: str, compile: bool = False) -> None:
        config = resolve("cifar10", settings=("threads=1", *settings))
        set_numerics(config)
        pixels = np.random.default_rng(0).integers(0, 256, (SAMPLES, 3, 32, 32), np.uint8)
        self._images, self._batch, self._clip = (
            torch.from_numpy(pixels).to(device),
            config.train.batch_size,
            config.train.grad_clip,
        )
        self._device, self._half = device, train_precision(config, device) == "bfloat16"
        arguments = {
            **network_config(config, 3, 32),
            "num_class_embeds": None,
        }  # it is told nothing
        self._network = build_network(arguments).to(device).train()
        if compile:
            self._network = self._network.to(memory_format=torch.channels_last)
            self._network.compile(dynamic=False)
        self._parameters = list(self._network.parameters())
        self._optimizer = torch.optim.Adam(self._parameters, lr=config.train.learning_rate, fused=True)
        self._ema = EMAModel(self._parameters, decay=config.train.ema_decay, foreach=True)
        self._noise = noise_schedule(config)
        self._order, self._next = torch.randperm(SAMPLES, device=device), 0

    def step(self) -> None:
        picked = self._order[self._next : self._next + self._batch]
        self._next = (self._next + self._batch) % (SAMPLES - self._batch)
        images = self._images[picked]
        flip = torch.rand(len(images), device=self._device) < 0.5
        images = torch.where(flip[:, None, None, None], images.flip(3), images)
        x0 = images.float() / 127.5 - 1
        t = torch.randint(self._noise.config.num_train_timesteps, (len(x0),), device=self._device)
        noise = torch.randn_like(x0)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
            predicted = self._network(self._noise.add_noise(x0, noise, t), t).sample
        loss = F.mse_loss(predicted.float(), noise)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._parameters, self._clip)
        self._optimizer.step()
        self._ema.step(self._parameters)
