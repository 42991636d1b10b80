"""Low-rank adapters (LoRA, arXiv 2106.09685) in a UNet: added, drawn, merged, and the exact mean of their products."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..failure import Fatal
from ..method.streams import generator_of

_A, _B = ".lora_A.", ".lora_B."
_LEAST = 0.1
"""Smallest singular value of a change of factors, as a share of its largest, so that no part of a factor dies."""


def is_adapter(name: str) -> bool:
    """Whether a parameter is of an adapter."""
    return _A in name or _B in name


def add_adapters(network: Any, rank: int, alpha: float, target_modules: Sequence[str]) -> None:
    """Give each module whose name ends in one of `target_modules` an adapter of `rank`, scaled by alpha / rank.

    Raises:
        Fatal: one of them is the end of no module's name, or of one that cannot have an adapter; names it.
    """
    from peft import LoraConfig

    names = [name for name, _ in network.named_modules()]
    for target in target_modules:
        if not any(name == target or name.endswith(f".{target}") for name in names):
            ends = sorted({name.rpartition(".")[2] for name in names if name.rpartition(".")[2].isidentifier()})
            raise Fatal(
                f"lora.target_modules: '{target}' is the end of no module's name in the base model's UNet; it has "
                f"{', '.join(ends[:12])}, ..."
            )
    config = LoraConfig(
        r=rank, lora_alpha=alpha, target_modules=list(target_modules), init_lora_weights=False, lora_dropout=0.0
    )
    try:
        network.add_adapter(config)
    except ValueError as error:
        text = " ".join(str(error).split())
        raise Fatal(f"lora.target_modules: {', '.join(target_modules)}: {text[:300]}") from None


def draw_adapters(network: Any, seed: int) -> dict[str, Tensor]:
    """What trains of a network with adapters at the start: A uniform as a linear layer's weights are, B zero.

    Each A is a function of the seed and its name.

    Args:
        network: its shapes count.

    Returns:
        Adapters, and the condition's rows where the network has them.
    """
    drawn = {}
    for name, tensor in network.state_dict().items():
        if _A in name:
            bound = tensor[0].numel() ** -0.5
            values = torch.rand(tensor.shape, generator=generator_of(f"adapter {name}", seed), dtype=torch.float32)
            drawn[name] = (2 * values - 1) * bound
        elif _B in name or name == "class_embedding.weight":
            drawn[name] = torch.zeros(tensor.shape)
    return drawn


def load_adapters(network: Any, adapters: Mapping[str, Tensor]) -> None:
    """Put adapters into a network that has them.

    Args:
        adapters: by the names of `draw_adapters`.

    Raises:
        ValueError: they are not those of the network, which would stay the base's in part.
    """
    missing, unknown = network.load_state_dict(dict(adapters), strict=False)
    if wrong := [*unknown, *filter(is_adapter, missing)]:
        raise ValueError(f"adapters and network differ in {wrong[0]}")


def merged(network: Any, adapters: Mapping[str, Tensor]) -> Any:
    """A network with adapters as one without: each product is added to the weights, in float32.

    Args:
        network: with adapters, and the pretrained weights; is used up.
        adapters: by the names of `draw_adapters`.

    Raises:
        ValueError: they are not those of the network.
    """
    load_adapters(network, adapters)
    network.fuse_lora(safe_fusing=True)
    network.unload_lora()
    return network


def sort_metadata(path: Path) -> None:
    """Write a safetensors file's notes in the order of their names; the library's order differs by process."""
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header = {"__metadata__": dict(sorted(header.pop("__metadata__", {}).items())), **header}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors stay aligned
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[end:])


def average_products(
    proxies: Sequence[Mapping[str, Tensor]], samples: Sequence[int]
) -> tuple[dict[str, Tensor], float]:
    """One pair of adapters whose product is nearest to the weighted mean of the products B_k A_k.

    The mean has up to K times the rank; its singular value decomposition is cut to the rank (FedEx-LoRA, arXiv
    2410.09432, without its residual). mean(B) mean(A) is not that mean.

    Args:
        proxies: adapters by name, of each proxy; other tensors are left out.
        samples: n_k, the weights.

    Returns:
        The pairs in their own dtype, and the error: the norm of all that was cut over the norm of the mean, both over
        all pairs (Frobenius). 0 where nothing was.
    """
    if len(proxies) == 1:
        return {name: tensor for name, tensor in proxies[0].items() if is_adapter(name)}, 0.0
    total, cut, whole, found = float(sum(samples)), 0.0, 0.0, {}
    for name in (name for name in proxies[0] if _A in name):
        pairs = [(p[name.replace(_A, _B)].double(), p[name].double()) for p in proxies]
        rank, (shape_b, shape_a) = len(pairs[0][1]), (t.shape for t in pairs[0])
        left = torch.cat([b.reshape(len(b), rank) * (n / total) for (b, _), n in zip(pairs, samples, strict=True)], 1)
        right = torch.cat([a.reshape(rank, -1) for _, a in pairs])
        # left @ right, by the small matrices of two QR decompositions
        left_q, left_r = torch.linalg.qr(left)
        right_q, right_r = torch.linalg.qr(right.T)
        u, values, v = torch.linalg.svd(left_r @ right_r.T)
        u, v = left_q @ u[:, :rank], v[:rank] @ right_q.T
        if u.shape[1] < rank:  # fewer rows or columns than the rank: nothing is cut
            u = torch.cat([u, u.new_zeros(len(u), rank - u.shape[1])], 1)
            v = torch.cat([v, v.new_zeros(rank - len(v), v.shape[1])])
        kept = torch.cat([values[:rank], values.new_zeros(max(0, rank - len(values)))])
        # any (B M^-1, M A) is as good: the one whose A is nearest to the mean of the proxies' A, so that moments and
        # moving averages, which go on from round to round factor by factor, still belong to the factors
        mean_a = torch.stack([a.reshape(rank, -1) * (n / total) for (_, a), n in zip(pairs, samples, strict=True)])
        x, d, y = torch.linalg.svd(mean_a.sum(0) @ v.T)
        d = d.clamp(min=_LEAST * float(d.max()) or 1.0)
        dtype = proxies[0][name].dtype
        found[name.replace(_A, _B)] = ((u * kept) @ (y.T / d) @ x.T).reshape(shape_b).to(dtype)
        found[name] = (x * d @ y @ v).reshape(shape_a).to(dtype)
        cut += float((values[rank:] ** 2).sum())
        whole += float((values**2).sum())
    return found, (cut / whole) ** 0.5 if whole else 0.0
