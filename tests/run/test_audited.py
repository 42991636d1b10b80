"""The configuration of an audit: what its subject is, and what may be said of it."""

import shutil
from pathlib import Path

import pytest

from tests.captioned import put_base, tiny_base
from tests.given import save_ddpm, write_digits
from unecho.components.config import RunConfig, resolve
from unecho.components.config.fields import flat_fields
from unecho.components.failure import Fatal
from unecho.components.run import ModelRecord, Plan, Run
from unecho.components.run.audited import audit_config, audit_name, root_of
from unecho.components.store import open_store


def trained(root: Path, *settings: str) -> tuple[Run, RunConfig]:
    """A run of the tiny preset whose rounds have ended."""
    run, config = Run.at(str(root), "trained"), resolve("tiny", settings=settings)
    run.commit(Plan(revision=0, config=config), 0)
    run.commit(ModelRecord(round=config.iet.rounds), config.iet.rounds)
    return run, config


def config_of(root: Path, subject: object, data: str | None = "digits", *words: str, **more: object) -> RunConfig:
    return audit_config(open_store(str(root)), str(subject), data, *words, **more)  # type: ignore[arg-type]


class TestASubject:
    def test_with_a_plan_is_a_run(self, tmp_path: Path) -> None:
        run, _ = trained(tmp_path)
        audit = config_of(tmp_path, f"{tmp_path}/runs/trained/", None).audit
        assert (audit.run, audit.model, audit.images) == (run.url, None, None)
        assert root_of(f"{tmp_path}/runs/trained") == run.store.url

    @pytest.mark.parametrize("place", ["model", "runs/model"])
    def test_with_an_index_is_a_model(self, place: str, tmp_path: Path) -> None:
        folder = save_ddpm(tmp_path / place)
        assert config_of(tmp_path, folder).audit.model == str(folder)
        assert root_of(str(folder)) is None

    def test_of_another_folder_is_images(self, tmp_path: Path) -> None:
        assert config_of(tmp_path, write_digits(tmp_path / "runs/images", range(3))).audit.images is not None
        assert config_of(tmp_path, "digits").audit.images == "digits"

    def test_that_is_nowhere_here_is_a_hubs_if_it_can_be(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(Fatal, match=r"^audit.model: 'nobody/nothing-here': .* offline \(HF_HUB_OFFLINE\)"):
            config_of(tmp_path, "nobody/nothing-here")
        with pytest.raises(Fatal, match=r"^audit: none-such: no such run, directory or prefix"):
            config_of(tmp_path, "none-such")

    def test_of_an_empty_name_is_not_taken_for_this_directory(self, tmp_path: Path) -> None:
        with pytest.raises(Fatal, match=r"^audit: '': names no run, model or images"):
            config_of(tmp_path, "")

    def test_on_s3_is_told_apart_likewise(self, s3_root: str) -> None:
        store = open_store(s3_root)
        store.put("images/0.png", b"an image")
        assert audit_config(store, put_base(s3_root), "digits").audit.model == f"{s3_root}/base"
        assert audit_config(store, f"{s3_root}/images", "digits").audit.images == f"{s3_root}/images"

    def test_that_is_a_file_is_a_source_that_prepare_refuses(self, tmp_path: Path) -> None:
        (tmp_path / "one.png").write_bytes(b"an image")
        assert config_of(tmp_path, tmp_path / "one.png").audit.images == str(tmp_path / "one.png")


class TestARun:
    def test_keeps_all_of_its_configuration_but_what_is_asked_for(self, tmp_path: Path) -> None:
        _, config = trained(tmp_path)
        settings = ("sample.steps=3", "evaluate.neighbours=20", "seed=7", "report.pairs=3", "execution.workers=1")
        again = config_of(tmp_path, f"{tmp_path}/runs/trained", None, settings=settings)
        before, after = (flat_fields(c.model_dump(mode="json")) for c in (config, again))
        changed = {name for name in after if before[name] != after[name]}
        assert changed == {name.partition("=")[0] for name in settings} | {"audit.run"}

    @pytest.mark.parametrize("setting", ["taa.shift_pixels=2", "data.held_out=0.2", "variant=iet", "threads=3"])
    def test_may_not_be_told_how_it_was_trained(self, setting: str, tmp_path: Path) -> None:
        trained(tmp_path)
        field, _, value = setting.partition("=")
        with pytest.raises(Fatal, match=f"^{field}: {value}: an audit of a run may change sample, evaluate, report,"):
            config_of(tmp_path, f"{tmp_path}/runs/trained", None, settings=(setting,))

    def test_has_its_own_data(self, tmp_path: Path) -> None:
        trained(tmp_path)
        with pytest.raises(Fatal, match=r"^data.source: digits: an audit of a run compares with the run's own images"):
            config_of(tmp_path, f"{tmp_path}/runs/trained", "digits")
        with pytest.raises(Fatal, match=r"^audit.held_out: digits: an audit of a run compares with"):
            config_of(tmp_path, f"{tmp_path}/runs/trained", None, "digits")

    def test_of_another_root_is_refused(self, tmp_path: Path) -> None:
        trained(tmp_path / "here")
        with pytest.raises(Fatal, match=r"^audit.run: file://.*/here/runs/trained: lies at another root than file://"):
            config_of(tmp_path / "there", f"{tmp_path}/here/runs/trained", None)

    def test_that_has_not_ended_is_refused(self, tmp_path: Path) -> None:
        run, config = Run.at(str(tmp_path), "trained"), resolve("tiny")
        run.commit(Plan(revision=0, config=config), 0)
        run.commit(ModelRecord(round=0), 0)
        with pytest.raises(Fatal, match=r"^audit.run: .*/runs/trained: not finished \(planned, 2 rounds\): start it"):
            config_of(tmp_path, run.url.removeprefix("file://"), None)

    def test_that_has_yet_to_choose_its_model_is_refused(self, tmp_path: Path) -> None:
        trained(tmp_path, "watch.every=1", "release.select=at_floor")
        with pytest.raises(Fatal, match=r"^audit.run: .*/runs/trained: not finished \(planned, 2 rounds\): start it"):
            config_of(tmp_path, f"{tmp_path}/runs/trained", None)

    def test_that_is_not_there_is_said_to_be_missing_before_data_are_asked_for(self, tmp_path: Path) -> None:
        with pytest.raises(Fatal, match=r"^audit: .*/runs/none-such: no such run, directory or prefix"):
            config_of(tmp_path, f"{tmp_path}/runs/none-such", None)

    def test_that_is_an_audit_is_refused(self, tmp_path: Path) -> None:
        run = Run.at(str(tmp_path), "audit")
        run.commit(Plan(revision=0, config=config_of(tmp_path, "digits")), 0)
        with pytest.raises(Fatal, match=r"^audit.run: .*: is an audit itself: give what it audits, digits"):
            config_of(tmp_path, run.url.removeprefix("file://"), None)


class TestAModel:
    def test_is_sampled_by_its_own_scheduler_in_as_many_steps_as_it_has(self, tmp_path: Path) -> None:
        sample = config_of(tmp_path, save_ddpm(tmp_path / "model")).sample
        assert (sample.sampler, sample.steps) == ("base", 20)

    def test_of_text_is_sampled_in_50_steps_and_few_images_at_once(self, tmp_path: Path) -> None:
        sample = config_of(tmp_path, tiny_base()).sample
        assert (sample.sampler, sample.steps, sample.batch_size, sample.prompts) == ("base", 50, 8, "training")

    def test_is_sampled_as_it_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "audit.yaml").write_text("sample: {sampler: ddim, batch_size: 4}")
        settings = ("sample.steps=7",)
        sample = config_of(tmp_path, tiny_base(), file=tmp_path / "audit.yaml", settings=settings).sample
        assert (sample.sampler, sample.steps, sample.batch_size) == ("ddim", 7, 4)

    def test_may_be_asked_for_prompts_if_it_takes_them(self, tmp_path: Path) -> None:
        store = open_store(str(tmp_path))
        sample = audit_config(store, str(tiny_base()), "digits", prompts="mine.txt").sample
        assert (sample.prompts, sample.prompts_file) == ("file", "mine.txt")
        assert audit_config(store, str(tiny_base()), "digits", prompts="held_out").sample.prompts == "held_out"
        with pytest.raises(Fatal, match=r"^sample.prompts: file: a DDPMPipeline takes no prompts"):
            audit_config(store, str(save_ddpm(tmp_path / "model")), "digits", prompts="mine.txt")

    def test_has_text_alignment_if_it_takes_prompts(self, tmp_path: Path) -> None:
        settings = ("evaluate.alignment_model=/clip",)
        assert config_of(tmp_path, tiny_base(), settings=settings).evaluate.alignment_model == "/clip"
        with pytest.raises(Fatal, match=r"^evaluate.alignment_model: /clip: a DDPMPipeline takes no prompts"):
            config_of(tmp_path, save_ddpm(tmp_path / "model"), settings=settings)

    def test_that_cannot_be_audited_is_refused_at_once(self, tmp_path: Path) -> None:
        base = shutil.copytree(tiny_base(), tmp_path / "base")
        (base / "model_index.json").write_text('{"_class_name": "DiTPipeline"}')
        with pytest.raises(Fatal, match=rf"^audit.model: {base}: a DiTPipeline makes images of a class"):
            config_of(tmp_path, base)


