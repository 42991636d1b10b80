"""unecho audit, to its end: models that are given, images from elsewhere, runs that are sampled again."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.captioned import captioned, put_base, tiny_base, write_images
from tests.given import digits, save_ddpm, save_repeating, write_digits
from tests.given import write_images as write_grey
from tests.runs import finish, start, tiny
from unecho.components.config import RunConfig
from unecho.components.report.figures import Figures, load_figures
from unecho.components.run import DatasetRecord, ModelRecord, ReportRecord, Run, SamplesRecord
from unecho.components.run.audited import audit_config
from unecho.components.store import open_store
from unecho.pipelines.commands import main

FEW = ("sample.count=32", "sample.batch_size=16", "evaluate.neighbours=10", "threads=1")


def audit(root: Path | str, *words: str | Path, settings: tuple[str, ...] = FEW, name: str = "a") -> int:
    given = [f"--set={setting}" for setting in settings]
    return main(["audit", *map(str, words), "--root", str(root), "--name", name, *given])


def run_of(root: Path | str, name: str = "a") -> Run:
    return Run.at(str(root), name)


def figures_of(run: Run, round: int = 0) -> Figures:
    return load_figures(run, run.load(ReportRecord, round))


def measured(figures: Figures) -> dict[str, Any]:
    """All that was measured, without where and when."""
    shown = figures.model_dump(mode="json", exclude={"provenance", "config", "rounds"})
    return shown | {"dataset": figures.provenance.dataset}


def generated(run: Run) -> NDArray[np.uint8]:
    from unecho.components.assess.compared import compared

    images, _ = compared(run, run.config(), run.load(ModelRecord, 0))
    return images.take(np.arange(len(images)))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Digits that a model was trained on, that it was not, and others of the same kind."""
    folder = tmp_path_factory.mktemp("digits")
    rows = {"train": range(600), "held": range(600, 1000), "fresh": range(1000, 1300)}
    return {name: write_digits(folder / name, some) for name, some in rows.items()}


