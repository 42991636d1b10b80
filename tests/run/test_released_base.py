"""model.pretrained: released:NAME, for both families: what a plan freezes of it, and what a run starts from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import load

from tests.captioned import captioned
from tests.releases import given
from unecho.components.config import RunConfig, resolve
from unecho.components.diffusion import trainable_family_of
from unecho.components.diffusion.release import release_files
from unecho.components.failure import Fatal
from unecho.components.plan.step import frozen_by, plan
from unecho.components.run import Plan, Run
from unecho.components.run.base_model import pretrained_of
from unecho.components.run.gc import Manifests
from unecho.components.run.released import ReleasedModel, config_digest
from unecho.components.run.released_base import asked_release, released_base
from unecho.components.store import Store, open_store, put_folder
from unecho.components.store.directory import DirectoryStore
from unecho.pipelines.commands import main
from unecho.pipelines.releasing import roll_back

Family = Literal["pixels", "latents"]


def config_of(family: Family, *settings: str) -> RunConfig:
    if family == "pixels":
        return resolve("tiny", settings=settings)
    return captioned("lora.enabled=true", *settings)


def shape_of(family: Family) -> tuple[int, int]:
    return (1, 8) if family == "pixels" else (3, 16)


@dataclass
class Root:
    """A root where weights of a family's form are released as "dogs"."""

    store: Store
    family: Family

    def release(self, seed: int, folder: Path) -> dict[str, torch.Tensor]:
        """Release weights that no training has made; the UNet's, as its folder has them."""
        config = config_of(self.family)
        family = trainable_family_of(config, pretrained_of(frozen_by(self.store, config)))
        base = family.base(*shape_of(self.family))
        draw = torch.Generator().manual_seed(seed)
        weights = {
            name: tensor + 0.1 * torch.randn(tensor.shape, generator=draw)
            for name, tensor in family.initial(base, seed).items()
        }
        run, number = Run(self.store, f"run-{seed}"), len(self.model.numbers()) + 1
        files = put_folder(self.store, f"{run.prefix}/release", {**release_files(family, base, weights, folder)})
        record = given(run, number)
        self.model.append(
            record.model_copy(
                update={
                    "folder": files["model_index.json"].key.rpartition("/")[0],
                    "objects": record.objects | {f"model/{path}": ref for path, ref in files.items()},
                }
            )
        )
        return load(self.store.get(files["unet/diffusion_pytorch_model.safetensors"].key))

    @property
    def model(self) -> ReleasedModel:
        return ReleasedModel(self.store, "dogs")

    def start(self, name: str, *settings: str) -> dict[str, torch.Tensor]:
        """Plan a run, and what its model 0 would be, as a plain UNet."""
        run, config = Run(self.store, name), config_of(self.family, *settings)
        plan(run, config)
        family = trainable_family_of(config, pretrained_of(run.plan()))
        base = family.base(*shape_of(self.family))
        pipeline: Any = family.pipeline(base, family.initial(base, 0), "ddim")
        return dict(pipeline.unet.state_dict())


