"""The generated images of a model, a part of them in memory at a time."""

from pathlib import Path

import numpy as np
import pytest
import torch

from unecho.components import host_memory
from unecho.components.failure import Fatal
from unecho.components.host_memory import Memory
from unecho.components.run import Run, SamplesRecord
from unecho.components.run.generated import Generated, Part
from unecho.components.run.tensors import state_bytes


def test_a_part_that_does_not_fit_into_a_pod_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.at(str(tmp_path), "a")
    images = torch.arange(8, dtype=torch.uint8)[:, None, None, None].expand(8, 3, 32, 32).contiguous()
    refs = [
        run.put(SamplesRecord, (1, k), "images", state_bytes({"images": images[4 * k : 4 * k + 4]})) for k in (0, 1)
    ]
    parts = [Part(f"part {k}", 4 * k, 4 * k + 4, "images", ref) for k, ref in enumerate(refs)]
    generated = Generated(run.store, parts, (3, 32, 32))

    monkeypatch.setattr(host_memory, "host_memory", lambda: Memory(2 * refs[0].size, 2 * refs[0].size))
    assert generated.take(np.array([6, 1]))[:, 0, 0, 0].tolist() == [6, 1]
    monkeypatch.setattr(host_memory, "host_memory", lambda: Memory(2 * refs[0].size, 2 * refs[0].size - 1))
    assert generated.take(np.array([7]))[0, 0, 0, 0] == 7, "is in memory already"
    with pytest.raises(Fatal, match=r"its 4 images: .* are free .*: give the step more memory, or sample in more"):
        generated.take(np.array([0]))