@pytest.fixture(scope="module")
def repeating(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has memorized the first digit."""
    return save_repeating(tmp_path_factory.mktemp("repeating"), digits()[0])


class TestAModel:
    SETTINGS = ("sample.count=300", "sample.batch_size=100", "sample.steps=5", "threads=1")

    def test_that_returns_a_training_image_ends_with_3(
        self, repeating: Path, folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        held_out = ("--data", folders["train"], "--held-out", folders["held"])
        assert audit(tmp_path, repeating, *held_out, settings=self.SETTINGS) == 3
        figures = figures_of(run_of(tmp_path))
        assert figures.headline.verdict == "above"
        (copies,) = (f for f in figures.memorization if f.name == "mq_aware_0.1")
        assert copies.generated.count == copies.generated.of == 300
        assert copies.floor is not None
        assert copies.floor.of == 400
        assert figures.provenance.train_images == 600
        assert "model   " not in capsys.readouterr().out, "an audit releases nothing"
        assert not any(run_of(tmp_path).store.list("runs/a/release/"))

    def test_that_does_not_ends_with_0(self, repeating: Path, folders: dict[str, Path], tmp_path: Path) -> None:
        """The same model, beside images among which what it returns is not."""
        other = ("--data", folders["fresh"], "--held-out", folders["held"])
        assert audit(tmp_path, repeating, *other, settings=self.SETTINGS) == 0
        assert figures_of(run_of(tmp_path)).headline.verdict == "at_or_below"

    def test_without_held_out_images_ends_with_4_and_says_why(
        self, repeating: Path, folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert audit(tmp_path, repeating, "--data", folders["train"], settings=self.SETTINGS) == 4
        figures = figures_of(run_of(tmp_path))
        assert figures.headline.verdict == "undecided"
        assert figures.quality is None
        assert "no held-out images, so no floor" in " ".join(capsys.readouterr().out.split())

    def test_of_values_0_to_1_is_refused_until_that_is_said(
        self, folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        model = save_repeating(tmp_path / "model", digits()[0], least=0.0)
        words = (model, "--data", folders["train"], "--held-out", folders["held"])
        assert audit(tmp_path, *words, settings=self.SETTINGS) == 2
        assert "unecho: audit.values: -1..1: 0.0% of the values" in capsys.readouterr().err
        assert audit(tmp_path, *words, settings=(*self.SETTINGS, "audit.values=0..1"), name="b") == 3

    def test_is_sampled_as_its_folder_says(self, folders: dict[str, Path], tmp_path: Path) -> None:
        """DDPM with all of its timesteps, of which it has 20."""
        assert audit(tmp_path, save_ddpm(tmp_path / "model"), "--data", folders["train"]) == 4
        sample = run_of(tmp_path).config().sample
        assert (sample.sampler, sample.steps) == ("base", 20)

    def test_of_another_size_is_matched_by_the_data(self, folders: dict[str, Path], tmp_path: Path) -> None:
        """`auto` is the model's own: its RGB images of 16 px beside digits, grey and of 8."""
        model = save_ddpm(tmp_path / "model", side=16, channels=3)
        assert audit(tmp_path, model, "--data", folders["train"]) == 4
        dataset = run_of(tmp_path).load(DatasetRecord)
        assert (dataset.channels, dataset.resolution) == (3, 16)
        assert generated(run_of(tmp_path)).shape == (32, 3, 16, 16)

    def test_of_another_size_is_scaled_to_the_one_that_is_set(self, folders: dict[str, Path], tmp_path: Path) -> None:
        model = save_ddpm(tmp_path / "model", side=16, channels=3)
        own, set_ = (*FEW, "sample.steps=2"), (*FEW, "sample.steps=2", "data.resolution=8", "data.channels=1")
        assert audit(tmp_path, model, "--data", folders["train"], settings=own, name="own") == 4
        assert audit(tmp_path, model, "--data", folders["train"], settings=set_, name="set") == 4
        made = generated(run_of(tmp_path, "own"))
        by_hand = [
            np.asarray(Image.fromarray(image.transpose(1, 2, 0)).convert("L").resize((8, 8), Image.Resampling.LANCZOS))
            for image in made
        ]
        np.testing.assert_array_equal(generated(run_of(tmp_path, "set"))[:, 0], np.stack(by_hand))

    def test_of_another_size_that_may_not_be_scaled_is_one_line(
        self, folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        model = save_ddpm(tmp_path / "model", side=16)
        settings = (*FEW, "data.resolution=8", "data.resize=none")
        assert audit(tmp_path, model, "--data", folders["train"], settings=settings) == 2
        line = f"unecho: data.resolution: 8, but {model} makes images of 16 px, and data.resize is none"
        assert line in capsys.readouterr().err

    def test_of_text_is_asked_for_captions_or_for_a_file(self, tmp_path: Path) -> None:
        data, held_out = write_images(tmp_path / "train", 24), write_images(tmp_path / "held", 12, first=24)
        (tmp_path / "prompts.txt").write_text("a red square\na blue one\n")
        settings = ("sample.count=8", "sample.batch_size=4", "sample.steps=2", "evaluate.neighbours=5", "threads=1")
        wanted = {"training": {"zero and zero", "one and zero"}, "held_out": {"one and zero"}}
        wanted["file"] = {"a red square", "a blue one"}
        for name, prompts in (("training", "training"), ("held_out", "held_out"), ("file", tmp_path / "prompts.txt")):
            words = (tiny_base(), "--data", data, "--held-out", held_out, "--prompts", prompts)
            assert audit(tmp_path, *words, settings=settings, name=name.replace("_", "-")) == 4
            run = run_of(tmp_path, name.replace("_", "-"))
            record = run.load(SamplesRecord, 0, 0)
            asked = json.loads(run.store.get(record.objects["prompts.json"].key))
            texts = {one["prompt"] for one in asked}
            assert texts == wanted[name] if name == "file" else all(" and " in text for text in texts)
            assert all((one["row"] >= 0) == (name == "training") for one in asked)


class TestImages:
    def test_of_the_kind_of_the_data_end_with_0(self, folders: dict[str, Path], tmp_path: Path) -> None:
        assert audit(tmp_path, folders["fresh"], "--data", folders["train"], "--held-out", folders["held"]) == 0
        run = run_of(tmp_path)
        assert not any(run.store.list("runs/a/samples/"))
        np.testing.assert_array_equal(generated(run)[:, 0], digits()[1000:1300])

    @pytest.mark.parametrize("altered", ["as it is", "mirrored", "shifted"])
    def test_among_which_are_copies_end_with_3(
        self, altered: str, folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """15 of 300: 5 %."""
        alter: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] = {
            "as it is": lambda images: images,
            "mirrored": lambda images: images[:, :, ::-1],
            "shifted": lambda images: np.concatenate([images[:, :, :1], images[:, :, :-1]], axis=2),
        }[altered]
        images = write_grey(tmp_path / "images", np.concatenate([digits()[1000:1285], alter(digits()[:15])]))
        assert audit(tmp_path, images, "--data", folders["train"], "--held-out", folders["held"]) == 3
        assert "It echoes" in capsys.readouterr().out

    def test_with_a_bad_one_name_it_or_leave_it_out(
        self, folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        images = tmp_path / "images"
        shutil.copytree(folders["fresh"], images)
        (images / "0007.png").write_bytes(b"not an image")
        words = (images, "--data", folders["train"], "--held-out", folders["held"])
        assert audit(tmp_path, *words) == 2
        error = capsys.readouterr().err
        assert "unecho: audit.images: " in error
        assert f"{images}/0007.png: not an image of a supported format" in error
        assert audit(tmp_path, *words, settings=(*FEW, "data.on_bad_image=skip"), name="b") == 0
        dataset = run_of(tmp_path, "b").load(DatasetRecord)
        assert dataset.generated_samples == 299
        assert any("audit.images: 1 bad images were skipped: 0007.png" in note for note in dataset.notes)

    def test_of_another_size_are_scaled_or_refused(
        self, folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        images = write_grey(tmp_path / "images", digits()[1000:1300].repeat(3, 1).repeat(3, 2))
        words = (images, "--data", folders["train"], "--held-out", folders["held"])
        assert audit(tmp_path, *words, name="auto") == 0
        assert run_of(tmp_path, "auto").load(DatasetRecord).resolution == 24
        assert audit(tmp_path, *words, settings=(*FEW, "data.resolution=8"), name="set") == 0
        assert generated(run_of(tmp_path, "set")).shape == (300, 1, 8, 8)
        assert audit(tmp_path, *words, settings=(*FEW, "data.resolution=8", "data.resize=none"), name="none") == 2
        assert "24 x 24 pixels, not 8 x 8 (data.resize is none)" in capsys.readouterr().err

    def test_held_out_ones_that_are_training_images_are_counted(
        self, folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        held_out = write_digits(tmp_path / "held", [*range(600, 800), *range(3)])
        assert audit(tmp_path, folders["fresh"], "--data", folders["train"], "--held-out", held_out) in (0, 4)
        assert figures_of(run_of(tmp_path)).held_out_near_copies == 3
        shown = " ".join(capsys.readouterr().out.split())
        assert "3 of the 203 held-out images have a near duplicate among the training images" in shown

    def test_held_out_ones_that_would_let_copies_pass_are_refused(
        self, folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert audit(tmp_path, folders["train"], "--data", folders["train"], "--held-out", folders["train"]) == 2
        said = capsys.readouterr().err
        assert "audit.held_out: " in said
        assert "600 of 600 images are training images or near duplicates of such: 0000.png, 0001.png, 0002.png" in said
        brighter = write_grey(tmp_path / "brighter", np.minimum(digits()[:100].astype(int) + 4, 255).astype(np.uint8))
        words = (folders["train"], "--data", folders["train"], "--held-out", brighter)
        assert audit(tmp_path, *words, name="b") == 2
        assert "100 of 100 images" in (said := capsys.readouterr().err)
        assert "(data.near_duplicate=0: only if they are equal)" in said

    @pytest.mark.parametrize("changed", ["images", "data", "held"])
    def test_that_were_made_anew_are_not_answered_for_by_the_old_ones(
        self, changed: str, folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        was = {"images": folders["fresh"], "data": folders["train"], "held": folders["held"]}
        here = {name: shutil.copytree(folder, tmp_path / name) for name, folder in was.items()}
        words = (here["images"], "--data", here["data"], "--held-out", here["held"])
        assert audit(tmp_path, *words) == 0
        assert audit(tmp_path, *words) == 0
        shutil.copy(here["data"] / "0007.png", here[changed] / "0001.png")
        capsys.readouterr()
        assert audit(tmp_path, *words) == 2
        field = {"images": "audit.images", "data": "data.source", "held": "audit.held_out"}[changed]
        assert f"exists with another method: {field}: was images with SHA-256 " in capsys.readouterr().err
        assert audit(tmp_path, *words, name="b") in (0, 4)

    def test_options_that_name_nothing_are_refused(
        self, folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert audit(tmp_path, folders["fresh"], "--data", folders["train"], "--held-out", "") == 2
        assert "--held-out: '': names nothing" in capsys.readouterr().err, "as of a variable that is not set"

    def test_stand_among_runs_and_say_how_far_they_are(
        self, folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert audit(tmp_path, folders["fresh"], "--data", folders["train"]) == 4
        capsys.readouterr()
        assert main(["status", f"{tmp_path}/runs/a"]) == 0
        assert capsys.readouterr().out.split("\n")[0] == "run a: audit, done"
        assert main(["ls", str(tmp_path)]) == 0
        assert "audit, done" in capsys.readouterr().out
        assert main(["pull", f"{tmp_path}/runs/a", str(tmp_path / "pulled")]) == 0
        assert {path.name for path in (tmp_path / "pulled").iterdir()} == {"report.html", "report.json"}

    def test_tell_a_program_all_in_one_object_and_nothing_else(
        self, folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = (folders["fresh"], "--data", folders["train"], "--held-out", folders["held"], "--json")
        assert audit(tmp_path, *words) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["verdict"] == "at_or_below"
        assert told["subject"] == f"images {folders['fresh']}"
        assert told["dataset"] == run_of(tmp_path).load(DatasetRecord).digest
        assert told["images"] == {"training": 600, "held_out": 400, "generated": 300}
        (copies,) = (figure for figure in told["figures"] if figure["name"] == "mq_aware_0.1")
        assert copies["generated"]["of"] == 300
        assert copies["generated"]["low"] <= copies["generated"]["share"] <= copies["generated"]["high"]
        assert copies["floor"]["of"] == 400
        assert told["quality"][0]["features"] == "pixels"
        place = told["report"].removeprefix("file://")
        assert Path(place).read_text().startswith("<!doctype html>")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a run has been trained."""
    root = tmp_path_factory.mktemp("trained")
    finish(run_of(root, "trained"), tiny())
    return root


class TestARun:
    def test_that_is_audited_as_it_is_has_the_figures_of_its_report(
        self, root: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["audit", f"{root}/runs/trained", "--name", "again"]) == 4
        again, first = figures_of(run_of(root, "again")), figures_of(run_of(root, "trained"), 3)
        assert measured(again) == measured(first)
        shown = capsys.readouterr().out
        assert f"A  file://{root}/runs/again\n" in shown
        assert f"B  file://{root}/runs/trained\n" in shown
        assert again.provenance.subject == f"run file://{root}/runs/trained"

    def test_that_is_sampled_in_another_way_has_other_images_and_weighs_next_to_nothing(self, root: Path) -> None:
        settings = ("sample.steps=3", "seed=1", "evaluate.neighbours=20")
        assert audit(root, f"{root}/runs/trained", settings=settings, name="other") == 4
        assert measured(figures_of(run_of(root, "other"))) != measured(figures_of(run_of(root, "trained"), 3))
        kept = {key.removeprefix("runs/other/") for stat in run_of(root).store.list("runs/other/") if (key := stat.key)}
        assert not [key for key in kept if "safetensors" in key and not key.startswith("samples/")]

    def test_whose_source_has_gone_is_audited_all_the_same(self, tmp_path: Path, folders: dict[str, Path]) -> None:
        images = shutil.copytree(folders["train"], tmp_path / "images")
        finish(run_of(tmp_path, "trained"), tiny(f"data.source={images}", "iet.rounds=1"))
        shutil.rmtree(images)
        assert audit(tmp_path, f"{tmp_path}/runs/trained", settings=()) == 4

    def test_of_text_to_image_has_the_figures_of_its_report(self, tmp_path: Path) -> None:
        """All but what an audit has none of: sets for comparison, and what the base model makes of prompts."""
        finish(run_of(tmp_path, "trained"), captioned("iet.rounds=1", "sample.companions=0"))
        assert audit(tmp_path, f"{tmp_path}/runs/trained", settings=()) == 4
        again, first = measured(figures_of(run_of(tmp_path))), measured(figures_of(run_of(tmp_path, "trained"), 1))
        assert first["prompts"].pop("base")
        assert again["prompts"].pop("base") == []
        assert again == first

    def test_whose_release_is_audited_with_the_same_split_has_the_figures_of_its_report(self, root: Path) -> None:
        run = run_of(root, "trained")
        folder = run.load(ReportRecord, 3).model_folder
        assert folder is not None
        config = run.config()
        settings = [
            f"{section}.{name}={json.dumps(value)}"
            for section, fields in config.model_dump(mode="json", include={"data", "sample", "evaluate"}).items()
            for name, value in fields.items()
            if value is not None
        ]
        words = (run.store.address(folder), "--data", "digits")
        assert audit(root, *words, settings=(*settings, "threads=1"), name="released") == 4
        mine = measured(figures_of(run_of(root, "released")))
        assert mine == measured(figures_of(run, 3)) | {"headline": mine["headline"]}

    def test_that_has_not_ended_is_one_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        from unecho.components.plan.step import plan

        plan(run_of(tmp_path, "trained"), tiny())
        assert audit(tmp_path, f"{tmp_path}/runs/trained", settings=()) == 2
        assert "runs/trained: not finished (planned, 3 rounds): start it again, then audit" in capsys.readouterr().err


KILLED = {
    "in prepare, before the second manifest": ("create", "datasets/", 3, False),
    "in prepare, before its record": ("create", "/dataset.json", 1, False),
    "in initialize": ("create", "models/0.json", 1, False),
    "in sample": ("create", "samples/0/1.json", 1, False),
    "in evaluate": ("put", "reports/0/", 2, True),
}


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory: pytest.TempPathFactory, folders: dict[str, Path]) -> tuple[RunConfig, dict[str, Any]]:
    """An audit of a model, and all that it has made."""
    folder = tmp_path_factory.mktemp("unkilled")
    model = save_ddpm(folder / "model")
    settings = (*FEW, "sample.parts=2", "sample.steps=3")
    words = (str(folders["train"]), str(folders["held"]))
    config = audit_config(open_store(str(folder)), str(model), *words, settings=settings)
    finish(run_of(folder), config)
    return config, made(run_of(folder))


def made(run: Run) -> dict[str, Any]:
    """All that an audit has computed, without when and where."""
    kinds = [(DatasetRecord, ()), (ModelRecord, (0,)), (SamplesRecord, (0, 0)), (SamplesRecord, (0, 1))]
    records = [run.load(kind, *index).model_dump(mode="json", exclude={"ran_with"}) for kind, index in kinds]
    return {"records": records, "figures": measured(figures_of(run))}


@pytest.mark.parametrize("point", KILLED)
def test_an_audit_killed_by_sigkill_ends_with_the_same_bytes(
    point: str, unkilled: tuple[RunConfig, dict[str, Any]], tmp_path: Path
) -> None:
    config, whole = unkilled
    killed = start(tmp_path, "a", config, KILLED[point])
    killed.join()
    assert killed.exitcode == -signal.SIGKILL, "the audit ended before the point was reached"
    finish(run_of(tmp_path), config)
    assert made(run_of(tmp_path)) == whole
    assert not list(open_store(str(tmp_path)).list("datasets/progress/"))


def test_an_audit_on_s3_of_a_model_on_s3_goes_on_where_it_was_stopped(
    s3_root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_images(tmp_path / "train", 24)
    settings = ("sample.count=8", "sample.parts=2", "sample.batch_size=4", "sample.steps=2", "evaluate.neighbours=5")
    words = (put_base(s3_root), "--data", data)
    steps = "unecho.components.steps"
    evaluate = __import__(steps, fromlist=["evaluate"]).evaluate

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"{steps}.evaluate", interrupted)
    assert audit(s3_root, *words, settings=settings) == 130
    assert "the same command goes on from here" in capsys.readouterr().err
    made = {stat.key: stat.etag for stat in open_store(s3_root).list("runs/a/samples/")}
    assert made
    monkeypatch.setattr(f"{steps}.evaluate", evaluate)
    assert audit(s3_root, *words, settings=settings) == 4
    assert {stat.key: stat.etag for stat in open_store(s3_root).list("runs/a/samples/")} == made
    assert f"unecho pull {s3_root}/runs/a DIR  # writes it to a directory" in capsys.readouterr().out
