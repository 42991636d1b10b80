"""Splits a pinned requirements file for an image without CUDA: torch's own packages, and the rest with hashes.

Run by the Containerfile where TORCH_INDEX is given; writes torch.txt and rest.txt.
"""

import re
import sys
from pathlib import Path

TORCH = re.compile(r"(torch|torchvision)==([^ ;\\]+)")
CUDA = re.compile(r"(nvidia-|cuda-|triton==)")


def split(text: str) -> tuple[str, str]:
    """
    Args:
        text: a requirements file as `uv pip compile --generate-hashes` writes it.

    Returns:
        torch and torchvision at their versions, without hashes; all other packages but CUDA's, unchanged.
    """
    torch, rest = [], []
    for entry in re.split(r"\n(?=\S)", text):
        if found := TORCH.match(entry):
            torch.append(f"{found[1]}=={found[2]}")
        elif not CUDA.match(entry):
            rest.append(entry)
    return "\n".join(torch) + "\n", "\n".join(rest) + "\n"


if __name__ == "__main__":
    for name, part in zip(("torch.txt", "rest.txt"), split(Path(sys.argv[1]).read_text()), strict=True):
        Path(name).write_text(part)
