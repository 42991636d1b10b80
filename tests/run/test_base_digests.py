"""The files of a base model are hashed once a process, and again when they change."""

from pathlib import Path

import pytest

from unecho.components.config import resolve
from unecho.components.diffusion.random_tiny import save_random_tiny
from unecho.components.run import base_model
from unecho.components.run.base_model import base_digests

UNET = "unet/diffusion_pytorch_model.safetensors"


def test_a_file_is_read_once_and_again_after_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_random_tiny(tmp_path)
    config = resolve("tiny-text-to-image", settings=(f"model.pretrained={tmp_path}",))
    read = []
    of_file = base_model.hashlib.file_digest

    def counted(file, kind):  # type: ignore[no-untyped-def]
        read.append(Path(file.name).relative_to(tmp_path).as_posix())
        return of_file(file, kind)

    monkeypatch.setattr(base_model.hashlib, "file_digest", counted)
    first = base_digests(config)
    assert first is not None
    assert sorted(read) == sorted(first)
    assert base_digests(config) == first
    assert len(read) == len(first)
    data = bytearray((tmp_path / UNET).read_bytes())
    data[-1] ^= 1
    (tmp_path / UNET).write_bytes(data)
    again = base_digests(config)
    assert again is not None
    assert read[len(first) :] == [UNET]
    assert {path for path in first if first[path] != again[path]} == {UNET}
