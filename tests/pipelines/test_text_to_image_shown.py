"""What a user sees of a text-to-image run: report, listing, log."""

import json
from pathlib import Path

import pytest

from tests.runs import finish
from unecho.components.config import RunConfig, resolve
from unecho.components.failure import Fatal
from unecho.components.report.figures import Figures, load_figures
from unecho.components.report.summary import summary
from unecho.components.report.wording import what_trained
from unecho.components.run import EncodingRecord, Plan, ReportRecord, Run
from unecho.components.run.copies import whole_digest
from unecho.components.store import fetch
from unecho.pipelines.commands import main

LONG = "one two three four five six seven eight nine ten eleven twelve"  # more letters than random-tiny reads


def small(*settings: str) -> RunConfig:
    return resolve("tiny-text-to-image", settings=("iet.rounds=1", "iet.local_epochs=1", "sample.parts=1", *settings))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run.at(str(tmp_path_factory.mktemp("root")), "done")
    finish(run, small("lora.average=svd"))
    return run


def figures_of(run: Run) -> tuple[ReportRecord, Figures]:
    report = run.load(ReportRecord, 1)
    return report, load_figures(run, report)


def test_the_report_names_base_adapters_prompts_guidance_and_sampler(done: Run) -> None:
    report, figures = figures_of(done)
    base = done.load(Plan, 0).base
    assert base is not None
    assert figures.provenance.base_sha256 == whole_digest(base)
    html = fetch(done.store, report.objects["report.html"]).decode()
    for text in ("random-tiny", whole_digest(base), "adapters (LoRA) of rank 4", "captions of the training images"):
        assert text in html
    assert "guidance 3" in html
    assert "DDIM, 4 steps" in html
    assert "base model: `random-tiny`" in summary(done, report)


def test_the_error_of_averaged_adapters_is_told_and_none_where_averages_are_exact(done: Run) -> None:
    _, figures = figures_of(done)
    assert figures.rounds[0].average_error is not None
    assert "averages leave out at most" in (what_trained(figures.config, figures.rounds) or "")
    exact = small().model_dump(mode="json")
    assert "averages are exact" in (what_trained(exact, []) or "")
    assert what_trained(small("lora.enabled=false").model_dump(mode="json"), []) == "the whole UNet"
    assert what_trained(resolve("tiny").model_dump(mode="json"), []) is None


def test_a_most_memorized_image_has_its_prompt_in_the_copy_that_has_training_images(done: Run) -> None:
    report, figures = figures_of(done)
    sample = done.store.list(f"{done.prefix}/samples/")
    prompts = next(json.loads(done.store.get(stat.key)) for stat in sample if stat.key.endswith("prompts.json"))
    for pair in figures.pairs:
        assert pair.prompt == prompts[pair.generated]["prompt"]
        assert pair.own_caption == (prompts[pair.generated]["row"] == pair.nearest)
    assert "asked for: “" in fetch(done.store, report.objects["report.html"]).decode()
    assert "asked for: “" not in fetch(done.store, report.objects["shared.html"]).decode()


def test_ls_finds_the_encodings_that_lie_beside_the_run(done: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", done.url]) == 0
    shown = capsys.readouterr().out
    assert "latents/0" in shown
    assert "missing" not in shown


def test_no_prompt_stands_in_the_log_however_long(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "prompts.txt").write_text(f"{LONG}\n")
    of_file = ("sample.prompts=file", f"sample.prompts_file={tmp_path / 'prompts.txt'}")
    finish(Run.at(str(tmp_path / "root"), "long"), small(*of_file))
    shown = "".join(capfd.readouterr())
    assert "eleven" not in shown
    assert "e l e v e n" not in shown


def test_too_few_images_are_told_before_anything_is_encoded(tmp_path: Path) -> None:
    run = Run.at(str(tmp_path / "root"), "few")
    with pytest.raises(Fatal, match=r"evaluate\.precision_recall_neighbours: 40 "):
        finish(run, small("evaluate.precision_recall_neighbours=40"))
    assert run.find(EncodingRecord, 0) is None
    assert not list(run.store.list("encodings/"))


def test_plan_names_the_base_what_trains_and_the_bytes_of_encodings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--preset", "tiny-text-to-image"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["base", "model", "random-tiny"] for line in lines)
    assert any(line.startswith("trained ") and "adapters (LoRA) of rank 4" in line for line in lines)
    # 96 images in 5 variants (plain, 2 shifts, 2 RandAugments), 2 x 4 x 8 x 8 numbers of 4 bytes each
    assert any(line.startswith("encodings in the store  983 kB") for line in lines), 96 * 5 * 2 * 4 * 8 * 8 * 4
