"""unecho forget: what is recorded, what it leaves out of later runs, what it costs earlier ones, and what goes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load, save

from tests.releases import given
from tests.runs import finish, tiny
from unecho.components.config import RunConfig
from unecho.components.data import Dataset
from unecho.components.data.encodings import put_block
from unecho.components.data.forgotten import Numbered
from unecho.components.data.manifest import objects_base
from unecho.components.data.recording import asked_image
from unecho.components.evaluate.step import evaluate
from unecho.components.failure import Fatal
from unecho.components.plan.step import notes_on_requests, plan
from unecho.components.prepare.step import prepare
from unecho.components.progress import Silent
from unecho.components.report.figures import load_figures
from unecho.components.run import Assignment, DatasetRecord, EncodingRecord, Plan, ProxyRecord, ReportRecord, Run
from unecho.components.run.forgotten import requests_through
from unecho.components.run.released import ReleasedModel
from unecho.components.shard.step import shard
from unecho.components.store import fetch, open_store, put_object
from unecho.pipelines.commands import main
from unecho.pipelines.comparison.arms import Arm, Entry, forgotten_by
from unecho.pipelines.forgetting.cost import cost_of
from unecho.pipelines.forgetting.held import held_by

Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Said:
    """Calls unecho forget at 80 columns: exit status, output, errors."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(*words: object, command: str = "forget") -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = main([command, *map(str, words)])
        except SystemExit as end:
            status = int(end.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def of_photos(photos: Path, *settings: str) -> RunConfig:
    """A small run on a folder of its own, in which every sample is visited once a round."""
    counts = ("data.train_limit=null", "data.held_out_limit=null", "data.held_out=0.2", "data.resolution=8")
    return tiny("iet.rounds=2", f"data.source={photos}", "data.near_duplicate=0", *counts, *settings)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 100 images, and a root with a finished run `a` on them."""
    folder = tmp_path_factory.mktemp("made")
    noise = np.random.default_rng(0).integers(0, 256, (100, 8, 8), np.uint8)
    (folder / "photos" / "x").mkdir(parents=True)
    for number, pixels in enumerate(noise):
        Image.fromarray(pixels).save(folder / "photos" / "x" / f"{number:02}.png")
    finish(Run.at(str(folder / "root"), "a"), of_photos(folder / "photos"))
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the root; the photos stay where they are."""
    shutil.copytree(made / "root", tmp_path / "root")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ids(here: Path, *lines: object) -> Path:
    (here / "ids.txt").write_text("".join(f"{line}\n" for line in lines))
    return here / "ids.txt"


def run_a(here: Path) -> tuple[Run, Dataset]:
    run = Run.at(str(here / "root"), "a")
    return run, Dataset.open(run.store, run.load(DatasetRecord).digest)


def name_of(dataset: Dataset, place: int, held_out: bool = False) -> str:
    return dataset.name(int((dataset.held_out_rows if held_out else dataset.train_rows)[place]))


def prepared(here: Path, made: Path, name: str) -> tuple[Run, Dataset]:
    run = Run.at(str(here / "root"), name)
    plan(run, of_photos(made / "photos"))
    return run, Dataset.open(run.store, prepare(run, Silent()).digest)


def test_a_request_is_recorded_with_who_when_and_why_and_told_with_what_holds_it(
    here: Path, made: Path, said: Said
) -> None:
    """A name, an address below the source, an image elsewhere under another name, and one that is not there yet."""
    run, dataset = run_a(here)
    first, second, third = name_of(dataset, 0), name_of(dataset, 1), name_of(dataset, 0, held_out=True)
    Image.open(made / "photos" / third).save(here / "same.bmp")
    file = ids(here, first, made / "photos" / second, "same.bmp", "x/99999.png", first)
    status, out, _ = said("--root", "root", "--ids", file, "--by", "ann", "--because", "case 17")
    assert status == 0
    assert max(map(len, out.splitlines()[1:])) <= 80
    assert "request 1 is recorded: 4 lines, by ann" in out
    assert "1 line of no data set that is there; left out should it come:\n  x/99999.png\n" in out
    assert out.splitlines()[-1].split() == [f"{dataset.digest[:16]}...", "2", "1", "a"]

    (request,) = requests_through(run.store, 1)
    assert (request.by, request.because, [line.text for line in request.lines]) == (
        "ann",
        "case 17",
        [first, str(made / "photos" / second), "same.bmp", "x/99999.png"],
    )
    assert request.lines[1].keys == [second]
    (before,) = request.held
    assert (before.dataset, before.training, before.held_out) == (dataset.digest, 2, 1)
    assert [bool(line.file and line.pixels) for line in request.lines] == [True, True, True, False]

    _, later = prepared(here, made, "b")
    names, left = ({one.name(row) for row in range(one.count)} for one in (dataset, later))
    assert names - left == {first, second, third}
    status, out, _ = said("--root", "root", "--list")
    assert status == 0
    assert "case 17" in out
    assert out.splitlines()[-1].split() == [f"{dataset.digest[:16]}...", "2", "1", "a"]


def test_an_image_that_was_renamed_since_is_found_by_the_name_that_it_has_today(
    here: Path, made: Path, said: Said
) -> None:
    """A data set does not depend on names and keeps the first ones: what was trained on the image is told all the same,
    and marked. A name that means no image is one that may come.
    """
    photos = shutil.copytree(made / "photos", here / "photos")
    run = Run.at(str(here / "root"), "b")
    plan(run, of_photos(photos))
    dataset = Dataset.open(run.store, prepare(run, Silent()).digest)
    name = name_of(dataset, 0)
    (photos / name).rename(photos / "today.png")
    (photos / "notes.txt").write_text("none")
    ReleasedModel(run.store, "dogs").append(given(run, 1).model_copy(update={"dataset": dataset.digest}))
    status, out, _ = said("--root", "root", "--ids", ids(here, "today.png", "notes.txt"))
    assert status == 0
    assert "left out should it come:\n  notes.txt\n" in out
    assert out.splitlines()[-1].split() == [f"{dataset.digest[:16]}...", "1", "0", "a,", "b"]
    assert "1 by request 1" in " ".join(said("dogs", "--root", "root", command="released")[1].split())


def test_a_run_that_goes_on_is_not_changed_by_a_later_request_and_says_so(
    here: Path, made: Path, said: Said, capsys: pytest.CaptureFixture[str]
) -> None:
    run, dataset = run_a(here)
    said("--root", "root", "--ids", ids(here, name_of(dataset, 0)))
    words = [word for setting in of_settings(made) for word in ("--set", setting)]
    status, _, err = said("plan", "--run", run.url, "--preset", "tiny", *words, command="step")
    assert status == 0
    assert "deletion request 1 is newer than this run's plan and not applied to it" in err
    assert run.plan().forgotten == 0
    assert (run.plan().revision, run.load(DatasetRecord).digest) == (0, dataset.digest)


def of_settings(made: Path) -> list[str]:
    """What `of_photos` sets, as words of a command line."""
    counts = ["data.train_limit=null", "data.held_out_limit=null", "data.held_out=0.2", "data.resolution=8"]
    return ["iet.rounds=2", f"data.source={made / 'photos'}", "data.near_duplicate=0", *counts]


def test_the_report_and_the_card_count_what_was_left_out_and_only_the_runs_own_copy_names_it(
    here: Path, made: Path, said: Said
) -> None:
    _, dataset = run_a(here)
    gone = name_of(dataset, 0)
    said("--root", "root", "--ids", ids(here, gone))
    run = Run.at(str(here / "root"), "b")
    finish(run, of_photos(made / "photos", "iet.rounds=1"))
    report = run.load(ReportRecord, 1)
    figures = load_figures(run, report)
    assert figures.forgotten is not None
    assert (figures.forgotten.requests, figures.forgotten.samples, figures.forgotten.by) == (1, 1, {"name": 1})
    assert (figures.forgotten.rows, figures.forgotten.assignments) == (99, 2)
    text = {name: fetch(run.store, ref).decode() for name, ref in report.objects.items() if "." in name[-5:]}
    sentence = "1 sample of the source left out by deletion request 1 (1 by name). None of the 99 samples"
    for name in ("report.html", "shared.html", "model/README.md"):
        assert sentence in " ".join(text[name].split()), name
    assert gone in text["report.html"]
    for name in ("shared.html", "report.json", "model/README.md"):
        assert gone not in text[name], name


def overlooked(run: Run) -> None:
    """Let request 1 apply to a finished run that knew nothing of it, and take its report away."""
    planned = run.plan().model_copy(update={"forgotten": 1})
    run.store.put(run.key(Plan, 0), planned.model_dump_json().encode())
    run.store.delete([run.key(ReportRecord, 2)])


def test_a_data_set_that_holds_what_was_to_be_forgotten_stops_shard_before_anything_trains(
    here: Path, made: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if prepare had overlooked it; by its name."""
    monkeypatch.setattr("unecho.components.prepare.step.asked_of", lambda *of: [])
    _, dataset = run_a(here)
    gone = name_of(dataset, 3)
    said("--root", "root", "--ids", ids(here, gone))
    run, _ = prepared(here, made, "b")
    with pytest.raises(Fatal, match=rf"sample \d+ \({gone}\) is to be forgotten, and is there"):
        shard(run, Silent())
    assert run.find(Assignment, 0) is None


def test_a_data_set_that_holds_what_was_to_be_forgotten_has_no_report(here: Path, made: Path, said: Said) -> None:
    """By its pixels: the line names no sample of it."""
    run, dataset = run_a(here)
    gone = name_of(dataset, 3)
    Image.open(made / "photos" / gone).save(here / "same.bmp")
    said("--root", "root", "--ids", ids(here, "same.bmp"))
    overlooked(run)
    with pytest.raises(Fatal, match=rf"sample \d+ \({gone}\) is to be forgotten, and is there"):
        evaluate(run, Silent())


def test_an_assignment_that_is_not_of_the_data_set_is_no_proof(here: Path, said: Said) -> None:
    run, _ = run_a(here)
    said("--root", "root", "--ids", ids(here, "x/none.png"))
    overlooked(run)
    record, name = run.load(Assignment, 1), "assignment.safetensors"
    fewer = {key: tensor[1:].copy() for key, tensor in load(fetch(run.store, record.objects[name])).items()}
    other = record.model_copy(update={"objects": {name: run.put(Assignment, (1,), name, save(fewer))}})
    run.store.put(run.key(Assignment, 1), other.model_dump_json().encode())
    with pytest.raises(Fatal, match="it is no assignment of the 100 samples of data set"):
        evaluate(run, Silent())


def test_what_leaving_samples_out_costs_a_run_is_told_before_and_after_they_are_requested(
    here: Path, said: Said
) -> None:
    """Two shards that visit all of their samples in the first of two rounds: nothing but model 0 is without them."""
    run, dataset = run_a(here)
    file = ids(here, name_of(dataset, 0), name_of(dataset, 0, held_out=True))
    for words in ([run.url, "--ids", file], [run.url]):
        status, out, _ = said(*words)
        assert status == 0
        assert max(map(len, out.splitlines()[1:])) <= 80
        assert {" ".join(line.split()) for line in out.splitlines()[1:]} >= {
            "training 1 of 80 samples are to be forgotten",
            "held out 1 of 20",
            "first visit round 0, of 2 that were trained",
        }
        assert "model 0 of 0 to 2 is without them" in out
        assert "4 proxies, in a run under another name, which starts from model 0" in " ".join(out.split())
        said("--root", "root", "--ids", file)  # for the second time around


def test_proxies_that_never_met_a_sample_are_free_until_they_are_averaged_with_one_that_did(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two shards, four rounds, averaged after each second one. Shard 1 visits the sample in round 2 for the first time.

    Rounds 0 and 1 are free, so models 0, 1 and 2 are. In round 2 shard 0 is free, which starts from model 2; in round
    3 too, since it goes on from its own proxy. Models 3 and 4 are averages with shard 1's.
    """
    run, _ = run_a(here)
    visits = {(round, k): [int(k == 1 and round == 2)] for round in range(4) for k in range(2)}
    config = tiny("iet.rounds=4", "iet.shards=2", "iet.average_every=2")

    def find(self: Run, kind: type, *index: int) -> object:
        if kind is not ProxyRecord or index not in visits:
            return None
        data = save({"sample": np.array([7]), "visits": np.array(visits[index], np.int32)})  # type: ignore[index]
        ref = put_object(self.store, "runs/a/proxies/9/9", "statistics.safetensors", data)
        return given_proxy(index, ref)

    def given_proxy(index: tuple[int, ...], ref: object) -> object:
        return ProxyRecord.model_construct(round=index[0], shard=index[1], objects={"statistics.safetensors": ref})

    monkeypatch.setattr(Run, "find", find)
    monkeypatch.setattr(Run, "config", lambda self: config)
    cost = cost_of(run, [7])
    assert (cost.first, cost.free_proxies, cost.proxies) == (2, 6, 8)
    assert (cost.free_models, cost.kept_models) == ([0, 1, 2], [])
    assert (cost_of(run, [8]).first, cost_of(run, [8]).free_models) == (None, [0, 1, 2, 3, 4])


def test_a_released_model_that_was_trained_on_what_is_to_be_forgotten_is_marked(
    here: Path, made: Path, said: Said
) -> None:
    """Also once its data set is gone; not one whose run had left the sample out, and none for a held-out sample."""
    run, dataset = run_a(here)
    ReleasedModel(run.store, "dogs").append(given(run, 1).model_copy(update={"dataset": dataset.digest}))
    assert "forgotten" not in said("dogs", "--root", "root", command="released")[1]
    said("--root", "root", "--ids", ids(here, name_of(dataset, 0, held_out=True)))
    assert "forgotten" not in said("dogs", "--root", "root", command="released")[1]
    said("--root", "root", "--ids", ids(here, name_of(dataset, 0), name_of(dataset, 1)))
    later, later_set = prepared(here, made, "b")
    ReleasedModel(run.store, "cats").append(
        given(later, 1).model_copy(update={"model": "cats", "dataset": later_set.digest})
    )
    mark = "number 1 was trained on samples that are to be forgotten: 2 by request 2"
    for command in (["dogs"], []):
        out = " ".join(said(*command, "--root", "root", command="released")[1].split())
        assert mark in out
    assert "dogs number 1 was trained" in out
    promoted = said("root/runs/a", "--model", "birds", command="promote")[1]
    assert (
        "warning: birds 1 was trained on samples that are to be forgotten: 1 by request 1, 2 by request 2" in promoted
        or promoted
    )
    assert "cats number 1" not in out
    run.store.delete([f"datasets/{dataset.digest}.json"])
    assert mark in " ".join(said("dogs", "--root", "root", command="released")[1].split())


def test_purge_removes_the_data_sets_that_hold_it_and_leaves_what_others_share(
    here: Path, made: Path, said: Said
) -> None:
    run, dataset = run_a(here)
    row = int(dataset.train_rows[0])
    pixels = dataset.rows([row])[0].tobytes()
    # a second table of names, as a prepare leaves it that found its data set there, its files renamed since
    put_object(run.store, objects_base(dataset.digest), "names.jsonl.gz", b"renamed")
    said("--root", "root", "--ids", ids(here, dataset.name(row)))
    _, later_set = prepared(here, made, "b")
    for delete in (False, True):
        status, out, _ = said("--root", "root", "--purge", *(["--delete", "--older-than", "0s"] if delete else []))
        assert status == 0
        assert ("removed 1 data set" in out) == delete
    assert "reports and models of the runs that read them stay" in " ".join(out.split())
    assert not [stat.key for stat in run.store.list("datasets/") if pixels in run.store.get(stat.key)]
    assert not list(run.store.list(f"{objects_base(dataset.digest)}/"))
    assert [one.digest for one in held_by(run.store)] == [later_set.digest]
    assert len(later_set.rows(range(99))) == 99
    assert said("--root", "root", "--purge")[1].endswith("no data set holds what was asked for\n")
    # and it does not come back
    _, again_set = prepared(here, made, "c")
    assert again_set.digest == later_set.digest


def test_purge_removes_encodings_that_no_other_run_reads(here: Path, made: Path, said: Said) -> None:
    """Latents belong to one data set; texts may be those of another run's captions too."""
    run, dataset = run_a(here)
    other = Run.at(str(here / "root"), "other")
    rows, mine, shared = torch.zeros(1, 2), "a" * 64, "b" * 64
    for of, latents in ((run, mine), (other, "c" * 64)):
        record = EncodingRecord(
            part=0,
            latents_key=latents,
            texts_key=shared,
            latents=[put_block(run.store, latents, "latents", 0, rows)],
            texts=[put_block(run.store, shared, "texts", 0, rows)],
        )
        of.commit(record, 0)
    said("--root", "root", "--ids", ids(here, name_of(dataset, 0)))
    assert said("--root", "root", "--purge", "--delete", "--older-than", "0s")[0] == 0
    assert {stat.key.split("/")[1] for stat in run.store.list("encodings/")} == {shared, "c" * 64}


def test_purge_spares_what_is_young_and_gc_takes_it_later(here: Path, made: Path, said: Said) -> None:
    run, dataset = run_a(here)
    pixels = dataset.rows([int(dataset.train_rows[0])])[0].tobytes()
    said("--root", "root", "--ids", ids(here, name_of(dataset, 0)))
    status, out, _ = said("--root", "root", "--purge", "--delete")
    assert status == 0
    objects = len(dataset.manifest.chunks) + 2  # index and names
    spared = f"spared: {objects} objects that another data set may take up yet: `unecho gc root --delete`"
    assert spared in " ".join(out.split())
    assert held_by(run.store) == []
    assert said("root", "--delete", "--older-than", "0s", command="gc")[0] == 0
    assert not [stat.key for stat in run.store.list("datasets/") if pixels in run.store.get(stat.key)]


def test_purge_refuses_while_a_run_that_has_not_ended_reads_it(here: Path, made: Path, said: Said) -> None:
    _, dataset = run_a(here)
    unfinished, _ = prepared(here, made, "unfinished")
    said("--root", "root", "--ids", ids(here, name_of(dataset, 0)))
    status, _, err = said("--root", "root", "--purge", "--delete")
    assert status == 2
    assert f"{unfinished.url}: not finished (planned, 2 rounds), and reads data set {dataset.digest[:16]}..." in err
    assert Dataset.open(unfinished.store, dataset.digest).count == 100


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--root", "root"], 2, "one of --ids FILE, --list, --purge or RUN is needed"),
        (["--root", "root", "--ids", "none.txt"], 2, "--ids: none.txt: no such file"),
        (["--root", "root", "--ids", "empty.txt"], 2, "--ids: empty.txt: no line in it"),
        (["--root", "root", "--ids", "binary.txt"], 2, "--ids: binary.txt: not UTF-8 text (byte 0)"),
        (["--root", "root", "--ids", "of-text.txt"], 2, "--ids: of-text.txt: empty.txt: an empty file"),
        (["--root", "root", "--ids", "of-folder.txt"], 2, "--ids: of-folder.txt: root: a directory: name its images"),
        (["--root", "root", "--list"], 2, "no deletion requests there"),
        (["--root", "root", "--purge"], 2, "no deletion requests there"),
        (["--root", "root", "--list", "--purge"], 2, "are given one at a time"),
        (["--root", "root", "--list", "--delete"], 2, "--delete: goes with --purge"),
        (["root/runs/none"], 2, "no such run"),
        (["root/runs/a", "--by", "ann"], 2, "nothing is recorded: it takes --ids alone"),
        (["--root", "root", "--ids", "of-name.txt", "--because", "two\nlines"], 2, "--because: 'two\nlines'"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_records_nothing(
    here: Path, said: Said, words: list[str], status: int, says: str
) -> None:
    (here / "empty.txt").write_text("")
    (here / "binary.txt").write_bytes(b"\xff\xfe")
    (here / "of-text.txt").write_text("empty.txt\n")
    (here / "of-folder.txt").write_text("root\n")
    (here / "of-name.txt").write_text("x/0.png\n")
    ended, _, err = said(*words)
    assert ended == status
    assert says in err
    assert "Traceback" not in err
    assert not list(open_store("root").list("forgotten/"))


def test_a_request_keeps_digests_and_no_pixel(made: Path) -> None:
    data = (made / "photos" / "x" / "00.png").read_bytes()
    pixels = np.asarray(Image.open(made / "photos" / "x" / "00.png"))
    line = asked_image("x", data, [])
    assert len(line.pixels) == len({(d.channels, d.resolution, d.resize) for d in line.pixels})
    assert {(1, 8, "none"), (1, 8, "crop"), (3, 32, "squash")} <= {
        (d.channels, d.resolution, d.resize) for d in line.pixels
    }
    assert str(pixels.tolist()[0])[1:-1] not in Numbered(1, line).asked.model_dump_json()


def test_a_run_that_starts_from_a_model_that_has_seen_it_says_so(
    here: Path, made: Path, said: Said, capsys: pytest.CaptureFixture[str]
) -> None:
    """dogs 1 has seen the sample. Run b starts from it, is dogs 2, and run c starts from that one."""
    run, dataset = run_a(here)
    assert said(run.url, "--model", "dogs", "--by", "ann", command="promote")[0] == 0
    said("--root", "root", "--ids", ids(here, name_of(dataset, 0)))
    config = of_photos(made / "photos", "iet.rounds=1", "model.pretrained=released:dogs")
    later = Run.at(str(here / "root"), "b")
    finish(later, config)
    seen = "dogs number 1, trained on samples that are to be forgotten: 1 by request 1"
    figures = load_figures(later, later.load(ReportRecord, 1))
    assert figures.forgotten is not None
    assert figures.forgotten.base == seen
    assert figures.forgotten.sentence.endswith(f"No shard saw one, but the start had: {seen}")
    assert said(later.url, "--model", "dogs", "--by", "ann", command="promote")[0] == 0
    assert f"number 2 started from {seen}" in " ".join(said("dogs", "--root", "root", command="released")[1].split())
    last = Run.at(str(here / "root"), "c")
    assert notes_on_requests(last, plan(last, config)) == [
        f"model.pretrained: starts from {seen}: no shard of this run sees them, but its start has: train from scratch, "
        "or from a model without them"
    ]
    assert notes_on_requests(run, run.plan())[0].startswith("deletion request 1 is newer than this run's plan")


def test_a_comparison_that_goes_on_keeps_to_the_requests_of_its_first_run(here: Path, made: Path, said: Said) -> None:
    run, dataset = run_a(here)
    said("--root", "root", "--ids", ids(here, name_of(dataset, 0)))
    later, _ = prepared(here, made, "b")
    said("--root", "root", "--ids", ids(here, name_of(dataset, 1)))
    new = Run.at(str(here / "root"), "new")

    def requests(*runs: Run) -> list[int]:
        entries = [Entry(Arm("default", "default"), 0, one, of_photos(made / "photos")) for one in runs]
        return [line.request for line in forgotten_by(run.store, entries)]

    assert (requests(new, run), requests(later, new), requests(new)) == ([], [1], [1, 2])
