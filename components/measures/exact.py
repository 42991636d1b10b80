"""Float32 that is float32: how measures compute, whatever a process does besides."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def exact() -> Iterator[None]:
    """Within the block, or in a function that it decorates, no product and no convolution on CUDA is rounded to TF32,
    and no kernel is chosen by how long it takes: the same images give the same figures.

    Training may compute otherwise (`deterministic: false`), in the same process too: what it has set is set again at
    the end. The older names of these flags are used throughout: a process that sets one by its older and another by
    its newer name can read neither (pytorch.org, CUDA semantics, TensorFloat-32).
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32
    matmul.allow_tf32 = False
    try:
        with cudnn.flags(enabled=cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        matmul.allow_tf32 = before