@pytest.fixture(params=["pixels", "latents"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Root:
    return Root(open_store(str(tmp_path / "root")), request.param)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    assert {*other} <= {*one}
    return all(torch.equal(one[name], tensor) for name, tensor in other.items())


NEWEST = "model.pretrained=released:dogs"


def test_a_run_starts_from_the_weights_that_are_released_and_goes_on_with_them_whatever_is_released_since(
    root: Root, tmp_path: Path
) -> None:
    first = root.release(1, tmp_path / "1")
    assert same(root.start("a", NEWEST), first), "adapters are merged, and new ones change nothing yet"
    second = root.release(2, tmp_path / "2")
    assert not same(second, first)
    assert same(root.start("a", NEWEST, "execution.parallelism=1"), first)
    assert same(root.start("b", NEWEST), second)
    assert same(root.start("c", f"{NEWEST}@1"), first)
    again, other = (Run(root.store, name).plan() for name in "ab")
    assert again.released is not None
    assert (again.revision, again.released.number, again.released.run) == (1, 1, "run-1")
    assert other.released is not None
    assert other.released.number == 2
    with pytest.raises(Fatal, match=r"/runs/a: exists with another method: model\.pretrained: was a file with SHA-256"):
        root.start("a", f"{NEWEST}@2")


def test_it_is_read_from_a_bucket_as_from_a_directory(s3_root: str, tmp_path: Path) -> None:
    root = Root(open_store(s3_root), "latents")
    first = root.release(1, tmp_path / "1")
    assert same(root.start("a", NEWEST), first)


def test_gc_keeps_what_a_plan_starts_from_though_its_release_was_removed_from_the_history(tmp_path: Path) -> None:
    root = Root(DirectoryStore(tmp_path / "root"), "pixels")
    first = root.release(1, tmp_path / "1")
    root.start("a", NEWEST)
    root.store.delete([root.model.key(1), root.model.pointer])
    named = Manifests(root.store).read().named
    assert {key.rpartition("/")[2] for key in named} == {"config.json", "diffusion_pytorch_model.safetensors"}
    assert same(root.start("a", NEWEST), first), "the plan knows the place"


def test_to_start_from_what_is_released_is_one_configuration_and_a_number_is_what_it_holds(tmp_path: Path) -> None:
    root = Root(DirectoryStore(tmp_path / "root"), "pixels")
    root.release(1, tmp_path / "1")

    def digest(*settings: str) -> str:
        return config_digest(frozen_by(root.store, config_of("pixels", *settings)))

    before = digest(NEWEST), digest(f"{NEWEST}@1")
    assert len({*before, digest()}) == 3
    root.release(2, tmp_path / "2")
    assert (digest(NEWEST), digest(f"{NEWEST}@1")) == before
    assert digest(f"{NEWEST}@2") != before[1]
    roll_back(root.store, "dogs", "ann")
    assert digest(f"{NEWEST}@3") == before[1], "the rollback's files are those of number 1"


@pytest.mark.parametrize(
    ("address", "says"),
    [
        (
            "released:cats",
            r"released:cats: nothing is released under that name at file://.*: train the first",
        ),
        ("released:dogs@7", r"released:dogs@7: no number 7 in the history: unecho released dogs --root file://"),
        ("released:dogs@0", r"released:dogs@0: '0' is no number of a history: give released:NAME@NUMBER"),
        ("released:dogs@x", r"released:dogs@x: 'x' is no number of a history"),
        ("released:", r"released:: model name: '': use at most 48"),
    ],
)
def test_what_is_not_released_is_one_line_before_anything_is_planned(address: str, says: str, tmp_path: Path) -> None:
    run = Run.at(str(tmp_path / "root"), "a")
    ReleasedModel(run.store, "dogs").append(given(Run(run.store, "old")))
    with pytest.raises(Fatal, match=rf"^model\.pretrained: {says}"):
        plan(run, config_of("pixels", f"model.pretrained={address}"))
    assert run.find(Plan, 0) is None


def test_a_file_that_is_gone_or_is_not_what_was_released_is_named(tmp_path: Path) -> None:
    root = Root(DirectoryStore(tmp_path / "root"), "pixels")
    root.release(1, tmp_path / "1")
    key = f"{root.model.load(1).folder}/unet/diffusion_pytorch_model.safetensors"
    data = root.store.get(key)
    root.store.put(key, data[:-1])
    with pytest.raises(Fatal, match=rf"^model\.pretrained: released:dogs \(number 1.*{key} is truncated \(\d+ of \d+"):
        root.start("a", NEWEST)
    root.store.delete([key])
    with pytest.raises(Fatal, match=rf"^model\.pretrained: released:dogs \(number 1, of .*{key} is missing"):
        root.start("a", NEWEST)
    assert Run(root.store, "a").find(Plan, 0) is None
    root.store.put(key, data[:-1] + b"x")
    with pytest.raises(Fatal, match=r"^model\.pretrained: released:dogs \(file:.*\): unet/.* holds something else"):
        root.start("a", NEWEST)


def test_a_model_of_pixels_goes_on_under_the_noise_that_it_was_trained_with(tmp_path: Path) -> None:
    root = Root(DirectoryStore(tmp_path / "root"), "pixels")
    root.release(1, tmp_path / "1")
    with pytest.raises(Fatal, match=r"^noise\.prediction: v_prediction, but released:dogs \(number 1, of run run-1\) "):
        root.start("a", NEWEST, "noise.prediction=v_prediction")


def test_an_audit_of_a_run_reads_the_release_that_the_run_started_from(tmp_path: Path) -> None:
    root = Root(DirectoryStore(tmp_path / "root"), "latents")
    root.release(1, tmp_path / "1")
    root.start("a", NEWEST)
    root.release(2, tmp_path / "2")
    trained = Run(root.store, "a").plan()
    own = trained.config.model_dump(mode="json")
    audit = RunConfig.model_validate(own | {"audit": {"run": f"{root.store.url}/runs/a"}})
    assert released_base(root.store, audit, trained) == trained.released
    planned = plan(Run(root.store, "audit"), audit)
    assert (planned.released, planned.base) == (trained.released, trained.base)


def test_plan_shows_which_model_a_run_would_start_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = Root(DirectoryStore(tmp_path / "root"), "pixels")
    root.release(1, tmp_path / "1")
    assert main(["plan", "--preset", "tiny", "--set", NEWEST, "--root", str(tmp_path / "root")]) == 0
    lines = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    assert ["base", "model", "released:dogs, number 1, of run run-1"] in [[*map(str.strip, line)] for line in lines]
    assert not (tmp_path / "root/runs/a").exists()


def test_another_address_is_no_name_of_a_release() -> None:
    for address in ("released", "/released:dogs", "s3://released:dogs/a", "Released:dogs"):
        assert asked_release(config_of("pixels", f"model.pretrained={address}")) is None