class TestData:
    def test_is_needed(self, tmp_path: Path) -> None:
        with pytest.raises(
            Fatal, match=r"^data.source: an audit of digits needs the images that the model was trained"
        ):
            config_of(tmp_path, "digits", None)

    def test_holds_nothing_out_unless_that_is_said(self, tmp_path: Path) -> None:
        assert config_of(tmp_path, "digits").data.held_out == 0
        assert config_of(tmp_path, "digits", settings=("data.held_out=0.2",)).data.held_out == 0.2

    def test_is_not_split_where_held_out_images_are_given(self, tmp_path: Path) -> None:
        assert config_of(tmp_path, "digits", "digits", "held").audit.held_out == "held"
        with pytest.raises(Fatal, match=r"^audit.held_out: held beside data.held_out 0.2"):
            config_of(tmp_path, "digits", "digits", "held", settings=("data.held_out=0.2",))


def test_the_name_of_an_audit_is_that_of_its_subject_and_settings(tmp_path: Path) -> None:
    subject = write_digits(tmp_path / "My Images!", range(3))
    first, same, other = (
        audit_name(config_of(tmp_path, subject, settings=settings))
        for settings in ((), ("execution.workers=2",), ("evaluate.neighbours=9",))
    )
    assert first.startswith("audit-my-images-")
    assert first == same != other
    Run.at(str(tmp_path), first)
