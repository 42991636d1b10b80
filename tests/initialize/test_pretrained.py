"""Model 0: seeded, or from a diffusers folder."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

from tests.runs import tiny
from unecho.components.config import RunConfig
from unecho.components.failure import Fatal
from unecho.components.plan.step import plan
from unecho.components.run import ModelRecord, Run
from unecho.components.run.tensors import load_state
from unecho.components.steps import run_step


def network(channels: int = 1, **changes: object) -> UNet2DModel:
    torch.manual_seed(1)
    arguments = {
        "sample_size": 8,
        "in_channels": channels,
        "out_channels": channels,
        "block_out_channels": (4, 8),
        "layers_per_block": 1,
        "norm_num_groups": 2,
        "down_block_types": ("DownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "UpBlock2D"),
    }
    return UNet2DModel(**(arguments | changes))


def model_0(root: Path, config: RunConfig) -> tuple[Run, ModelRecord]:
    run = Run.at(str(root), "a")
    plan(run, config)
    run_step("prepare", run)
    record = run_step("initialize", run)
    assert isinstance(record, ModelRecord)
    return run, record


def test_weights_of_a_diffusers_folder_are_model_0(tmp_path: Path) -> None:
    given = network()
    DDPMPipeline(given, DDPMScheduler()).save_pretrained(tmp_path / "given")
    run, record = model_0(tmp_path, tiny(f"model.pretrained={tmp_path / 'given'}"))
    state = load_state(run.store, record.objects["raw.safetensors"])
    rows = state.pop("class_embedding.weight")  # the run's own: told about augmentations, nothing learned yet
    assert rows.shape[0] == 9
    assert not rows.any()
    assert state.keys() == given.state_dict().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in given.state_dict().items())
    config = json.loads(run.store.get(record.objects["network.json"].key))
    assert config["block_out_channels"] == [4, 8], "the folder's network, not the preset's"


def test_a_network_of_other_channels_is_refused_by_name(tmp_path: Path) -> None:
    DDPMPipeline(network(channels=3), DDPMScheduler()).save_pretrained(tmp_path / "given")
    with pytest.raises(Fatal, match=r"model.pretrained: .*given: in_channels 3, the data set's images have 1"):
        model_0(tmp_path, tiny(f"model.pretrained={tmp_path / 'given'}"))


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    DDPMPipeline(network(), DDPMScheduler()).save_pretrained(tmp_path / "given", safe_serialization=False)
    with pytest.raises(Fatal, match=r"no such object: give a diffusers folder with safetensors weights"):
        model_0(tmp_path, tiny(f"model.pretrained={tmp_path / 'given'}"))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    DDPMPipeline(network(), DDPMScheduler()).save_pretrained(tmp_path / "given")
    weights = tmp_path / "given/unet/diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(Fatal, match=r"model.pretrained: .*given: cannot be read"):
        model_0(tmp_path, tiny(f"model.pretrained={tmp_path / 'given'}"))


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("[]", "unet/config.json holds a list, a UNet2DModel is needed"),
        ("{}", "unet/config.json holds a None, a UNet2DModel is needed"),
        ('{"_class_name": "UNet2DModel"}', "in_channels None, the data set's images have 1"),
        ("{", "cannot be read"),
    ],
)
def test_a_config_that_is_none_is_one_line(config: str, says: str, tmp_path: Path) -> None:
    DDPMPipeline(network(), DDPMScheduler()).save_pretrained(tmp_path / "given")
    (tmp_path / "given/unet/config.json").write_text(config)
    with pytest.raises(Fatal, match=r"^model\.pretrained: ") as told:
        model_0(tmp_path, tiny(f"model.pretrained={tmp_path / 'given'}"))
    assert says in str(told.value)


def test_the_seed_decides_and_variants_share_their_first_weights(tmp_path: Path) -> None:
    digests = {}
    for name, config in {
        "a": tiny(),
        "b": tiny(),
        "c": tiny("seed=1"),
        "plain": tiny(variant="iet"),
        "default": tiny(variant="default"),
    }.items():
        _, record = model_0(tmp_path / name, config)
        digests[name] = record.objects["raw.safetensors"].sha256
        assert record.objects["ema.safetensors"].sha256 == digests[name]
    assert digests["a"] == digests["b"]
    assert digests["a"] != digests["c"]
    assert digests["plain"] == digests["default"]
