"""What the Containerfile installs where an index of CPU-only torch is given."""

import importlib.util
import re
from pathlib import Path

_FILE = Path(__file__).parents[2] / "images" / "cpu_only.py"
_SPEC = importlib.util.spec_from_file_location("cpu_only", _FILE)
assert _SPEC is not None
assert _SPEC.loader is not None
cpu_only = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(cpu_only)


def test_torch_keeps_its_version_without_hashes_and_cuda_is_left_out() -> None:
    lock = (_FILE.parent / "requirements.txt").read_text()
    torch, rest = cpu_only.split(lock)
    pinned = dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", lock, re.MULTILINE))
    assert torch.split() == [f"torch=={pinned['torch']}", f"torchvision=={pinned['torchvision']}"]
    left = dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", rest, re.MULTILINE))
    gone = set(pinned) - set(left) - {"torch", "torchvision"}
    assert gone == {name for name in pinned if name.startswith(("nvidia-", "cuda-"))} | {"triton"}
    assert all(f"{name}==" in rest for name in ("diffusers", "minio", "torch-fidelity", "kubernetes"))
    assert rest.count("--hash=") > len(left), "the rest is checked"


def test_the_images_lock_agrees_with_the_one_that_is_tested() -> None:
    def pins(path: str) -> dict[str, str]:
        text = (_FILE.parents[1] / path).read_text()
        return dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", text, re.MULTILINE))

    image, tested = pins("images/requirements.txt"), pins("requirements-test.txt")
    assert image.items() <= tested.items()
    assert not {name for name in image if name.startswith("kfp")}
