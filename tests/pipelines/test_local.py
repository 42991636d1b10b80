"""The main job on one machine: what comes out, and what a second start does."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import DDPMPipeline, DiffusionPipeline

from tests.runs import fingerprint, finish, start, tiny
from unecho.components.config import resolve
from unecho.components.data import Dataset
from unecho.components.failure import Fatal
from unecho.components.plan.step import plan
from unecho.components.run import (
    Assignment,
    BeginRecord,
    DatasetRecord,
    ModelRecord,
    Plan,
    ProxyRecord,
    ReportRecord,
    Run,
    SamplesRecord,
)
from unecho.components.run.failures import failures
from unecho.components.run.tensors import load_state
from unecho.components.steps import run_step
from unecho.components.store.directory import DirectoryStore


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run.at(str(tmp_path_factory.mktemp("root")), "whole")
    finish(run, tiny())
    return run


def test_diffusers_loads_the_released_model_and_samples_what_the_run_sampled(run: Run) -> None:
    report = run.load(ReportRecord, 3)
    folder = Path(run.store.url.removeprefix("file://")) / report.objects["model/model_index.json"].key
    pipeline = DDPMPipeline.from_pretrained(folder.parent)
    assert pipeline.unet.config.num_class_embeds is None
    image = pipeline(batch_size=2, num_inference_steps=5, output_type="np").images
    assert image.shape == (2, 8, 8, 1)
    assert DiffusionPipeline.from_pretrained(folder.parent).unet.config == pipeline.unet.config
    ema = load_state(run.store, run.load(ModelRecord, 3).objects["ema.safetensors"])
    rows = ema.pop("class_embedding.weight")
    ema["time_embedding.linear_2.bias"] = ema["time_embedding.linear_2.bias"] + rows[0]
    released = pipeline.unet.state_dict()
    assert all(torch.equal(released[name], tensor) for name, tensor in ema.items())
    assert not any(name.endswith((".bin", ".pt", ".ckpt", ".pkl")) for name in report.objects)


def test_a_second_start_does_nothing(run: Run) -> None:
    before = {stat.key: stat.modified for stat in run.store.list("")}
    finish(run, tiny())
    assert {stat.key: stat.modified for stat in run.store.list("")} == before


def test_two_starts_under_one_name_at_once_end_with_one_result_that_of_a_single_run(run: Run, tmp_path: Path) -> None:
    both = [start(tmp_path, "whole", tiny()) for _ in range(2)]
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    together = Run.at(str(tmp_path), "whole")
    assert fingerprint(together) == fingerprint(run)
    folders = [each.load(ReportRecord, 3).model_folder for each in (together, run)]
    assert folders[0] == folders[1], "the digest of all of the released folder, its card too"
    assert failures(together) == []
    assert not list(together.store.list(f"{together.prefix}/checkpoints/"))


class Overtaken(DirectoryStore):
    """A store that just before an object is read lets another process commit and remove it."""

    def __init__(self, root: Path, key: str, other: Callable[[], object]) -> None:
        super().__init__(root)
        self._key, self._other = key, other

    def get(self, key: str) -> bytes:
        if key == self._key and self.stat(key):
            self._other()
            self.delete([key])
        return super().get(key)


def test_a_step_whose_inputs_were_retired_by_a_run_that_is_ahead_returns_that_runs_record(tmp_path: Path) -> None:
    ahead = Run.at(str(tmp_path), "a")
    finish(ahead, tiny("iet.rounds=1"))
    plan(ahead, tiny())
    run_step("begin", ahead, 1)
    key = ahead.load(ProxyRecord, 0, 1).objects["optimizer.safetensors"].key
    behind = Run(Overtaken(tmp_path, key, lambda: run_step("train", ahead, 1, 1)), "a")
    assert run_step("train", behind, 1, 1) == ahead.load(ProxyRecord, 1, 1)
    ahead.store.delete([ahead.key(ProxyRecord, 1, 1)])
    with pytest.raises(Fatal, match=r"optimizer\.safetensors: no such object"):  # nobody has done it
        run_step("train", behind, 1, 1)


def test_every_object_that_a_record_names_is_there_with_its_size_and_only_weights_retire(run: Run) -> None:
    retired = {key for round in range(3) for key in run.load(BeginRecord, round).retired}
    records = [run.load(ModelRecord, r) for r in range(4)] + [run.load(Assignment, r) for r in range(4)]
    records += [run.load(ProxyRecord, r, k) for r in range(3) for k in range(2)] + [run.load(ReportRecord, 3)]
    for record in records:
        for name, ref in record.objects.items():
            stat = run.store.stat(ref.key)
            if ref.key in retired:
                assert stat is None
                assert name in ("raw.safetensors", "ema.safetensors", "optimizer.safetensors", "bank.safetensors")
            else:
                assert stat is not None
                assert stat.size == ref.size
    # keep_rounds 2: before round 2, the last, models 1 and 2 and the proxies of round 1 are left
    gone = {name.split("/")[2] + "/" + name.split("/")[3] for name in retired}
    assert gone == {"models/0", "proxies/0"}


def test_held_out_samples_never_reach_a_shard(run: Run) -> None:
    dataset = Dataset.open(run.store, run.load(DatasetRecord).digest)
    seen = set()
    for round in range(3):
        shard = load_state(run.store, run.load(Assignment, round).objects["assignment.safetensors"])["shard"].numpy()
        assert ((shard == -1) == dataset.held_out).all()
        for k in range(2):
            statistics = load_state(run.store, run.load(ProxyRecord, round, k).objects["statistics.safetensors"])
            assert (shard[statistics["sample"]] == k).all()
            seen |= set(statistics["sample"].tolist())
    assert seen == set(dataset.train_rows.tolist())


def test_visits_are_those_that_were_planned(run: Run) -> None:
    for round in range(3):
        figures = run.load(ModelRecord, round + 1).figures
        assert figures is not None
        assert figures.visits == 96 * 2  # 96 training images, 2 local epochs, 48 a shard in batches of 16
        assert figures.steps == 2 * 2 * 3


@pytest.mark.parametrize("parts", [1, 2])
def test_images_do_not_depend_on_the_number_of_parts(run: Run, parts: int, tmp_path: Path) -> None:
    other = Run.at(str(tmp_path), "parts")
    finish(other, tiny(f"sample.parts={parts}", "sample.count=24"))  # the last batch is half full
    images = [
        load_state(other.store, other.load(SamplesRecord, 3, part).objects["images.safetensors"])["images"]
        for part in range(parts)
    ]
    whole = [
        load_state(run.store, run.load(SamplesRecord, 3, part).objects["images.safetensors"])["images"]
        for part in range(2)
    ]
    assert torch.equal(torch.cat(images)[:16], torch.cat(whole)[:16])
    if parts == 2:
        one = Run.at(str(tmp_path), "one")
        finish(one, tiny("sample.parts=1", "sample.count=24"))
        ref = one.load(SamplesRecord, 3, 0).objects["images.safetensors"]
        assert torch.equal(torch.cat(images), load_state(one.store, ref)["images"])


def test_a_finished_run_grows_by_rounds_and_keeps_its_first_ones(tmp_path: Path) -> None:
    grown, whole = Run.at(str(tmp_path), "grown"), Run.at(str(tmp_path), "whole")
    skips = ("agc.skip_ratio=1.05", "iet.local_epochs=4")
    finish(grown, tiny("iet.rounds=2", *skips))
    finish(grown, tiny("iet.rounds=3", *skips))
    finish(whole, tiny("iet.rounds=3", *skips))
    assert grown.plan().revision == 1
    assert grown.load(Plan, 0).config.iet.rounds == 2
    assert grown.find(ReportRecord, 2)
    assert grown.find(ReportRecord, 3)
    assert whole.load(Assignment, 2).moved > 0, "after what was the last round of the grown run"
    assert fingerprint(grown) == {key.replace("runs/whole", "runs/grown"): d for key, d in fingerprint(whole).items()}


def test_another_method_under_the_same_name_is_refused_by_field_and_another_execution_is_not(run: Run) -> None:
    with pytest.raises(Fatal, match=r"agc\.skip_ratio: was 2\.0, now 1\.5"):
        finish(run, tiny("agc.skip_ratio=1.5"))
    with pytest.raises(Fatal, match=r"iet\.rounds: was 3, now 2"):
        finish(run, tiny("iet.rounds=2"))
    finish(run, tiny("execution.checkpoint_every_s=7"))
    assert run.config().execution.checkpoint_every_s == 7


def test_a_rule_stops_the_rounds_and_the_last_model_is_reported(tmp_path: Path) -> None:
    run = Run.at(str(tmp_path), "stopped")
    finish(run, tiny("stop.loss_plateau=0.99"))  # nothing falls that fast
    reason = run.load(ModelRecord, 2).stop
    assert reason is not None
    assert reason.startswith("stop.loss_plateau: round 1's loss")
    assert run.load(BeginRecord, 2).decision == "stop"
    assert run.find(ProxyRecord, 2, 0) is None
    assert run.find(ReportRecord, 2)


def test_one_shard_is_plain_training_whatever_the_number_of_rounds(tmp_path: Path) -> None:
    """K = 1: averaging is the identity, and all state of the slot goes from round to round."""
    cut, whole = Run.at(str(tmp_path), "cut"), Run.at(str(tmp_path), "whole")
    finish(cut, resolve("tiny", "default", settings=("iet.rounds=3", "iet.local_epochs=1")))
    finish(whole, resolve("tiny", "default", settings=("iet.rounds=1", "iet.local_epochs=3")))
    for name in ("raw.safetensors", "ema.safetensors"):
        assert cut.load(ModelRecord, 3).objects[name].sha256 == whole.load(ModelRecord, 1).objects[name].sha256


def test_variants_plan_the_same_number_of_visits(tmp_path: Path) -> None:
    visits = {}
    for variant in ("default", "iet", "agc", "iet-agc"):
        run = Run.at(str(tmp_path), variant)
        finish(run, resolve("tiny", variant))
        figures = [run.load(ModelRecord, r).figures for r in (1, 2)]
        visits[variant] = sum(f.visits for f in figures if f)
    assert set(visits.values()) == {96 * 2 * 2}


def test_streamed_images_train_to_the_bytes_of_held_ones(run: Run, tmp_path: Path) -> None:
    streamed = Run.at(str(tmp_path), "streamed")
    finish(streamed, tiny("execution.hold_images=stream"))
    assert list(fingerprint(streamed).values()) == list(fingerprint(run).values())


def test_a_record_says_what_it_ran_with(run: Run) -> None:
    with_ = run.load(ProxyRecord, 0, 0).ran_with
    assert with_ is not None
    assert with_.torch == torch.__version__.split("+")[0]
    assert with_.device
    assert with_.seconds > 0
