"""The model that alignment is measured by: frozen by what its files hold, and refused in one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.captioned import captioned
from tests.runs import tiny
from tests.services import s3 as service
from tests.tiny_clip import tiny_clip
from unecho.components.config import RunConfig
from unecho.components.failure import Fatal
from unecho.components.run.alignment_folder import FIELD, alignment_digest, alignment_folder
from unecho.components.run.given_files import changed_file, file_digests
from unecho.components.store import open_store
from unecho.pipelines.commands import main


def named(address: Path | str, *settings: str) -> RunConfig:
    return captioned(f"evaluate.alignment_model={address}", *settings)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_clip(), tmp_path / "clip"))


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def another_class(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["SiglipModel"], "model_type": "siglip"}))


def adapters(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "/another"}')


def gone(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (shutil.rmtree, "no such folder, or nothing in it: give a folder of transformers' CLIPModel"),
        (gone("config.json"), "no config.json there, so it is no model of transformers; it has model.safetensors"),
        (another_class, "config.json says SiglipModel: only transformers' CLIPModel is supported"),
        (adapters, "it holds adapters (adapter_config.json): merge them into the model"),
        (pickled, "no weights as safetensors, in another form it has pytorch_model.bin: load it once"),
        (gone("preprocessor_config.json"), "no preprocessor_config.json there: save the model's CLIPImageProcessor"),
        (gone("tokenizer.json"), "neither tokenizer.json nor vocab.json and merges.txt there"),
    ],
)
def test_a_folder_that_cannot_be_used_is_one_line(folder: Path, spoil: Callable[[Path], None], says: str) -> None:
    spoil(folder)
    with pytest.raises(Fatal) as error:
        alignment_digest(named(folder))
    assert str(error.value).startswith(f"evaluate.alignment_model: '{folder}': {says}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("address", ["s3://", "gs://bucket/clip"])
def test_an_address_that_is_none_is_one_line_that_names_the_field(address: str) -> None:
    with pytest.raises(
        Fatal, match=f"^evaluate.alignment_model: '{address}': .*: (no name of a bucket|a root is a dir)"
    ):
        alignment_digest(named(address))


def cut_short(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:3000])


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")


@pytest.mark.parametrize("spoil", [cut_short, no_tokenizer])
def test_a_model_that_does_not_load_is_said_by_the_plan(
    folder: Path, spoil: Callable[[Path], None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spoil(folder)
    chosen = ["--preset", "tiny-text-to-image", "--set", f"evaluate.alignment_model={folder}"]
    for command in (["plan"], ["step", "plan", "--run", f"{tmp_path}/root/runs/a"]):
        assert main([*command, *chosen]) == 2
        line = capfd.readouterr().err.splitlines()[-1]
        assert line.startswith(f"unecho: evaluate.alignment_model: '{folder}': transformers cannot use it: ")
    assert not (tmp_path / "root").exists()


def test_the_name_of_a_hub_is_one_line_where_the_machine_is_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(Fatal, match=r"^evaluate.alignment_model: 'nobody/no-clip': .* offline \(HF_HUB_OFFLINE\)"):
        alignment_digest(named("nobody/no-clip"))


def test_a_folder_may_move_and_what_is_not_read_may_change_but_another_content_is_another_model(
    folder: Path, tmp_path: Path
) -> None:
    planned = file_digests(named(folder), None)
    moved = folder.rename(tmp_path / "moved")
    (moved / "README.md").write_text("another")
    (moved / "pytorch_model.bin").write_bytes(b"never read")
    assert file_digests(named(moved), None) == planned
    assert alignment_folder(named(moved), planned) == moved
    (moved / "tokenizer_config.json").write_text("{}")
    changed = changed_file(planned, file_digests(named(moved), None))
    assert changed is not None
    assert changed.startswith("evaluate.alignment_model: was a file with SHA-256")
    with pytest.raises(Fatal, match=r"^evaluate.alignment_model: .*moved: its files hold something else than when"):
        alignment_folder(named(moved), planned)


def test_without_one_nothing_is_frozen() -> None:
    assert FIELD not in file_digests(captioned(), None)


def test_what_has_no_prompts_has_no_alignment() -> None:
    with pytest.raises(Fatal, match=r"^evaluate.alignment_model: /clip is for model.family latents, not pixels"):
        tiny("evaluate.alignment_model=/clip")
    with pytest.raises(Fatal, match=r"^evaluate.alignment_model: /clip: the prompts of images that were generated el"):
        tiny("evaluate.alignment_model=/clip", "audit.images=/made")


def test_on_s3_it_is_copied_once_and_a_spoilt_copy_is_mended(s3: service.S3, s3_root: str, tmp_path: Path) -> None:
    store = open_store(f"{s3_root}/clip")
    for file in tiny_clip().iterdir():
        store.put(file.name, file.read_bytes())
    config = named(f"{s3_root}/clip", f"execution.cache_dir={tmp_path}")
    planned = file_digests(config, None)
    assert planned[FIELD] == alignment_digest(named(tiny_clip()))
    copy = alignment_folder(config, planned)
    names = {"config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"}
    assert {path.name for path in copy.iterdir()} == names
    whole = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(whole[:9])
    assert (alignment_folder(config, planned) / "model.safetensors").read_bytes() == whole
    store.put("tokenizer.json", b"another")
    shutil.rmtree(copy)
    with pytest.raises(Fatal, match=r"^evaluate.alignment_model: s3://.*/clip: its files hold something else than"):
        alignment_folder(config, planned)
