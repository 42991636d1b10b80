"""The watch: what is looked at, what follows from it, and that nothing else depends on it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.runs import fingerprint, finish, start, tiny
from unecho.components.assess import probe
from unecho.components.assess.assessment import Floor
from unecho.components.config import RunConfig, resolve
from unecho.components.config.counts import is_watched, looks, watch_every
from unecho.components.failure import Fatal
from unecho.components.progress import Progress
from unecho.components.report.figures import load_figures
from unecho.components.run import (
    BeginRecord,
    Look,
    ModelRecord,
    Plan,
    ReportRecord,
    Run,
    SamplesRecord,
    SelectionRecord,
    WatchRecord,
)
from unecho.components.run.gc import Manifests, leftovers
from unecho.components.run.looks import at_floor
from unecho.components.run.state import state_of
from unecho.components.run.tensors import load_state

WATCHED = ("watch.every=1", "watch.count=16")


def look(verdict: str, share: float = 0.0) -> Look:
    metrics = {"mq_aware_0.1": share, "mq_aware_0.1_floor": 0.01}
    return Look.model_validate({"verdict": verdict, "speaks": "mq_aware_0.1", "images": 16, "metrics": metrics})


def scripted(monkeypatch: pytest.MonkeyPatch, verdicts: Mapping[int, str]) -> None:
    """Looks find by model what is written here: a network that memorizes on cue takes minutes."""
    real = probe.look_at

    def look_at(
        run: Run, plan: Plan, model: ModelRecord, floor: Floor | None, progress: Progress
    ) -> tuple[Look, Floor]:
        found, floor = real(run, plan, model, floor, progress)
        verdict = verdicts[model.round]
        share = 0.5 if verdict == "above" else 0.0
        metrics = found.metrics | {found.speaks: share}
        return found.model_copy(update={"verdict": verdict, "metrics": metrics}), floor

    monkeypatch.setattr(probe, "look_at", look_at)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run.at(str(tmp_path_factory.mktemp("root")), "watched")
    finish(run, tiny(*WATCHED))
    return run


def test_every_trained_model_is_looked_at_but_the_last_which_the_report_measures(watched: Run) -> None:
    looks = {round: watched.load(WatchRecord, round).look for round in range(3)}
    assert looks[0] is None  # drawn at random, it has seen nothing
    for round in (1, 2):
        found = looks[round]
        assert found is not None
        assert found.images == 16
        assert {"mq_aware_0.1", "mq_aware_0.1_floor", "frechet_pixels", "frechet_pixels_real"} <= set(found.metrics)
    assert watched.find(WatchRecord, 3) is None
    assert watched.load(SelectionRecord, 3).chosen == 3


def test_the_watch_changes_nothing_of_what_is_trained_sampled_and_released(watched: Run, tmp_path: Path) -> None:
    plain = Run.at(str(tmp_path), "watched")
    finish(plain, tiny("watch.every=0"))
    assert fingerprint(plain) == fingerprint(watched)


def test_the_floor_of_the_looks_is_measured_once_and_is_the_reports(watched: Run) -> None:
    first, second = (watched.load(WatchRecord, round).objects["floor.safetensors"] for round in (1, 2))
    assert first == second
    figures = load_figures(watched, watched.load(ReportRecord, 3))
    mq = load_state(watched.store, first)["mq.1"].numpy()  # augmentation-aware
    floors = {f.threshold: f.floor for f in figures.memorization if f.measure == "mq" and f.aware}
    for threshold, floor in floors.items():
        assert floor is not None
        assert int((mq < threshold).sum()) == floor.count


def test_looks_draw_the_same_noise_at_every_model_and_never_the_reports(
    watched: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    real = probe.generate

    def kept(*arguments: object, **options: object) -> object:
        drawn.append(real(*arguments, **options))  # type: ignore[arg-type]
        return drawn[-1]

    monkeypatch.setattr(probe, "generate", kept)
    plan, model = watched.plan(), watched.load(ModelRecord, 3)
    from unecho.components.progress import Silent

    for _ in range(2):
        probe.look_at(watched, plan, model, None, Silent())
    assert np.array_equal(drawn[0], drawn[1])
    ref = watched.load(SamplesRecord, 3, 0).objects["images.safetensors"]
    reported = load_state(watched.store, ref)["images"].numpy()
    assert reported.shape == drawn[0].shape
    assert not any((image == other).all() for image in drawn[0] for other in reported)


def test_a_run_that_echoes_late_stops_and_releases_the_last_round_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, {1: "at_or_below", 2: "at_or_below", 3: "above", 4: "above"})
    run, config = (
        Run.at(str(tmp_path), "late"),
        tiny("iet.rounds=9", *WATCHED, "stop.echo=true", "release.select=at_floor"),
    )
    finish(run, config)
    # model 3 is looked at while round 3 trains: model 4 is the last
    stopped = run.load(ModelRecord, 4).stop
    assert stopped == "stop.echo: model 3's mq_aware_0.1 is 50.0% of 16 images, above its floor 1.6%"
    assert run.load(BeginRecord, 4).decision == "stop"
    assert run.find(ModelRecord, 5) is None
    selection = run.load(SelectionRecord, 4)
    assert selection.chosen == 2
    assert selection.reason == "release.select at_floor: the latest of 4 watched models that was at its floor"
    report = run.load(ReportRecord, 4)
    figures = load_figures(run, report)
    assert (report.round, figures.provenance.released, figures.provenance.rounds) == (2, 2, 4)
    assert [(w.model, w.verdict) for w in figures.watched] == [
        (1, "at_or_below"),
        (2, "at_or_below"),
        (3, "above"),
        (4, "above"),
    ]
    assert run.find(SamplesRecord, 2, 0)
    assert run.find(SamplesRecord, 4, 0) is None
    state = state_of(run, {stat.key for stat in run.store.list("runs/late/")})
    assert str(state) == "done, stopped after 4 of 9 rounds, model 2 released"


def test_the_model_that_may_be_released_keeps_its_weights_until_a_later_one_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(
        monkeypatch, {1: "at_or_below", 2: "above", 3: "above", 4: "at_or_below", 5: "above", 6: "above", 7: "above"}
    )
    run, config = Run.at(str(tmp_path), "kept"), tiny("iet.rounds=7", *WATCHED, "release.select=at_floor")
    finish(run, config)
    begins = [run.load(BeginRecord, round) for round in range(7)]
    assert [begin.kept for begin in begins] == [None, None, 1, 1, 1, 4, 4]
    weights = {
        round: run.store.stat(run.load(ModelRecord, round).objects["ema.safetensors"].key) is not None
        for round in range(8)
    }
    # two rounds are kept before the last begin (6), and model 4 is the one to be released; 1 went when 4 took its place
    assert weights == {0: False, 1: False, 2: False, 3: False, 4: True, 5: True, 6: True, 7: True}
    assert run.load(SelectionRecord, 7).chosen == 4
    assert [x for x in leftovers(Manifests(run.store).read(), before=2**40) if "models/" in x.stat.key] == []


def test_a_watched_run_that_is_killed_and_resumed_ends_with_the_same_bytes_and_the_same_looks(
    watched: Run, tmp_path: Path
) -> None:
    for number, (operation, part) in enumerate(
        [("put", "watches/1/"), ("create", "watches/2.json"), ("create", "selections/")]
    ):
        run = Run.at(str(tmp_path / str(number)), "watched")
        process = start(tmp_path / str(number), "watched", tiny(*WATCHED), (operation, part, 1, False))
        process.join()
        assert process.exitcode not in (0, None)
        finish(run, tiny(*WATCHED))
        assert fingerprint(run) == fingerprint(watched)
        for round in range(3):
            assert run.load(WatchRecord, round).look == watched.load(WatchRecord, round).look


@pytest.mark.parametrize(
    ("verdicts", "chosen"),
    [
        ({1: "at_or_below", 2: "at_or_below", 3: "above"}, 2),
        ({1: "unclear", 2: "at_or_below", 3: "unclear"}, 2),
        ({1: "unclear", 2: "unclear", 3: "above"}, 2),
        ({2: "above", 4: "above"}, 2),
        ({5: "at_or_below"}, 5),
    ],
)
def test_the_latest_at_the_floor_then_the_latest_unclear_then_the_first(verdicts: dict[int, str], chosen: int) -> None:
    assert at_floor({model: look(verdict) for model, verdict in verdicts.items()})[0] == chosen


def config_of(*settings: str) -> RunConfig:
    return resolve("tiny", "default", settings=("iet.rounds=20", "iet.local_epochs=10", *settings))


def test_auto_looks_as_often_as_costs_a_tenth_of_training_at_most() -> None:
    # 20 rounds x 10 epochs x 96 samples x 3 passes = 57,600; a look is 16 images x 5 steps = 80: 72 looks would fit
    assert watch_every(config_of("watch.every=auto"), 96) == 1
    # 160 images x 5 steps = 800: 7 looks fit, every third round
    assert watch_every(config_of("watch.every=auto", "watch.count=160"), 96) == 3
    # 2,000 images x 5 steps: not even one
    assert watch_every(config_of("watch.every=auto", "watch.count=2000"), 96) == 0
    # where a rule goes by it there are some four looks at least
    assert watch_every(config_of("watch.every=auto", "watch.count=2000", "stop.echo=true"), 96) == 4


def test_model_0_is_looked_at_where_it_was_pretrained() -> None:
    plain, tuned = config_of("watch.every=5"), config_of("watch.every=5", "model.pretrained=/base")
    assert [round for round in range(20) if is_watched(plain, 96, round)] == [5, 10, 15]
    assert [round for round in range(20) if is_watched(tuned, 96, round)] == [0, 5, 10, 15]
    assert looks(config_of("watch.every=5", "release.select=at_floor"), 96) == 4  # the last model too


def test_rules_that_go_by_the_watch_need_it() -> None:
    for rule in ("stop.echo=true", "release.select=at_floor"):
        with pytest.raises(Fatal, match=rf"watch\.every: 0, but {rule.partition('=')[0]}"):
            tiny("watch.every=0", rule)
