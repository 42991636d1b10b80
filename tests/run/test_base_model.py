"""Where a base model lies is execution, what it holds is method: read by digest, from a folder, S3 or a hub's cache."""

import hashlib
import os
import re
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from tests.captioned import captioned, put_base, tiny_base
from tests.services import s3 as service
from unecho.components.config import RunConfig
from unecho.components.diffusion import trainable_family_of
from unecho.components.failure import Fatal
from unecho.components.initialize.step import initialize
from unecho.components.plan.step import plan
from unecho.components.progress import Silent
from unecho.components.run import Run
from unecho.components.run.base_model import BaseModel, base_digests
from unecho.components.steps import run_step
from unecho.components.store import open_store

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_base(), tmp_path / "base"))


def unet(config: RunConfig, pretrained: BaseModel) -> dict[str, torch.Tensor]:
    family = trainable_family_of(config, pretrained)
    return family.initial(family.base(3, 16), 0)


class TestOnS3:
    @pytest.fixture
    def config(self, s3: service.S3, s3_root: str, tmp_path: Path) -> RunConfig:
        return captioned(f"model.pretrained={put_base(s3_root)}", f"execution.cache_dir={tmp_path / 'cache'}")

    def test_holds_what_the_same_folder_does(self, config: RunConfig, tmp_path: Path) -> None:
        digests = base_digests(config)
        assert digests == base_digests(captioned())
        found = unet(config, BaseModel(config, digests))
        here = captioned()
        assert all(torch.equal(t, found[n]) for n, t in unet(here, BaseModel(here, digests)).items())
        assert [path.name for path in (tmp_path / "cache/bases").glob("*/*")] != []

    def test_a_copy_is_whole_also_where_some_of_its_files_were_read_before(self, config: RunConfig) -> None:
        pretrained = BaseModel(config, base_digests(config))
        pretrained.read("vae/config.json")
        folder = pretrained.folder("vae", "unet")
        copied = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        names = {"model_index.json", "vae/config.json", "unet/config.json", WEIGHTS, WEIGHTS.replace("unet", "vae")}
        assert copied == names
        assert all((folder / name).read_bytes() == (tiny_base() / name).read_bytes() for name in names)

    def test_a_copy_that_was_corrupted_is_mended(self, config: RunConfig) -> None:
        digests = base_digests(config)
        copy = BaseModel(config, digests).folder("unet") / WEIGHTS
        whole = copy.read_bytes()
        copy.write_bytes(whole[:100])
        assert BaseModel(config, digests).folder("unet") / WEIGHTS == copy
        assert copy.read_bytes() == whole
        assert [path.name for path in copy.parent.iterdir() if path.name.startswith(".")] == []

    def test_a_copy_serves_without_the_store(self, config: RunConfig) -> None:
        digests = base_digests(config)
        BaseModel(config, digests).folder("unet")
        assert config.model.pretrained is not None
        store = open_store(config.model.pretrained)
        store.delete([WEIGHTS])
        assert (BaseModel(config, digests).folder("unet") / WEIGHTS).is_file()

    def test_another_content_there_is_refused(self, config: RunConfig) -> None:
        digests = base_digests(config)
        assert config.model.pretrained is not None
        open_store(config.model.pretrained).put(WEIGHTS, b"another")
        with pytest.raises(Fatal, match=re.escape(f"{config.model.pretrained}: {WEIGHTS} holds something else than")):
            BaseModel(config, digests).folder("unet")


def test_a_base_that_was_changed_after_the_plan_is_refused_by_steps(copied: Path, tmp_path: Path) -> None:
    run, config = Run.at(str(tmp_path / "root"), "a"), captioned(f"model.pretrained={copied}")
    plan(run, config)
    run_step("prepare", run)
    other = bytearray((copied / WEIGHTS).read_bytes())
    other[-1] ^= 1
    (copied / WEIGHTS).write_bytes(other)
    sha = hashlib.sha256(other).hexdigest()
    with pytest.raises(
        Fatal, match=f"^model.pretrained: {copied}: {WEIGHTS} holds something else .*SHA-256 {sha[:16]}"
    ):
        initialize(run, Silent())
    with pytest.raises(Fatal, match=r"exists with another method: model.pretrained: was a file with SHA-256"):
        plan(run, config)


def test_a_file_of_it_that_is_gone_is_named(copied: Path, tmp_path: Path) -> None:
    config = captioned(f"model.pretrained={copied}")
    digests = base_digests(config)
    (copied / WEIGHTS).unlink()
    with pytest.raises(Fatal, match=re.escape(f"{copied}/{WEIGHTS}: no such object")):
        BaseModel(config, digests).folder("unet")


def test_a_base_may_move_and_files_that_are_not_read_may_change(copied: Path, tmp_path: Path) -> None:
    run = Run.at(str(tmp_path / "root"), "a")
    first = plan(run, captioned())
    (copied / "README.md").write_text("another")
    (copied / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"never read")
    moved = plan(run, captioned(f"model.pretrained={copied}"))
    assert moved.revision == first.revision + 1
    assert moved.files == first.files


def test_the_digest_that_is_asked_for_is_that_of_the_weights_file(copied: Path) -> None:
    sha = hashlib.sha256((copied / WEIGHTS).read_bytes()).hexdigest()
    assert base_digests(captioned(f"model.pretrained={copied}", f"model.unet_sha256={sha}")) is not None
    with pytest.raises(Fatal, match=f"^model.unet_sha256: {copied}: the UNet's weights have SHA-256 {sha}, not 000"):
        base_digests(captioned(f"model.pretrained={copied}", f"model.unet_sha256='{'0' * 64}'"))


def test_the_name_of_a_hub_is_one_line_where_the_machine_is_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(Fatal, match=r"^model.pretrained: 'nobody/nothing-here': .* offline \(HF_HUB_OFFLINE\)"):
        base_digests(captioned("model.pretrained=nobody/nothing-here"))


def test_what_a_hub_has_of_another_class_is_refused_before_its_weights_are_brought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Flux pipeline is tens of gigabytes."""
    index = tmp_path / "model_index.json"
    index.write_text('{"_class_name": "FluxPipeline"}')
    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", lambda api, name: ["model_index.json", "vae/x.json"])
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda name, file: str(index))
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *a, **k: pytest.fail("brought here"))
    with pytest.raises(Fatal, match=r"^model.pretrained: somebody/flux: a FluxPipeline cannot be fine-tuned here"):
        base_digests(captioned("model.pretrained=somebody/flux"))


def test_a_folder_of_links_as_hubs_keep_it_is_read(tmp_path: Path) -> None:
    """A snapshot's files are relative links to blobs that are named by their digest."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots/1"
    blobs.mkdir()
    for file in tiny_base().rglob("*"):
        if file.is_file():
            blob = blobs / hashlib.sha256(file.read_bytes()).hexdigest()
            shutil.copy(file, blob)
            link = snapshot / file.relative_to(tiny_base())
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(blob, link.parent))
    config = captioned(f"model.pretrained={snapshot}")
    assert base_digests(config) == base_digests(captioned())
